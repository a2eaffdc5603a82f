//! Hand-written histories of a cluster whose leader `a` is followed by `b`.

use history::{Event, EventKind, History, MicroOp, Observed, RunInfo, TelemetryEvent};
use serde_json::json;

use super::{Records, Selection, judge};
use checkers::{Judgement, Role, Verdict};

/// An operation: session, node, what, and its target.
struct Did(i64, &'static str, MicroOp, &'static str);

fn append(session: i64, node: &'static str, value: i64) -> Did {
    Did(session, node, MicroOp::append(1, value), "leader")
}

fn read(session: i64, node: &'static str, list: &[i64]) -> Did {
    let value = Some(Observed::List(list.to_vec()));
    Did(session, node, MicroOp::Read { key: 1.into(), value }, "leader")
}

fn last(node: &'static str, list: &[i64]) -> Did {
    Did(90, node, read(90, node, list).2, "final")
}

fn history(done: Vec<Did>) -> History {
    let mut events = Vec::new();
    for (place, Did(session, node, mop, target)) in done.into_iter().enumerate() {
        for (half, kind) in [EventKind::Invoke, EventKind::Ok].into_iter().enumerate() {
            let index = (2 * place + half) as u64;
            let asked = match (&mop, kind) {
                (MicroOp::Read { key, .. }, EventKind::Invoke) => {
                    MicroOp::Read { key: key.clone(), value: None }
                }
                _ => mop.clone(),
            };
            events.push(Event {
                index,
                kind,
                process: session,
                session: Some(session),
                node: Some(node.into()),
                time: index as i64 * 10_000_000,
                f: "txn".into(),
                value: vec![asked],
                final_read: target == "final",
                error: None,
                position: None,
                target: Some(target.into()),
                hops: Vec::new(),
            });
        }
    }
    History::from_events(events).unwrap()
}

/// `a` leads in term 1 and never again after 55 ms, when `b` leads in term 2.
fn telemetry() -> Vec<TelemetryEvent> {
    let sample = |node: &str, at: i64, role: &str, term: u64| {
        let shard = json!({"shard": 0, "role": role, "term": term, "position": 1,
            "committed": 1, "lag": 0});
        let at = at * 1_000_000;
        let line = json!({"sent": at, "received": at, "node": node, "alive": true,
            "shards": [shard]});
        serde_json::from_value(line).unwrap()
    };
    vec![
        sample("a", 0, "leader", 1),
        sample("b", 0, "follower", 1),
        sample("a", 54, "follower", 1),
        sample("b", 55, "leader", 2),
        sample("a", 60, "follower", 2),
        sample("b", 60, "leader", 2),
    ]
}

fn judged(done: Vec<Did>, promises: serde_json::Value, failover: &str) -> Judgement {
    judge(&records(done, promises, failover), &Selection::default()).unwrap()
}

fn records(done: Vec<Did>, promises: serde_json::Value, failover: &str) -> Records {
    let info: RunInfo = serde_json::from_value(json!({
        "format": 1, "id": "x/1", "name": "x", "seed": 1, "version": "0", "lab": "hosts",
        "command": "", "nodes": ["a", "b"], "workload": "append", "workload_settings": {},
        "policy": "leader", "config": "[coverage]\nok_outside_min = 0\n",
        "system": {"name": "postgres", "reads": "ordered", "promises": promises,
            "settings": {"attached": true, "failover": failover}},
    }))
    .unwrap();
    Records {
        info: Some(info),
        history: history(done),
        telemetry: telemetry(),
        ..Records::default()
    }
}

fn isolation() -> serde_json::Value {
    json!({"list-append": "strict-serializable (page)"})
}

#[test]
fn promises_end_with_the_first_acknowledged_write_that_the_promoted_node_lacks() {
    let done = || {
        vec![
            append(0, "a", 1),
            append(0, "a", 2),
            read(1, "a", &[1, 2]),
            append(1, "b", 3),
            read(1, "b", &[1, 3]),
            last("a", &[1, 3]),
            last("b", &[1, 3]),
        ]
    };
    let judgement = judged(done(), isolation(), "unknown");
    let outcome = &judgement.checkers["list-append"];
    assert_eq!(outcome.verdict, Verdict::Invalid, "the plain truth");
    assert_eq!(outcome.role, Some(Role::Observation));
    let why = outcome.reason.as_deref().unwrap();
    assert!(why.contains("after 0.03 s, when a write was acknowledged that b lacks"), "{why}");
    assert_eq!(judgement.verdict, Verdict::Unknown);
    assert!(judgement.doubts.iter().any(|doubt| doubt.contains("the promise ended")));
}

#[test]
fn what_is_broken_before_any_write_is_lacked_stays_broken() {
    let done = vec![
        append(0, "a", 1),
        append(0, "a", 2),
        read(1, "a", &[1]),
        append(0, "a", 4),
        append(1, "b", 3),
        last("a", &[1, 2, 3]),
        last("b", &[1, 2, 3]),
    ];
    // A strictly later read without 2 is stale, and 4 was acknowledged after it.
    let judgement = judged(done, isolation(), "unknown");
    let outcome = &judgement.checkers["list-append"];
    assert_eq!(outcome.role, Some(Role::Promised), "{outcome:?}");
    assert_eq!(judgement.verdict, Verdict::Invalid);
}

#[test]
fn a_promise_of_the_leader_is_judged_without_the_sessions_that_stayed() {
    let stale = |target| Did(1, "a", read(1, "a", &[]).2, target);
    let done = |target| {
        vec![
            append(0, "a", 7),
            append(1, "b", 1),
            read(1, "b", &[7, 1]),
            stale(target),
            last("a", &[7, 1]),
            last("b", &[7, 1]),
        ]
    };
    let promises = json!({"read-your-writes": "why", "lost-writes": "why"});
    let marked = judged(done("stayed"), promises.clone(), "patroni");
    let outcome = &marked.checkers["read-your-writes"];
    assert_eq!((outcome.verdict, outcome.role), (Verdict::Invalid, Some(Role::Observation)));
    assert!(outcome.reason.as_deref().unwrap().contains("by 1 operations of sessions that stay"));
    assert_eq!(marked.verdict, Verdict::Unknown);
    let moved = judged(done("leader"), promises, "patroni");
    assert_eq!(moved.checkers["read-your-writes"].role, Some(Role::Promised));
    assert_eq!(moved.verdict, Verdict::Invalid);
}

#[test]
fn a_declaration_that_the_run_disproves_promises_nothing() {
    let done = || vec![append(0, "a", 1), append(1, "b", 3), last("a", &[3]), last("b", &[3])];
    let promises = json!({"lost-writes": "the leader is never replaced"});
    let judgement = judged(done(), promises.clone(), "none");
    let outcome = &judgement.checkers["lost-writes"];
    assert_eq!((outcome.verdict, outcome.role), (Verdict::Invalid, Some(Role::Observation)));
    let told = "the inventory declares failover = \"none\", but another node was seen to lead";
    assert!(judgement.doubts.iter().any(|doubt| doubt.starts_with(told)), "{judgement:?}");
    // Of a failover that is promised to keep them the loss is a broken promise.
    let judgement = judged(done(), promises, "patroni");
    assert_eq!(judgement.checkers["lost-writes"].role, Some(Role::Promised));
    assert_eq!(judgement.verdict, Verdict::Invalid);
}

/// What the run is doubted for, and its verdict.
fn doubted(done: Vec<Did>, change: impl Fn(&mut TelemetryEvent), failover: &str) -> Judgement {
    let mut records = records(done, isolation(), failover);
    records.telemetry.iter_mut().for_each(change);
    judge(&records, &Selection::default()).unwrap()
}

#[test]
fn replicas_that_do_not_converge_and_writes_of_open_fate_are_never_valid() {
    let calm = || vec![append(0, "a", 1), last("a", &[1]), last("b", &[1])];
    let nothing = |_: &mut TelemetryEvent| {};
    let valid = doubted(calm(), nothing, "unknown");
    assert_eq!((valid.verdict, valid.doubts.len()), (Verdict::Valid, 0), "{valid:?}");

    let behind = |sample: &mut TelemetryEvent| {
        sample.shards[0].lag = Some(u64::from(sample.node == "b"));
    };
    // Its owner's clients write to it too: that positions differ says nothing where every node's
    // final reads show every write.
    let busy = doubted(calm(), behind, "unknown");
    assert_eq!((busy.verdict, busy.doubts.len()), (Verdict::Valid, 0), "{busy:?}");
    let one = || vec![append(0, "a", 1), last("a", &[1])];
    let two = || vec![append(0, "a", 1), last("a", &[1]), last("b", &[])];
    let lost = || vec![append(0, "a", 1), last("a", &[]), last("b", &[])];
    for (judgement, start) in [
        (doubted(two(), behind, "unknown"), "the replicas did not converge before the final reads"),
        (doubted(one(), nothing, "unknown"), "1 acknowledged writes unresolved"),
        (doubted(two(), nothing, "unknown"), "1 acknowledged writes are on some nodes and not"),
        (doubted(lost(), nothing, "unknown"), "1 acknowledged writes lost"),
    ] {
        assert_eq!(judgement.verdict, Verdict::Unknown, "{start}: {judgement:?}");
        assert_ne!(judgement.checkers["lost-writes"].role, Some(Role::Promised));
        let told = judgement.doubts.iter().any(|doubt| doubt.starts_with(start));
        assert!(told, "{start}: {:?}", judgement.doubts);
    }
}

#[test]
fn who_names_checkers_asks_about_them_alone() {
    let records = records(vec![append(0, "a", 1), last("a", &[1])], isolation(), "unknown");
    let named = Selection { checkers: vec!["list-append".to_owned()], ..Selection::default() };
    assert!(judge(&records, &named).unwrap().doubts.is_empty());
}
