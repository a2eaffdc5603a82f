//! Latencies between regions: in force from before the first operation to after the last, and
//! measured before the first.

use std::collections::{BTreeMap, BTreeSet};

use agent::ping::Pings;
use agent::proto::{Answer, Ask};
use agent::shape::{PeerShape, Shape as AgentShape};
use nemesis::{Link, Shape};

use super::{HostPort, measured};
use crate::config::{RegionsSpec, RoundTrips};
use crate::error::UserError;

/// What the agents call it.
const ID: &str = "latency";
/// How often it is measured again before it counts as not made.
const TRIES: usize = 3;

/// Round trips by pair of nodes, the lower number first, µs; and which regions they are between.
type Pairs = BTreeMap<(usize, usize), (u64, (String, String))>;

/// The pairs of nodes that have a round trip.
fn pairs(regions: &RegionsSpec, trips: &RoundTrips, names: &[String]) -> Pairs {
    let region = |node: &String| {
        let mut found = regions.members.iter().filter(|(_, nodes)| nodes.contains(node));
        found.next().map(|(region, _)| region)
    };
    let mut pairs = Pairs::new();
    for (one, name) in names.iter().enumerate() {
        for (other, peer) in names.iter().enumerate().skip(one + 1) {
            let Some((a, b)) = region(name).zip(region(peer)) else {
                continue;
            };
            let between = (a.min(b).clone(), a.max(b).clone());
            if let Some(ms) = trips.get(&between) {
                pairs.insert((one, other), (ms * 1_000, between));
            }
        }
    }
    pairs
}

impl HostPort {
    /// Makes all round trips and measures them; gives what is to be recorded: regions to asked
    /// and measured, in words. What was not made as asked is an error: the run would be another.
    pub fn lay_latencies(
        &self,
        regions: &RegionsSpec,
        seed: u64,
    ) -> Result<BTreeMap<String, String>, UserError> {
        let names = &self.system.nodes().names;
        let pairs = pairs(regions, &regions.round_trips()?, names);
        let both = |(one, other): &(usize, usize)| {
            [Link { at: *one, from: *other }, Link { at: *other, from: *one }]
        };
        let links: Vec<Link> = pairs.keys().flat_map(both).collect();
        let before = self.measure(&links, measured::CALM);
        let asks = self.latency_asks(&pairs, seed);
        for (_, answer) in self.ask_all(asks) {
            answer.map_err(|error| UserError::environment(format!("latencies: {error}")))?;
        }
        let longest = pairs.values().map(|(us, _)| *us).max().unwrap_or(0);
        let plan =
            measured::plan(Shape::Delay { delay_us: longest / 2, jitter_us: 0, normal: false });
        let mut off = String::new();
        for _ in 0..TRIES {
            let seen = self.measure(&links, plan);
            let median = |pings: Option<&Result<Pings, String>>| match pings {
                Some(Ok(pings)) if pings.answered != 0 => Ok(pings.median_us),
                Some(Err(error)) => Err(error.clone()),
                _ => Err("no echo came back".to_owned()),
            };
            let added = pairs.iter().map(|(pair, (asked, between))| {
                let calm = median(before.get(pair)).unwrap_or(0);
                let added = median(seen.get(pair)).map(|us| us.saturating_sub(calm));
                (*pair, *asked, between, added)
            });
            let added: Vec<_> = added.collect();
            let near = |asked: u64, us: u64| us.abs_diff(asked) <= asked / 5 + 1_000;
            let wrong = added
                .iter()
                .find(|(_, asked, _, added)| added.as_ref().map_or(true, |us| !near(*asked, *us)));
            let Some((pair, asked, _, added)) = wrong else {
                let each = added.iter().map(|(_, asked, between, us)| {
                    (*between, *asked, us.as_ref().copied().unwrap_or(0))
                });
                return Ok(facts(each));
            };
            let seen = added.as_ref().map_or_else(Clone::clone, |us| ms(*us));
            off = format!("{}: asked {}, measured {seen}", self.between(*pair), ms(*asked));
        }
        self.lift_latencies(regions);
        Err(UserError::environment(format!("latencies are not what was asked for: {off}"))
            .hint("is this machine busy? packets are shaped by a process on each host"))
    }

    /// Each node's links have lengths of their own, and half a round trip is made at either end.
    fn latency_asks(&self, pairs: &Pairs, seed: u64) -> Vec<(usize, Ask)> {
        let mut by_node: BTreeMap<usize, Vec<PeerShape>> = BTreeMap::new();
        for ((one, other), (us, _)) in pairs {
            for (at, from) in [(*one, *other), (*other, *one)] {
                let shape = AgentShape { delay_us: us / 2, ..AgentShape::default() };
                let from = self.peers.dropped(at, from);
                by_node.entry(at).or_default().push(PeerShape { from, shape });
            }
        }
        let ask = |(node, peers)| {
            let seed = seed.wrapping_add(node as u64);
            (node, Ask::Shape { fault: ID.to_owned(), peers, seed })
        };
        by_node.into_iter().map(ask).collect()
    }

    /// Ends them; says where they had ended before.
    pub fn lift_latencies(&self, regions: &RegionsSpec) -> Vec<String> {
        // They were read before they were laid.
        let trips = regions.round_trips().unwrap_or_default();
        let pairs = pairs(regions, &trips, &self.system.nodes().names);
        let nodes: BTreeSet<usize> = pairs.keys().flat_map(|(one, other)| [*one, *other]).collect();
        let ask = |node: &usize| (*node, Ask::Shaped { fault: ID.to_owned() });
        let mut notes = Vec::new();
        for (node, answer) in self.ask_all(nodes.iter().map(ask).collect()) {
            let why = match answer {
                Ok(Answer::Shaped { ended: Some(why), counters: None }) => why,
                Err(error) => error,
                Ok(_) => continue,
            };
            notes
                .push(format!("latencies at {} were not there to the end: {why}", self.name(node)));
        }
        let heal = |node: &usize| (*node, Ask::Heal { fault: ID.to_owned() });
        let healed = self.ask_all(nodes.iter().map(heal).collect());
        notes.extend(healed.into_iter().filter_map(|(_, answer)| answer.err()));
        notes
    }
}

fn ms(us: u64) -> String {
    format!("{:.1} ms", us as f64 / 1e3)
}

/// By pair of regions: what was asked for, and the least and the most that was measured.
fn facts<'a>(
    each: impl Iterator<Item = (&'a (String, String), u64, u64)>,
) -> BTreeMap<String, String> {
    let mut by_regions: BTreeMap<&(String, String), (u64, u64, u64)> = BTreeMap::new();
    for (between, asked, seen) in each {
        let range = by_regions.entry(between).or_insert((asked, seen, seen));
        *range = (asked, range.1.min(seen), range.2.max(seen));
    }
    let fact = |((one, other), (asked, least, most)): (&(String, String), (u64, u64, u64))| {
        let seen = match least == most {
            true => ms(least),
            false => format!("{} to {}", ms(least), ms(most)),
        };
        (format!("round trip {one}/{other}"), format!("asked {}, measured {seen}", ms(asked)))
    };
    by_regions.into_iter().map(fact).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_have_the_round_trip_of_their_regions() {
        let member = |region: &str, nodes: &[&str]| {
            (region.to_owned(), nodes.iter().map(|node| (*node).to_owned()).collect())
        };
        let members = [member("eu", &["n1", "n3"]), member("us", &["n2"])].into();
        let latency = vec!["us/eu=80ms".to_owned()];
        let regions = RegionsSpec { members, latency };
        let names = ["n1", "n2", "n3", "n4"].map(str::to_owned);
        let pairs = pairs(&regions, &regions.round_trips().unwrap(), &names);
        let far = |pair| pairs.get(&pair).map(|(us, _)| *us);
        assert_eq!((far((0, 1)), far((1, 2))), (Some(80_000), Some(80_000)));
        assert_eq!(pairs.len(), 2, "within a region nothing was asked for, and n4 is in none");
        let between = ("eu".to_owned(), "us".to_owned());
        let facts = facts([(&between, 80_000, 79_500), (&between, 80_000, 81_250)].into_iter());
        assert_eq!(facts["round trip eu/us"], "asked 80.0 ms, measured 79.5 ms to 81.2 ms");
    }
}
