//! Times: what the records of one run say of one moment agrees, whatever the seed.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

mod support;

use std::path::Path;

use serde_json::Value;
use support::times::{faults_agree, lines, nothing_acknowledged};
use support::{errors, only_run, run};

/// From when until when each fault held: surely in force between the two, ns.
fn held(run: &Path) -> Vec<(String, i64, i64)> {
    let events = lines(run, "faults.jsonl");
    let of = |phase: &str, id: &Value| {
        events.iter().find(|event| event["phase"] == phase && event["id"] == *id).cloned()
    };
    let one = |injected: &Value| {
        let id = &injected["id"];
        let (seen, healed) = (of("evidenced", id)?, of("healed", id)?);
        let target = injected["targets"][0].as_str()?.to_owned();
        Some((target, seen["answered"].as_i64().unwrap(), healed["asked"].as_i64().unwrap()))
    };
    events.iter().filter(|event| event["phase"] == "injected").filter_map(one).collect()
}

#[test]
fn a_killed_node_acknowledges_nothing_between_the_times_of_its_fault() {
    let mut kills = 0;
    for seed in 1..=12 {
        let folder = tempfile::tempdir().unwrap();
        let seed = seed.to_string();
        let flags = ["run", "--lab", "sim", "--name", "times", "--seed", &seed];
        let faults = ["--fault", "kill:leader", "--fault", "stop:a-follower", "--fault", "isolate"];
        let output = run(&[&flags[..], &faults[..]].concat(), folder.path());
        assert!(matches!(output.status.code(), Some(0..=2)), "{}", errors(&output));
        let run = only_run(folder.path(), "times");
        faults_agree(&run);
        let killed = lines(&run, "faults.jsonl");
        let dead = |target: &str, from: i64| {
            killed.iter().any(|event| {
                event["fault"] == "kill"
                    && event["targets"][0] == target
                    && event["answered"].as_i64() == Some(from)
            })
        };
        for (target, from, to) in held(&run).iter().filter(|(target, from, _)| dead(target, *from))
        {
            nothing_acknowledged(&run, target, *from, *to);
            kills += 1;
        }
    }
    assert!(6 <= kills, "{kills} kills are too few to show anything");
}
