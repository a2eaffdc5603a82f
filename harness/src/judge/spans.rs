//! The faults of a run as spans of its timeline, and whether each had an effect.

use std::collections::BTreeMap;

use checkers::FaultSpan;
use history::{FaultEvent, FaultPhase, FaultResult};
use nemesis::Fault;

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
        let planned_end = event.time.saturating_add(event.duration);
        let (_, installed, span) = spans.entry(&event.id).or_insert_with(|| {
            let span = FaultSpan {
                id: event.id.clone(),
                label: event.fault.clone(),
                start: event.time,
                end: planned_end,
                watched: planned_end,
                required: event.required,
                effect: false,
                unproven: None,
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
                // In force from when it was asked for, not from when that was decided.
                span.start = event.asked.unwrap_or(span.start);
                *installed = event.result == Some(FaultResult::Installed);
                span.unproven = event.not_provable();
                span.effect = *installed && kind != Some(Fault::ApprovalWithheld);
            }
            FaultPhase::Healed => {
                span.effect = event.was_met().map_or(span.effect, |met| met && *installed);
                // Until it was undone, not until that was seen.
                span.end = event.answered.unwrap_or(event.time);
                span.watched = if brief { span.watched.max(span.end) } else { span.end };
            }
        }
    }
    let mut spans: Vec<(usize, bool, FaultSpan)> = spans.into_values().collect();
    spans.sort_by_key(|(order, ..)| *order);
    spans.into_iter().map(|(.., span)| span).collect()
}

#[cfg(test)]
mod tests {
    use history::{Evidence, FAILOVERS_WAITED, OPERATIONS_MET};

    use super::*;

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
            unprovable: Vec::new(),
            took: None,
            asked: None,
            answered: None,
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
