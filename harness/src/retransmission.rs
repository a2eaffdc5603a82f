//! How much of an outage was spent waiting for a retransmission, by the kernels' own words, and how
//! much without: `docs/recovery-times.md`.
//!
//! While links are cut every connection over them waits, and that is the fault's doing. Counted is
//! what comes after the heal: there the network is whole again, and the wait is TCP's back-off.

use history::{FaultEvent, FaultPhase, SocketsEvent, WaitingSocket};

/// A part of the run in which a node's connections waited.
struct Wait<'a> {
    from: i64,
    to: i64,
    node: &'a str,
    sockets: &'a [WaitingSocket],
}

/// What is known of the time from one moment to another, ns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Since when the network was whole, as far as faults go.
    pub whole_since: i64,
    /// How long since then some connection between two nodes waited for a retransmission.
    pub waited: i64,
    /// Since then for how long it is not known of some node.
    pub unknown: i64,
    /// The longest of these waits: `n1 -> n2, sent again 4 times, 3.26 s between two`.
    pub longest: Option<String>,
}

/// Splits the time of an outage; nothing if no kernel was asked, or the network was cut throughout.
pub fn split(
    sockets: &[SocketsEvent],
    faults: &[FaultEvent],
    (from, to): (i64, i64),
) -> Option<Split> {
    if sockets.is_empty() {
        return None;
    }
    let whole_since = whole_since(faults, (from, to))?;
    let waits = waits(sockets, to);
    let inside = |wait: &Wait<'_>| (wait.from.max(whole_since), wait.to.min(to));
    let length = |wait: &Wait<'_>| {
        let (from, to) = inside(wait);
        (to - from).max(0)
    };
    let longest = waits.iter().filter(|wait| 0 < length(wait)).max_by_key(|wait| length(wait));
    Some(Split {
        whole_since,
        waited: union(waits.iter().map(inside)),
        unknown: union(unknown(sockets, to).into_iter().map(|(a, b)| (a.max(whole_since), b))),
        longest: longest.and_then(|wait| {
            let worst = wait.sockets.iter().max_by_key(|socket| socket.rto_us)?;
            let (times, apart) = (worst.retransmits, worst.rto_us as f64 / 1e6);
            let (node, peer) = (wait.node, &worst.peer);
            Some(format!("{node} -> {peer}, sent again {times} times, {apart:.2} s between two"))
        }),
    })
}

/// In words, for the outage's sentence.
pub fn words(split: &Split, to: i64) -> String {
    let seconds = |ns: i64| format!("{:.2} s", ns as f64 / 1e9);
    let after = to - split.whole_since;
    let mut said = match &split.longest {
        None => format!(
            "of the {} with the network whole none were spent waiting for a retransmission",
            seconds(after)
        ),
        Some(longest) => format!(
            "of the {} with the network whole {} were spent with a connection between nodes \
             waiting for a retransmission ({longest}), {} without: the database's own",
            seconds(after),
            seconds(split.waited),
            seconds(after - split.waited)
        ),
    };
    if split.unknown != 0 {
        said.push_str(&format!(" (for {} it is not known of every node)", seconds(split.unknown)));
    }
    said
}

/// The last moment at which a fault of the network was undone in that time; nothing if one was in
/// force at its end.
fn whole_since(faults: &[FaultEvent], (from, to): (i64, i64)) -> Option<i64> {
    let mut since = from;
    let network = faults.iter().filter(|event| event.family == "network");
    for made in network.filter(|event| event.phase == FaultPhase::Injected && event.time < to) {
        let healed = |event: &&FaultEvent| event.id == made.id && event.phase == FaultPhase::Healed;
        let until = faults.iter().find(healed);
        let until = until.map(|event| event.answered.unwrap_or(event.time))?;
        if to <= until {
            return None;
        }
        since = since.max(until);
    }
    Some(since)
}

/// By node, in order: its lines, each with the moment until which it holds.
fn lines(sockets: &[SocketsEvent], end: i64) -> impl Iterator<Item = (&SocketsEvent, i64)> {
    sockets.iter().enumerate().map(move |(place, event)| {
        let next = sockets[place + 1..].iter().find(|later| later.node == event.node);
        (event, next.map_or(end, |next| next.received))
    })
}

fn waits(sockets: &[SocketsEvent], end: i64) -> Vec<Wait<'_>> {
    let waits = lines(sockets, end).filter(|(event, _)| !event.waiting.is_empty());
    let wait = |(event, to): (_, i64)| {
        let event: &SocketsEvent = event;
        Wait { from: event.received, to, node: &event.node, sockets: &event.waiting }
    };
    waits.map(wait).collect()
}

fn unknown(sockets: &[SocketsEvent], end: i64) -> Vec<(i64, i64)> {
    let failed = lines(sockets, end).filter(|(event, _)| event.error.is_some());
    failed.map(|(event, to)| (event.received, to.min(end))).collect()
}

/// The length of a union of intervals.
fn union(intervals: impl Iterator<Item = (i64, i64)>) -> i64 {
    let mut all: Vec<(i64, i64)> = intervals.filter(|(from, to)| from < to).collect();
    all.sort_unstable();
    let (mut length, mut end) = (0, i64::MIN);
    for (from, to) in all {
        length += (to - from.max(end)).max(0);
        end = end.max(to);
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    fn line(node: &str, at: i64, retransmits: u32) -> SocketsEvent {
        let waiting = (retransmits != 0).then(|| WaitingSocket {
            peer: "n2".to_owned(),
            port: 1,
            peer_port: 2,
            connecting: false,
            retransmits,
            backoff: retransmits,
            rto_us: 200_000 << retransmits,
            next_ms: 100,
        });
        let waiting = waiting.into_iter().collect();
        let (sent, received, node) = (at, at, node.to_owned());
        SocketsEvent { sent, received, node, open: 1, waiting, error: None }
    }

    fn fault(family: &str, phase: FaultPhase, time: i64) -> FaultEvent {
        let text = format!(
            r#"{{"time":{time},"id":"f1","phase":"planned","family":"{family}","fault":"cut",
               "selector":"n1","duration":0,"required":true}}"#
        );
        let event: FaultEvent = serde_json::from_str(&text).unwrap();
        FaultEvent { phase, ..event }
    }

    #[test]
    fn only_what_waits_after_the_heal_is_the_kernels() {
        let cut = [
            fault("network", FaultPhase::Injected, 2 * S),
            fault("network", FaultPhase::Healed, 7 * S),
        ];
        // It waits from 3 s on, and until 8.5 s; another from 8 s to 9 s.
        let sockets = [
            line("n1", 0, 0),
            line("n1", 3 * S, 2),
            line("n1", 5 * S, 4),
            line("n3", 8 * S, 1),
            line("n1", 8 * S + S / 2, 0),
            line("n3", 9 * S, 0),
        ];
        let seen = split(&sockets, &cut, (2 * S, 10 * S)).unwrap();
        assert_eq!((seen.whole_since, seen.waited, seen.unknown), (7 * S, 2 * S, 0));
        let longest = "n1 -> n2, sent again 4 times, 3.20 s between two";
        assert_eq!(seen.longest.as_deref(), Some(longest));
        let said = words(&seen, 10 * S);
        assert!(said.contains("of the 3.00 s") && said.contains("2.00 s were spent"), "{said}");
        assert!(said.contains("1.00 s without"), "{said}");
        // Cut to its end: that is the fault's doing, and nobody's back-off.
        assert_eq!(split(&sockets, &cut, (2 * S, 6 * S)), None);
        // Of a kill all of it counts, and nothing waited.
        let kill = [fault("process", FaultPhase::Injected, 2 * S)];
        let seen = split(&sockets[..1], &kill, (2 * S, 6 * S)).unwrap();
        assert_eq!((seen.whole_since, seen.waited), (2 * S, 0));
        assert!(words(&seen, 6 * S).contains("none were spent"));
        assert_eq!(split(&[], &kill, (2 * S, 6 * S)), None, "nobody was asked");
    }

    #[test]
    fn what_a_kernel_did_not_say_is_not_nothing() {
        let mut silent = line("n1", 3 * S, 0);
        silent.error = Some("the kernel tells nothing of its sockets".to_owned());
        let sockets = [line("n1", 0, 0), silent, line("n1", 4 * S, 0)];
        let seen = split(&sockets, &[], (2 * S, 6 * S)).unwrap();
        assert_eq!(seen.unknown, S);
        assert!(words(&seen, 6 * S).contains("for 1.00 s it is not known of every node"));
    }
}
