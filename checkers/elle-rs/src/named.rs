//! Write skew and long fork: cycles of a shape that has a name of its own in the literature.
//!
//! Both are also cycles of a kind that rules levels out (`G2-item`, `G-nonadjacent-item`), so the
//! names never change a level. They are looked for by themselves, since a history's shortest cycle
//! of a kind need not have the shape.
//!
//! - Write skew: two transactions, each of which read what the other overwrote. With one key for
//!   both it is a lost update as well.
//! - Long fork: two writers and two readers; each reader saw one writer's version and read a
//!   version that the other writer overwrote. They saw the two writes in opposite orders.

use crate::anomaly::Anomaly;
use crate::graph::{Graph, HOP, NONE, RW, View, WR, components};
use crate::search::{Cycle, Found};

/// The two kinds, with the edges that their cycles are made of, in order.
pub const SHAPES: [(Anomaly, &[u8]); 2] =
    [(Anomaly::WriteSkew, &[RW, RW]), (Anomaly::LongFork, &[RW, WR, RW, WR])];

struct Walk<'g> {
    graph: &'g Graph,
    kinds: &'static [u8],
    component: Vec<u32>,
    is_helper: &'g dyn Fn(u32) -> bool,
    edges_left: u64,
    path: Vec<u32>,
    /// By depth and vertex: the start from which it was last tried in vain, and how often. Why a
    /// vertex leads nowhere may be that the path crosses itself at the one vertex before it; after
    /// a second vain try from another one that cannot be the reason.
    tried: Vec<Vec<(u32, u8)>>,
}

/// A cycle of transactions whose edges are of these kinds, one after the other; no transaction is
/// in it twice.
pub fn cycle(
    graph: &Graph,
    kinds: &'static [u8],
    is_helper: &dyn Fn(u32) -> bool,
    edges_max: u64,
) -> Found {
    let all = kinds.iter().fold(0, |all, kind| all | kind);
    let component = components(graph, View { kinds: all, nonadjacent: false }).of;
    let tried = vec![vec![(NONE, 0); graph.len()]; kinds.len() - 1];
    let mut walk =
        Walk { graph, kinds, component, is_helper, edges_left: edges_max, path: Vec::new(), tried };
    for start in 0..graph.len() as u32 {
        if is_helper(start) || walk.component[start as usize] == NONE {
            continue;
        }
        walk.path = vec![start];
        if walk.on() {
            let kinds = kinds.iter().copied();
            let cycle: Cycle = walk.path.iter().copied().zip(kinds).collect();
            return Found { cycle: Some(cycle), bounded: false };
        }
        if walk.edges_left == 0 {
            return Found { cycle: None, bounded: true };
        }
    }
    Found { cycle: None, bounded: false }
}

impl Walk<'_> {
    /// Completes the path, if it can be. Recursion goes no deeper than the cycle is long.
    fn on(&mut self) -> bool {
        let depth = self.path.len() - 1;
        let nexts = self.after(self.path[depth], self.kinds[depth]);
        let start = self.path[0];
        if depth + 1 == self.kinds.len() {
            return nexts.contains(&start);
        }
        for next in nexts {
            let (of, times) = self.tried[depth][next as usize];
            let times = if of == start { times } else { 0 };
            if self.path.contains(&next) || times == 2 {
                continue;
            }
            self.path.push(next);
            if self.on() {
                return true;
            }
            self.path.pop();
            self.tried[depth][next as usize] = (start, times + 1);
        }
        false
    }

    /// Where edges of a kind lead, through helpers.
    fn after(&mut self, from: u32, kind: u8) -> Vec<u32> {
        let mut found = Vec::new();
        let mut open = vec![(from, kind)];
        while let Some((at, wanted)) = open.pop() {
            for (next, kind) in self.graph.out(at) {
                if self.edges_left == 0 {
                    return Vec::new();
                }
                self.edges_left -= 1;
                let inside = self.component[next as usize] == self.component[from as usize];
                if kind != wanted || !inside {
                    continue;
                }
                match (self.is_helper)(next) {
                    true => open.push((next, HOP)),
                    false => found.push(next),
                }
            }
        }
        found
    }
}
