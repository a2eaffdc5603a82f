//! Registers: histories whose verdicts at six levels are known by brute force over all orders.
//! What is not decided is said to be so; what is decided is right.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

use std::collections::{BTreeMap, BTreeSet};

use elle_rs::{Model, Options, Validity, Verdict, Workload, check, verify};
use history::History;
use serde_json::Value;

/// 600 histories, each with whether it keeps each of six levels.
fn histories() -> Vec<(History, BTreeMap<String, bool>)> {
    let packed: &[u8] = include_bytes!("goldens/registers.jsonl.zst");
    let text = String::from_utf8(zstd::decode_all(packed).unwrap()).unwrap();
    let one = |line: &str| {
        let golden: Value = serde_json::from_str(line).unwrap();
        let lines = golden["history"].as_array().unwrap();
        let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
        let read = history::read_events(lines.join("\n").as_bytes());
        assert_eq!(read.damage, None, "{line}");
        (read.history, serde_json::from_value(golden["verdicts"].clone()).unwrap())
    };
    text.lines().map(one).collect()
}

fn judged(history: &History, level: &str) -> (Options, Verdict) {
    let options = Options::new(Workload::RwRegister).model(Model::named(level).unwrap());
    let verdict = check(history, &options).unwrap();
    (options, verdict)
}

#[test]
fn what_is_decided_of_a_register_is_right_at_every_level_and_the_rest_is_undecided() {
    let all = histories();
    assert_eq!(all.len(), 600);
    let mut tallies: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (number, (history, verdicts)) in all.iter().enumerate() {
        for (level, holds) in verdicts {
            let (options, verdict) = judged(history, level);
            let tally = tallies.entry(level.clone()).or_default();
            tally.1 += 1;
            let says = match verdict.validity {
                Validity::Valid => Some(true),
                Validity::Invalid => Some(false),
                Validity::Unknown => None,
            };
            tally.0 += u64::from(says.is_some());
            if says.is_some_and(|says| says != *holds) {
                wrong.push(format!("history {number}: {level}: {holds}, ours {says:?}"));
            }
            // What is ruled out besides must be so too.
            for level in verdict.not.iter().chain(&verdict.also_not) {
                let name = level.name().replace("strong-serializable", "strict-serializable");
                if verdicts.get(&name).is_some_and(|holds| *holds) {
                    wrong.push(format!("history {number}: {name} is ruled out, and holds"));
                }
            }
            for cycle in &verdict.cycles {
                if let Err(why) = verify::cycle(history, &options, cycle) {
                    wrong.push(format!("history {number}: {level}: witness: {why}"));
                }
            }
            if (verdict.undecided.is_some(), verdict.validity == Validity::Valid) == (true, true) {
                wrong.push(format!("history {number}: {level}: valid and undecided"));
            }
        }
    }
    for (level, (decided, of)) in &tallies {
        println!("{level}: {decided} of {of} decided");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (level, (decided, of)) in tallies {
        assert!(of * 6 / 10 < decided, "{level}: {decided} of {of} decided");
    }
}

fn lines(text: &str) -> History {
    let read = history::read_events(text.as_bytes());
    assert_eq!(read.damage, None);
    read.history
}

/// One key, all operations one after the other: write 51, write 52, read 51.
fn stale_read() -> History {
    let mut text = String::new();
    let ops = [(0, "w", 51), (1, "w", 52), (2, "r", 51)];
    for (at, (process, what, value)) in ops.into_iter().enumerate() {
        for (half, kind) in ["invoke", "ok"].into_iter().enumerate() {
            let value = match (what, kind) {
                ("r", "invoke") => "null".to_owned(),
                _ => value.to_string(),
            };
            let index = 2 * at + half;
            text.push_str(&format!(
                "{{\"index\":{index},\"type\":\"{kind}\",\"process\":{process},\"f\":\"txn\",\
                 \"value\":[[\"{what}\",\"x\",{value}]]}}\n"
            ));
        }
    }
    lines(&text)
}

#[test]
fn a_stale_read_breaks_strict_serializability_without_any_assumption() {
    let (_, verdict) = judged(&stale_read(), "strict-serializable");
    assert_eq!(verdict.validity, Validity::Invalid);
    assert_eq!(verdict.implied, Some("linearizable-keys"));
    assert_eq!(verdict.anomaly_types[0].name(), "G-single-item-realtime");
    let ruled_out =
        |name: &str| verdict.not.iter().chain(&verdict.also_not).any(|m| m.name() == name);
    assert!(ruled_out("strong-snapshot-isolation"));
    assert!(!ruled_out("serializable") && !ruled_out("strong-read-committed"), "{verdict:?}");
    let (_, verdict) = judged(&stale_read(), "serializable");
    assert_eq!(
        (verdict.validity, verdict.undecided),
        (Validity::Valid, None),
        "some order proves it"
    );
}

/// Two transactions write both keys, a third reads one of each: no order explains it.
#[test]
fn a_fractured_read_is_never_valid() {
    let text = r#"
{"index":0,"type":"invoke","process":0,"f":"txn","value":[["w","a",31],["w","b",32]]}
{"index":1,"type":"invoke","process":1,"f":"txn","value":[["w","a",41],["w","b",42]]}
{"index":2,"type":"invoke","process":2,"f":"txn","value":[["r","a",null],["r","b",null]]}
{"index":3,"type":"ok","process":0,"f":"txn","value":[["w","a",31],["w","b",32]]}
{"index":4,"type":"ok","process":1,"f":"txn","value":[["w","a",41],["w","b",42]]}
{"index":5,"type":"ok","process":2,"f":"txn","value":[["r","a",31],["r","b",42]]}
"#;
    let history = lines(text.trim_start());
    for level in ["snapshot-isolation", "serializable", "strict-serializable"] {
        let (_, verdict) = judged(&history, level);
        assert_ne!(verdict.validity, Validity::Valid, "{level}");
        if let Some(undecided) = verdict.undecided {
            assert_eq!((undecided.pairs, undecided.of), (Some(2), 2), "{level}");
        }
    }
    let (_, verdict) = judged(&history, "read-committed");
    assert_eq!(verdict.validity, Validity::Valid);
}

/// Over all names of levels: those that a rule of their own decides, and no other, are judged.
#[test]
fn a_level_without_a_rule_that_decides_it_is_not_judged() {
    let judged: BTreeSet<&str> =
        Model::all().filter(|model| model.is_judged()).map(Model::name).collect();
    let mut expected: BTreeSet<String> =
        ["consistent-view", "repeatable-read"].map(str::to_owned).into();
    for level in ["read-uncommitted", "read-committed", "snapshot-isolation", "serializable"] {
        for kind in ["", "strong-session-", "strong-"] {
            expected.insert(format!("{kind}{level}"));
        }
    }
    assert_eq!(judged, expected.iter().map(String::as_str).collect());
}
