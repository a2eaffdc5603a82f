//! How far followers were behind: since when the leader had something that the follower had not.
//!
//! From the positions that both say of themselves over the control network, on the harness's clock:
//! what a leader remembers of a follower that it no longer hears has no part in it, and a follower
//! that a fault cut off is further behind with every sample. Where either is silent, or they are in
//! different terms, the lag is not known, and never 0.

use std::collections::BTreeMap;

use history::{Role, TelemetryEvent};
use maud::{Markup, html};

use crate::ReportInput;

/// The grades, best first.
const GRADES: [&str; 4] = ["healthy", "lagging", "far behind", "not known"];
/// Where a system's settings do not say where they end, ms.
const ENDS_MS: [i64; 2] = [1_000, 5_000];
/// How old a leader's last sample may be, ns.
const FRESH: i64 = 1_000_000_000;

/// What was seen of one follower.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    samples: u64,
    by_grade: [u64; 4],
    most_ms: Option<i64>,
}

type Place = (u32, String);

/// A leader's positions over time, of its term.
struct Led {
    term: u64,
    positions: Vec<(i64, u64)>,
}

/// A table, where there are followers.
pub fn lag(input: &ReportInput<'_>) -> Markup {
    let ends = ends(input);
    let seen = seen(input.telemetry, ends);
    let sharded = seen.keys().any(|(shard, _)| *shard != 0);
    let share =
        |seen: &Seen, grade: usize| 100.0 * seen.by_grade[grade] as f64 / seen.samples as f64;
    html! {
        @if !seen.is_empty() {
            h3 { "Followers' lag" }
            p.quiet {
                "For how long the leader had had something that the follower had not, by the \
                 positions that both said of themselves, to about one sample. Healthy: below "
                (ends[0]) " ms; lagging: up to " (ends[1]) " ms. Not known: the follower or the \
                 leader did not answer, or they were in different terms."
            }
            div.scroll { table {
                thead { tr {
                    th scope="col" { "follower" } th scope="col" { "samples" }
                    @for grade in GRADES { th scope="col" { (grade) } }
                    th scope="col" { "largest known" }
                } }
                tbody { @for ((shard, follower), seen) in &seen { tr {
                    td { (follower) @if sharded { " shard " (shard) } } td.n { (seen.samples) }
                    @for grade in 0..GRADES.len() {
                        td.n { (format!("{:.1} %", share(seen, grade))) }
                    }
                    td.n {
                        @match seen.most_ms {
                            Some(most) => { (most) " ms" }
                            None => "not known",
                        }
                    }
                } } }
            } }
        }
    }
}

fn ends(input: &ReportInput<'_>) -> [i64; 2] {
    let told = input.run.system.settings.get("lag_grades_ms").and_then(|both| both.as_array());
    let told: Option<Vec<i64>> =
        told.map(|both| both.iter().filter_map(|ms| ms.as_i64()).collect());
    told.and_then(|both| both.try_into().ok()).unwrap_or(ENDS_MS)
}

fn seen(telemetry: &[TelemetryEvent], ends: [i64; 2]) -> BTreeMap<Place, Seen> {
    let mut led: BTreeMap<u32, Led> = BTreeMap::new();
    let mut roles: BTreeMap<Place, Role> = BTreeMap::new();
    let mut found: BTreeMap<Place, Seen> = BTreeMap::new();
    for sample in telemetry {
        for replica in &sample.shards {
            roles.insert((replica.shard, sample.node.clone()), replica.role);
            let newer = led.get(&replica.shard).is_none_or(|led| led.term <= replica.term);
            if replica.role == Role::Leader && newer {
                let led =
                    led.entry(replica.shard).or_insert(Led { term: 0, positions: Vec::new() });
                if led.term < replica.term {
                    *led = Led { term: replica.term, positions: Vec::new() };
                }
                led.positions.push((sample.received, replica.position));
            }
        }
        // Who did not answer has lag all the same in every shard in which it was a follower.
        let own = roles.iter().filter(|((_, node), role)| {
            *node == sample.node && matches!(role, Role::Follower | Role::Deposed)
        });
        for (place, _) in own {
            let lag = behind(sample, place.0, led.get(&place.0));
            let grade = match lag {
                None => 3,
                Some(lag) if lag < ends[0] => 0,
                Some(lag) if lag <= ends[1] => 1,
                Some(_) => 2,
            };
            let seen = found.entry(place.clone()).or_default();
            seen.samples += 1;
            seen.by_grade[grade] += 1;
            seen.most_ms = seen.most_ms.max(lag);
        }
    }
    found
}

/// For how long, ms, a follower has been without something that the leader has; `None` where that
/// is not known.
fn behind(sample: &TelemetryEvent, shard: u32, led: Option<&Led>) -> Option<i64> {
    let led = led?;
    let replica = sample.shards.iter().find(|replica| replica.shard == shard)?;
    let (last, _) = led.positions.last()?;
    let comparable = replica.role == Role::Follower && replica.term == led.term;
    if !comparable || FRESH < sample.sent.saturating_sub(*last) {
        return None;
    }
    let first = led.positions.partition_point(|(_, position)| *position <= replica.position);
    let since = led.positions.get(first).map(|(at, _)| *at);
    Some(since.map_or(0, |since| sample.sent.saturating_sub(since).max(0) / 1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use history::ShardTelemetry;

    fn sample(ms: i64, node: &str, role: Option<(Role, u64, u64)>) -> TelemetryEvent {
        let replica = |(role, term, position)| ShardTelemetry {
            shard: 0,
            role,
            term,
            leader: None,
            position,
            committed: 0,
            // What it believes itself says nothing of what it does not hear.
            lag: Some(0),
            aside: None,
        };
        TelemetryEvent {
            sent: ms * 1_000_000,
            received: ms * 1_000_000,
            node: node.to_owned(),
            alive: role.is_some(),
            shards: role.map(replica).into_iter().collect(),
            error: None,
            details: BTreeMap::new(),
        }
    }

    /// What was seen of n2, which has this position from 1 s on, or is silent; n1 writes on.
    fn followed(from: i64, then: Option<(Role, u64, u64)>) -> Seen {
        let mut samples = Vec::new();
        for place in 0..100 {
            let (at, position) = (place * 100, place as u64);
            samples.push(sample(at, "n1", Some((Role::Leader, 1, position))));
            let level = Some((Role::Follower, 1, position));
            samples.push(sample(at + 10, "n2", if at < from { level } else { then }));
        }
        seen(&samples, ENDS_MS).remove(&(0, "n2".to_owned())).unwrap()
    }

    #[test]
    fn a_follower_that_a_cut_keeps_from_its_leader_is_further_behind_with_every_sample() {
        let seen = followed(1_000, Some((Role::Follower, 1, 10)));
        assert_eq!(seen.by_grade, [21, 40, 39, 0]);
        assert_eq!(seen.most_ms, Some(9_900 + 10 - 1_100));
    }

    #[test]
    fn of_a_follower_that_cannot_be_sampled_or_is_in_another_term_no_lag_is_known() {
        for then in [None, Some((Role::Follower, 2, 10)), Some((Role::Deposed, 1, 10))] {
            let seen = followed(1_000, then);
            assert_eq!((seen.by_grade, seen.most_ms), ([10, 0, 0, 90], Some(0)), "{then:?}");
        }
    }

    #[test]
    fn a_level_follower_is_healthy_and_one_whose_leader_is_silent_is_not_known() {
        assert_eq!(followed(i64::MAX, None).by_grade, [100, 0, 0, 0]);
        let follower = |at| sample(at, "n2", Some((Role::Follower, 1, 5)));
        let leader = sample(0, "n1", Some((Role::Leader, 1, 5)));
        let samples = [leader, follower(500), follower(1_500)];
        assert_eq!(seen(&samples, ENDS_MS)[&(0, "n2".to_owned())].by_grade, [1, 0, 0, 1]);
    }
}
