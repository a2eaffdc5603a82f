//! Whether a cycle with exactly one anti-dependency exists, decided without looking for one.
//!
//! Consistent view and forward consistent view forbid just that (`G-single`), and no component of
//! a part of the graph tells it: it is reachability. Each transaction from which an
//! anti-dependency leads is a bit; bits flow along the other dependencies, a word of them at a
//! time. Only where a search was cut short is this needed.

use crate::graph::{Graph, HOP, RW, WR, WW};

/// Whether some anti-dependency's end leads back to its start by ww and wr alone.
pub fn has_single(graph: &Graph) -> bool {
    let order = downward(graph);
    let mut sources: Vec<u32> =
        graph.edges().filter(|(.., kind)| *kind == RW).map(|(from, ..)| from).collect();
    sources.dedup();
    sources.chunks(64).any(|sources| comes_back(graph, &order, sources))
}

/// Whether one of at most 64 vertices is reached from where its anti-dependencies lead.
fn comes_back(graph: &Graph, order: &[u32], sources: &[u32]) -> bool {
    let mut bits = vec![0u64; graph.len()];
    for (bit, &source) in sources.iter().enumerate() {
        for (to, _) in graph.out(source).filter(|(_, kind)| *kind == RW) {
            bits[to as usize] |= 1 << bit;
        }
    }
    // Without a cycle of ww and wr once is enough, and the second round finds nothing new.
    let mut changed = true;
    while changed {
        changed = false;
        for &vertex in order {
            let here = bits[vertex as usize];
            if here == 0 {
                continue;
            }
            for (to, _) in graph.out(vertex).filter(|(_, kind)| kind & (WW | WR | HOP) != 0) {
                changed |= here & !bits[to as usize] != 0;
                bits[to as usize] |= here;
            }
        }
    }
    sources.iter().enumerate().any(|(bit, &source)| bits[source as usize] >> bit & 1 == 1)
}

/// All vertices, each before those that it leads to by ww and wr, as far as there are no cycles.
fn downward(graph: &Graph) -> Vec<u32> {
    let mut seen = vec![false; graph.len()];
    let mut order = Vec::with_capacity(graph.len());
    for root in 0..graph.len() as u32 {
        if seen[root as usize] {
            continue;
        }
        seen[root as usize] = true;
        let mut frames = vec![(root, graph.out(root))];
        while let Some((vertex, edges)) = frames.last_mut() {
            match edges.next() {
                Some((to, kind)) if kind & (WW | WR | HOP) != 0 && !seen[to as usize] => {
                    seen[to as usize] = true;
                    frames.push((to, graph.out(to)));
                }
                Some(_) => {}
                None => {
                    order.push(*vertex);
                    frames.pop();
                }
            }
        }
    }
    order.reverse();
    order
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::graph::Builder;
    use crate::search::{Search, shapes};

    #[test]
    fn it_is_decided_as_the_search_that_is_not_cut_short_finds_it() {
        let single = shapes(0)[2];
        assert_eq!(single.anomaly.name(), "G-single-item");
        let mut counts = [0; 2];
        for seed in 0..3_000 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            // More than a word of sources now and then.
            let vertices = if seed % 10 == 0 { 150 } else { random.random_range(2..12) };
            let mut edges = Vec::new();
            for _ in 0..random.random_range(1..=vertices + vertices / 2) {
                let (from, to) =
                    (random.random_range(0..vertices), random.random_range(0..vertices));
                edges.push((from, to, [WW, WR, RW, RW][random.random_range(0..4)]));
            }
            let mut some: Vec<u32> = (0..vertices).filter(|_| random.random_bool(0.4)).collect();
            let others: Vec<u32> = (0..vertices).filter(|_| random.random_bool(0.4)).collect();
            some.truncate(4);
            let tell = &mut |builder: &mut Builder| {
                edges.iter().for_each(|(from, to, kind)| builder.add(*from, *to, *kind));
                if seed % 3 == 0 {
                    builder.fan(&some, &others, [WR, RW][(seed % 2) as usize]);
                }
            };
            let graph = Graph::told(vertices as usize, tell).unwrap();
            let found = Search::new(&graph).shortest(single, &|v| v >= vertices, u64::MAX);
            let there = found.cycle.is_some();
            assert_eq!(has_single(&graph), there, "seed {seed}: {found:?}", found = found.cycle);
            counts[usize::from(there)] += 1;
        }
        assert!(counts.iter().all(|count| 300 < *count), "{counts:?}");
    }
}
