//! Every fault that shapes packets, on real hosts: what was asked for is what is measured, and
//! nothing of it is left.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

mod support;

use serde_json::Value;
use support::{errors, lab_works, only_run, run};

/// With what proves each, in words.
const FAULTS: [(&str, &str, &str); 7] = [
    ("delay:n1@2s+1s,delay=40ms,jitter=5ms", "NFQUEUE", "+80 ms"),
    ("loss:n1@4s+1s", "NFQUEUE", "19.0 % lost, give or take 5"),
    ("reorder:n2@6s+1s", "NFQUEUE", "43.8 % overtaken, give or take 10"),
    ("duplicate:n3@8s+1s", "TEE", "44.0 % more answers, give or take 9"),
    ("corrupt:n1@10s+1s", "NFQUEUE", "9.8 % lost, give or take 5"),
    ("bandwidth:n2@12s+1s,rate=2mbit", "NFQUEUE", "at most 2000 kbit/s"),
    ("flapping:n3@14s+1s,period=600ms", "NFQUEUE", "50.0 % lost, give or take 20"),
];

#[test]
fn packets_are_shaped_as_asked_and_flow_again() {
    if !lab_works() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut flags = vec!["run", "--lab", "local", "--hosts", "3", "--name", "shape", "--seed", "3"];
    flags.extend(["--replication", "sync", "--time-limit", "18s"]);
    flags.extend(FAULTS.iter().flat_map(|(fault, ..)| ["--fault", *fault]));
    let output = run(&flags, folder.path());
    let said = errors(&output);
    assert!(output.status.code().is_some_and(|code| code == 0 || code == 2), "{said}");
    let path = only_run(folder.path(), "shape").join("faults.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (place, (fault, mechanism, expected)) in FAULTS.iter().enumerate() {
        let line = |phase: &str| {
            let id = format!("f{}", place + 1);
            lines.iter().find(|line| line["id"] == id && line["phase"] == phase).unwrap()
        };
        let (evidenced, healed) = (line("evidenced"), line("healed"));
        assert_eq!(evidenced["mechanism"], *mechanism, "{fault}: {evidenced}");
        assert_eq!(evidenced["result"], "installed", "{fault}: {evidenced}");
        // Both links of the target.
        let probes = evidenced["evidence"].as_array().unwrap();
        assert_eq!(probes.len(), 2, "{fault}: {evidenced}");
        assert!(probes.iter().all(|probe| probe["expected"] == *expected), "{fault}: {evidenced}");
        let after = healed["evidence"].as_array().unwrap();
        // Three shapers that were there to the end, where there are any, and both links.
        assert_eq!(after.len(), if *mechanism == "TEE" { 2 } else { 5 }, "{fault}: {healed}");
        assert!(after.iter().all(|probe| probe["holds"] == true), "{fault}: {healed}");
    }
}
