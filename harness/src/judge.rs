//! From a run's folder, or a bare history file, to a judgement.

use std::collections::BTreeMap;
use std::path::Path;

use checkers::coverage::CoverageInput;
use checkers::{
    Assumption, Checker, Context, Coverage, CoverageRules, FaultSpan, Judgement, Outcome,
    ReadsMode, Role, Verdict, Window, built,
};
use history::{
    Damage, FaultEvent, FaultPhase, FaultResult, History, RunInfo, TelemetryEvent, reader,
};
use nemesis::{ClusterView, Fault};
use workloads::workload;

use crate::config::{TestFile, TestSpec};
use crate::error::UserError;
use crate::run_folder::RunFolder;

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

/// A run's records, read back.
pub struct Records {
    /// `run.json`, if there is one.
    pub info: Option<RunInfo>,
    /// `history.jsonl`.
    pub history: History,
    /// Where it ends early.
    pub damage: Option<Damage>,
    /// `faults.jsonl`.
    pub faults: Vec<FaultEvent>,
    /// `telemetry.jsonl`.
    pub telemetry: Vec<TelemetryEvent>,
}

impl Records {
    /// Reads a run's folder; a run that was killed is read up to its last flush.
    pub fn of_run(folder: &RunFolder) -> Result<Records, UserError> {
        let mut records = Records::of_file(&folder.file("history.jsonl"))?;
        // A folder that never had its facts is a history and no more; one whose facts are broken is
        // not judged as if it had promised nothing.
        if folder.file("run.json").exists() {
            records.info = Some(folder.info()?);
        }
        records.faults = reader::read_lines(&folder.file("faults.jsonl")).0;
        records.telemetry = reader::read_lines(&folder.file("telemetry.jsonl")).0;
        Ok(records)
    }

    /// Reads a bare history file.
    pub fn of_file(path: &Path) -> Result<Records, UserError> {
        let read = history::read_history(path).map_err(|error| {
            let why = std::error::Error::source(&error).map(|why| format!(": {why}"));
            UserError::usage(format!("{error}{}", why.unwrap_or_default()))
                .hint("give a run's folder, latest, or a history file of JSON lines")
        })?;
        Ok(Records {
            info: None,
            history: read.history,
            damage: read.damage,
            faults: Vec::new(),
            telemetry: Vec::new(),
        })
    }
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
    let context = context(records, selection, &spans);
    let mut outcomes = checkers::judge(&checkers, &records.history, &context);
    leave_out(&mut outcomes, records, selection);
    let mut verdict = Verdict::Valid;
    let mut decided = false;
    for (name, outcome) in &mut outcomes {
        let mut role = role(name, records, selection);
        // A workload of sets says nothing of prefixes: what it was not made to judge does not make
        // its run unknown. What is found all the same still counts.
        if role == Role::Promised
            && outcome.verdict == Verdict::Unknown
            && !meant_for(name, records)
        {
            role = Role::Observation;
        }
        if role != Role::Observation {
            decided = true;
            verdict = verdict.max(outcome.verdict);
        }
        outcome.role = records.info.is_some().then_some(role).or(match selection.checkers[..] {
            [] if selection.model.is_none() => None,
            _ => Some(Role::Named),
        });
    }
    let mut coverage = records.info.as_ref().map(|info| gate(records, info, &spans));
    let gate_missed = coverage.as_ref().is_some_and(|coverage| !coverage.missing.is_empty());
    let partial = records
        .damage
        .as_ref()
        .map(|damage| format!("the history is read up to line {}: {}", damage.line, damage.why));
    if gate_missed || partial.is_some() || (!decided && records.info.is_some()) {
        verdict = verdict.max(Verdict::Unknown);
    }
    // A configuration that promises nothing is told what was seen, and may not pass for valid.
    if !decided {
        verdict = verdict.max(observed(&outcomes));
        if let Some(coverage) = coverage.as_mut().filter(|_| verdict == Verdict::Unknown) {
            coverage.missing.push("a promise: this configuration makes none to hold it to".into());
        }
    }
    Ok(Judgement { verdict, checkers: outcomes, coverage, partial })
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
        let nothing = |why: &String| why.starts_with("not applicable");
        outcome.reason.as_ref().is_some_and(nothing)
            && (records.info.is_none() || !meant_for(name, records))
    };
    for name in checkers::ISOLATION {
        let others = outcomes.len() > 1;
        let out = outcomes.get(name).is_some_and(|outcome| !told(name) || silent(name, outcome));
        if out && others {
            outcomes.remove(name);
        }
    }
}

/// The isolation level to judge, by checker: the one named, else the one that is promised or that
/// some setting would promise.
fn levels(info: Option<&RunInfo>, selection: &Selection) -> BTreeMap<String, String> {
    let level = |name: &str| {
        if selection.model.is_some() {
            return selection.model.clone();
        }
        let system = &info?.system;
        let text = system.promises.get(name).or_else(|| system.not_promised.get(name))?;
        text.split_whitespace().find(|word| checkers::is_judged_level(word)).map(str::to_owned)
    };
    let levels = checkers::ISOLATION.into_iter();
    levels.filter_map(|name| Some((name.to_owned(), level(name)?))).collect()
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

fn context(records: &Records, selection: &Selection, spans: &[FaultSpan]) -> Context {
    let info = records.info.as_ref();
    let declared = info.map(|info| info.system.reads.as_str());
    let reads = selection.reads.unwrap_or(match declared {
        Some("ordered") => ReadsMode::Ordered,
        _ => ReadsMode::Atomic,
    });
    let mut windows: Vec<Window> = spans
        .iter()
        .filter(|span| span.effect)
        .map(|span| Window { label: span.label.clone(), start: span.start, end: span.end })
        .collect();
    windows.sort_by_key(|window| window.start);
    Context {
        reads,
        session_scope: selection.session_scope,
        nodes: info.map(|info| replicas(records, info)),
        converged: info.and_then(|info| converged(records, info)),
        windows,
        levels: levels(info, selection),
        assume: selection.assume.clone(),
        labels: info.map(|info| info.labels.clone()).unwrap_or_default(),
        findings_max: None,
    }
}

/// The nodes that hold data: those that never said that they only vote.
fn replicas(records: &Records, info: &RunInfo) -> Vec<String> {
    let mut view = ClusterView::new(&info.nodes);
    records.telemetry.iter().for_each(|sample| view.learn(sample));
    info.nodes.iter().filter(|node| view.holds_data(node)).cloned().collect()
}

/// Whether the telemetry before the first final read shows that all replicas agreed.
fn converged(records: &Records, info: &RunInfo) -> Option<bool> {
    let first = records.history.ops.iter().find(|op| op.final_read)?.invoked();
    if records.telemetry.is_empty() {
        return None;
    }
    let mut view = ClusterView::new(&info.nodes);
    for sample in records.telemetry.iter().filter(|sample| sample.received <= first) {
        view.learn(sample);
    }
    let shards = info.system.settings.get("shards").and_then(|s| s.as_u64()).unwrap_or(1);
    Some(view.converged(shards as u32).is_ok())
}

/// The faults of a run as spans of its timeline. What need not be met by anybody, and was not by
/// what its healing counted, had no effect; of an approval withheld that count is all there is.
pub fn fault_spans(events: &[FaultEvent]) -> Vec<FaultSpan> {
    let mut spans: BTreeMap<&str, (usize, bool, FaultSpan)> = BTreeMap::new();
    // Nothing is no fault: what happens meanwhile is between others.
    for event in events.iter().filter(|event| event.fault != Fault::Nothing.name()) {
        let order = spans.len();
        // What such a fault does shows after it: for as long as it was planned to last.
        let kind = Fault::by_name(&event.fault);
        let brief = kind.is_some_and(Fault::over_at_once);
        // With the majority it goes on leading.
        let side = event.parameters.get("side").and_then(|side| side.as_str());
        let away = kind.is_some_and(Fault::unseats) && side.is_none_or(|side| side == "minority");
        let planned_end = event.time + event.duration;
        let (_, installed, span) = spans.entry(&event.id).or_insert_with(|| {
            let span = FaultSpan {
                id: event.id.clone(),
                label: event.fault.clone(),
                start: event.time,
                end: planned_end,
                watched: planned_end,
                required: event.required,
                effect: false,
                leader: event.selector.contains("leader") && away,
            };
            (order, false, span)
        });
        match event.phase {
            FaultPhase::Planned => {}
            FaultPhase::Injected => {
                span.start = event.time;
                (span.end, span.watched) = (planned_end, planned_end);
                if !event.targets.is_empty() {
                    span.label = format!("{} of {}", event.fault, event.targets.join(", "));
                }
            }
            FaultPhase::Evidenced => {
                *installed = event.result == Some(FaultResult::Installed);
                span.effect = *installed && kind != Some(Fault::ApprovalWithheld);
            }
            FaultPhase::Healed => {
                span.effect = event.was_met().map_or(span.effect, |met| met && *installed);
                span.end = event.time;
                span.watched = if brief { span.watched.max(event.time) } else { event.time };
            }
        }
    }
    let mut spans: Vec<(usize, bool, FaultSpan)> = spans.into_values().collect();
    spans.sort_by_key(|(order, ..)| *order);
    spans.into_iter().map(|(.., span)| span).collect()
}

fn gate(records: &Records, info: &RunInfo, spans: &[FaultSpan]) -> Coverage {
    let spec = spec_of(info);
    let rules = CoverageRules {
        ok_outside_min: spec.coverage.ok_outside_min,
        attempts_during_min: spec.coverage.attempts_during_min,
        ..CoverageRules::default()
    };
    let mut view = ClusterView::new(&info.nodes);
    for sample in &records.telemetry {
        view.learn(sample);
    }
    let failover = info.system.settings.get("failover").and_then(|f| f.as_str());
    let input = CoverageInput {
        faults: spans,
        nodes: &replicas(records, info),
        leader_changes: view.leader_changes(),
        // Of a cluster that exists it may be unknown whether anybody replaces a leader.
        failover: !matches!(failover, Some("none" | "unknown")),
    };
    checkers::coverage(&records.history, &rules, &input)
}

/// The test that a run was, from its own record.
pub fn spec_of(info: &RunInfo) -> TestSpec {
    let mut spec = TestSpec::default();
    if let Ok(file) = toml::from_str::<TestFile>(&info.config) {
        // A record of another version may have what this one does not know; defaults stand then.
        let _ = file.apply(&mut spec);
    }
    spec
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
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use history::{Evidence, FAILOVERS_WAITED, OPERATIONS_MET};

    fn event(fault: Fault, phase: FaultPhase, probes: &[(&str, &str, bool)]) -> FaultEvent {
        let evidence = probes.iter().map(|(probe, expected, holds)| Evidence {
            probe: (*probe).to_owned(),
            expected: (*expected).to_owned(),
            observed: String::new(),
            holds: *holds,
        });
        let evidence: Vec<Evidence> = evidence.collect();
        FaultEvent {
            time: phase as i64,
            id: "f1".to_owned(),
            phase,
            family: fault.family().as_str().to_owned(),
            fault: fault.name().to_owned(),
            selector: "all".to_owned(),
            targets: Vec::new(),
            duration: 2,
            required: true,
            parameters: BTreeMap::new(),
            mechanism: None,
            result: Some(nemesis::ActReport::judge(&evidence)),
            evidence,
            took: None,
            error: None,
        }
    }

    /// Whether a fault had an effect, by what its injection and its healing saw.
    fn effect(fault: Fault, injected: bool, healed: Option<&[(&str, &str, bool)]>) -> bool {
        let seen = event(fault, FaultPhase::Evidenced, &[("disk", "full", injected)]);
        let healed = healed.map(|probes| event(fault, FaultPhase::Healed, probes));
        let events: Vec<FaultEvent> = [seen].into_iter().chain(healed).collect();
        let spans = fault_spans(&events);
        assert_eq!(spans.len(), 1);
        spans[0].effect
    }

    #[test]
    fn an_approval_that_no_failover_waited_for_had_no_effect() {
        let waited = |holds| [(FAILOVERS_WAITED, "1 or more", holds)];
        assert!(effect(Fault::ApprovalWithheld, true, Some(&waited(true))));
        assert!(!effect(Fault::ApprovalWithheld, true, Some(&waited(false))));
        assert!(!effect(Fault::ApprovalWithheld, true, Some(&[])), "nobody counted");
        assert!(!effect(Fault::ApprovalWithheld, true, None), "it was never given again");
        assert!(!effect(Fault::ApprovalWithheld, false, Some(&waited(true))));
    }

    #[test]
    fn a_trouble_of_a_disk_that_nobody_met_had_no_effect() {
        let met =
            |one, other| [("n1 disk", OPERATIONS_MET, one), ("n2 disk", OPERATIONS_MET, other)];
        assert!(effect(Fault::DiskError, true, Some(&met(true, true))));
        assert!(effect(Fault::DiskError, true, Some(&met(false, true))));
        assert!(!effect(Fault::DiskError, true, Some(&met(false, false))));
        assert!(!effect(Fault::DiskError, false, Some(&met(true, true))));
        // Its probe was there; what could not be asked when it was healed takes nothing back.
        assert!(effect(Fault::DiskError, true, None));
        let broken = [("n1 disk probe", "written, synced, read", false)];
        assert!(effect(Fault::DiskError, true, Some(&broken)), "that is about its healing");
        assert!(effect(Fault::Kill, true, Some(&[("n1 process", "running", false)])));
    }
}
