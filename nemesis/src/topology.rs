//! Who hears whom: ways to split a network, as the packets that are dropped.

use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::act::{Act, Link};

/// A minority and the rest. With `side` minority, the targets and as many others, drawn, as keep
/// them one; with majority the targets are in the rest; else the seed chooses the side.
pub fn halves(
    nodes: &[usize],
    mut rest: Vec<usize>,
    side: &str,
    rng: &mut ChaCha8Rng,
) -> (Vec<usize>, Vec<usize>) {
    let count = nodes.len() + rest.len();
    let most = count.saturating_sub(1) / 2;
    rest.shuffle(rng);
    let within = match side {
        "minority" => true,
        "majority" => false,
        // As likely as for a node of a split that is drawn without looking at the target.
        _ => rng.random_range(0..count) < most,
    };
    let (mut minority, mut majority) = if within {
        let room = most.saturating_sub(nodes.len());
        let majority = rest.split_off(room.min(rest.len()));
        rest.extend(nodes);
        (rest, majority)
    } else {
        let mut majority = rest.split_off(most.min(rest.len()));
        majority.extend(nodes);
        (rest, majority)
    };
    minority.sort_unstable();
    majority.sort_unstable();
    (minority, majority)
}

/// Two parts of a drawn order, as even as can be.
pub fn split(mut nodes: Vec<usize>, rng: &mut ChaCha8Rng) -> (Vec<usize>, Vec<usize>) {
    nodes.shuffle(rng);
    let other = nodes.split_off(nodes.len() / 2);
    (nodes, other)
}

/// Nodes in a drawn ring hear only as many neighbours on each side as make a majority with them.
/// Links are cut both ways, since one that is open one way carries no connection.
pub fn majorities_ring(mut nodes: Vec<usize>, rng: &mut ChaCha8Rng) -> Act {
    nodes.shuffle(rng);
    let count = nodes.len();
    // Besides itself a majority has `count / 2` others, half of them on each side.
    let reach = (count / 2).div_ceil(2);
    let mut links = Vec::new();
    for (place, &at) in nodes.iter().enumerate() {
        for (other, &from) in nodes.iter().enumerate() {
            let apart = place.abs_diff(other);
            if reach < apart.min(count - apart) {
                links.push(Link { at, from });
            }
        }
    }
    links.sort_unstable();
    Act::Drop { links }
}

/// Each of `nodes` hears no other, nor is heard.
pub fn alone(nodes: &[usize], count: usize) -> Act {
    Act::Drop { links: around(nodes, count) }
}

/// Both directions between each of `nodes` and every other.
pub fn around(nodes: &[usize], count: usize) -> Vec<Link> {
    let mut links: Vec<Link> = Vec::new();
    for &node in nodes {
        for other in (0..count).filter(|other| *other != node) {
            links.push(Link { at: node, from: other });
            links.push(Link { at: other, from: node });
        }
    }
    links.sort_unstable();
    links.dedup();
    links
}

/// What the others say is not heard by the targets, or the other way round.
pub fn one_way(nodes: &[usize], rest: &[usize], direction: &str) -> Act {
    let (at, from) = if direction == "out" { (rest, nodes) } else { (nodes, rest) };
    let mut links: Vec<Link> =
        at.iter().flat_map(|&at| from.iter().map(move |&from| Link { at, from })).collect();
    links.sort_unstable();
    Act::Drop { links }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use rand_chacha::rand_core::SeedableRng;

    fn links(act: Act) -> Vec<Link> {
        let Act::Drop { links } = act else { panic!("a topology drops packets") };
        links
    }

    #[test]
    fn in_a_ring_every_node_hears_another_majority() {
        for count in 4..=9 {
            for seed in 0..20 {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                let links = links(majorities_ring((0..count).collect(), &mut rng));
                assert!(!links.is_empty());
                let hears = |at: usize| -> BTreeSet<usize> {
                    let lost = |from: &usize| links.contains(&Link { at, from: *from });
                    (0..count).filter(|from| !lost(from)).collect()
                };
                let views: BTreeSet<_> = (0..count).map(hears).collect();
                assert_eq!(views.len(), count, "{count} nodes: each sees others");
                assert!(views.iter().all(|view| count / 2 < view.len()));
                assert!(links.iter().all(|l| links.contains(&Link { at: l.from, from: l.at })));
            }
        }
    }

    #[test]
    fn halves_are_a_minority_and_the_rest_on_any_side() {
        let mut sides = BTreeSet::new();
        for (side, seed) in ["minority", "majority", "drawn"]
            .iter()
            .flat_map(|side| (0..20).map(move |seed| (*side, seed)))
        {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let (minority, majority) = halves(&[2], vec![0, 1, 3, 4], side, &mut rng);
            assert_eq!((minority.len(), majority.len()), (2, 3));
            let within = minority.contains(&2);
            assert_ne!(within, majority.contains(&2));
            sides.insert((side, within));
        }
        let seen: Vec<_> = sides.into_iter().collect();
        let expected = [("drawn", false), ("drawn", true), ("majority", false), ("minority", true)];
        assert_eq!(seen, expected);
    }

    #[test]
    fn one_way_leaves_the_other_way_open() {
        let heard = links(one_way(&[1], &[0, 2], "in"));
        assert_eq!(heard, [Link { at: 1, from: 0 }, Link { at: 1, from: 2 }]);
        let said = links(one_way(&[1], &[0, 2], "out"));
        assert_eq!(said, [Link { at: 0, from: 1 }, Link { at: 2, from: 1 }]);
    }

    #[test]
    fn a_bridge_stands_between_even_parts() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let (one, other) = split(vec![0, 1, 3, 4], &mut rng);
        assert_eq!((one.len(), other.len()), (2, 2));
    }
}
