//! What a recovery figure depends on besides the fault: how soon servers notice, and how long the
//! kernel waits before it sends again what a cut has swallowed.

use history::sockets::SocketsEvent;
use nemesis::{Family, Fault};
use systems::postgres::spec::{Failover, Timeouts};

use crate::config::{FailoverSpec, FaultSpec, LabSpec, SystemKind, TestSpec};

/// How long is waited at least for replicas to agree, ms.
const RECOVERY_MIN_MS: u64 = 10_000;
/// What a server may need once packets flow again, ms: PostgreSQL tries again each 5 s.
const SERVERS_MS: u64 = 6_000;
/// The longest time from one retransmission to the next, ms: the kernel's TCP_RTO_MAX.
const RTO_MAX_MS: u64 = 120_000;

/// The timeouts that a test's recovery depends on, in words: whose, then which. `None` in the
/// simulator, whose time is its own.
pub fn told(spec: &TestSpec, attached: bool) -> Option<String> {
    if spec.lab == LabSpec::Sim {
        return None;
    }
    if attached {
        return Some("the cluster's own timeouts (nothing of them was changed)".to_owned());
    }
    Some(match spec.system {
        SystemKind::Store => {
            let (beat, least) = (spec.store.heartbeat_ms, spec.store.election_timeout_ms);
            let vote = match spec.store.failover {
                FailoverSpec::None => "no failover".to_owned(),
                _ => format!("election timeout {least} to {} ms", 2 * least),
            };
            format!("the test's timeouts of the store (heartbeat {beat} ms, {vote})")
        }
        SystemKind::Mongodb => format!(
            "the test's timeouts of MongoDB (electionTimeoutMillis {}, heartbeatIntervalMillis {}; \
             the server's defaults are 10000 and 2000)",
            spec.mongodb.election_timeout_ms, spec.mongodb.heartbeat_ms
        ),
        SystemKind::Postgres => postgres(spec),
    })
}

fn postgres(spec: &TestSpec) -> String {
    let postgres = &spec.postgres;
    let (whose, which) = match postgres.timeouts {
        Timeouts::Lab => (
            "the lab's timeouts",
            "wal_sender_timeout 4 s, wal_receiver_timeout 2 s, wal_retrieve_retry_interval 200 ms; \
             postgres.timeouts = \"server\" has the server's defaults, 60 s, 60 s and 5 s",
        ),
        Timeouts::Server => (
            "the server's default timeouts",
            "wal_sender_timeout 60 s, wal_receiver_timeout 60 s, wal_retrieve_retry_interval 5 s",
        ),
    };
    let failover = match postgres.failover {
        Failover::None => String::new(),
        Failover::Operator => format!("; the operator waits detect_ms = {}", postgres.detect_ms),
        Failover::Patroni => format!(
            "; Patroni: ttl {} s, loop_wait {} s, retry_timeout {} s, where its defaults are 30, \
             10 and 10 s",
            postgres.patroni_ttl_s, postgres.patroni_loop_wait_s, postgres.patroni_retry_timeout_s
        ),
    };
    format!("{whose} ({which}{failover})")
}

/// Whose they are, for the end of a sentence.
pub fn short(told: &str) -> &str {
    told.split(" (").next().unwrap_or(told)
}

/// How long is waited for replicas to agree where a test does not say: packets that a cut has
/// swallowed are sent again at most about as long after the heal as the cut lasted, because each
/// wait is twice the one before.
pub fn recovery_ms(spec: &TestSpec) -> u64 {
    if spec.lab == LabSpec::Sim {
        return RECOVERY_MIN_MS;
    }
    let network = |fault: &FaultSpec| {
        Fault::by_name(&fault.fault).is_some_and(|fault| fault.family() == Family::Network)
    };
    // Where the seed chooses, it is within the part of the run that has faults.
    let anywhere = spec.duration_ms * 55 / 100;
    let drawn = spec.package.as_ref().map_or(anywhere, |package| package.lasts_ms.1);
    let named = spec.faults.iter().filter(|fault| network(fault));
    let named = named.map(|fault| fault.duration_ms.unwrap_or(anywhere)).max();
    let packed = spec.all_faults().iter().skip(spec.faults.len()).any(network).then_some(drawn);
    let Some(longest) = named.max(packed) else {
        return RECOVERY_MIN_MS;
    };
    let again = (longest + longest / 10 + 500).min(RTO_MAX_MS);
    RECOVERY_MIN_MS.max(again + SERVERS_MS)
}

/// Connections that waited for a retransmission at the end, as nodes' kernels said last.
pub fn pending(events: &[SocketsEvent]) -> Vec<String> {
    let mut said = Vec::new();
    let last = |event: &&SocketsEvent| {
        !events.iter().any(|other| other.node == event.node && event.received < other.received)
    };
    for event in events.iter().filter(last) {
        for waiting in &event.waiting {
            // A state is written when it begins: what was left then is less by now.
            let due = event.received as f64 / 1e9 + waiting.next_ms as f64 / 1e3;
            said.push(format!(
                "{} to {}, sent again {} times, the next at {due:.1} s",
                event.node, waiting.peer, waiting.retransmits
            ));
        }
    }
    said
}

/// What replicas that did not agree in time are said to have done: nothing that could be held
/// against the system where its packets are still waiting to be sent.
pub fn unconverged(note: &str, sockets: &[SocketsEvent], told: Option<&str>) -> Option<String> {
    let rest = note.strip_prefix("the replicas did not converge within ")?;
    let pending = pending(sockets);
    let with = told.map_or(String::new(), |told| format!(" (with {})", short(told)));
    Some(match pending.is_empty() {
        true => format!("{note}{with}"),
        false => format!(
            "a retransmission was pending when the wait for replicas ended, after {rest}{with}: \
             the kernel holds back what was sent: {}. A longer --recovery would tell",
            pending.join("; ")
        ),
    })
}

/// What a run says where a standby that applies late may be started anew.
pub fn late_standbys(spec: &TestSpec) -> Option<String> {
    let starts_anew = |fault: &FaultSpec| {
        use Fault::{
            CrashLoop, Kill, KillInStart, LoseUnsynced, RegionLost, Restart, RollingRestart, Stop,
            TornTail,
        };
        let kinds = [
            CrashLoop,
            Kill,
            KillInStart,
            LoseUnsynced,
            RegionLost,
            Restart,
            RollingRestart,
            Stop,
            TornTail,
        ];
        Fault::by_name(&fault.fault).is_some_and(|fault| kinds.contains(&fault))
    };
    let delays = &spec.postgres.apply_delay_ms;
    let faults = spec.all_faults();
    let fault = faults.iter().find(|fault| starts_anew(fault))?;
    if spec.system != SystemKind::Postgres || delays.is_empty() {
        return None;
    }
    let delays: Vec<String> =
        delays.iter().map(|(node, delay)| format!("{node} by {delay} ms")).collect();
    Some(format!(
        "standbys apply late ({}), and {} starts servers anew: a standby that is started applies \
         what it holds, with the delay, before it connects to the leader. For that long it \
         receives nothing: a synchronous commit that needs it waits, and what the leader commits \
         without it is not on it",
        delays.join(", "),
        fault.fault
    ))
}

#[cfg(test)]
mod tests {
    use history::sockets::WaitingSocket;

    use super::*;
    use crate::config::parse_fault;

    fn with(faults: &[&str]) -> TestSpec {
        let faults = faults.iter().map(|fault| parse_fault(fault).unwrap()).collect();
        TestSpec { faults, duration_ms: 100_000, ..TestSpec::default() }
    }

    #[test]
    fn the_wait_for_replicas_outlasts_the_retransmission_that_the_longest_cut_causes() {
        assert_eq!(recovery_ms(&with(&[])), 10_000);
        assert_eq!(recovery_ms(&with(&["kill:n1@3s+60s"])), 10_000, "no packet waits");
        // Seconds from the heal to the next byte, as measured after cuts at INPUT, and those of a
        // standby that hangs on it.
        for (cut, seen) in [(1, 0.4), (5, 1.5), (15, 11.5), (30, 25.1), (45, 9.0), (60, 46.0)] {
            let spec = with(&["cut:n2@1s+1s", &format!("isolate:n1@3s+{cut}s")]);
            let wait = recovery_ms(&spec) as f64 / 1e3;
            assert!(seen + 5.0 <= wait, "{cut} s: {wait} s are waited, {seen} s were seen");
            assert!(wait <= f64::from(cut) * 1.1 + 10.0, "{cut} s: {wait} s");
        }
        assert_eq!(recovery_ms(&with(&["isolate:n1@3s+90m"])), 126_000, "the kernel's own bound");
        let sim = TestSpec { lab: LabSpec::Sim, ..with(&["isolate:n1@3s+60s"]) };
        assert_eq!(recovery_ms(&sim), 10_000);
    }

    #[test]
    fn a_late_standby_that_may_be_started_anew_is_told() {
        let late = |fault: &str, delayed: bool| {
            let mut spec = TestSpec { system: SystemKind::Postgres, ..with(&[fault]) };
            if delayed {
                spec.postgres.apply_delay_ms.insert("n3".to_owned(), 5_000);
            }
            late_standbys(&spec)
        };
        for fault in ["restart:n3@2s+1s", "kill:a-follower@2s+1s", "rolling-restart@2s+9s"] {
            let said = late(fault, true).unwrap_or_else(|| panic!("{fault}"));
            assert!(said.contains("(n3 by 5000 ms)"), "{said}");
            assert_eq!(late(fault, false), None, "{fault}");
        }
        assert_eq!(late("cut:n3@2s+1s", true), None, "a connection is made anew at once");
    }

    #[test]
    fn every_system_tells_whose_timeouts_it_had() {
        for system in SystemKind::ALL {
            let spec = TestSpec { system, ..TestSpec::default() };
            let told = told(&spec, false).unwrap();
            assert!(
                short(&told).contains("timeouts") && told.contains("ms")
                    || told.contains("60 s")
                    || told.contains("Millis"),
                "{told}"
            );
            assert!(super::told(&spec, true).unwrap().starts_with("the cluster's own"));
            let sim = TestSpec { lab: LabSpec::Sim, ..spec };
            assert_eq!(super::told(&sim, false), None);
        }
        let mut spec = TestSpec { system: SystemKind::Postgres, ..TestSpec::default() };
        assert!(told(&spec, false).unwrap().starts_with("the server's default timeouts ("));
        spec.postgres.timeouts = Timeouts::Lab;
        assert_eq!(short(&told(&spec, false).unwrap()), "the lab's timeouts");
    }

    #[test]
    fn an_end_with_packets_still_waiting_is_no_failure_to_converge() {
        let note = "the replicas did not converge within 10000 ms: n2 is behind";
        let event = |received: i64, waits: bool| {
            let waiting = WaitingSocket {
                peer: "n2".to_owned(),
                port: 5432,
                peer_port: 40_000,
                connecting: false,
                retransmits: 7,
                backoff: 7,
                rto_us: 25_600_000,
                next_ms: 12_340,
            };
            SocketsEvent {
                sent: received - 1,
                received,
                node: "n1".to_owned(),
                open: 2,
                waiting: if waits { vec![waiting] } else { Vec::new() },
                error: None,
            }
        };
        let lab = Some("the lab's timeouts (4 s)");
        let said = unconverged(note, &[event(5, false), event(9, true)], lab).unwrap();
        assert!(said.starts_with("a retransmission was pending"), "{said}");
        assert!(said.contains("n1 to n2, sent again 7 times, the next at 12.3 s"), "{said}");
        assert!(said.contains("n2 is behind (with the lab's timeouts)"), "{said}");
        let plain = unconverged(note, &[event(5, true), event(9, false)], lab).unwrap();
        assert_eq!(plain, format!("{note} (with the lab's timeouts)"));
        assert_eq!(unconverged("fenced n1", &[event(9, true)], lab), None);
    }
}
