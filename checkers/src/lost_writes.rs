//! Lost writes: docs/checkers/lost-writes.md.
//!
//! Final reads are those marked `final`, taken after heal and convergence. An acknowledged element
//! that no such read invoked after its acknowledgement shows, although there is one, is *lost*. In
//! a run every live node must have answered; shown by some only it has *diverged*; with a node
//! missing, or replicas that did not converge, it is *unresolved* and the verdict unknown. In a
//! bare file the final reads present count as complete, each node's latest (each session's, where
//! nodes have no names).
//! *Resurrected*: shown by a final read invoked after an ok removal that began after its write was
//! acknowledged. *Duplicated*: twice in one list of an ok read. *Phantom*: shown, though its write
//! failed or was never invoked.

use std::collections::{BTreeMap, BTreeSet};

use history::{EventKind, History, Key, Mop, MopKind, Op, Shown};
use rustc_hash::FxHashSet;
use serde_json::json;

use crate::elements::{Element, Elements, KeyUse};
use crate::registry::Checker;
use crate::sentences::{
    key_name, lines, on_node, placed, seconds, uncertain_registers, windows, witness,
};
use crate::verdict::{Context, Finding, Outcome, Verdict};

/// Findings written out unless asked otherwise: more than other checkers', because each lost value
/// is to be named with the window that it fell in.
const FINDINGS_MAX: usize = 1_000;

/// Elements in the lists of all witnesses together: a finding has each node's whole list.
const WEIGHT_MAX: usize = 2_000_000;

/// See the module's doc.
pub struct LostWrites;

type Pairs = BTreeSet<(Key, i64)>;

/// A final read of a key.
struct Final<'a> {
    op: &'a Op,
    mop: &'a Mop,
    shown: FxHashSet<i64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    Lost,
    Diverged,
    Unresolved,
    /// No final read of its key was made after it.
    Unread,
}

struct Check<'a> {
    elements: Elements<'a>,
    context: &'a Context,
    /// By key.
    finals: BTreeMap<u32, Vec<Final<'a>>>,
    findings: Vec<Finding>,
    lost: Pairs,
    diverged: Pairs,
    unresolved: Pairs,
    duplicated: Pairs,
    phantom: Pairs,
    resurrected: Pairs,
    /// Elements in the lists of all witnesses.
    weight: usize,
    /// Acknowledged writes of a file of completions alone: nothing says what came after them.
    unordered: u64,
    /// Acknowledged writes that a final read was to show.
    judged: u64,
    /// Acknowledged writes of whose key there is no later final read.
    unread: u64,
}

impl Checker for LostWrites {
    fn name(&self) -> &'static str {
        "lost-writes"
    }

    fn check(&self, history: &History, context: &Context) -> Outcome {
        let elements = Elements::new(history);
        let mut check = Check {
            finals: final_reads(history),
            elements,
            context,
            findings: Vec::new(),
            lost: Pairs::new(),
            diverged: Pairs::new(),
            unresolved: Pairs::new(),
            duplicated: Pairs::new(),
            phantom: Pairs::new(),
            resurrected: Pairs::new(),
            weight: 0,
            unordered: 0,
            judged: 0,
            unread: 0,
        };
        check.judge_elements();
        check.judge_registers(history);
        check.judge_removals(history);
        check.judge_reads(history);
        check.outcome()
    }
}

fn final_reads(history: &History) -> BTreeMap<u32, Vec<Final<'_>>> {
    let mut finals: BTreeMap<u32, Vec<Final<'_>>> = BTreeMap::new();
    for op in history.ops.iter().filter(|op| op.final_read && op.kind == EventKind::Ok) {
        for mop in history.mops_of(op).iter().filter(|mop| mop.kind == MopKind::Read) {
            let shown = history.list(mop).iter().copied().collect();
            finals.entry(mop.key).or_default().push(Final { op, mop, shown });
        }
    }
    finals
}

impl<'a> Check<'a> {
    /// What became of an element: `shows` says whether a final read has it.
    fn fate(&self, key: u32, acknowledged: u64, shows: impl Fn(&Final<'_>) -> bool) -> Fate {
        let history = self.elements.history;
        let finals = self.finals.get(&key).map_or(&[][..], Vec::as_slice);
        let after = || finals.iter().filter(|read| acknowledged < read.op.index());
        let any = after().any(&shows);
        let Some(nodes) = &self.context.nodes else {
            // A bare file: the final reads present count as complete, each node's latest.
            let mut latest: BTreeMap<(Option<u32>, i64), bool> = BTreeMap::new();
            for read in after() {
                let session = read.op.node().map_or(read.op.session(), |_| 0);
                latest.insert((read.op.node(), session), shows(read));
            }
            return match (any, latest.values().any(|shows| !shows)) {
                _ if latest.is_empty() => Fate::Unread,
                (false, _) => Fate::Lost,
                (true, true) => Fate::Diverged,
                (true, false) => Fate::Kept,
            };
        };
        // Each node's latest answer counts.
        let answer = |node: &String| {
            let on = |read: &&Final<'_>| history.node_name(read.op) == Some(node);
            after().rfind(on).map(&shows)
        };
        let answers: Vec<Option<bool>> = nodes.iter().map(answer).collect();
        if answers.contains(&None) || self.context.converged == Some(false) {
            return match answers.iter().all(|answer| *answer == Some(true)) {
                true => Fate::Kept,
                false => Fate::Unresolved,
            };
        }
        match (any, answers.contains(&Some(false))) {
            (false, _) => Fate::Lost,
            (true, true) => Fate::Diverged,
            (true, false) => Fate::Kept,
        }
    }

    fn judge_elements(&mut self) {
        for number in 0..self.elements.written.len() as Element {
            let written = self.elements.written[number as usize];
            let Some(writer) = self.elements.writer(number) else {
                continue;
            };
            let usage = self.elements.uses[written.key as usize];
            let list = matches!(usage, KeyUse::List | KeyUse::Set);
            if !list || writer.kind != EventKind::Ok || written.removed {
                continue;
            }
            let Some(acknowledged) = writer.completed_index() else {
                self.unordered += 1;
                continue;
            };
            let shows = |read: &Final<'_>| read.shown.contains(&written.value);
            let fate = self.fate(written.key, acknowledged, shows);
            self.note(fate, written.key, written.value, writer);
        }
    }

    /// The last ok write of each register whose order is certain.
    fn judge_registers(&mut self, history: &'a History) {
        for key in 0..history.keys.len() as u32 {
            if self.elements.uses[key as usize] != KeyUse::Register {
                continue;
            }
            let versions = self.elements.versions[key as usize].clone();
            let is_ok = |element: &Element| {
                self.elements.writer(*element).is_some_and(|op| op.kind == EventKind::Ok)
            };
            let Some(last) = versions.into_iter().rfind(is_ok) else {
                continue;
            };
            let Some(writer) = self.elements.writer(last) else {
                continue;
            };
            let Some(acknowledged) = writer.completed_index() else {
                continue;
            };
            let place = self.elements.place(last);
            // A read that has no place in the order shows at least nothing older for certain.
            let shows =
                |read: &Final<'_>| self.elements.version(read.mop).is_none_or(|v| place <= v);
            let fate = self.fate(key, acknowledged, shows);
            self.note(fate, key, self.elements.written[last as usize].value, writer);
        }
    }

    fn note(&mut self, fate: Fate, key: u32, value: i64, writer: &'a Op) {
        match fate {
            Fate::Unread => self.unread += 1,
            _ => self.judged += 1,
        }
        let pair = (self.elements.history.keys[key as usize].clone(), value);
        match fate {
            Fate::Kept | Fate::Unread => {}
            Fate::Unresolved => drop(self.unresolved.insert(pair)),
            Fate::Lost => {
                self.lost.insert(pair);
                self.report(key, value, writer, "lost");
            }
            Fate::Diverged => {
                self.diverged.insert(pair);
                self.report(key, value, writer, "diverged");
            }
        }
    }

    /// Elements that were removed for certain, and are there in the end.
    fn judge_removals(&mut self, history: &'a History) {
        for op in history.ops.iter().filter(|op| op.kind == EventKind::Ok) {
            for mop in history.mops_of(op).iter().filter(|mop| mop.kind == MopKind::Rem) {
                let added = self.elements.number(mop.key, mop.value);
                let added = added.and_then(|number| self.elements.writer(number));
                let added = added.filter(|writer| writer.kind == EventKind::Ok);
                let before = added.and_then(Op::completed_index).is_some_and(|at| at < op.index());
                if !before || self.elements.repeated(mop.key) {
                    continue;
                }
                let finals = self.finals.get(&mop.key).map_or(&[][..], Vec::as_slice);
                let after = |read: &&Final<'a>| {
                    op.completed_index().is_some_and(|done| done < read.op.index())
                };
                let shown = finals.iter().filter(after);
                let found = shown.filter(|read| read.shown.contains(&mop.value));
                let Some((reader, shown)) = found.map(|read| (read.op, read.mop)).next() else {
                    continue;
                };
                let key = history.keys[mop.key as usize].clone();
                if self.resurrected.insert((key, mop.value)) {
                    self.report_read(reader, shown, mop.value, "resurrected");
                }
            }
        }
    }

    /// Repeats and phantoms in any ok read.
    fn judge_reads(&mut self, history: &'a History) {
        for op in history.ops.iter().filter(|op| op.kind == EventKind::Ok) {
            for mop in history.mops_of(op).iter().filter(|mop| mop.kind == MopKind::Read) {
                if self.elements.uses[mop.key as usize] == KeyUse::Counter {
                    continue;
                }
                let key = &history.keys[mop.key as usize];
                let single = [mop.value];
                let values = match mop.shown {
                    Shown::Nothing => continue,
                    Shown::Int => &single[..],
                    Shown::List => history.list(mop),
                };
                let mut seen = FxHashSet::default();
                for value in values {
                    if !seen.insert(*value) && self.duplicated.insert((key.clone(), *value)) {
                        self.report_read(op, mop, *value, "duplicated");
                    }
                    let number = self.elements.number(mop.key, *value);
                    let writer = number.and_then(|number| self.elements.writer(number));
                    let either = self.elements.repeated(mop.key) && writer.is_some();
                    if !either
                        && writer.is_none_or(|writer| writer.kind == EventKind::Fail)
                        && self.phantom.insert((key.clone(), *value))
                    {
                        self.report_read(op, mop, *value, "phantom");
                    }
                }
            }
        }
    }

    fn full(&self) -> bool {
        let findings_max = self.context.findings_max.unwrap_or(FINDINGS_MAX);
        findings_max <= self.findings.len() || WEIGHT_MAX < self.weight
    }

    fn report(&mut self, key: u32, value: i64, writer: &'a Op, fate: &str) {
        if self.full() {
            return;
        }
        let history = self.elements.history;
        let at = writer.completed().unwrap_or(writer.invoked());
        let name = key_name(history, self.context, key);
        let place = placed(self.context, at);
        let when = if place.is_empty() { String::new() } else { format!(", {place}") };
        let sentence = format!(
            "session {} wrote {value} to {name}, acknowledged at {}{}{when}; {}",
            writer.session(),
            seconds(at),
            on_node(history, writer),
            match fate {
                "lost" => "no final read shows it",
                _ => "after healing some final reads show it and some do not",
            }
        );
        let wrote = |m: &&Mop| m.kind != MopKind::Read && m.key == key && m.value == value;
        let mops: Vec<&Mop> = history.mops_of(writer).iter().filter(wrote).collect();
        let mut ops = vec![writer];
        let mut proof =
            vec![witness(history, writer, &mops, format!("wrote {value}, acknowledged"))];
        // One final read a node: the latest.
        let mut by_node: BTreeMap<(Option<u32>, i64), &Final<'_>> = BTreeMap::new();
        for read in self.finals.get(&key).map_or(&[][..], Vec::as_slice) {
            if writer.completed_index().is_some_and(|acknowledged| acknowledged < read.op.index()) {
                let session = read.op.node().map_or(read.op.session(), |_| 0);
                by_node.insert((read.op.node(), session), read);
            }
        }
        for read in by_node.values() {
            ops.push(read.op);
            self.weight += read.shown.len();
            let has = read.shown.contains(&value);
            let note = if has { "shows" } else { "does not show" };
            let session = format!("session {}", read.op.session());
            let node = history.node_name(read.op).unwrap_or(&session);
            let note = format!("final read: {node} {note} {value}");
            proof.push(witness(history, read.op, &[read.mop], note));
        }
        self.findings.push(Finding {
            sentence,
            ops: lines(&ops),
            witness: proof,
            signature: format!("lost-writes/{fate}"),
            windows: windows(self.context, at, at),
        });
    }

    fn report_read(&mut self, op: &'a Op, mop: &Mop, value: i64, what: &str) {
        if self.full() {
            return;
        }
        let history = self.elements.history;
        let name = key_name(history, self.context, mop.key);
        let saw = match what {
            "duplicated" => format!("{value} more than once"),
            "resurrected" => format!("{value}, which had been removed"),
            _ => format!("{value}, which no successful or unresolved write wrote"),
        };
        let sentence = format!(
            "session {} read {name} at {}{} and saw {saw}",
            op.session(),
            seconds(op.completed().unwrap_or(op.invoked())),
            on_node(history, op),
        );
        self.findings.push(Finding {
            sentence,
            ops: lines(&[op]),
            witness: vec![witness(history, op, &[mop], format!("saw {saw}"))],
            signature: format!("lost-writes/{what}"),
            windows: windows(self.context, op.invoked(), op.completed().unwrap_or(op.invoked())),
        });
    }

    /// How many keys were left out because nobody can say which write is the last.
    fn uncertain(&self) -> Option<u64> {
        let keys = (0..self.elements.uses.len() as u32).filter(|key| self.elements.uncertain(*key));
        Some(keys.count() as u64).filter(|keys| 0 < *keys)
    }

    fn outcome(self) -> Outcome {
        let shown = [&self.duplicated, &self.phantom, &self.resurrected];
        let violations = [&self.lost, &self.diverged].into_iter().chain(shown);
        let count: usize = violations.map(|pairs| pairs.len()).sum();
        let uncertain = self.uncertain();
        let mut outcome = Outcome::valid();
        outcome.count = count as u64;
        outcome.findings = self.findings;
        if !self.unresolved.is_empty() {
            outcome.verdict = Verdict::Unknown;
            let why = match self.context.converged {
                Some(false) => "the replicas did not converge before the final reads",
                _ => "not every live node answered a final read",
            };
            outcome.reason =
                Some(format!("{} acknowledged writes unresolved: {why}", self.unresolved.len()));
        } else if self.context.nodes.is_some() && self.finals.is_empty() {
            outcome.verdict = Verdict::Unknown;
            outcome.reason = Some("there are no final reads".to_owned());
        } else if let Some(keys) = uncertain.filter(|_| !self.finals.is_empty()) {
            outcome.verdict = Verdict::Unknown;
            outcome.reason = Some(uncertain_registers(keys, "keys"));
        } else if 0 < self.unordered && !self.finals.is_empty() {
            outcome.verdict = Verdict::Unknown;
            outcome.reason = Some(format!(
                "loss was not looked for: of {} acknowledged writes only the completion is there, \
                 so that none is known to be over before a final read",
                self.unordered
            ));
        } else if self.judged == 0 {
            let why = match self.unread {
                0 => "no acknowledged write of a list, a set or a register".to_owned(),
                // One line, so that nobody takes the rest for an answer about loss.
                writes => format!(
                    "loss was not looked for: {writes} acknowledged writes, and no final read of \
                     their keys after them"
                ),
            };
            let nothing = Outcome::not_applicable(why);
            (outcome.verdict, outcome.reason) = (nothing.verdict, nothing.reason);
        } else if 0 < self.unread {
            outcome.reason = Some(format!(
                "of {} more acknowledged writes there is no final read of their key after them: \
                 not looked for",
                self.unread
            ));
        }
        if 0 < count {
            outcome.verdict = Verdict::Invalid;
        }
        let lists = [
            ("lost", self.lost),
            ("diverged", self.diverged),
            ("unresolved", self.unresolved),
            ("duplicated", self.duplicated),
            ("phantom", self.phantom),
            ("resurrected", self.resurrected),
        ];
        for (name, pairs) in lists {
            let pairs: Vec<_> = pairs.into_iter().map(|(key, value)| json!([key, value])).collect();
            outcome.facts.insert(name.to_owned(), json!(pairs));
        }
        outcome
    }
}
