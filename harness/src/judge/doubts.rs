//! What keeps a verdict from being valid, whatever the checkers say: each in one sentence.

use history::{EventKind, FaultPhase, History, MopKind, RunInfo};

use super::{Records, Selection, spec_of};
use crate::config::TestFile;

/// Telemetry that ends so long before the history does, ns, is cut off.
const SILENCE_MAX: i64 = 3_000_000_000;

/// All of them, in the order in which they are told. `decided` says whether some checker had
/// something to judge.
pub(super) fn doubts(records: &Records, selection: &Selection, decided: bool) -> Vec<String> {
    let mut doubts = records.damaged.clone();
    match &records.info {
        Some(info) => doubts.extend(cut_short(records, info)),
        None => doubts.extend(unjudged(&records.history, selection)),
    }
    if records.info.is_none() && !decided {
        doubts.push(nothing_to_judge(&records.history));
    }
    doubts
}

/// What the records of a run should hold, and do not: lines that are missing at their end leave no
/// broken line behind.
fn cut_short(records: &Records, info: &RunInfo) -> Vec<String> {
    let mut doubts = Vec::new();
    if toml::from_str::<TestFile>(&info.config).is_err() {
        doubts.push("run.json: its config cannot be read: what was asked for is not known".into());
    }
    let spec = spec_of(info);
    let listed: u64 = spec.faults.iter().map(|fault| u64::from(fault.count)).sum();
    // Of a package at least one round was drawn.
    let asked = listed + u64::from(spec.package.is_some());
    let planned = records.faults.iter().filter(|event| event.phase == FaultPhase::Planned).count();
    if records.faults.is_empty() && 0 < asked {
        let what = format!("run.json asks for {asked} faults, and faults.jsonl tells of none");
        doubts.push(format!("{what}: what was done to the cluster is not known"));
    } else if (planned as u64) < asked {
        doubts.push(format!(
            "run.json asks for {asked} faults, and faults.jsonl tells of {planned}: it is not whole"
        ));
    }
    for event in records.faults.iter().filter(|event| event.phase == FaultPhase::Injected) {
        let ended = |other: &&history::FaultEvent| {
            other.id == event.id && other.phase == FaultPhase::Healed
        };
        if !records.faults.iter().any(|other| ended(&other)) {
            doubts.push(format!(
                "faults.jsonl does not tell how {} ({}) ended: it is not whole, or it was never \
                 undone",
                event.id, event.fault
            ));
        }
    }
    let last = records.history.ops.iter().map(|op| op.invoked()).max().unwrap_or(0);
    match records.telemetry.iter().map(|sample| sample.received).max() {
        None if !records.history.ops.is_empty() => doubts.push(
            "telemetry.jsonl has no sample: who led, and whether the replicas agreed in the end, \
             is not known"
                .to_owned(),
        ),
        Some(end) if end.saturating_add(SILENCE_MAX) < last => doubts.push(format!(
            "telemetry.jsonl ends at {:.1} s and the history at {:.1} s: it is not whole",
            end as f64 / 1e9,
            last as f64 / 1e9
        )),
        _ => {}
    }
    doubts
}

/// Operations of a bare file that no checker here judges.
fn unjudged(history: &History, selection: &Selection) -> Option<String> {
    if !selection.checkers.is_empty() {
        return None;
    }
    let of = |kind: MopKind| history.mops.iter().filter(|mop| mop.kind == kind).count();
    let (counters, swaps) = (of(MopKind::Inc), of(MopKind::Cas));
    let what = match (counters, swaps) {
        (0, 0) => return None,
        (_, 0) => format!("{counters} micro-operations increment counters"),
        (0, _) => format!("{swaps} micro-operations compare and set"),
        _ => format!("{counters} micro-operations increment counters and {swaps} compare and set"),
    };
    Some(format!("{what}, which no checker judges yet: what reads of these keys show says nothing"))
}

/// Why no checker had anything to judge.
fn nothing_to_judge(history: &History) -> String {
    let of = |kind: EventKind| history.ops.iter().filter(|op| op.kind == kind).count();
    let (ok, fail, info) = (of(EventKind::Ok), of(EventKind::Fail), of(EventKind::Info));
    if history.ops.is_empty() {
        return "the history has no operation of a client: there is nothing to judge".to_owned();
    }
    if ok == 0 {
        return format!(
            "no operation succeeded ({fail} failed, {info} of unknown outcome): there is nothing \
             to judge"
        );
    }
    "no checker had anything to judge: each says what it needs".to_owned()
}
