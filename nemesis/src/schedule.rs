//! A schedule: every fault with its moment, drawn from the seed before the run starts.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::family::Family;
use crate::fault::Fault;
use crate::parameters::Parameters;
use crate::planned::PlannedFault;
use crate::selector::Selector;

/// A fault asked for, before it has a place on the timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultRequest {
    /// What.
    pub fault: Fault,
    /// Whom.
    pub selector: Selector,
    /// The shard that a role speaks of.
    pub shard: u32,
    /// When, ns since the run's start; drawn if absent.
    pub start: Option<u64>,
    /// How long, ns; drawn if absent.
    pub duration: Option<u64>,
    /// How many times.
    pub count: u32,
    /// Whether the verdict needs its effect; if absent, the first of each family is needed.
    pub required: Option<bool>,
    /// What it was told besides.
    pub parameters: Parameters,
}

/// The main phase: calm, then faults, then calm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// First moment for a fault, ns since the run's start.
    pub faults_from: u64,
    /// Moment by which every drawn fault is healed.
    pub faults_until: u64,
}

impl Timeline {
    /// A quarter calm, four tenths of faults, the rest calm again: clients need time to find a
    /// new leader before what they do counts as "after".
    pub fn of(duration: u64) -> Timeline {
        Timeline { faults_from: duration / 4, faults_until: duration * 65 / 100 }
    }
}

/// Places the requests. Drawn ones get slots of their own, in the order asked, each with a part of
/// its slot left for recovery; those with a start of their own are put there.
pub fn schedule(
    requests: &[FaultRequest],
    timeline: Timeline,
    rng: &mut ChaCha8Rng,
) -> Vec<PlannedFault> {
    let drawn: u64 =
        requests.iter().filter(|r| r.start.is_none()).map(|r| u64::from(r.count)).sum();
    let slot = (timeline.faults_until - timeline.faults_from) / drawn.max(1);
    let mut next_slot = timeline.faults_from;
    let mut planned: Vec<PlannedFault> = Vec::new();
    for request in requests {
        for turn in 0..u64::from(request.count) {
            let jitter = rng.random_range(0..=slot / 5);
            let share = rng.random_range(55..=70);
            let duration = request.duration.unwrap_or(slot * share / 100);
            let start = match request.start {
                // Repetitions of a placed fault follow each other with as long a pause.
                Some(start) => start + turn * 2 * duration,
                None => {
                    let start = next_slot + jitter;
                    next_slot += slot;
                    start
                }
            };
            planned.push(PlannedFault {
                id: String::new(),
                fault: request.fault,
                selector: request.selector.clone(),
                shard: request.shard,
                start,
                duration,
                required: request.required.unwrap_or(false),
                parameters: request.parameters.clone(),
            });
        }
    }
    name(requests, &mut planned);
    planned
}

/// Puts a schedule in order, gives each fault its name, and says whose effects the verdict needs.
pub(crate) fn name(requests: &[FaultRequest], planned: &mut [PlannedFault]) {
    planned.sort_by_key(|fault| fault.start);
    require_first_of_family(requests, planned);
    for (place, fault) in planned.iter_mut().enumerate() {
        fault.id = format!("f{}", place + 1);
    }
}

fn require_first_of_family(requests: &[FaultRequest], planned: &mut [PlannedFault]) {
    let asked = |fault: &PlannedFault| {
        requests.iter().any(|r| r.fault == fault.fault && r.required.is_some())
    };
    for family in Family::ALL {
        let mut of_family = planned.iter_mut().filter(|f| f.fault.family() == family);
        if let Some(first) = of_family.find(|fault| !asked(fault)) {
            first.required = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::SeedableRng;

    fn request(fault: Fault, count: u32) -> FaultRequest {
        FaultRequest {
            fault,
            selector: Selector::One,
            shard: 0,
            start: None,
            duration: None,
            count,
            required: None,
            parameters: Parameters::defaults(fault),
        }
    }

    #[test]
    fn drawn_faults_never_overlap_and_leave_time_to_recover() {
        let timeline = Timeline::of(8_000_000_000);
        let requests = [request(Fault::Kill, 2), request(Fault::Halves, 3)];
        for seed in 0..200 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let plan = schedule(&requests, timeline, &mut rng);
            assert_eq!(plan.len(), 5);
            assert!(timeline.faults_from <= plan[0].start);
            for pair in plan.windows(2) {
                assert!(pair[0].end() < pair[1].start, "seed {seed}: {pair:?}");
            }
            assert!(plan[4].end() <= timeline.faults_until, "seed {seed}");
            assert_eq!(plan.iter().filter(|f| f.required).count(), 2, "one of each family");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_schedule() {
        let plan = |seed| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            schedule(&[request(Fault::Kill, 3)], Timeline::of(9_000_000_000), &mut rng)
        };
        assert_eq!(plan(4), plan(4));
        assert_ne!(plan(4), plan(5));
    }
}
