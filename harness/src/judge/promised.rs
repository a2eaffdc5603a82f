//! How far a promise reaches in a run. What a checker finds stays found; but a violation outside
//! the promise accuses nobody of breaking it.
//!
//! A promise of the policy `leader` is not one to sessions that stay with a leader which the run
//! knows to be deposed. A promise of a cluster whose failovers are not known to keep acknowledged
//! writes ends with the first acknowledged write that the promoted leader lacks: what was read of
//! it is gone with it.

use std::collections::{BTreeMap, BTreeSet};

use checkers::{Checker, Context, Outcome, Verdict};
use history::{EventKind, History, Mop, MopKind, Op, RunInfo, Shown};
use nemesis::ClusterView;

use super::Records;

/// What is judged of a promise that was found to be broken, and why that is not all of the run.
pub(super) struct Reach {
    history: History,
    why: Vec<String>,
}

/// What a narrower look at a broken promise came to.
pub(super) struct Narrowed {
    /// Where the promise holds.
    pub(super) verdict: Verdict,
    /// Why what was found breaks no promise.
    pub(super) why: String,
}

impl Reach {
    /// Of the promises but that of keeping acknowledged writes; `None` is all of the run.
    pub(super) fn of(records: &Records, info: &RunInfo) -> Option<Reach> {
        let mut reach = Reach { history: History::default(), why: Vec::new() };
        let stayed = records.history.ops.iter().filter(|op| op.stayed).count();
        let end = first_lacked(records, info);
        if (stayed == 0 || info.policy != "leader") && end.is_none() {
            return None;
        }
        reach.history = records.history.clone();
        if stayed != 0 && info.policy == "leader" {
            let left = reach.history.ops.iter_mut().filter(|op| op.stayed);
            left.for_each(|op| op.kind = EventKind::Info);
            reach.why.push(format!(
                "by {stayed} operations of sessions that stayed with a deposed leader (marked \
                 stayed), without which the promise of the policy leader is judged"
            ));
        }
        if let Some(lacked) = end {
            reach.history.ops.retain(|op| op.index() < lacked.index && !op.final_read);
            let until = |op: &Op| op.completed_index().is_some_and(|done| done < lacked.index);
            let open = reach.history.ops.iter_mut().filter(|op| !until(op));
            open.for_each(|op| op.kind = EventKind::Info);
            reach.why.push(format!(
                "after {}, when a write was acknowledged that {} lacks, which was promoted: with \
                 it the promise ended",
                reports::seconds(lacked.at),
                lacked.leader
            ));
        }
        Some(reach)
    }

    /// A checker's look at what the promise reaches, if it is not broken there.
    pub(super) fn narrowed(&self, checker: &dyn Checker, context: &Context) -> Option<Narrowed> {
        let outcome: Outcome = checker.check(&self.history, context);
        let why = format!("found only {}", self.why.join(", or "));
        (outcome.verdict != Verdict::Invalid).then_some(Narrowed { verdict: outcome.verdict, why })
    }
}

/// An acknowledged write that the last leader lacks.
struct Lacked {
    /// History index of its acknowledgement.
    index: u64,
    /// When it was acknowledged.
    at: i64,
    leader: String,
}

/// The first one, of a run whose failovers were not promised to keep acknowledged writes.
fn first_lacked(records: &Records, info: &RunInfo) -> Option<Lacked> {
    if info.system.promises.contains_key("lost-writes") {
        return None;
    }
    let mut view = ClusterView::new(&info.nodes);
    records.telemetry.iter().for_each(|sample| view.learn(sample));
    if view.leader_changes() == 0 {
        return None;
    }
    // One log: with several there are several leaders, and no promise that needs this.
    let leader = view.leader(0)?.to_owned();
    let history = &records.history;
    let shown = last_shown(history, &leader);
    let done = history.ops.iter().filter(|op| op.kind == EventKind::Ok);
    let lacks = done.filter(|op| history.mops_of(op).iter().any(|mop| lacks(&shown, op, mop)));
    let first = lacks.min_by_key(|op| op.completed_index())?;
    let index = first.completed_index()?;
    Some(Lacked { index, at: first.completed().unwrap_or(first.invoked()), leader })
}

/// What a node's last final read of a key shows of it.
struct Last {
    /// History index of the read.
    index: u64,
    /// All elements, of a list or a set.
    elements: BTreeSet<i64>,
    /// Of a register: when the write that is shown was acknowledged, by history index. Those that
    /// were invoked after it are not there. 0 where nothing is shown.
    until: u64,
}

/// By key, of the final reads that this node answered.
fn last_shown(history: &History, node: &str) -> BTreeMap<u32, Last> {
    let mut acknowledged: BTreeMap<(u32, i64), Option<u64>> = BTreeMap::new();
    for op in &history.ops {
        for mop in history.mops_of(op).iter().filter(|mop| of_register(mop.kind)) {
            acknowledged.entry((mop.key, mop.value)).or_insert(op.completed_index());
        }
    }
    let mut shown = BTreeMap::new();
    let on =
        |op: &&Op| op.kind == EventKind::Ok && op.final_read && history.node_name(op) == Some(node);
    for op in history.ops.iter().filter(on) {
        for mop in history.mops_of(op).iter().filter(|mop| mop.kind == MopKind::Read) {
            let until = match mop.shown {
                Shown::Nothing => 0,
                _ => acknowledged.get(&(mop.key, mop.value)).copied().flatten().unwrap_or(u64::MAX),
            };
            let elements = history.list(mop).iter().copied().collect();
            shown.insert(mop.key, Last { index: op.index(), elements, until });
        }
    }
    shown
}

fn of_register(kind: MopKind) -> bool {
    matches!(kind, MopKind::Write | MopKind::Cas)
}

/// Whether what a node shows in the end is known to lack this part of an acknowledged operation.
fn lacks(shown: &BTreeMap<u32, Last>, op: &Op, mop: &Mop) -> bool {
    let Some(last) = shown.get(&mop.key).filter(|last| op.index() < last.index) else {
        return false;
    };
    match mop.kind {
        MopKind::Append | MopKind::Add => !last.elements.contains(&mop.value),
        kind => of_register(kind) && last.until < op.index(),
    }
}
