//! From a run's folder, or a bare history file, to a judgement.
//!
//! [`records`] reads what there is, [`context`] says what checkers may know beside the history and
//! what the coverage gate asks, [`spans`] what the faults were, and [`doubts`] what keeps a verdict
//! from being valid whatever the checkers say, [`cluster`] what the cluster itself did to that.

use std::collections::BTreeMap;

use checkers::{Assumption, Checker, Context, Judgement, Outcome, ReadsMode, Role, Verdict, built};
use workloads::workload;

use crate::error::UserError;

mod cluster;
mod context;
mod doubts;
mod promised;
#[cfg(test)]
mod promised_tests;
mod records;
mod spans;

use promised::{Narrowed, Reach};

pub use context::spec_of;
pub use records::Records;
pub use spans::fault_spans;

/// What is to be judged, and how.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Checkers by name; none means all that apply.
    pub checkers: Vec<String>,
    /// The isolation level to judge, named by `--model`: it names list-append and rw-register.
    pub model: Option<String>,
    /// How reads of one transaction relate, if not as the run says.
    pub reads: Option<ReadsMode>,
    /// Whether consistent-prefix also judges successive transactions of a session.
    pub session_scope: bool,
    /// What rw-register may assume.
    pub assume: Vec<Assumption>,
}

/// The checkers that a selection names, or all that are built.
pub fn checkers_of(selection: &Selection) -> Result<Vec<&'static dyn Checker>, UserError> {
    let mut found: Vec<&'static dyn Checker> = Vec::new();
    for name in &selection.checkers {
        let names: Vec<&str> = match name.as_str() {
            "all" => built().iter().map(|checker| checker.name()).collect(),
            "session" => {
                let here = |name: &&str| checkers::by_name(name).is_some();
                checkers::SESSION.into_iter().filter(here).collect()
            }
            name => vec![name],
        };
        for name in names {
            found.push(checkers::by_name(name).ok_or_else(|| no_checker(name))?);
        }
    }
    if selection.model.is_some() && selection.checkers.is_empty() {
        found = checkers::ISOLATION.into_iter().filter_map(checkers::by_name).collect();
    } else if selection.checkers.is_empty() {
        found = built().to_vec();
    }
    Ok(found)
}

fn no_checker(name: &str) -> UserError {
    let names: Vec<&str> = built().iter().map(|checker| checker.name()).collect();
    let here = format!("checkers are {}", names.join(", "));
    if checkers::ALL_NAMES.contains(&name) {
        return UserError::usage(format!("checker {name} is not built yet")).hint(here);
    }
    let near = crate::names::nearest(name, &names);
    let near = near.map_or(String::new(), |near| format!("did you mean {near}? "));
    UserError::usage(format!("unknown checker \"{name}\"")).hint(format!("{near}{here}"))
}

/// Judges records.
pub fn judge(records: &Records, selection: &Selection) -> Result<Judgement, UserError> {
    let checkers = checkers_of(selection)?;
    let spans = fault_spans(&records.faults);
    let context = context::context(records, selection, &spans);
    let mut outcomes = checkers::judge(&checkers, &records.history, &context);
    leave_out(&mut outcomes, records, selection);
    let mut verdict = Verdict::Valid;
    let mut decided = false;
    let mut beyond = Vec::new();
    let kept = cluster::declared_wrongly(records).is_none();
    for (name, outcome) in &mut outcomes {
        let mut role = role(name, records, selection);
        if role == Role::Promised && !kept {
            role = Role::Observation;
        }
        if let Some(narrowed) = narrowed(name, outcome, role, records, &context) {
            (role, decided) = (Role::Observation, true);
            verdict = verdict.max(narrowed.verdict);
            beyond.push(format!("{name}: {}", narrowed.why));
            outcome.reason = Some(narrowed.why);
        }
        // A workload of sets says nothing of prefixes: what it was not made to judge does not make
        // its run unknown. What is found all the same still counts.
        if role == Role::Promised
            && outcome.verdict == Verdict::Unknown
            && !meant_for(name, records)
        {
            role = Role::Observation;
        }
        if decides(name, outcome, role, selection) {
            decided = true;
            verdict = verdict.max(outcome.verdict);
        }
        outcome.role = records.info.is_some().then_some(role).or(match selection.checkers[..] {
            [] if selection.model.is_none() => None,
            _ => Some(Role::Named),
        });
    }
    let mut coverage = records.info.as_ref().map(|info| context::gate(records, info, &spans));
    let gate_missed = coverage.as_ref().is_some_and(|coverage| !coverage.missing.is_empty());
    let partial = records
        .damage
        .as_ref()
        .map(|damage| format!("the history is read up to line {}: {}", damage.line, damage.why));
    let mut doubts = doubts::doubts(records, selection, decided);
    doubts.extend(cluster::doubts(records, selection, &outcomes));
    doubts.extend(beyond);
    if !doubts.is_empty() || gate_missed || partial.is_some() || !decided {
        verdict = verdict.max(Verdict::Unknown);
    }
    // A configuration that promises nothing is told what was seen, and may not pass for valid.
    if !decided {
        verdict = verdict.max(observed(&outcomes));
        let asked = !selection.checkers.is_empty() || selection.model.is_some();
        let unknown = verdict == Verdict::Unknown;
        if let Some(coverage) = coverage.as_mut().filter(|_| unknown && !asked) {
            coverage.missing.push(unpromised(&outcomes));
        }
    }
    let read = records.told();
    Ok(Judgement { verdict, checkers: outcomes, coverage, partial, doubts, read })
}

/// Whether a checker's verdict counts towards the whole. What has nothing to judge decides nothing,
/// except where a run's configuration promises it, or somebody asks by name whether writes were
/// lost.
fn decides(name: &str, outcome: &Outcome, role: Role, selection: &Selection) -> bool {
    let asked = || selection.checkers.iter().any(|asked| asked == name || asked == "all");
    match role {
        Role::Observation => false,
        Role::Promised => true,
        Role::Named => outcome.applies() || (name == "lost-writes" && asked()),
    }
}

/// Why a run is unknown whose configuration promises nothing, and what was seen in it.
fn unpromised(outcomes: &BTreeMap<String, Outcome>) -> String {
    let named = |verdict: Verdict| {
        let of = outcomes.iter().filter(|(_, outcome)| outcome.verdict == verdict);
        of.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let (clean, open) = (named(Verdict::Valid), named(Verdict::Unknown));
    let mut seen = Vec::new();
    if !clean.is_empty() {
        seen.push(format!("{clean} found nothing in this run, and may in the next"));
    }
    if !open.is_empty() {
        seen.push(format!("{open} could not tell"));
    }
    let seen = if seen.is_empty() { "nothing was judged".to_owned() } else { seen.join("; ") };
    format!("a promise: this configuration makes none to hold it to; {seen}")
}

/// What is left of a violation of a promise once only what the promise reaches is looked at.
fn narrowed(
    name: &str,
    outcome: &Outcome,
    role: Role,
    records: &Records,
    context: &Context,
) -> Option<Narrowed> {
    let info = records.info.as_ref()?;
    if role != Role::Promised || outcome.verdict != Verdict::Invalid || name == "lost-writes" {
        return None;
    }
    Reach::of(records, info)?.narrowed(checkers::by_name(name)?, context)
}

/// Takes out isolation where nobody asked for it and it says nothing: histories of the other
/// workload, runs of systems that say nothing of isolation, and, where it is not promised,
/// operations that are no transactions.
fn leave_out(outcomes: &mut BTreeMap<String, Outcome>, records: &Records, selection: &Selection) {
    if !selection.checkers.is_empty() {
        return;
    }
    let several = records.history.ops.iter().any(|op| op.mops().len() > 1);
    let told = |name: &str| match &records.info {
        Some(info) if selection.model.is_none() => {
            let system = &info.system;
            system.promises.contains_key(name)
                || (several && system.not_promised.contains_key(name))
        }
        _ => true,
    };
    // A run whose workload was made for it has to be judged, and is unknown if it cannot be.
    let silent = |name: &str, outcome: &Outcome| {
        !outcome.applies() && (records.info.is_none() || !meant_for(name, records))
    };
    for name in checkers::ISOLATION {
        let others = outcomes.len() > 1;
        let out = outcomes.get(name).is_some_and(|outcome| !told(name) || silent(name, outcome));
        if out && others {
            outcomes.remove(name);
        }
    }
}

/// Whether the run's workload was made to be judged by this checker.
fn meant_for(name: &str, records: &Records) -> bool {
    let workload = records.info.as_ref().and_then(|info| workload::by_name(&info.workload));
    workload.is_none_or(|workload| workload.checkers.contains(&name))
}

/// What was seen, whatever was promised.
fn observed(outcomes: &BTreeMap<String, Outcome>) -> Verdict {
    outcomes.values().map(|outcome| outcome.verdict).max().unwrap_or(Verdict::Unknown)
}

fn role(name: &str, records: &Records, selection: &Selection) -> Role {
    if !selection.checkers.is_empty() || selection.model.is_some() {
        return Role::Named;
    }
    match &records.info {
        None => Role::Named,
        Some(info) if info.system.promises.contains_key(name) => Role::Promised,
        Some(_) => Role::Observation,
    }
}

/// `verdict.json`: the judgement with the run's identity, promises and fault effects.
pub fn verdict_json(judgement: &Judgement, records: &Records) -> serde_json::Value {
    let mut value = serde_json::to_value(judgement).unwrap_or_default();
    if let (Some(object), Some(info)) = (value.as_object_mut(), &records.info) {
        let effects: BTreeMap<String, bool> =
            fault_spans(&records.faults).into_iter().map(|span| (span.id, span.effect)).collect();
        object.insert("run".to_owned(), info.id.clone().into());
        object.insert("seed".to_owned(), info.seed.into());
        object.insert("promises".to_owned(), serde_json::json!(info.system.promises));
        object.insert("fault-effects".to_owned(), serde_json::json!(effects));
        object.insert("outages".to_owned(), crate::recovery_time::json(records));
    }
    records.history.names().tell_json(&mut value);
    value
}
