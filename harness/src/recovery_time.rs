//! How long writes were not acknowledged because of a fault on a leader (RTO), from the records.
//!
//! From the fault's injection to the end of the longest time without an acknowledged write that
//! overlaps the fault. Whoever waits for a write sees exactly that; when a node called itself
//! leader is told beside it, from the telemetry.

use std::collections::BTreeMap;

use history::{EventKind, FaultPhase, Role};
use reports::OpPoint;

use crate::judge::{Records, fault_spans};

/// One sentence for each fault on a leader that had an effect and after which another led. Stalls
/// without a new leader are told by the report itself.
pub fn notes(records: &Records) -> Vec<String> {
    let injected: BTreeMap<&str, i64> = records
        .faults
        .iter()
        .filter(|event| event.phase == FaultPhase::Injected)
        .map(|event| (event.id.as_str(), event.time))
        .collect();
    let writes = acknowledged(&OpPoint::of(&records.history));
    let mut said = Vec::new();
    let spans = fault_spans(&records.faults);
    for span in spans.iter().filter(|span| span.leader && span.effect) {
        let start = injected.get(span.id.as_str()).copied();
        let Some((start, leads)) = start.and_then(|at| Some((at, leader_after(records, at)?)))
        else {
            continue;
        };
        let what = format!("after {} ({})", span.label, span.id);
        // What a later fault does is told of that one.
        let later = spans.iter().filter(|other| other.effect && start < other.start);
        let end = later.map(|other| other.start).fold(span.end, i64::min);
        said.push(match again(&writes, start, end) {
            Some(again) => {
                let rto = seconds(again - start);
                format!("{what} writes were acknowledged again within {rto} s (RTO): {leads}")
            }
            None => format!("{what} no write was acknowledged: {leads}"),
        });
    }
    said
}

/// When writes were acknowledged, in order, ns.
fn acknowledged(ops: &[OpPoint]) -> Vec<i64> {
    let ok = ops.iter().filter(|op| op.write && op.kind == EventKind::Ok);
    let mut times: Vec<i64> = ok.filter_map(|op| op.completed).collect();
    times.sort_unstable();
    times
}

/// The end of the longest gap that overlaps the time from `start` to `end`; `None` if nothing was
/// acknowledged after `start`.
fn again(writes: &[i64], start: i64, end: i64) -> Option<i64> {
    writes.last().filter(|last| start < **last)?;
    let first = writes.partition_point(|time| *time <= start);
    // The gap in which the fault began, and all that began before the fault was over.
    let before = first.checked_sub(1).map_or(start, |place| writes[place]);
    let from = [before].into_iter().chain(writes[first..].iter().copied());
    let gaps = from.zip(writes[first..].iter().copied()).take_while(|(begin, _)| *begin < end);
    // Of equals the first.
    let longest = gaps.fold(None, |best: Option<(i64, i64)>, (begin, end)| match best {
        Some((length, _)) if end - begin <= length => best,
        _ => Some((end - begin, end)),
    });
    longest.map(|(_, end)| end)
}

/// Who called itself leader, with a higher term than all before, first after this moment.
fn leader_after(records: &Records, start: i64) -> Option<String> {
    let leaders = || {
        records.telemetry.iter().flat_map(|sample| {
            let leads = sample.shards.iter().filter(|replica| replica.role == Role::Leader);
            leads.map(move |replica| (sample, replica.term))
        })
    };
    let before = leaders().filter(|(sample, _)| sample.received <= start).map(|(_, term)| term);
    let before = before.max()?;
    let (sample, term) =
        leaders().find(|(sample, term)| start < sample.received && before < *term)?;
    let after = seconds(sample.received - start);
    Some(format!("{} was seen to lead after {after} s, term {term}", sample.node))
}

fn seconds(ns: i64) -> String {
    format!("{:.2}", ns as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_gap_of_the_fault_ends_the_wait() {
        let writes = [10, 20, 30, 90, 95, 200, 210];
        assert_eq!(again(&writes, 31, 60), Some(90), "the gap in which the fault began");
        assert_eq!(again(&writes, 31, 100), Some(200), "a longer one that began within it");
        assert_eq!(again(&writes, 15, 20), Some(20));
        assert_eq!(again(&writes, 210, 300), None);
        assert_eq!(again(&[], 0, 10), None);
    }
}
