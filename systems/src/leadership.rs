//! Who leads, by the nodes' own words: before and after a command that changes it.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use history::{Evidence, Role, TelemetryEvent};

use crate::system::{System, SystemError};

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);
/// How long after a node was asked to stand for election it is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(400);

/// Of each shard the newest leader's term, and who it is.
pub type Leaders = BTreeMap<u32, (u64, usize)>;

/// Whether a shard is led as it is meant to be: by what is now, and by who led it before.
type Held<'a> = &'a dyn Fn(&Leaders, &u32, &(u64, usize)) -> bool;

/// Asks all nodes at once.
pub fn now(system: &dyn System) -> Leaders {
    let samples: Vec<Option<TelemetryEvent>> = thread::scope(|scope| {
        let nodes = 0..system.nodes().count();
        let threads: Vec<_> =
            nodes.map(|node| scope.spawn(move || system.sample(node, &|| 0))).collect();
        threads.into_iter().map(|thread| thread.join().ok()).collect()
    });
    of(&samples)
}

fn of(samples: &[Option<TelemetryEvent>]) -> Leaders {
    let mut leaders = Leaders::new();
    for (node, sample) in samples.iter().enumerate() {
        let alive = sample.as_ref().filter(|sample| sample.alive);
        for replica in alive.iter().flat_map(|sample| &sample.shards) {
            let newer = leaders.get(&replica.shard).is_none_or(|(term, _)| *term < replica.term);
            if replica.role == Role::Leader && newer {
                leaders.insert(replica.shard, (replica.term, node));
            }
        }
    }
    leaders
}

/// Waits until this node leads every shard, in a later term than before where it did not already.
/// It is asked to stand for election, and again while it does not lead: who has less than the
/// others is not elected, which under load is another at every moment. An error is the first
/// asking's; a node that does not answer later is seen by what comes of it.
pub fn stood(
    system: &dyn System,
    node: usize,
    limit: Duration,
    ask: &dyn Fn() -> Result<(), SystemError>,
) -> Result<Vec<Evidence>, SystemError> {
    let before = now(system);
    ask()?;
    let mut due = Instant::now() + ASK_AGAIN;
    let mut again = || {
        if due <= Instant::now() {
            let _ = ask();
            due = Instant::now() + ASK_AGAIN;
        }
    };
    Ok(promotion(system, node, &before, limit, &mut again))
}

/// Waits until this node leads every shard, in a later term than before where it did not already.
pub fn promoted(
    system: &dyn System,
    node: usize,
    before: &Leaders,
    limit: Duration,
) -> Vec<Evidence> {
    promotion(system, node, before, limit, &mut || {})
}

fn promotion(
    system: &dyn System,
    node: usize,
    before: &Leaders,
    limit: Duration,
    meanwhile: &mut dyn FnMut(),
) -> Vec<Evidence> {
    let held = |now: &Leaders, shard: &u32, was: &(u64, usize)| {
        let same = was.1 == node;
        now.get(shard).is_some_and(|(term, who)| *who == node && (same || was.0 < *term))
    };
    let expected = format!("{} leads, in a later term", system.nodes().names[node]);
    watch(system, (before, limit), &expected, &held, meanwhile)
}

/// Waits until somebody else leads every shard that this node led, in a later term.
pub fn succeeded(
    system: &dyn System,
    node: usize,
    before: &Leaders,
    limit: Duration,
) -> Vec<Evidence> {
    let led: Leaders =
        before.iter().filter(|(_, (_, who))| *who == node).map(|(s, was)| (*s, *was)).collect();
    let held = |now: &Leaders, shard: &u32, was: &(u64, usize)| {
        now.get(shard).is_some_and(|(term, who)| *who != node && was.0 < *term)
    };
    watch(system, (&led, limit), "another leads, in a later term", &held, &mut || {})
}

fn watch(
    system: &dyn System,
    (before, limit): (&Leaders, Duration),
    expected: &str,
    held: Held<'_>,
    meanwhile: &mut dyn FnMut(),
) -> Vec<Evidence> {
    let started = Instant::now();
    loop {
        let now = now(system);
        let all = before.iter().all(|(shard, was)| held(&now, shard, was));
        if !all && started.elapsed() < limit {
            meanwhile();
            thread::sleep(PAUSE);
            continue;
        }
        let took = started.elapsed().as_millis();
        let evidence = before.iter().map(|(shard, was)| Evidence {
            probe: format!("leader of shard {shard}"),
            expected: format!("{expected} than {}", was.0),
            observed: format!("{}, after {took} ms", named(system, now.get(shard))),
            holds: held(&now, shard, was),
        });
        return evidence.collect();
    }
}

/// That somebody leads, within so long.
pub fn led(system: &dyn System, limit: Duration) -> Vec<Evidence> {
    let until = Instant::now() + limit;
    let mut now = now(system);
    while now.is_empty() && Instant::now() < until {
        thread::sleep(PAUSE);
        now = self::now(system);
    }
    let observed =
        now.iter().map(|(shard, leader)| format!("shard {shard}: {}", named(system, Some(leader))));
    vec![Evidence {
        probe: "leaders".to_owned(),
        expected: "at least one".to_owned(),
        observed: observed.collect::<Vec<_>>().join("; "),
        holds: !now.is_empty(),
    }]
}

fn named(system: &dyn System, leader: Option<&(u64, usize)>) -> String {
    match leader {
        Some((term, node)) => format!("{} in term {term}", system.nodes().names[*node]),
        None => "nobody".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use history::ShardTelemetry;

    fn sample(alive: bool, replicas: &[(u32, Role, u64)]) -> Option<TelemetryEvent> {
        let shards = replicas.iter().map(|(shard, role, term)| ShardTelemetry {
            shard: *shard,
            role: *role,
            term: *term,
            leader: None,
            position: 0,
            committed: 0,
            lag: 0,
            aside: 0,
        });
        Some(TelemetryEvent {
            sent: 0,
            received: 0,
            node: String::new(),
            alive,
            shards: shards.collect(),
            error: None,
            details: BTreeMap::new(),
        })
    }

    #[test]
    fn of_two_that_believe_they_lead_the_newer_counts() {
        let samples = [
            sample(true, &[(0, Role::Leader, 3), (1, Role::Follower, 5)]),
            sample(true, &[(0, Role::Leader, 4), (1, Role::Follower, 5)]),
            sample(false, &[(0, Role::Leader, 9), (1, Role::Leader, 9)]),
            None,
        ];
        assert_eq!(of(&samples), Leaders::from([(0, (4, 1))]));
    }
}
