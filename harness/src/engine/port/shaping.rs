//! Shaped links: what the agents are asked, and the echoes that prove it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use agent::ping::{PingPlan, Pings};
use agent::proto::{Answer, Ask};
use agent::shape::{Distribution, Flap, PeerShape, Shape as AgentShape};
use history::{Evidence, FaultResult};
use nemesis::{ActReport, Beside, Link, Shape, beside};

use super::{HostPort, Probed, measured, sorted};

/// Two nodes with a shaped link between them, the lower number first.
type Pair = (usize, usize);

/// How links were before a fault, by its id: what they must be like after it.
pub type Baselines = Arc<Mutex<BTreeMap<String, BTreeMap<Pair, Pings>>>>;

pub(super) type Measured = BTreeMap<Pair, Result<Pings, String>>;

impl HostPort {
    /// Shapes links at all their nodes at once, then measures them.
    pub(super) fn shape(
        &self,
        id: &str,
        links: &[Link],
        (shape, seed): (Shape, u64),
        others: &[Beside],
    ) -> ActReport {
        // A rate is compared with what passed before, of the same packets.
        let calm = match shape {
            Shape::Rate(_) => measured::plan(shape),
            _ => measured::CALM,
        };
        let before: BTreeMap<Pair, Pings> = self
            .measure(links, calm)
            .into_iter()
            .map(|(pair, pings)| (pair, pings.unwrap_or_default()))
            .collect();
        self.baselines().insert(id.to_owned(), before.clone());
        let started = Instant::now();
        let answers = self.ask_all(self.shape_asks(id, links, shape, seed));
        let took = started.elapsed().as_nanos() as i64;
        let (mut mechanism, mut errors) = (String::new(), Vec::new());
        for (_, answer) in answers {
            match answer {
                Ok(Answer::Shaping { mechanism: by }) => mechanism = by,
                Ok(other) => errors.push(format!("unexpected answer {other:?}")),
                Err(error) => errors.push(error),
            }
        }
        let mut probes: Vec<Probed> = Vec::new();
        if errors.is_empty() {
            for (pair, seen) in self.measure(links, measured::plan(shape)) {
                let ways = links.iter().filter(|link| pair_of(link) == pair).count() as u32;
                let probe = match seen {
                    Ok(seen) => {
                        let probe = format!("{}, there and back", self.between(pair));
                        measured::during(probe, shape, ways, &before[&pair], &seen)
                    }
                    Err(error) => self.unmeasured(pair, error),
                };
                probes.push((probe, hiding(others, pair)));
            }
        }
        let (evidence, unprovable) = sorted(probes);
        let error = (!errors.is_empty()).then(|| errors.join("; "));
        let result = match error {
            Some(_) => FaultResult::Indeterminate,
            None => ActReport::judge(&evidence),
        };
        ActReport { mechanism, result, evidence, unprovable, took, error }
    }

    /// Lets packets pass again; says whether they were shaped until then, and measures.
    pub(super) fn unshape(
        &self,
        id: &str,
        links: &[Link],
        shape: Shape,
        others: &[Beside],
    ) -> ActReport {
        let shapers = match shape {
            // By the kernel alone: there is no process that could have ended.
            Shape::Duplicate(_) => Vec::new(),
            _ => self.shapers(id, links),
        };
        let nodes: BTreeSet<usize> = links.iter().flat_map(|link| [link.at, link.from]).collect();
        let started = Instant::now();
        let heal = |node| (node, Ask::Heal { fault: id.to_owned() });
        let answers = self.ask_all(nodes.into_iter().map(heal).collect());
        let took = started.elapsed().as_nanos() as i64;
        let errors: Vec<String> = answers.into_iter().filter_map(|(_, a)| a.err()).collect();
        let before = self.baselines().remove(id).unwrap_or_default();
        let mut probes: Vec<Probed> = shapers.into_iter().map(|e| (e, Vec::new())).collect();
        for (pair, seen) in self.measure(links, measured::CALM) {
            let probe = match seen {
                Ok(seen) => {
                    let before = before.get(&pair).copied().unwrap_or_default();
                    measured::after(self.between(pair), &before, &seen)
                }
                Err(error) => self.unmeasured(pair, error),
            };
            let hiding = if probe.holds { Vec::new() } else { hiding(others, pair) };
            probes.push((probe, hiding));
        }
        let (evidence, unprovable) = sorted(probes);
        let mechanism = "agent".to_owned();
        let error = (!errors.is_empty()).then(|| errors.join("; "));
        let result = ActReport::judge(&evidence);
        ActReport { mechanism, result, evidence, unprovable, took, error }
    }

    fn baselines(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, BTreeMap<Pair, Pings>>> {
        self.baselines.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Packets are shaped where they arrive, and doubled where they leave.
    fn shape_asks(&self, id: &str, links: &[Link], shape: Shape, seed: u64) -> Vec<(usize, Ask)> {
        let mut by_node: BTreeMap<usize, Vec<Vec<IpAddr>>> = BTreeMap::new();
        for link in links {
            let (node, peer) = match shape {
                Shape::Duplicate(_) => (link.from, link.at),
                _ => (link.at, link.from),
            };
            by_node.entry(node).or_default().push(self.peers.dropped(node, peer));
        }
        let ask = |(node, peers): (usize, Vec<Vec<IpAddr>>)| {
            let fault = id.to_owned();
            let ask = match shape {
                Shape::Duplicate(share) => Ask::Duplicate { fault, to: peers.concat(), share },
                _ => {
                    let shape = for_agent(shape);
                    let peer = |from| PeerShape { from, shape };
                    let peers = peers.into_iter().map(peer).collect();
                    // Of the same seed, but each node with chances of its own.
                    let seed = seed.wrapping_add(node as u64);
                    Ask::Shape { fault, peers, seed }
                }
            };
            (node, ask)
        };
        by_node.into_iter().map(ask).collect()
    }

    /// Whether each node's shaper was there to the end.
    fn shapers(&self, id: &str, links: &[Link]) -> Vec<Evidence> {
        let nodes: BTreeSet<usize> = links.iter().map(|link| link.at).collect();
        let ask = |node| (node, Ask::Shaped { fault: id.to_owned() });
        let answers = self.ask_all(nodes.into_iter().map(ask).collect());
        let evidence = answers.into_iter().map(|(node, answer)| {
            let (observed, holds) = match answer {
                Ok(Answer::Shaped { counters: Some(c), ended: None }) => {
                    let gone = c.lost + c.down + c.full;
                    (format!("to the end: {} packets, {gone} dropped", c.seen), true)
                }
                Ok(Answer::Shaped { ended: Some(why), .. }) => (why, false),
                Ok(other) => (format!("unexpected answer {other:?}"), false),
                Err(error) => (error, false),
            };
            let probe = format!("{} shaper", self.name(node));
            Evidence { probe, expected: "to the end".to_owned(), observed, holds }
        });
        evidence.collect()
    }

    /// Echoes over every pair of nodes, all at once.
    pub(super) fn measure(&self, links: &[Link], plan: PingPlan) -> Measured {
        let plan = PingPlan { wait_ms: plan.wait_ms + self.peers.patience_ms(), ..plan };
        let pairs: BTreeSet<Pair> = links.iter().map(pair_of).collect();
        let mut by_node: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (node, other) in pairs {
            by_node.entry(node).or_default().push(other);
        }
        let ask = |(node, others): (&usize, &Vec<usize>)| {
            let targets = others.iter().map(|other| self.system.address(*other).ip()).collect();
            (*node, Ask::Ping { targets, plan })
        };
        let answers = self.ask_all(by_node.iter().map(ask).collect());
        let mut measured = Measured::new();
        for (node, answer) in answers {
            let others = &by_node[&node];
            let outcomes = match answer {
                Ok(Answer::Pinged { outcomes }) => outcomes,
                Ok(other) => vec![Err(format!("unexpected answer {other:?}")); others.len()],
                Err(error) => vec![Err(error); others.len()],
            };
            let pairs = others.iter().map(|other| (node, *other));
            measured.extend(pairs.zip(outcomes));
        }
        measured
    }

    pub(super) fn between(&self, (one, other): Pair) -> String {
        format!("{} <-> {}", self.name(one), self.name(other))
    }

    fn unmeasured(&self, pair: Pair, error: String) -> Evidence {
        let (probe, expected) = (self.between(pair), "echoes".to_owned());
        Evidence { probe, expected, observed: error, holds: false }
    }
}

/// The faults that do more to a link than echoes can tell apart.
fn hiding(others: &[Beside], (one, other): Pair) -> Vec<String> {
    let cutting = beside::cutting(others, one, other);
    cutting.into_iter().chain(beside::losing(others, one, other)).collect()
}

fn pair_of(link: &Link) -> Pair {
    (link.at.min(link.from), link.at.max(link.from))
}

fn for_agent(shape: Shape) -> AgentShape {
    let calm = AgentShape::default();
    match shape {
        Shape::Delay { delay_us, jitter_us, normal } => {
            let distribution = if normal { Distribution::Normal } else { Distribution::Uniform };
            AgentShape { delay_us, jitter_us, distribution, ..calm }
        }
        Shape::Loss(loss) => AgentShape { loss, ..calm },
        Shape::Reorder { share, hold_us } => AgentShape { reorder: share, hold_us, ..calm },
        Shape::Corrupt(corrupt) => AgentShape { corrupt, ..calm },
        Shape::Rate(rate) => AgentShape { rate, ..calm },
        Shape::Flap { period_ms, down_ms } => {
            AgentShape { flap: Some(Flap { period_ms, down_ms }), ..calm }
        }
        // By a rule at the sender.
        Shape::Duplicate(_) => calm,
    }
}
