//! How far a promise reaches in a run. What a checker finds stays found; but a violation outside
//! the promise accuses nobody of breaking it.
//!
//! A promise of the policy `leader` is not one to sessions that stay with a leader which the run
//! knows to be deposed. A promise of a cluster whose failovers are not known to keep acknowledged
//! writes ends with the first acknowledged write that the promoted leader lacks: what was read of
//! it is gone with it.

use std::collections::BTreeSet;

use checkers::{Checker, Context, Outcome, Verdict};
use history::{EventKind, History, MopKind, Op, RunInfo, Shown};
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
    let mut first: Option<&Op> = None;
    let mut lacks = |op| {
        let earlier = |old: &&Op| old.completed_index() <= Op::completed_index(op);
        first = first.filter(earlier).or(Some(op));
    };
    for key in 0..history.keys.len() as u32 {
        lacked(history, key, &leader).for_each(&mut lacks);
    }
    let first = first?;
    let index = first.completed_index()?;
    Some(Lacked { index, at: first.completed().unwrap_or(first.invoked()), leader })
}

/// Acknowledged writes of a key that the node's last final read is known to lack.
fn lacked<'a>(history: &'a History, key: u32, node: &str) -> Box<dyn Iterator<Item = &'a Op> + 'a> {
    let of_key = move |op: &&Op| history.mops_of(op).iter().any(|mop| mop.key == key);
    let done = |op: &&Op| op.kind == EventKind::Ok;
    let on = |op: &&Op| op.final_read && history.node_name(op) == Some(node);
    let Some(read) = history.ops.iter().filter(done).filter(of_key).rfind(on) else {
        return Box::new(std::iter::empty());
    };
    let wrote = move |op: &Op, kind: &dyn Fn(MopKind, i64) -> bool| {
        history.mops_of(op).iter().any(|mop| mop.key == key && kind(mop.kind, mop.value))
    };
    let mut shown = history.mops_of(read).iter().filter(|mop| mop.key == key);
    let Some(mop) = shown.find(|mop| mop.kind == MopKind::Read) else {
        return Box::new(std::iter::empty());
    };
    let writes = history.ops.iter().filter(done).filter(move |op| op.index() < read.index());
    let elements: BTreeSet<i64> = history.list(mop).iter().copied().collect();
    let value = mop.value;
    let of_register = |kind| matches!(kind, MopKind::Write | MopKind::Cas);
    // A register shows its last write alone: those invoked after that one was acknowledged are not
    // there.
    let last = history.ops.iter().find(|op| wrote(op, &|kind, v| of_register(kind) && v == value));
    let last = match mop.shown {
        Shown::Nothing => 0,
        _ => last.and_then(Op::completed_index).unwrap_or(u64::MAX),
    };
    Box::new(writes.filter(move |op| {
        wrote(op, &|kind, v| match kind {
            MopKind::Append | MopKind::Add => !elements.contains(&v),
            kind => of_register(kind) && last < op.index(),
        })
    }))
}
