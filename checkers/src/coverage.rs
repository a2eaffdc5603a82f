//! The coverage gate: whether a run could have failed (docs/running.md).
//!
//! An operation's *kind* is what it does: it reads (`read`), it writes (`write`), or both
//! (`mixed`). Final reads are of no kind: they are counted for what they are.

use std::collections::BTreeMap;

use history::{EventKind, History, Key, MopKind, Op};

use crate::verdict::{Coverage, CoverageItem};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoverageRules {
    /// ok operations of each kind before the first fault, and after the last heal.
    pub ok_outside_min: u64,
    /// Attempts of each kind during each fault, of any outcome.
    pub attempts_during_min: u64,
    /// Share of keys with a final read on every live node, percent.
    pub final_percent_min: u64,
}

impl Default for CoverageRules {
    fn default() -> CoverageRules {
        CoverageRules { ok_outside_min: 50, attempts_during_min: 20, final_percent_min: 99 }
    }
}

/// What gives more operations outside of faults, or asks for fewer.
const OUTSIDE: &str = "a higher --rate or a longer --recovery gives more, \
                       --set coverage.ok_outside_min=N asks for another number";
/// The same for those during a fault.
const DURING: &str = "a higher --rate or a longer fault gives more, \
                      --set coverage.attempts_during_min=N asks for another number";
/// What gives more final reads.
const FINAL: &str = "a longer --recovery gives nodes more time to answer";
/// What has a leader replaced.
const LEADERS: &str = "the leader was back before it was replaced, or its loss went unnoticed: a \
                       longer fault, or a shorter time to notice (--set postgres.detect_ms=MS, \
                       mongodb.election_timeout_ms, store.election_timeout_ms)";

/// A fault on the timeline, as its records tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultSpan {
    /// Its id.
    pub id: String,
    /// What it was, for words.
    pub label: String,
    /// When it was injected, ns; for one that was not, when it was planned.
    pub start: i64,
    /// When it was healed, ns.
    pub end: i64,
    /// Until when operations count as during it, ns: its end, or later for one that is over as
    /// soon as it was made, such as a restart.
    pub watched: i64,
    /// Whether the verdict needs its effect.
    pub required: bool,
    /// Whether its probes saw an effect.
    pub effect: bool,
    /// Why its effect could not be seen, where another fault in force is the reason.
    pub unproven: Option<String>,
    /// Whether it was meant for a leader.
    pub leader: bool,
}

/// What the gate is asked about.
#[derive(Clone, Copy, Debug)]
pub struct CoverageInput<'a> {
    /// The faults.
    pub faults: &'a [FaultSpan],
    /// Nodes that must have answered final reads.
    pub nodes: &'a [String],
    /// How often a shard was seen to get another leader.
    pub leader_changes: u64,
    /// Whether leaders are replaced at all.
    pub failover: bool,
}

/// Counts what there is against what is asked for.
pub fn coverage(history: &History, rules: &CoverageRules, input: &CoverageInput<'_>) -> Coverage {
    let mut coverage = Coverage::default();
    let effective: Vec<&FaultSpan> = input.faults.iter().filter(|fault| fault.effect).collect();
    let first = effective.iter().map(|fault| fault.start).min().unwrap_or(i64::MAX);
    let last = effective.iter().map(|fault| fault.watched).max().unwrap_or(i64::MIN);
    let mut kinds: BTreeMap<&'static str, Counts> = BTreeMap::new();
    for op in history.ops.iter().filter(|op| !op.final_read) {
        let counts = kinds.entry(kind(history, op)).or_default();
        let ok = op.kind == EventKind::Ok;
        counts.before += u64::from(ok && op.completed().is_some_and(|at| at < first));
        counts.after += u64::from(ok && last < op.invoked());
        counts.during.resize(effective.len(), 0);
        for (place, fault) in effective.iter().enumerate() {
            let inside = fault.start <= op.invoked() && op.invoked() <= fault.watched;
            counts.during[place] += u64::from(inside);
        }
    }
    if kinds.is_empty() {
        coverage.need("operations".to_owned(), 0, 1, "");
    }
    for (kind, counts) in &kinds {
        let need = rules.ok_outside_min;
        if effective.is_empty() {
            coverage.need(format!("ok {kind} operations"), counts.before, need, OUTSIDE);
            continue;
        }
        let before = format!("ok {kind} operations before the first fault");
        coverage.need(before, counts.before, need, OUTSIDE);
        let after = format!("ok {kind} operations after the last heal");
        coverage.need(after, counts.after, need, OUTSIDE);
        for (fault, during) in effective.iter().zip(&counts.during) {
            let what = format!("{kind} operations attempted during {}", fault.label);
            coverage.need(what, *during, rules.attempts_during_min, DURING);
        }
    }
    final_reads(&mut coverage, history, rules, input);
    faults(&mut coverage, input);
    coverage
}

#[derive(Default)]
struct Counts {
    before: u64,
    after: u64,
    during: Vec<u64>,
}

fn kind(history: &History, op: &Op) -> &'static str {
    let reads = history.mops_of(op).iter().any(|mop| mop.kind == MopKind::Read);
    let writes = history.mops_of(op).iter().any(|mop| mop.kind != MopKind::Read);
    match (reads, writes) {
        (true, true) => "mixed",
        (false, true) => "write",
        _ => "read",
    }
}

fn final_reads(
    coverage: &mut Coverage,
    history: &History,
    rules: &CoverageRules,
    input: &CoverageInput<'_>,
) {
    let mut written = vec![false; history.keys.len()];
    let mut answered: Vec<Vec<&str>> = vec![Vec::new(); history.keys.len()];
    for op in &history.ops {
        for mop in history.mops_of(op) {
            let key = mop.key as usize;
            if mop.kind != MopKind::Read {
                written[key] = true;
            } else if op.final_read
                && op.kind == EventKind::Ok
                && let Some(node) = history.node_name(op)
            {
                answered[key].push(node);
            }
        }
    }
    let everywhere = |answers: &Vec<&str>| input.nodes.iter().all(|n| answers.contains(&&**n));
    let keys: Vec<&Key> = history.keys.iter().collect();
    let total = written.iter().filter(|written| **written).count() as u64;
    let read = (0..keys.len()).filter(|k| written[*k] && everywhere(&answered[*k])).count();
    let need = (total * rules.final_percent_min).div_ceil(100);
    let what = "keys with a final read on every live node".to_owned();
    coverage.need(what, read as u64, need, FINAL);
}

fn faults(coverage: &mut Coverage, input: &CoverageInput<'_>) {
    for fault in input.faults {
        if fault.required {
            let why = fault.unproven.as_ref().map_or(String::new(), |why| format!(", {why}"));
            let what = format!("effect of the required fault {} ({}){why}", fault.id, fault.label);
            coverage.need(what, u64::from(fault.effect), 1, "");
        }
        match &fault.unproven {
            _ if fault.effect => {}
            // It may have had one, and nobody could see it: that is no proof either way.
            Some(why) => coverage.unproven.push(format!("{}: {why}", fault.id)),
            None => coverage.no_effect.push(fault.id.clone()),
        }
    }
    // Beside another fault it is a matter of chance whether anybody is left to be elected.
    let alone = |fault: &FaultSpan| {
        let beside = |other: &FaultSpan| {
            other.effect && other.start < fault.watched && fault.start < other.watched
        };
        input.faults.iter().all(|other| other.id == fault.id || !beside(other))
    };
    let mut effective = input.faults.iter().filter(|fault| fault.effect);
    if input.failover && effective.any(|fault| fault.leader && alone(fault)) {
        coverage.need("leader changes".to_owned(), input.leader_changes, 1, LEADERS);
    }
}

impl Coverage {
    /// `hint`: what would satisfy it, told where it is missing first.
    fn need(&mut self, what: String, have: u64, need: u64, hint: &str) {
        if have < need {
            let told = hint.is_empty() || self.missing.iter().any(|said| said.contains(hint));
            let hint = if told { String::new() } else { format!("; {hint}") };
            self.missing.push(format!("{what}: {have} of {need}{hint}"));
        }
        self.items.push(CoverageItem { what, have, need });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: &str, leader: bool, effect: bool, (start, watched): (i64, i64)) -> FaultSpan {
        FaultSpan {
            id: id.to_owned(),
            label: id.to_owned(),
            start,
            end: watched,
            watched,
            required: false,
            effect,
            unproven: None,
            leader,
        }
    }

    /// Whether a leader change is asked for.
    fn asked(spans: &[FaultSpan], failover: bool) -> bool {
        let mut coverage = Coverage::default();
        let input = CoverageInput { faults: spans, nodes: &[], leader_changes: 0, failover };
        faults(&mut coverage, &input);
        !coverage.missing.is_empty()
    }

    #[test]
    fn what_is_missing_is_told_with_what_would_satisfy_it_once() {
        let mut coverage = Coverage::default();
        coverage.need("ok read operations".to_owned(), 3, 50, OUTSIDE);
        coverage.need("ok write operations".to_owned(), 4, 50, OUTSIDE);
        coverage.need("read operations attempted during kill".to_owned(), 1, 20, DURING);
        assert!(coverage.missing[0].contains("--set coverage.ok_outside_min=N"));
        assert_eq!(coverage.missing[1], "ok write operations: 4 of 50");
        assert!(coverage.missing[2].contains("--set coverage.attempts_during_min=N"));
    }

    #[test]
    fn a_required_fault_that_could_not_be_proven_is_missing_with_the_reason() {
        let why = "not provable while f1 holds".to_owned();
        let hidden = FaultSpan {
            required: true,
            unproven: Some(why.clone()),
            ..span("f2", false, false, (5, 9))
        };
        let gate = |span: FaultSpan| {
            let mut coverage = Coverage::default();
            let faults_of = [span];
            let input = CoverageInput {
                faults: &faults_of,
                nodes: &[],
                leader_changes: 0,
                failover: false,
            };
            faults(&mut coverage, &input);
            coverage
        };
        let told = gate(hidden.clone());
        let missing = "effect of the required fault f2 (f2), not provable while f1 holds: 0 of 1";
        assert_eq!(told.missing, [missing]);
        assert_eq!((told.no_effect, told.unproven), (vec![], vec![format!("f2: {why}")]));
        // Not required it decides nothing, and is not said to have had no effect.
        let told = gate(FaultSpan { required: false, ..hidden });
        assert!(told.missing.is_empty() && told.no_effect.is_empty());
    }

    #[test]
    fn another_leader_is_asked_for_where_its_fault_was_alone() {
        let kill = span("f1", true, true, (5, 9));
        assert!(asked(std::slice::from_ref(&kill), true));
        assert!(!asked(std::slice::from_ref(&kill), false), "nobody replaces a leader");
        assert!(!asked(&[span("f1", true, false, (5, 9))], true), "it had no effect");
        assert!(!asked(&[span("f1", false, true, (5, 9))], true), "it was of a follower");
        for (beside, alone) in [((1, 5), true), ((9, 12), true), ((1, 6), false), ((6, 7), false)] {
            let other = span("f2", false, true, beside);
            assert_eq!(asked(&[kill.clone(), other], true), alone, "{beside:?}");
            let other = span("f2", false, false, beside);
            assert!(asked(&[other, kill.clone()], true), "what had no effect is no company");
        }
        let later = span("f3", true, true, (20, 30));
        let other = span("f2", false, true, (6, 7));
        assert!(asked(&[kill, other, later], true), "one of them was alone");
    }
}
