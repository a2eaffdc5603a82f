//! Knots and cycles of the prefix graph, and the operations in them.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::prefix_graph::{Graph, Node};

impl Graph {
    /// Sets of nodes that each come before themselves; none if the graph is acyclic. Tarjan's
    /// algorithm without recursion.
    pub fn knots(&self) -> Vec<Vec<u32>> {
        const NEW: u32 = u32::MAX;
        let count = self.nodes.len();
        let (mut index, mut low) = (vec![NEW; count], vec![0; count]);
        let mut on_stack = vec![false; count];
        let (mut stack, mut next, mut knots) = (Vec::new(), 0, Vec::new());
        let mut calls: Vec<(u32, usize)> = Vec::new();
        for root in 0..count as u32 {
            if index[root as usize] != NEW {
                continue;
            }
            calls.push((root, 0));
            while let Some((node, edge)) = calls.pop() {
                let v = node as usize;
                if edge == 0 {
                    index[v] = next;
                    low[v] = next;
                    next += 1;
                    stack.push(node);
                    on_stack[v] = true;
                } else {
                    let child = self.after[v][edge - 1] as usize;
                    low[v] = low[v].min(low[child]);
                }
                let mut edge = edge;
                let mut descend = None;
                while let Some(&to) = self.after[v].get(edge) {
                    edge += 1;
                    if index[to as usize] == NEW {
                        descend = Some(to);
                        break;
                    }
                    if on_stack[to as usize] {
                        low[v] = low[v].min(index[to as usize]);
                    }
                }
                if let Some(child) = descend {
                    calls.push((node, edge));
                    calls.push((child, 0));
                    continue;
                }
                if low[v] == index[v] {
                    let from = stack.iter().rposition(|on| *on == node).unwrap_or(0);
                    let knot = stack.split_off(from);
                    for member in &knot {
                        on_stack[*member as usize] = false;
                    }
                    if 1 < knot.len() || self.after[v].contains(&node) {
                        knots.push(knot);
                    }
                }
            }
        }
        knots
    }

    /// A shortest way from `start` back to itself inside `knot`.
    pub fn shortest_cycle(&self, start: u32, knot: &FxHashSet<u32>) -> Vec<u32> {
        let mut came: FxHashMap<u32, u32> = FxHashMap::default();
        let mut queue = std::collections::VecDeque::from([start]);
        while let Some(node) = queue.pop_front() {
            for &to in &self.after[node as usize] {
                if to == start {
                    let mut cycle = vec![node];
                    let mut at = node;
                    while at != start {
                        at = came[&at];
                        cycle.push(at);
                    }
                    cycle.reverse();
                    return cycle;
                }
                if knot.contains(&to) && !came.contains_key(&to) {
                    came.insert(to, node);
                    queue.push_back(to);
                }
            }
        }
        Vec::new()
    }

    /// The operations of some nodes, ascending.
    pub fn ops_of(&self, nodes: &[u32]) -> Vec<u32> {
        let op = |node: &u32| match self.nodes[*node as usize] {
            Node::Txn(op) | Node::Moment(op) => Some(op),
            Node::Helper => None,
        };
        let mut ops: Vec<u32> = nodes.iter().filter_map(op).collect();
        ops.sort_unstable();
        ops.dedup();
        ops
    }
}
