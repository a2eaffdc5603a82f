//! Every way to split a network, and a fault with a parameter, on real hosts and in the simulator:
//! proven while it lasts, and proven to be gone after.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

mod support;

use serde_json::{Value, json};
use support::{errors, lab_works, only_run, run};

const FAULTS: [&str; 8] = [
    "bridge:n2",
    "majorities-ring",
    "one-way:n1",
    "one-way:n4,direction=out",
    "halves:n3,side=majority",
    "slow:n5,stopped=50%",
    "promote",
    "step-down",
];

/// Runs all of them; gives the lines of `faults.jsonl`.
fn lines(lab: &str) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let mut flags = vec!["run", "--lab", lab, "--hosts", "5", "--name", "split", "--seed", "3"];
    flags.extend(["--replication", "sync", "--time-limit", "20s"]);
    flags.extend(FAULTS.iter().flat_map(|fault| ["--fault", *fault]));
    let output = run(&flags, folder.path());
    let said = errors(&output);
    assert!(output.status.code().is_some_and(|code| code == 0 || code == 2), "{said}");
    let path = only_run(folder.path(), "split").join("faults.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The line of a fault's phase.
fn line<'a>(lines: &'a [Value], place: usize, phase: &str) -> &'a Value {
    let id = format!("f{}", place + 1);
    let found = lines.iter().find(|line| line["id"] == id && line["phase"] == phase);
    found.unwrap_or_else(|| panic!("{id} has no line {phase}: {lines:?}"))
}

fn probes(line: &Value) -> Vec<&Value> {
    line["evidence"].as_array().unwrap().iter().collect()
}

fn all_have_their_effect_and_are_healed(lab: &str) -> Vec<Value> {
    let lines = lines(lab);
    for (place, fault) in FAULTS.iter().enumerate() {
        let name = fault.split([':', ',']).next().unwrap();
        let evidenced = line(&lines, place, "evidenced");
        assert_eq!(evidenced["fault"], name);
        assert_eq!(evidenced["result"], "installed", "{fault}: {evidenced}");
        let healed = line(&lines, place, "healed");
        assert!(!probes(healed).is_empty(), "{fault}: {healed}");
        for probe in probes(evidenced).into_iter().chain(probes(healed)) {
            assert_eq!(probe["holds"], true, "{fault}: {probe}");
        }
    }
    // Links that are cut: 2 x 2 both ways; 5 of 10 both ways; 4 one way; 2 x 3 both ways.
    for (place, count) in [(0, 8), (1, 10), (2, 4), (3, 4), (4, 12)] {
        let evidenced = line(&lines, place, "evidenced");
        assert_eq!(probes(evidenced).len(), count, "{}: {evidenced}", FAULTS[place]);
    }
    let hears = |probe: &Value| probe["probe"].as_str().unwrap().contains("n2");
    assert!(!probes(line(&lines, 0, "evidenced")).into_iter().any(hears), "the bridge stands");
    let minority = &line(&lines, 4, "evidenced")["targets"];
    assert!(!minority.as_array().unwrap().contains(&json!("n3")), "{minority}");
    assert_eq!(line(&lines, 2, "planned")["parameters"], json!({"direction": "in"}));
    assert_eq!(line(&lines, 5, "planned")["parameters"], json!({"stopped": "50%"}));
    lines
}

#[test]
fn on_hosts_every_split_is_proven_and_healed() {
    if lab_works() {
        all_have_their_effect_and_are_healed("local");
    }
}

#[test]
fn in_the_simulator_every_split_is_proven_and_healed() {
    let lines = all_have_their_effect_and_are_healed("sim");
    // Here a link is looked at for each way.
    for (place, ends) in [(2, "-> n1"), (3, "n4 ->")] {
        for probe in probes(line(&lines, place, "evidenced")) {
            assert!(probe["probe"].as_str().unwrap().contains(ends), "{probe}");
        }
    }
}
