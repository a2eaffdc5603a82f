//! Reads whose lists disagree with the longest of their key, in near-linear numbers of edges.

use history::MopKind;
use rustc_hash::{FxHashMap, FxHashSet};

use super::{Builder, Node, Read};
use crate::elements::Element;

/// Elements that the longest list does not show, under a tree whose vertices each come before all
/// elements below them: so that "misses all of these but some" takes few edges.
pub(super) struct Rest {
    /// By element: its place in the longest list.
    listed: FxHashMap<Element, u32>,
    /// By element that is not listed: its place.
    places: FxHashMap<Element, u32>,
    /// The vertices: the root is 1, the vertices below `n` are `2n` and `2n + 1`, and the elements
    /// are the last half.
    tree: Vec<u32>,
}

impl Builder<'_, '_> {
    /// The tree over these elements.
    pub(super) fn rest(&mut self, longest: &[Element], rest: &[Element]) -> Rest {
        let numbered = |elements: &[Element]| {
            elements.iter().enumerate().map(|(at, e)| (*e, at as u32)).collect()
        };
        let count = rest.len();
        let mut tree: Vec<u32> = (0..count).map(|_| self.node(Node::Helper)).collect();
        for element in rest {
            let node = self.of(*element);
            tree.push(node);
        }
        for at in 1..count {
            self.edge(tree[at], tree[2 * at]);
            self.edge(tree[at], tree[2 * at + 1]);
        }
        Rest { listed: numbered(longest), places: numbered(rest), tree }
    }

    /// A list that is no prefix of the longest.
    pub(super) fn explain_any(
        &mut self,
        read: &Read,
        longest: &[Element],
        rest: &[Element],
        tree: &Rest,
    ) {
        for pair in read.shown.windows(2) {
            self.chain(pair[0], pair[1]);
        }
        let shown: FxHashSet<Element> = read.shown.iter().copied().collect();
        for element in &read.shown {
            self.seen(&[*element], read);
        }
        // What follows on a missed element in the longest list is missed through it. The one just
        // before a shown one is missed by itself too, which keeps witnesses short.
        let missed = |this: &Self, element: &Element| {
            !shown.contains(element) && !this.own(*element, read.op)
        };
        let first = longest.iter().find(|element| missed(self, element));
        let listed = read.shown.iter().filter_map(|element| tree.listed.get(element));
        let before = listed.filter_map(|place| place.checked_sub(1));
        let before = before.map(|place| &longest[place as usize]);
        let before: Vec<Element> =
            first.into_iter().chain(before.filter(|e| missed(self, e))).copied().collect();
        for element in before {
            self.missed(element, read);
        }
        // Of the rest it misses the stretches between what it shows and what is its own.
        let own = |mop: &history::Mop| self.elements.number(mop.key, mop.value);
        let history = self.elements.history;
        let mops = history.mops_of(&history.ops[read.op as usize]).iter();
        let writes = mops.filter(|mop| mop.kind != MopKind::Read).filter_map(own);
        let others = writes.filter(|element| self.own(*element, read.op));
        let mut known: Vec<usize> = others
            .chain(read.shown.iter().copied())
            .filter_map(|element| tree.places.get(&element).map(|place| *place as usize))
            .collect();
        known.push(rest.len());
        known.sort_unstable();
        let mut from = 0;
        for place in known {
            self.missed_stretch(from, place, tree, read);
            from = place + 1;
        }
    }

    /// The read misses all of the rest from one place up to another.
    fn missed_stretch(&mut self, from: usize, to: usize, tree: &Rest, read: &Read) {
        let count = tree.places.len();
        let (mut low, mut high) = (from + count, to.max(from) + count);
        while low < high {
            if low % 2 == 1 {
                self.edge(read.moment, tree.tree[low]);
                low += 1;
            }
            if high % 2 == 1 {
                high -= 1;
                self.edge(read.moment, tree.tree[high]);
            }
            (low, high) = (low / 2, high / 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Write;

    use history::{History, MopKind};
    use rand::Rng;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use crate::elements::Elements;
    use crate::prefix_graph::{Graph, Node, build};
    use crate::verdict::ReadsMode;

    /// So many appends to one key, each followed by a read that shows a few random ones of those
    /// before it.
    fn contradictory(count: i64, few: usize, seed: u64) -> History {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut text = String::new();
        let mut line = |index: i64, kind: &str, process: i64, value: &str| {
            let _ = writeln!(
                text,
                "{{\"index\":{index},\"type\":\"{kind}\",\"process\":{process},\"time\":0,\
                 \"f\":\"txn\",\"value\":[{value}]}}"
            );
        };
        for n in 0..count {
            let mut seen: Vec<i64> = (0..few).map(|_| random.random_range(0..=n)).collect();
            seen.sort_unstable();
            seen.dedup();
            let turn = random.random_range(0..seen.len());
            seen.rotate_left(turn);
            let append = format!("[\"append\",0,{n}]");
            line(4 * n, "invoke", 0, &append);
            line(4 * n + 1, "ok", 0, &append);
            line(4 * n + 2, "invoke", 1 + n % 20, "[\"r\",0,null]");
            line(4 * n + 3, "ok", 1 + n % 20, &format!("[\"r\",0,{seen:?}]"));
        }
        history::read_events(text.as_bytes()).history
    }

    fn graph_of(history: &History) -> Graph {
        let all: Vec<u32> = (0..history.ops.len() as u32).collect();
        build(&Elements::new(history), &all, ReadsMode::Atomic, false)
    }

    fn edges(count: i64) -> usize {
        let graph = graph_of(&contradictory(count, 20, 1));
        assert!(!graph.knots().is_empty(), "they contradict each other");
        graph.after.iter().map(Vec::len).sum()
    }

    /// The transactions that a moment comes before by one edge, or through helpers.
    fn missed(graph: &Graph, moment: u32) -> BTreeSet<u32> {
        let (mut open, mut found) = (vec![moment], BTreeSet::new());
        while let Some(node) = open.pop() {
            for next in &graph.after[node as usize] {
                match graph.nodes[*next as usize] {
                    Node::Txn(op) => drop(found.insert(op)),
                    Node::Helper => open.push(*next),
                    Node::Moment(_) => {}
                }
            }
        }
        found
    }

    #[test]
    fn a_read_comes_before_all_that_it_misses_of_what_no_longest_list_shows_and_no_more() {
        let mut compared = 0;
        for seed in 0..60 {
            let history = contradictory(2 + seed as i64 % 23, 3, seed);
            let graph = graph_of(&history);
            let reads = history
                .ops
                .iter()
                .enumerate()
                .filter(|(_, op)| history.mops_of(op)[0].kind == MopKind::Read);
            let shown = |op: &history::Op| -> BTreeSet<u32> {
                // The append of n is operation 2n.
                history.list(&history.mops_of(op)[0]).iter().map(|n| 2 * *n as u32).collect()
            };
            let most = reads.clone().map(|(_, op)| shown(op).len()).max().unwrap();
            // Of several of one length the last is taken.
            let longest = reads.clone().rfind(|(_, op)| shown(op).len() == most);
            let longest = shown(longest.unwrap().1);
            let appends: BTreeSet<u32> = (0..history.ops.len() as u32).step_by(2).collect();
            for (at, op) in reads {
                let moment = Node::Moment(at as u32);
                let moment = graph.nodes.iter().position(|node| *node == moment).unwrap();
                let (found, shown) = (missed(&graph, moment as u32), shown(op));
                assert!(found.is_disjoint(&shown), "seed {seed}, read {at}");
                let rest: BTreeSet<u32> =
                    appends.iter().copied().filter(|op| !longest.contains(op)).collect();
                let needed: BTreeSet<u32> = rest.difference(&shown).copied().collect();
                assert!(needed.is_subset(&found), "seed {seed}, read {at}: {needed:?} {found:?}");
                compared += needed.len();
            }
        }
        assert!(1_000 < compared, "{compared}");
    }

    #[test]
    fn reads_that_disagree_cost_edges_that_grow_with_what_they_show() {
        let (small, large) = (edges(1_000), edges(8_000));
        // Eight times as many: with every missed element by itself it was sixty-four times.
        assert!(large < 16 * small, "{small} edges, then {large}");
    }
}
