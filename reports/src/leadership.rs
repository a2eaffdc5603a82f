//! Who led when, and how long nobody took writes: remarks drawn from telemetry and operations.
//!
//! These explain findings; they never decide a verdict.

use std::collections::BTreeMap;

use history::{EventKind, Role};

use crate::{ReportInput, seconds};

/// Shortest time without an acknowledged write that is worth a remark, ns.
const STALL_MIN: i64 = 300_000_000;

/// A stretch of time in which samples of a node said that it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Reign {
    node: String,
    term: u64,
    from: i64,
    to: i64,
}

/// Two leaders at once, and stretches without writes, in words.
pub fn remarks(input: &ReportInput<'_>) -> Vec<String> {
    let mut remarks = split_brains(&reigns(input));
    remarks.extend(stalls(input));
    remarks
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

/// For every fault, the longest time around it in which no write was acknowledged: what users call
/// the time to recover. What begins after a later fault is that one's doing.
fn stalls(input: &ReportInput<'_>) -> Vec<String> {
    let wrote = input.ops.iter().filter(|op| op.write && op.kind == EventKind::Ok);
    let mut moments: Vec<i64> = wrote.filter_map(|op| op.completed).collect();
    moments.sort_unstable();
    let main_end = input.ops.iter().filter(|op| !op.final_read).map(|op| op.invoked).max();
    let end = main_end.unwrap_or(0).max(moments.last().copied().unwrap_or(0));
    let bands = input.bands();
    let mut told: BTreeMap<(i64, i64), Vec<&str>> = BTreeMap::new();
    for band in &bands {
        let later = bands.iter().map(|other| other.start).filter(|start| band.start < *start);
        let until = later.fold(band.end, i64::min);
        if let Some((from, to)) = longest_gap(&moments, end, band.start, until)
            && STALL_MIN <= to - from
        {
            told.entry((from, to)).or_default().push(&band.label);
        }
    }
    let sentence = |((from, to), faults): (&(i64, i64), &Vec<&str>)| {
        let (length, from, to) = (seconds(to - from), seconds(*from), seconds(*to));
        let what = faults.join(" and ");
        format!("no write was acknowledged for {length}, from {from} to {to}: {what}")
    };
    told.iter().map(sentence).collect()
}

/// The longest gap between moments that begins before `until` and ends after `start`; the run ends
/// at `end`. Of equals the first.
fn longest_gap(moments: &[i64], end: i64, start: i64, until: i64) -> Option<(i64, i64)> {
    let begins = std::iter::once(&0).chain(moments);
    let gaps = begins.zip(moments.iter().chain([&end])).map(|(from, to)| (*from, *to));
    let around = gaps.filter(|(from, to)| start < *to && *from < until);
    around.fold(None, |best: Option<(i64, i64)>, (from, to)| match best {
        Some((first, last)) if to - from <= last - first => best,
        _ => Some((from, to)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reign(node: &str, term: u64, from: i64, to: i64) -> Reign {
        Reign { node: node.to_owned(), term, from, to }
    }

    #[test]
    fn a_gap_is_the_fault_s_that_was_there_when_it_began() {
        let moments = [10, 20, 60, 70, 80, 300, 310];
        assert_eq!(
            longest_gap(&moments, 320, 15, 75),
            Some((20, 60)),
            "a later one began after it"
        );
        assert_eq!(longest_gap(&moments, 320, 75, 200), Some((80, 300)));
        assert_eq!(longest_gap(&moments, 320, 310, 900), Some((310, 320)), "to the run's end");
        assert_eq!(longest_gap(&[], 50, 10, 20), Some((0, 50)), "nothing was ever written");
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
