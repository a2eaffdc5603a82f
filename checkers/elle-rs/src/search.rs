//! The shortest cycle of each kind, by breadth-first search over the product of the graph and an
//! automaton of four states: whether the last edge was an anti-dependency, and whether the edge
//! that the kind is named for has been walked.

use std::collections::VecDeque;

use crate::anomaly::Anomaly;
use crate::graph::{Graph, HOP, NONE, PROCESS, REALTIME, RW, View, WR, WW, components};

/// What a kind of cycle is made of.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Its name.
    pub anomaly: Anomaly,
    /// The kind of edge that the search begins with; every such cycle has one.
    pub start: u8,
    /// The kinds that may follow.
    pub kinds: u8,
    /// A kind that must be walked besides; 0 if none.
    pub must: u8,
    /// Whether no two anti-dependencies may follow on each other.
    pub nonadjacent: bool,
}

/// The kinds of cycle, the most severe first.
pub fn shapes(extra: u8) -> Vec<Shape> {
    let shape = |anomaly, start, kinds, must, nonadjacent| Shape {
        anomaly,
        start,
        kinds,
        must,
        nonadjacent,
    };
    let data = WW | WR | RW;
    let mut shapes = vec![
        shape(Anomaly::G0, WW, WW, 0, false),
        shape(Anomaly::G1c, WR, WW | WR, 0, false),
        shape(Anomaly::GSingleItem, RW, WW | WR, 0, false),
        shape(Anomaly::GNonadjacentItem, RW, data, 0, true),
        shape(Anomaly::G2Item, RW, data, 0, false),
    ];
    let names = match extra {
        PROCESS => [
            Anomaly::G0Process,
            Anomaly::G1cProcess,
            Anomaly::GSingleItemProcess,
            Anomaly::GNonadjacentItemProcess,
            Anomaly::G2ItemProcess,
        ],
        REALTIME => [
            Anomaly::G0Realtime,
            Anomaly::G1cRealtime,
            Anomaly::GSingleItemRealtime,
            Anomaly::GNonadjacentItemRealtime,
            Anomaly::G2ItemRealtime,
        ],
        _ => return shapes,
    };
    shapes.extend([
        shape(names[0], WW, WW | extra, extra, false),
        shape(names[1], WR, WW | WR | extra, extra, false),
        shape(names[2], RW, WW | WR | extra, extra, false),
        shape(names[3], RW, data | extra, extra, true),
        shape(names[4], RW, data | extra, extra, false),
    ]);
    shapes
}

/// A cycle: from, kind, and so on; the last leads back to the first. Helpers are left out.
pub type Cycle = Vec<(u32, u8)>;

/// What a search came to.
pub struct Found {
    /// The shortest cycle, if there is one.
    pub cycle: Option<Cycle>,
    /// Whether the search was cut short.
    pub bounded: bool,
}

/// Most steps of a cycle that is told though it may not be the shortest.
const STEPS_MAX: u32 = 10_000;

/// Looks for cycles of several shapes in one graph. What it remembers of states is made once:
/// there are four of them a vertex.
pub struct Search<'g> {
    graph: &'g Graph,
    shape: Shape,
    /// Of the kinds that `component_kinds` says.
    component: Vec<u32>,
    component_kinds: u8,
    seen: Vec<u32>,
    from: Vec<(u32, u8)>,
    length: Vec<u32>,
    round: u32,
    edges_left: u64,
}

impl<'g> Search<'g> {
    /// In this graph.
    pub fn new(graph: &'g Graph) -> Search<'g> {
        let states = graph.len() * 4;
        Search {
            graph,
            shape: shapes(0)[0],
            component: Vec::new(),
            component_kinds: 0,
            seen: vec![0; states],
            from: vec![(0, 0); states],
            length: vec![0; states],
            round: 0,
            edges_left: 0,
        }
    }

    /// The shortest cycle of a shape. `is_helper` says which vertices are no transactions;
    /// `edges_max` bounds how many edges are walked.
    pub fn shortest(
        &mut self,
        shape: Shape,
        is_helper: &dyn Fn(u32) -> bool,
        edges_max: u64,
    ) -> Found {
        let kinds = shape.kinds | shape.start;
        if self.component_kinds != kinds {
            self.component = components(self.graph, View { kinds, nonadjacent: false }).of;
            self.component_kinds = kinds;
        }
        (self.shape, self.edges_left) = (shape, edges_max);
        let of = &self.component;
        let starts: Vec<(u32, u32)> = self
            .graph
            .edges()
            .filter(|(a, b, kind)| {
                let (a, b) = (of[*a as usize], of[*b as usize]);
                *kind == shape.start && a != NONE && a == b
            })
            .map(|(a, b, _)| (a, b))
            .collect();
        let mut best: Option<Cycle> = None;
        let mut limit = 2;
        // Deeper and deeper: short cycles are found near by, without walking whole components.
        while !starts.is_empty() {
            let mut deeper = false;
            for &(a, b) in &starts {
                let most = best.as_ref().map_or(limit, |best| best.len() as u32 - 1);
                if most < 2 {
                    break;
                }
                match self.cycle_through(a, b, most, is_helper) {
                    Outcome::Cycle(cycle) => best = Some(cycle),
                    Outcome::None { cut } => deeper |= cut,
                    Outcome::Bound => {
                        let bounded = best.is_none();
                        let best = best.or_else(|| self.any(starts.first(), is_helper, edges_max));
                        return Found { bounded, cycle: best };
                    }
                }
            }
            if best.is_some() || !deeper {
                break;
            }
            limit = limit.saturating_add(limit / 2);
        }
        Found { cycle: best, bounded: false }
    }

    /// A cycle through the first edge, be it long, where each such edge is part of one: found in
    /// one walk. A cycle too long to be read is none.
    fn any(
        &mut self,
        first: Option<&(u32, u32)>,
        is_helper: &dyn Fn(u32) -> bool,
        edges_max: u64,
    ) -> Option<Cycle> {
        let Shape { start, kinds, must, nonadjacent, .. } = self.shape;
        let (&(a, b), true) = (first?, must == 0 && !nonadjacent && kinds & start != 0) else {
            return None;
        };
        self.edges_left = edges_max;
        match self.cycle_through(a, b, STEPS_MAX, is_helper) {
            Outcome::Cycle(cycle) => Some(cycle),
            _ => None,
        }
    }
}

enum Outcome {
    Cycle(Cycle),
    None { cut: bool },
    Bound,
}

impl Search<'_> {
    /// The state after an edge, if it may be walked. Bit 0: the last was an anti-dependency.
    /// Bit 1: what must be walked was.
    fn step(&self, state: u32, kind: u8) -> Option<u32> {
        if kind == HOP {
            return Some(state);
        }
        if kind & self.shape.kinds == 0 || (self.shape.nonadjacent && kind == RW && state & 1 == 1)
        {
            return None;
        }
        let last = u32::from(self.shape.nonadjacent && kind == RW);
        Some(last | (state & 2) | (u32::from(kind & self.shape.must != 0) << 1))
    }

    fn cycle_through(
        &mut self,
        source: u32,
        first: u32,
        most: u32,
        is_helper: &dyn Fn(u32) -> bool,
    ) -> Outcome {
        self.round += 1;
        let must = self.shape.must;
        let state = u32::from(self.shape.nonadjacent && self.shape.start == RW)
            | (u32::from(self.shape.start & must != 0) << 1);
        let begin = first * 4 + state;
        let mut queue = VecDeque::from([begin]);
        self.seen[begin as usize] = self.round;
        self.from[begin as usize] = (NONE, self.shape.start);
        self.length[begin as usize] = 1;
        let mut cut = false;
        while let Some(at) = queue.pop_front() {
            let (vertex, state) = (at / 4, at % 4);
            let length = self.length[at as usize];
            for (next, kind) in self.graph.out(vertex) {
                if self.component[next as usize] != self.component[source as usize] {
                    continue;
                }
                if self.edges_left == 0 {
                    return Outcome::Bound;
                }
                self.edges_left -= 1;
                let Some(state) = self.step(state, kind) else {
                    continue;
                };
                let longer = length + u32::from(kind != HOP);
                let to = next * 4 + state;
                if longer > most {
                    cut = true;
                    continue;
                }
                if self.seen[to as usize] == self.round {
                    continue;
                }
                self.seen[to as usize] = self.round;
                self.from[to as usize] = (at, kind);
                self.length[to as usize] = longer;
                let closes = next == source && (must == 0 || state & 2 != 0) && state & 1 == 0;
                if closes {
                    return Outcome::Cycle(self.walk_back(source, to, is_helper));
                }
                match kind {
                    HOP => queue.push_front(to),
                    _ => queue.push_back(to),
                }
            }
        }
        Outcome::None { cut }
    }

    fn walk_back(&self, source: u32, end: u32, is_helper: &dyn Fn(u32) -> bool) -> Cycle {
        // Edges from the last to the first.
        let mut edges: Vec<(u32, u8)> = Vec::new();
        let mut at = end;
        loop {
            let (before, kind) = self.from[at as usize];
            if before == NONE {
                edges.push((source, kind));
                break;
            }
            edges.push((before / 4, kind));
            at = before;
        }
        edges.reverse();
        edges.retain(|(vertex, _)| !is_helper(*vertex));
        edges
    }
}

/// What kind of cycle the edges make.
pub fn classify(kinds: &[u8]) -> Option<Anomaly> {
    let count = |kind: u8| kinds.iter().filter(|k| **k == kind).count();
    let adjacent = (0..kinds.len())
        .any(|at| kinds[at] == RW && kinds[(at + 1) % kinds.len()] == RW && kinds.len() > 1);
    let base = match (count(RW), count(WR), count(WW)) {
        (0, 0, 0) => return None,
        (0, 0, _) => 0,
        (0, _, _) => 1,
        (1, ..) => 2,
        _ if !adjacent => 3,
        _ => 4,
    };
    let extra = match (count(REALTIME), count(PROCESS)) {
        (0, 0) => 0,
        (0, _) => PROCESS,
        _ => REALTIME,
    };
    let at = if extra == 0 { base } else { base + 5 };
    shapes(extra).get(at).map(|shape| shape.anomaly)
}

/// Splits a closed walk where it crosses itself, until a piece is a cycle of the kind.
pub fn simple(cycle: Cycle, anomaly: Anomaly) -> Option<Cycle> {
    let mut open = vec![cycle];
    while let Some(cycle) = open.pop() {
        let twice = (0..cycle.len()).find_map(|b| {
            let a = cycle[..b].iter().position(|(vertex, _)| *vertex == cycle[b].0)?;
            Some((a, b))
        });
        let Some((a, b)) = twice else {
            let kinds: Vec<u8> = cycle.iter().map(|(_, kind)| *kind).collect();
            if classify(&kinds) == Some(anomaly) {
                return Some(cycle);
            }
            continue;
        };
        let mut outer = cycle[..a].to_vec();
        outer.extend_from_slice(&cycle[b..]);
        open.extend([outer, cycle[a..b].to_vec()]);
    }
    None
}
