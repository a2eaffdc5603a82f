//! Who led when, from telemetry, and how long nobody took writes: remarks.
//!
//! These explain findings; they never decide a verdict.

use std::collections::BTreeMap;

use history::Role;

use crate::{ReportInput, seconds};

/// A stretch of time in which samples of a node said that it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Reign {
    node: String,
    term: u64,
    from: i64,
    to: i64,
}

/// Two leaders at once, and times without an acknowledged write, in words.
pub fn remarks(input: &ReportInput<'_>) -> Vec<String> {
    let mut remarks = split_brains(&reigns(input));
    remarks.extend(input.outages.iter().cloned());
    remarks
}

/// Who was seen to lead, in order of their first sample that said so, each once.
pub fn leaders(input: &ReportInput<'_>) -> Vec<String> {
    let mut leaders: Vec<String> = Vec::new();
    for sample in input.telemetry {
        let leads = sample.shards.iter().any(|replica| replica.role == Role::Leader);
        if leads && !leaders.contains(&sample.node) {
            leaders.push(sample.node.clone());
        }
    }
    leaders
}

/// By shard, every node's stretches as leader, in order of their start. A reign is from the first
/// sample that shows it to the last: never longer than was seen.
fn reigns(input: &ReportInput<'_>) -> BTreeMap<u32, Vec<Reign>> {
    let mut open: BTreeMap<(u32, &str), Reign> = BTreeMap::new();
    let mut closed: BTreeMap<u32, Vec<Reign>> = BTreeMap::new();
    let mut close = |shard: u32, reign: Reign| closed.entry(shard).or_default().push(reign);
    for sample in input.telemetry {
        for replica in &sample.shards {
            let place = (replica.shard, sample.node.as_str());
            let leads = replica.role == Role::Leader;
            match open.get_mut(&place) {
                Some(reign) if leads && reign.term == replica.term => reign.to = sample.sent,
                Some(_) => {
                    if let Some(reign) = open.remove(&place) {
                        close(replica.shard, reign);
                    }
                }
                None => {}
            }
            if leads && !open.contains_key(&place) {
                let node = sample.node.clone();
                let (from, to) = (sample.received, sample.sent);
                open.insert(place, Reign { node, term: replica.term, from, to });
            }
        }
    }
    for ((shard, _), reign) in open {
        close(shard, reign);
    }
    for reigns in closed.values_mut() {
        reigns.sort_by_key(|reign| (reign.from, reign.term));
    }
    closed
}

fn split_brains(reigns: &BTreeMap<u32, Vec<Reign>>) -> Vec<String> {
    let mut found = Vec::new();
    for (shard, reigns) in reigns {
        for (place, one) in reigns.iter().enumerate() {
            for other in &reigns[place + 1..] {
                let (from, to) = (one.from.max(other.from), one.to.min(other.to));
                if one.node == other.node || to <= from {
                    continue;
                }
                let of_shard =
                    if *shard == 0 { String::new() } else { format!(" of shard {shard}") };
                found.push(format!(
                    "split brain: {} (term {}) and {} (term {}) both led{of_shard} from {} to {}",
                    one.node,
                    one.term,
                    other.node,
                    other.term,
                    seconds(from),
                    seconds(to)
                ));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reign(node: &str, term: u64, from: i64, to: i64) -> Reign {
        Reign { node: node.to_owned(), term, from, to }
    }

    #[test]
    fn two_leaders_at_once_are_told_and_successors_are_not() {
        let second = 1_000_000_000;
        let reigns = BTreeMap::from([(
            0,
            vec![reign("n1", 1, 0, 7 * second), reign("n2", 2, 4 * second, 9 * second)],
        )]);
        let told = split_brains(&reigns);
        assert_eq!(
            told,
            ["split brain: n1 (term 1) and n2 (term 2) both led from 4.00 s to 7.00 s"]
        );
        let orderly =
            BTreeMap::from([(0, vec![reign("n1", 1, 0, second), reign("n2", 2, second, 9)])]);
        assert!(split_brains(&orderly).is_empty());
    }
}
