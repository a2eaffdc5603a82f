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

/// Asks all nodes at once.
pub fn now(system: &dyn System) -> Leaders {
    let samples: Vec<Option<TelemetryEvent>> = thread::scope(|scope| {
        let nodes = 0..system.nodes().count();
        let threads: Vec<_> =
            nodes.map(|node| scope.spawn(move || system.sample(node, &|| 0))).collect();
        threads.into_iter().map(|thread| thread.join().ok()).collect()
    });
    of(samples.iter().map(Option::as_ref))
}

/// By what each node says, in the nodes' order.
pub fn of<'a>(samples: impl Iterator<Item = Option<&'a TelemetryEvent>>) -> Leaders {
    let mut leaders = Leaders::new();
    for (node, sample) in samples.enumerate() {
        let alive = sample.filter(|sample| sample.alive);
        for replica in alive.iter().flat_map(|sample| &sample.shards) {
            let newer = leaders.get(&replica.shard).is_none_or(|(term, _)| *term < replica.term);
            if replica.role == Role::Leader && newer {
                leaders.insert(replica.shard, (replica.term, node));
            }
        }
    }
    leaders
}

/// What a command is to bring about, by who led before it. What was so before it proves nothing of
/// it: then there is nothing to wait for, and no effect.
#[derive(Clone, Debug)]
pub struct Awaited {
    node: usize,
    /// Whether it is to lead, or another.
    leads: bool,
    before: Leaders,
}

impl Awaited {
    /// That this node leads every shard, in a later term than before where it did not already.
    pub fn promotion(node: usize, before: Leaders) -> Awaited {
        Awaited { node, leads: true, before }
    }

    /// That another leads every shard that this node led, in a later term.
    pub fn succession(node: usize, before: Leaders) -> Awaited {
        Awaited { node, leads: false, before }
    }

    /// Whether there is anything that the command can change: a shard that another leads than is
    /// to.
    pub fn is_open(&self) -> bool {
        self.before.values().any(|(_, who)| (*who == self.node) != self.leads)
    }

    /// Whether it has come about in every shard that it concerns.
    pub fn held(&self, now: &Leaders) -> bool {
        self.is_open() && self.shards().all(|(shard, was)| self.held_in(now, shard, was))
    }

    /// The shards that it concerns: all, or those that the node led.
    fn shards(&self) -> impl Iterator<Item = (&u32, &(u64, usize))> {
        self.before.iter().filter(|(_, (_, who))| self.leads || *who == self.node)
    }

    fn held_in(&self, now: &Leaders, shard: &u32, was: &(u64, usize)) -> bool {
        let same = self.leads && was.1 == self.node;
        now.get(shard)
            .is_some_and(|(term, who)| (*who == self.node) == self.leads && (same || was.0 < *term))
    }

    /// A probe of each shard, after so many ms; of what there was before, if that is all.
    pub fn evidence(&self, names: &[String], now: &Leaders, took_ms: u64) -> Vec<Evidence> {
        let name = &names[self.node];
        if !self.is_open() {
            let expected = if self.leads { "another" } else { name };
            return vec![Evidence {
                probe: "leader before the command".to_owned(),
                expected: format!("{expected}, of a shard at least"),
                observed: all(names, &self.before),
                holds: false,
            }];
        }
        let evidence = self.shards().map(|(shard, was)| Evidence {
            probe: format!("leader of shard {shard}"),
            expected: match self.leads {
                true if was.1 == self.node => format!("{name} leads still"),
                true => format!("{name} leads, in a later term than {}", was.0),
                false => format!("another leads, in a later term than {}", was.0),
            },
            observed: format!("{}, after {took_ms} ms", named(names, now.get(shard))),
            holds: self.held_in(now, shard, was),
        });
        evidence.collect()
    }
}

/// Waits until this node leads every shard, in a later term than before where it did not already.
/// It is asked to stand for election, and again while it does not lead: who has less than the
/// others is not elected, which under load is another at every moment. An error is the first
/// asking's; a node that does not answer later is seen by what comes of it. One that leads
/// everything already is not asked.
pub fn stood(
    system: &dyn System,
    node: usize,
    limit: Duration,
    ask: &dyn Fn() -> Result<(), SystemError>,
) -> Result<Vec<Evidence>, SystemError> {
    let awaited = Awaited::promotion(node, now(system));
    if awaited.is_open() {
        ask()?;
    }
    let mut due = Instant::now() + ASK_AGAIN;
    let mut again = || {
        if due <= Instant::now() {
            let _ = ask();
            due = Instant::now() + ASK_AGAIN;
        }
    };
    Ok(watch(system, &awaited, limit, &mut again))
}

/// Waits until this node leads every shard, in a later term than before where it did not already.
pub fn promoted(
    system: &dyn System,
    node: usize,
    before: &Leaders,
    limit: Duration,
) -> Vec<Evidence> {
    watch(system, &Awaited::promotion(node, before.clone()), limit, &mut || {})
}

/// Waits until somebody else leads every shard that this node led, in a later term.
pub fn succeeded(
    system: &dyn System,
    node: usize,
    before: &Leaders,
    limit: Duration,
) -> Vec<Evidence> {
    watch(system, &Awaited::succession(node, before.clone()), limit, &mut || {})
}

fn watch(
    system: &dyn System,
    awaited: &Awaited,
    limit: Duration,
    meanwhile: &mut dyn FnMut(),
) -> Vec<Evidence> {
    let started = Instant::now();
    loop {
        let now = now(system);
        if awaited.is_open() && !awaited.held(&now) && started.elapsed() < limit {
            meanwhile();
            thread::sleep(PAUSE);
            continue;
        }
        let took = started.elapsed().as_millis() as u64;
        return awaited.evidence(&system.nodes().names, &now, took);
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
    vec![somebody(&system.nodes().names, &now)]
}

/// That somebody leads.
pub fn somebody(names: &[String], now: &Leaders) -> Evidence {
    Evidence {
        probe: "leaders".to_owned(),
        expected: "at least one".to_owned(),
        observed: all(names, now),
        holds: !now.is_empty(),
    }
}

fn all(names: &[String], leaders: &Leaders) -> String {
    if leaders.is_empty() {
        return "nobody".to_owned();
    }
    let each = leaders
        .iter()
        .map(|(shard, leader)| format!("shard {shard}: {}", named(names, Some(leader))));
    each.collect::<Vec<_>>().join("; ")
}

fn named(names: &[String], leader: Option<&(u64, usize)>) -> String {
    match leader {
        Some((term, node)) => format!("{} in term {term}", names[*node]),
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
            lag: Some(0),
            aside: Some(0),
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
        assert_eq!(of(samples.iter().map(Option::as_ref)), Leaders::from([(0, (4, 1))]));
    }

    fn told(awaited: &Awaited, now: &Leaders) -> (bool, String, String) {
        let names = ["n1".to_owned(), "n2".to_owned()];
        let evidence = awaited.evidence(&names, now, 7);
        assert_eq!(evidence.iter().all(|probe| probe.holds), awaited.held(now), "{evidence:?}");
        let last = evidence.into_iter().next_back().unwrap();
        (last.holds, last.expected, last.observed)
    }

    #[test]
    fn a_promotion_of_who_leads_already_has_no_effect() {
        let before = Leaders::from([(0, (3, 0)), (1, (4, 0))]);
        let awaited = Awaited::promotion(0, before.clone());
        let observed = "shard 0: n1 in term 3; shard 1: n1 in term 4";
        let nothing = (false, "another, of a shard at least".to_owned(), observed.to_owned());
        for now in [&before, &Leaders::from([(0, (5, 0)), (1, (5, 0))])] {
            assert_eq!(told(&awaited, now), nothing);
        }
        let nobody = Awaited::promotion(0, Leaders::new());
        assert_eq!(told(&nobody, &before).2, "nobody", "no leader was there to be replaced");
        // Of two shards it led one: what changes is the other.
        let before = Leaders::from([(0, (3, 0)), (1, (4, 1))]);
        let awaited = Awaited::promotion(0, before.clone());
        assert!(!awaited.held(&before));
        let now = Leaders::from([(0, (3, 0)), (1, (5, 0))]);
        let expected = "n1 leads, in a later term than 4".to_owned();
        assert_eq!(told(&awaited, &now), (true, expected, "n1 in term 5, after 7 ms".to_owned()));
        assert!(!awaited.held(&Leaders::from([(0, (4, 1)), (1, (5, 0))])), "it lost the first");
    }

    #[test]
    fn standing_down_is_proven_by_another_who_leads_what_the_node_led() {
        let before = Leaders::from([(0, (3, 0)), (1, (4, 1))]);
        let awaited = Awaited::succession(0, before.clone());
        for (now, held) in [
            (before.clone(), false),
            (Leaders::new(), false),
            (Leaders::from([(0, (4, 0))]), false),
            (Leaders::from([(0, (4, 1))]), true),
        ] {
            assert_eq!(told(&awaited, &now).0, held, "{now:?}");
        }
        let follower = Awaited::succession(1, Leaders::from([(0, (3, 0))]));
        let (holds, expected, observed) = told(&follower, &Leaders::from([(0, (4, 0))]));
        assert!(!holds);
        assert_eq!((&*expected, &*observed), ("n2, of a shard at least", "shard 0: n1 in term 3"));
    }
}
