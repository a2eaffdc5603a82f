//! Rw-register: what a level itself says of the order of versions, and whether a history that
//! shows nothing forbidden is proved to keep the level.
//!
//! A register shows one version at a time, so the order of versions is known in part only. Three
//! things follow:
//! 1. A `strong-` or `strong-session-` level of snapshot isolation or above implies that every key
//!    by itself is linearizable, or sequential. That order is used for these levels, and what then
//!    shows rules out no weaker one.
//! 2. A history keeps a level if there is *some* order of the versions under which it shows nothing
//!    forbidden. A few likely orders are tried; one that does is the proof.
//! 3. If none of them does and pairs of versions are in no known order, the level is neither
//!    refuted nor proved ([`Undecided`]).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use history::{EventKind, History};
use rustc_hash::FxHashSet;

use crate::anomaly::{Anomaly, AnomalySet};
use crate::cases::{Cases, Refusal, VersionSource, Why};
use crate::check::{Cycles, conclude, dependencies, too_large};
use crate::graph::{Graph, HOP, NONE, PROCESS, REALTIME, RW, TooLarge, WR, WW};
use crate::levels;
use crate::options::{Options, Scope};
use crate::registers::{Registers, Version};
use crate::verdict::{Undecided, Validity, Verdict};

/// Words of 64 versions that are gone through at most to count the pairs without an order.
const COUNTING_MAX: u64 = 2_000_000_000;

/// What is looked at over and over.
struct Look<'h, 'o> {
    history: &'h History,
    options: &'o Options,
    scope: Scope,
    extra: u8,
    cases: &'o Cases,
}

/// Goes on where a check found nothing forbidden.
pub fn decide(
    mut registers: Registers<'_>,
    options: &Options,
    extra: u8,
    cases: &Cases,
    verdict: Verdict,
) -> Result<Verdict, Refusal> {
    let history = registers.history;
    let scope = Scope { final_reads_only_order: options.final_reads_only_order };
    let look = Look { history, options, scope, extra, cases };
    let mut verdict = verdict;
    let timed = extra != REALTIME || !history.is_untimed();
    if let Some(implied) = implied(options, extra).filter(|_| timed) {
        registers.imply(extra == PROCESS);
        verdict.implied = Some(implied);
        verdict = look.by_implied_order(&registers, verdict)?;
        if verdict.validity == Validity::Invalid {
            return Ok(verdict);
        }
    }
    let undecided = registers.undecided();
    if undecided.pairs == Some(0) || look.proved(&registers)? {
        return Ok(verdict);
    }
    verdict.validity = Validity::Unknown;
    verdict.undecided = Some(undecided);
    Ok(verdict)
}

/// The order of a key's versions that the levels asked for imply, by the name of the option that
/// would assume it, unless it is assumed anyway. Below snapshot isolation a session may see an
/// older version after a newer one.
pub fn implied(options: &Options, extra: u8) -> Option<&'static str> {
    let prohibited = options.prohibited();
    let any = |rules: [Anomaly; 2]| rules.iter().any(|rule| prohibited.contains(*rule));
    match extra {
        REALTIME if any([Anomaly::StrongSiCycle, Anomaly::PlSsCycle]) => {
            (!options.linearizable_keys).then_some("linearizable-keys")
        }
        PROCESS if any([Anomaly::SessionSiCycle, Anomaly::SessionPl3Cycle]) => {
            (!options.sequential_keys).then_some("sequential-keys")
        }
        _ => None,
    }
}

impl Look<'_, '_> {
    fn graph(&self, registers: &Registers<'_>) -> Result<Graph, Refusal> {
        let edges = |graph: &mut crate::graph::Builder| registers.edges(graph);
        let graph = dependencies(self.history, &edges, self.extra, &self.scope);
        graph.map_err(|TooLarge| too_large(self.history))
    }

    fn cycles(&self, registers: &Registers<'_>, graph: Graph) -> Cycles {
        let mut cycles = Cycles::default();
        let why = |from, to, kind| match kind {
            PROCESS => Some(Why::Process),
            REALTIME => Some(Why::Realtime),
            _ => registers.why(from, to, kind),
        };
        let ops = self.history.ops.len() as u32;
        cycles.find(graph, self.extra, ops, self.options, &why);
        cycles
    }

    fn found(&self) -> AnomalySet {
        self.cases.counts.keys().copied().collect()
    }

    /// Cycles that need the implied order, under the names that rule out no level below.
    fn by_implied_order(
        &self,
        registers: &Registers<'_>,
        before: Verdict,
    ) -> Result<Verdict, Refusal> {
        let ending = if self.extra == PROCESS { 1 } else { 2 };
        let mut cycles = self.cycles(registers, self.graph(registers)?);
        let new = |anomaly: &Anomaly| !before.found.implied().contains(*anomaly);
        cycles.found.retain(|cycle| new(&cycle.anomaly));
        for cycle in &mut cycles.found {
            let renamed = cycle.anomaly.by_implied_order(ending);
            cycle.anomaly = renamed.unwrap_or(cycle.anomaly);
        }
        let named = [Anomaly::WriteSkew, Anomaly::LongFork];
        cycles.found.retain(|cycle| !named.contains(&cycle.anomaly));
        cycles.found.sort_by_key(|cycle| cycle.anomaly);
        cycles.found.dedup_by_key(|cycle| cycle.anomaly);
        cycles.levels = levels::by_implied_order(&cycles.levels, self.extra);
        cycles.found.extend(before.cycles.iter().cloned());
        let mut verdict = conclude(self.options, self.extra, before.found, self.cases, cycles);
        verdict.implied = before.implied;
        Ok(verdict)
    }

    /// Whether some order of all versions shows nothing forbidden.
    fn proved(&self, registers: &Registers<'_>) -> Result<bool, Refusal> {
        let graph = self.graph(registers)?;
        let ordering = WW | WR | self.extra;
        for kinds in [ordering | RW, ordering] {
            for by_completion in [true, false] {
                let Some(places) = self.places(&graph, kinds, by_completion) else {
                    break;
                };
                let mut ordered = registers.clone();
                ordered.complete(&places);
                let cycles = self.cycles(&ordered, self.graph(&ordered)?);
                let verdict = conclude(self.options, self.extra, self.found(), self.cases, cycles);
                if verdict.validity == Validity::Valid {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// A place for every transaction that keeps all edges of these kinds, the earliest done (or
    /// invoked) first; nothing if they are a circle.
    fn places(&self, graph: &Graph, kinds: u8, by_completion: bool) -> Option<Vec<u32>> {
        let mut needs = vec![0u32; graph.len()];
        let counts = |kind: u8| kind & (kinds | HOP) != 0;
        for (_, to, _) in graph.edges().filter(|(.., kind)| counts(*kind)) {
            needs[to as usize] += 1;
        }
        let when = |vertex: u32| {
            let Some(op) = self.history.ops.get(vertex as usize) else { return 0 };
            let done = op.completed_index().filter(|_| op.kind == EventKind::Ok);
            if by_completion { done.unwrap_or(u64::MAX) } else { op.index() }
        };
        let free = (0..graph.len() as u32).filter(|vertex| needs[*vertex as usize] == 0);
        let mut open: BinaryHeap<Reverse<(u64, u32)>> =
            free.map(|vertex| Reverse((when(vertex), vertex))).collect();
        let (mut places, mut next) = (vec![0; graph.len()], 0);
        while let Some(Reverse((_, vertex))) = open.pop() {
            places[vertex as usize] = next;
            next += 1;
            for (to, _) in graph.out(vertex).filter(|(_, kind)| counts(*kind)) {
                needs[to as usize] -= 1;
                if needs[to as usize] == 0 {
                    open.push(Reverse((when(to), to)));
                }
            }
        }
        (next as usize == graph.len()).then_some(places)
    }
}

impl Registers<'_> {
    /// Adds the order that each key has if it is sequential, or linearizable, by itself. Where it
    /// contradicts itself for a key, what contradicts is left out: the transactions' own order
    /// then shows a cycle.
    pub fn imply(&mut self, sequential: bool) {
        let mut new = match sequential {
            true => self.sequential_order(),
            false => self.linearizable_order(),
        };
        let initial = self.history.keys.len() as Version;
        // Nothing comes before the initial state; a read that shows it after another version is
        // what is wrong, and shows by itself.
        new.retain(|(_, to, _)| initial <= *to);
        if self.is_acyclic(&new) {
            self.order.extend(new);
        } else {
            self.add_one_by_one(new);
        }
        self.order.sort_unstable_by_key(|(a, b, _)| (*a, *b));
        self.order.dedup_by_key(|(a, b, _)| (*a, *b));
    }

    /// Puts all versions that there are in one order, by the places of their writers.
    fn complete(&mut self, places: &[u32]) {
        let mut there: Vec<(u32, u32, Version)> = self
            .existing()
            .map(|(version, writer)| {
                let key = self.versions[version as usize].key;
                (key, places[writer as usize], version)
            })
            .collect();
        there.sort_unstable();
        for pair in there.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
            self.order.push((pair[0].2, pair[1].2, VersionSource::Tried));
        }
        self.order.sort_unstable_by_key(|(a, b, _)| (*a, *b));
        self.order.dedup_by_key(|(a, b, _)| (*a, *b));
    }

    /// Versions that were certainly there in the end of their transaction, with who wrote them: of
    /// unknown outcomes those of transactions of which somebody read something.
    fn existing(&self) -> impl Iterator<Item = (Version, u32)> + '_ {
        let initial = self.history.keys.len() as Version;
        // Who was seen in part has happened whole.
        let seen =
            (initial..self.versions.len() as Version).filter(|version| self.is_read(*version));
        let writers = seen.map(|version| self.versions[version as usize].writer);
        let seen: FxHashSet<u32> = writers.filter(|writer| *writer != NONE).collect();
        (initial..self.versions.len() as Version).filter_map(move |version| {
            let writer = self.installed_by(version)?;
            let ok = self.history.ops[writer as usize].kind == EventKind::Ok;
            (ok || seen.contains(&writer)).then_some((version, writer))
        })
    }

    /// How many pairs of existing versions of one key no chain of known order joins.
    fn undecided(&self) -> Undecided {
        let mut number = vec![u32::MAX; self.versions.len()];
        let mut there: Vec<(u32, Version)> = self
            .existing()
            .map(|(version, _)| (self.versions[version as usize].key, version))
            .collect();
        there.sort_unstable();
        for (at, (_, version)) in there.iter().enumerate() {
            number[*version as usize] = at as u32;
        }
        let of: u64 = there
            .chunk_by(|a, b| a.0 == b.0)
            .map(|all| all.len() as u64 * (all.len() as u64 - 1) / 2)
            .sum();
        let order = Graph::of(self.versions.len(), self.order.iter().map(|(a, b, _)| (*a, *b, WW)));
        let Some(down) = topological(&order) else {
            return Undecided { pairs: None, of };
        };
        let work = there.chunk_by(|a, b| a.0 == b.0).map(|all| all.len().div_ceil(64) as u64);
        if COUNTING_MAX < work.sum::<u64>() * (order.len() + order.edge_count()) as u64 {
            return Undecided { pairs: None, of };
        }
        let mut known = 0u64;
        for all in there.chunk_by(|a, b| a.0 == b.0).filter(|all| 1 < all.len()) {
            for part in all.chunks(64) {
                known += reached(&order, &down, &number, part, all);
            }
        }
        Undecided { pairs: Some(of - known), of }
    }
}

/// How many pairs of a version of the key and a later one among `part` a chain joins.
fn reached(
    order: &Graph,
    down: &[Version],
    number: &[u32],
    part: &[(u32, Version)],
    all: &[(u32, Version)],
) -> u64 {
    let mut bits = vec![0u64; order.len()];
    let first = number[part[0].1 as usize];
    let own = |version: Version| {
        let at = number[version as usize].wrapping_sub(first);
        if at < part.len() as u32 { 1u64 << at } else { 0 }
    };
    for &version in down {
        let later = order.out(version).map(|(to, _)| bits[to as usize] | own(to));
        bits[version as usize] = later.fold(0, |all, bits| all | bits);
    }
    all.iter().map(|(_, version)| u64::from(bits[*version as usize].count_ones())).sum()
}

/// The vertices, each after all that it leads to; nothing if some lead back.
fn topological(graph: &Graph) -> Option<Vec<u32>> {
    let mut needs = vec![0u32; graph.len()];
    graph.edges().for_each(|(_, to, _)| needs[to as usize] += 1);
    let mut order: Vec<u32> = (0..graph.len() as u32).filter(|v| needs[*v as usize] == 0).collect();
    let mut at = 0;
    while let Some(&vertex) = order.get(at) {
        at += 1;
        for (to, _) in graph.out(vertex) {
            needs[to as usize] -= 1;
            if needs[to as usize] == 0 {
                order.push(to);
            }
        }
    }
    order.reverse();
    (order.len() == graph.len()).then_some(order)
}
