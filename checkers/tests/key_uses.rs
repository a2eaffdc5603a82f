//! Sets, counters and registers with several writers: judged by what their reads can say, and
//! never accused of what they cannot.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

use history::{Event, History};
use serde_json::{Value, json};
use splitbrain_checkers::{Context, Outcome, Verdict, by_name};

const ALL: [&str; 4] = ["read-your-writes", "monotonic-reads", "consistent-prefix", "lost-writes"];

/// A history of operations that follow one another: session, ending, final, invoked and completed.
fn history(ops: &[(i64, &str, bool, Value, Value)]) -> History {
    let mut events: Vec<Event> = Vec::new();
    for (place, (session, kind, last, invoked, completed)) in ops.iter().enumerate() {
        for (half, (kind, value)) in [("invoke", invoked), (kind, completed)].iter().enumerate() {
            let index = 2 * place + half;
            let line = json!({"index": index, "type": kind, "process": place, "session": session,
                "node": "n1", "time": index, "f": "txn", "value": value, "final": last});
            events.push(serde_json::from_value(line).unwrap());
        }
    }
    History::from_events(events).unwrap()
}

/// As in a run with one node.
fn judge(name: &str, history: &History) -> Outcome {
    let context = Context { nodes: Some(vec!["n1".to_owned()]), ..Context::default() };
    by_name(name).unwrap().check(history, &context)
}

fn op(session: i64, kind: &'static str, mops: Value) -> (i64, &'static str, bool, Value, Value) {
    (session, kind, false, mops.clone(), mops)
}

fn read(session: i64, key: i64, shown: Value) -> (i64, &'static str, bool, Value, Value) {
    (session, "ok", false, json!([["r", key, null]]), json!([["r", key, shown]]))
}

fn last(key: i64, shown: Value) -> (i64, &'static str, bool, Value, Value) {
    (99, "ok", true, json!([["r", key, null]]), json!([["r", key, shown]]))
}

#[test]
fn a_sets_order_says_nothing_and_its_members_do() {
    // Shown in order of size, as SQL does: 9 was there first.
    let kept = history(&[
        op(1, "ok", json!([["add", 5, 9]])),
        read(1, 5, json!([9])),
        op(1, "ok", json!([["add", 5, 3]])),
        read(1, 5, json!([3, 9])),
        last(5, json!([3, 9])),
    ]);
    for name in ["read-your-writes", "monotonic-reads", "lost-writes"] {
        assert_eq!(judge(name, &kept).verdict, Verdict::Valid, "{name}");
    }
    assert_eq!(judge("consistent-prefix", &kept).verdict, Verdict::Unknown);

    let torn = history(&[
        op(1, "ok", json!([["add", 5, 9]])),
        op(1, "ok", json!([["add", 5, 3]])),
        read(1, 5, json!([3, 9])),
        read(1, 5, json!([3])),
        last(5, json!([3])),
    ]);
    for name in ["read-your-writes", "monotonic-reads", "lost-writes"] {
        assert_eq!(judge(name, &torn).verdict, Verdict::Invalid, "{name}");
    }
    assert_eq!(judge("lost-writes", &torn).facts["lost"], json!([[5, 9]]));
}

#[test]
fn what_was_removed_may_be_absent() {
    for kind in ["ok", "info"] {
        let removed = history(&[
            op(1, "ok", json!([["add", 5, 9]])),
            read(1, 5, json!([9])),
            op(2, kind, json!([["rem", 5, 9]])),
            read(1, 5, json!(null)),
            op(1, "ok", json!([["append", 6, 1]])),
            read(1, 6, json!([1])),
            op(2, kind, json!([["rem", 6, 1]])),
            read(1, 6, json!([])),
            last(5, json!(null)),
            last(6, json!(null)),
        ]);
        for name in ALL {
            assert_ne!(judge(name, &removed).verdict, Verdict::Invalid, "{name}, {kind}");
        }
    }
    let failed = history(&[
        op(1, "ok", json!([["add", 5, 9]])),
        op(2, "fail", json!([["rem", 5, 9]])),
        read(1, 5, json!(null)),
    ]);
    assert_eq!(judge("read-your-writes", &failed).verdict, Verdict::Invalid);
}

#[test]
fn a_counters_sum_is_no_phantom_and_not_judged() {
    let counted = history(&[
        op(1, "ok", json!([["inc", 0, 2], ["inc", 1, 5]])),
        op(2, "ok", json!([["inc", 0, 1]])),
        (
            1,
            "ok",
            false,
            json!([["r", 0, null], ["r", 1, null]]),
            json!([["r", 0, 3], ["r", 1, 5]]),
        ),
        (
            1,
            "ok",
            false,
            json!([["r", 0, null], ["r", 1, null]]),
            json!([["r", 0, 2], ["r", 1, 5]]),
        ),
        last(0, json!(3)),
        last(1, json!(5)),
    ]);
    for name in ALL {
        let outcome = judge(name, &counted);
        assert_eq!(outcome.verdict, Verdict::Unknown, "{name}");
        assert!(outcome.reason.unwrap().starts_with("not applicable"), "{name}");
        let bare = by_name(name).unwrap().check(&counted, &Context::default());
        assert_ne!(bare.verdict, Verdict::Invalid, "{name}");
    }
}

#[test]
fn a_register_of_several_writers_is_left_out_loudly() {
    let shared = history(&[
        op(1, "ok", json!([["w", 0, 1]])),
        op(2, "ok", json!([["w", 0, 2]])),
        read(1, 0, json!(1)),
        read(1, 0, json!(2)),
        read(1, 0, json!(1)),
        last(0, json!(1)),
    ]);
    for name in ALL {
        let outcome = judge(name, &shared);
        assert_eq!(outcome.verdict, Verdict::Unknown, "{name}");
        assert!(outcome.reason.unwrap().contains("left out"), "{name}");
    }
    // What a failed write left behind is a phantom all the same.
    let phantom = history(&[
        op(1, "ok", json!([["w", 0, 1]])),
        op(2, "ok", json!([["w", 0, 2]])),
        op(2, "fail", json!([["w", 0, 3]])),
        read(1, 0, json!(3)),
        last(0, json!(2)),
    ]);
    let outcome = judge("lost-writes", &phantom);
    assert_eq!((outcome.verdict, &outcome.facts["phantom"]), (Verdict::Invalid, &json!([[0, 3]])));
}
