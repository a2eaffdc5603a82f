//! Two leaders of one log that acknowledge writes at the same time: split brain, by what clients
//! were told and what nodes said of themselves (docs/checkers/two-leaders.md).
//!
//! A *reign* is a node's leadership of a shard in one term. It lasted at least from the completion
//! of the first write that the node acknowledged in it to the invocation of the last one: that is
//! its certain span. Two reigns of different nodes overlap if their certain spans do, or if a write
//! that one acknowledged lies, from its invocation to its completion, within the other's.

use std::collections::BTreeMap;

use history::{EventKind, History, Key, MopKind, Role, TelemetryEvent};

/// Two nodes that acknowledged writes of one log at the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TwoLeaders {
    /// The log.
    pub shard: u32,
    /// The two, each with its term if it was told, in order of their first acknowledgement.
    pub leaders: [(String, Option<u64>); 2],
    /// From when both certainly acknowledged, ns since the run's start.
    pub from: i64,
    /// Until when, ns since the run's start.
    pub to: i64,
}

/// What a node acknowledged in one term.
struct Reign<'a> {
    node: &'a str,
    term: Option<u64>,
    /// Invocation and completion of each write, in order of invocation.
    writes: Spans,
}

/// Invocation and completion of writes.
type Spans = Vec<(i64, i64)>;

/// What a node said of one shard: asked, answered, and its term if it led.
type Said = (i64, i64, Option<u64>);

/// Every pair of reigns that overlap, in order of their times. `shard_of` says which log a key
/// lives on; a write of keys of several logs says nothing of who led which.
pub fn two_leaders(
    history: &History,
    telemetry: &[TelemetryEvent],
    shard_of: impl Fn(&Key) -> u32,
) -> Vec<TwoLeaders> {
    let mut found = Vec::new();
    for (shard, reigns) in reigns(history, telemetry, shard_of) {
        for (place, one) in reigns.iter().enumerate() {
            let others = reigns[place + 1..].iter().filter(|other| other.node != one.node);
            for other in others {
                let Some((from, to)) = overlap(one, other) else {
                    continue;
                };
                let mut pair = [one, other];
                pair.sort_by_key(|reign| reign.certain().0);
                let leaders = pair.map(|reign| (reign.node.to_owned(), reign.term));
                found.push(TwoLeaders { shard, leaders, from, to });
            }
        }
    }
    found.sort_by_key(|pair| (pair.from, pair.to, pair.shard));
    found
}

impl Reign<'_> {
    /// First completion, last invocation; of one write alone the first is the later.
    fn certain(&self) -> (i64, i64) {
        let first = self.writes.iter().map(|(_, completed)| *completed).min();
        let last = self.writes.iter().map(|(invoked, _)| *invoked).max();
        (first.unwrap_or(i64::MAX), last.unwrap_or(i64::MIN))
    }
}

/// When both certainly led, if ever.
fn overlap(one: &Reign<'_>, other: &Reign<'_>) -> Option<(i64, i64)> {
    let ((from, to), (since, until)) = (one.certain(), other.certain());
    let (start, end) = (from.max(since), to.min(until));
    if from <= to && since <= until && start < end {
        return Some((start, end));
    }
    let within = |inner: &Reign<'_>, (from, to): (i64, i64)| {
        let inside = |(invoked, completed): &&(i64, i64)| from < *invoked && *completed < to;
        let (first, last) = (inner.writes.iter().find(inside), inner.writes.iter().rfind(inside));
        first.zip(last).map(|((invoked, _), (_, completed))| (*invoked, *completed))
    };
    within(other, (from, to)).or_else(|| within(one, (since, until)))
}

/// By shard, what each node acknowledged in each term.
fn reigns<'a>(
    history: &'a History,
    telemetry: &[TelemetryEvent],
    shard_of: impl Fn(&Key) -> u32,
) -> BTreeMap<u32, Vec<Reign<'a>>> {
    let shards: Vec<u32> = history.keys.iter().map(shard_of).collect();
    let mut said: BTreeMap<(&str, u32), Vec<Said>> = BTreeMap::new();
    for sample in telemetry.iter().filter(|sample| sample.alive) {
        for replica in &sample.shards {
            let led = (replica.role == Role::Leader).then_some(replica.term);
            let place = (sample.node.as_str(), replica.shard);
            said.entry(place).or_default().push((sample.sent, sample.received, led));
        }
    }
    let mut reigns: BTreeMap<(u32, &str, Option<u64>), Spans> = BTreeMap::new();
    let acknowledged = history.ops.iter().filter(|op| op.kind == EventKind::Ok && !op.final_read);
    for op in acknowledged {
        let mops = history.mops_of(op);
        let (Some(node), Some(completed), Some(first)) =
            (history.node_name(op), op.completed(), mops.first())
        else {
            continue;
        };
        let shard = shards[first.key as usize];
        let one_log = mops.iter().all(|mop| shards[mop.key as usize] == shard);
        if !one_log || mops.iter().all(|mop| mop.kind == MopKind::Read) {
            continue;
        }
        let told = said.get(&(node, shard)).map_or(&[][..], Vec::as_slice);
        let Ok(term) = term_of(told, op.invoked(), completed) else {
            continue;
        };
        reigns.entry((shard, node, term)).or_default().push((op.invoked(), completed));
    }
    let mut by_shard: BTreeMap<u32, Vec<Reign<'a>>> = BTreeMap::new();
    for ((shard, node, term), writes) in reigns {
        by_shard.entry(shard).or_default().push(Reign { node, term, writes });
    }
    by_shard
}

/// A write that a node acknowledged somewhere between two terms that it led.
struct BetweenTerms;

/// The term in which a node acknowledged a write: by what it last said before, or next after. None
/// where it said nothing of leading then: such writes are a reign of their own. Those between two
/// terms belong to either: another node may have led in between.
fn term_of(told: &[Said], invoked: i64, completed: i64) -> Result<Option<u64>, BetweenTerms> {
    let next = told.partition_point(|(_, received, _)| *received <= invoked);
    let before = next.checked_sub(1).and_then(|place| told[place].2);
    let after = told[next..].iter().find(|(sent, ..)| completed <= *sent);
    let after = after.and_then(|(.., led)| *led);
    match (before, after) {
        (Some(before), Some(after)) if before != after => Err(BetweenTerms),
        (before, after) => Ok(before.or(after)),
    }
}

#[cfg(test)]
mod tests {
    use history::{Event, MicroOp, ShardTelemetry};

    use super::*;

    /// A write that a node acknowledged: process, node, invoked, completed.
    type Write = (i64, &'static str, i64, i64);

    fn event(index: u64, kind: EventKind, (process, node, invoked, completed): Write) -> Event {
        let ok = kind == EventKind::Ok;
        Event {
            index,
            kind,
            process,
            session: None,
            node: Some(node.into()),
            time: if ok { completed } else { invoked },
            f: "txn".into(),
            value: vec![MicroOp::append(1, process)],
            final_read: false,
            error: None,
            position: None,
            target: None,
            hops: Vec::new(),
        }
    }

    fn history(writes: &[Write]) -> History {
        let mut lines: Vec<(i64, EventKind, Write)> = Vec::new();
        for write in writes {
            lines.push((write.2, EventKind::Invoke, *write));
            lines.push((write.3, EventKind::Ok, *write));
        }
        lines.sort_by_key(|(time, ..)| *time);
        let lines = lines.into_iter().enumerate();
        let events = lines.map(|(index, (_, kind, write))| event(index as u64, kind, write));
        History::from_events(events).unwrap()
    }

    fn sample(node: &str, at: i64, role: Role, term: u64) -> TelemetryEvent {
        TelemetryEvent {
            sent: at,
            received: at,
            node: node.to_owned(),
            alive: true,
            shards: vec![ShardTelemetry {
                shard: 0,
                role,
                term,
                leader: None,
                position: 0,
                committed: 0,
                lag: Some(0),
                aside: None,
            }],
            error: None,
            details: BTreeMap::new(),
        }
    }

    fn found(writes: &[Write], telemetry: &[TelemetryEvent]) -> Vec<(i64, i64)> {
        let pairs = two_leaders(&history(writes), telemetry, |_| 0);
        pairs.into_iter().map(|pair| (pair.from, pair.to)).collect()
    }

    /// n1 leads in term 1 for ever, n2 in term 2 from 40 on.
    fn both() -> Vec<TelemetryEvent> {
        vec![
            sample("n1", 0, Role::Leader, 1),
            sample("n2", 1, Role::Follower, 1),
            sample("n2", 40, Role::Leader, 2),
            sample("n1", 100, Role::Leader, 1),
            sample("n2", 100, Role::Leader, 2),
        ]
    }

    #[test]
    fn two_that_acknowledge_by_turns_are_two_leaders() {
        let writes = [(1, "n1", 10, 12), (2, "n2", 41, 45), (3, "n1", 50, 52), (4, "n2", 60, 61)];
        assert_eq!(found(&writes, &both()), [(45, 50)]);
        let pairs = two_leaders(&history(&writes), &both(), |_| 0);
        let leaders = [("n1".to_owned(), Some(1)), ("n2".to_owned(), Some(2))];
        assert_eq!(pairs[0].leaders, leaders);
    }

    #[test]
    fn one_write_on_another_node_amid_a_reign_is_enough() {
        let writes = [(1, "n1", 10, 12), (2, "n2", 41, 45), (3, "n1", 50, 52)];
        assert_eq!(found(&writes, &both()), [(41, 45)]);
    }

    #[test]
    fn a_successor_is_no_second_leader_even_where_requests_cross() {
        // The last of n1 was invoked before n2 acknowledged anything: it may have been done then.
        let writes = [(1, "n1", 10, 12), (2, "n1", 38, 47), (3, "n2", 41, 45), (4, "n2", 60, 61)];
        assert!(found(&writes, &both()).is_empty());
    }

    #[test]
    fn who_leads_again_in_a_later_term_did_not_lead_meanwhile() {
        let writes = [(1, "n1", 10, 12), (2, "n2", 41, 45), (3, "n1", 70, 72)];
        let mut telemetry = vec![
            sample("n1", 0, Role::Leader, 1),
            sample("n2", 1, Role::Follower, 1),
            sample("n1", 30, Role::Follower, 1),
            sample("n2", 40, Role::Leader, 2),
            sample("n2", 60, Role::Follower, 3),
            sample("n1", 65, Role::Leader, 3),
            sample("n1", 90, Role::Leader, 3),
        ];
        assert!(found(&writes, &telemetry).is_empty());
        // In one and the same term it did.
        telemetry.iter_mut().filter(|s| s.node == "n1").for_each(|s| s.shards[0].term = 1);
        assert_eq!(found(&writes, &telemetry), [(41, 45)]);
    }

    #[test]
    fn a_node_that_was_never_sampled_is_judged_by_its_acknowledgements() {
        let writes = [(1, "n1", 10, 12), (2, "n2", 41, 45), (3, "n1", 50, 52)];
        let of_n2: Vec<_> = both().into_iter().filter(|s| s.node == "n2").collect();
        assert_eq!(found(&writes, &of_n2), [(41, 45)]);
        assert_eq!(found(&writes, &[]), [(41, 45)]);
        // Nobody could ask n1 any more since it followed.
        let since = [vec![sample("n1", 0, Role::Follower, 1)], of_n2].concat();
        assert_eq!(found(&writes, &since), [(41, 45)]);
    }

    #[test]
    fn leaders_of_different_logs_are_not_two_of_one() {
        let writes = [(1, "n1", 10, 12), (2, "n2", 41, 45), (3, "n1", 50, 52)];
        let mut history = history(&writes);
        history.keys[0] = Key::Int(7);
        assert_eq!(two_leaders(&history, &both(), |_| 1).len(), 1, "one log, whatever its number");
        // The second write's key lives elsewhere.
        history.keys.push(Key::Int(8));
        let other = history.ops[1].mops().start as usize;
        history.mops[other].key = 1;
        let shard_of = |key: &Key| u32::from(*key == Key::Int(8));
        assert!(two_leaders(&history, &both(), shard_of).is_empty());
    }

    #[test]
    fn what_is_not_acknowledged_or_writes_nothing_makes_nobody_a_leader() {
        let writes = [(1, "n1", 10, 12), (2, "n2", 41, 45), (3, "n1", 50, 52)];
        for kind in [EventKind::Info, EventKind::Fail] {
            let mut history = history(&writes);
            history.ops[1].kind = kind;
            assert!(two_leaders(&history, &both(), |_| 0).is_empty(), "{kind:?}");
        }
        let mut history = history(&writes);
        let read = history.ops[1].mops().start as usize;
        history.mops[read].kind = MopKind::Read;
        assert!(two_leaders(&history, &both(), |_| 0).is_empty(), "a stale read");
    }
}
