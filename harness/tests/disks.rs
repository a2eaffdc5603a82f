//! Faults of the disk on the lab: each with its proof, and what a power cut takes from servers that
//! sync and from servers that do not.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

mod support;

use std::path::Path;

use serde_json::Value;
use support::{errors, lab_works, only_run, run};

fn events(folder: &Path, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(only_run(folder, name).join("faults.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What was seen of a fault in a phase, and what came of it.
fn seen(events: &[Value], fault: &str, phase: &str) -> (String, String) {
    let event = events.iter().find(|event| event["fault"] == fault && event["phase"] == phase);
    let event = event.unwrap_or_else(|| panic!("{fault} was never {phase}: {events:?}"));
    let probes = event["evidence"].as_array().into_iter().flatten();
    let observed = probes.map(|probe| probe["observed"].as_str().unwrap()).collect::<Vec<_>>();
    (event["result"].as_str().unwrap().to_owned(), observed.join("; "))
}

/// A checker's verdict, and its role.
fn said(checkers: &Value, checker: &str) -> (String, String) {
    let word = |field| checkers[checker][field].as_str().unwrap_or("absent").to_owned();
    (word("verdict"), word("role"))
}

/// A power cut of all nodes; what the checkers say of it.
fn power_cut(folder: &Path, name: &str, flags: &[&str]) -> Value {
    let power = ["--failover", "none", "--fault", "lose-unsynced:all@3s+2s", "--time-limit", "8s"];
    // Of a store that syncs nothing can be lost: that was a kill, and not what was asked for.
    let synced = flags.contains(&"store.fsync=true");
    let effect = if synced { "no-effect" } else { "installed" };
    let output = run(&[&["run", "--name", name, "--seed", "3"], flags, &power].concat(), folder);
    let events = events(folder, name);
    let (result, observed) = seen(&events, "lose-unsynced", "evidenced");
    assert_eq!(result, effect, "{observed} {}", errors(&output));
    assert_eq!(observed.matches("absent").count(), 3, "{observed}");
    let (result, observed) = seen(&events, "lose-unsynced", "healed");
    assert_eq!(result, "installed", "{observed}");
    let verdict = std::fs::read_to_string(only_run(folder, name).join("verdict.json")).unwrap();
    let verdict: Value = serde_json::from_str(&verdict).unwrap();
    verdict["checkers"].clone()
}

#[test]
fn a_power_cut_takes_what_the_store_had_not_synced_and_nothing_else() {
    if !lab_works() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let cut = |name, flag| power_cut(folder.path(), name, &["--set", flag]);
    let kept = cut("synced", "store.fsync=true");
    assert_eq!(said(&kept, "lost-writes"), ("valid".to_owned(), "promised".to_owned()));
    let lost = cut("unsynced", "store.fsync=false");
    assert_eq!(said(&lost, "lost-writes"), ("invalid".to_owned(), "observation".to_owned()));
    assert!(!lost["lost-writes"]["lost"].as_array().unwrap().is_empty());
}

/// Without `fsync` its standbys may be unable to follow it afterwards, so that what is lost is not
/// settled by final reads. The leader's own sessions settle it: they miss what they wrote.
#[test]
fn a_power_cut_takes_what_postgres_had_not_synced_and_nothing_else() {
    if !lab_works() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let cut = |name, flag| {
        let lab = ["--system", "postgres", "--set", "postgres.timeouts=lab"];
        let flags = [&lab[..], &["--workload", "profile", "--set", flag]].concat();
        let all = power_cut(folder.path(), name, &flags);
        ["read-your-writes", "monotonic-reads"].map(|checker| said(&all, checker))
    };
    let kept = || ("valid".to_owned(), "promised".to_owned());
    assert_eq!(cut("synced", "postgres.fsync=true"), [kept(), kept()]);
    // Which of the two shows it depends on who reads first.
    let lost = ("invalid".to_owned(), "observation".to_owned());
    let found = cut("unsynced", "postgres.fsync=false");
    assert!(found.contains(&lost), "{found:?}");
}

#[test]
fn every_disk_fault_has_its_proof() {
    if !lab_works() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = run(
        &[
            "run",
            "--name",
            "disks",
            "--seed",
            "3",
            "--failover",
            "none",
            "--time-limit",
            "10s",
            "--fault",
            "disk-full:n2@1s+1s",
            "--fault",
            "disk-error:n3@2500ms+1s,on=write",
            "--fault",
            "slow-sync:n1@4s+1s,delay=50ms",
            "--fault",
            "torn-tail:n2@5500ms+1s,bytes=40",
            "--fault",
            "bit-flip:n3@7s+1s,files=log",
        ],
        folder.path(),
    );
    let events = events(folder.path(), "disks");
    for (fault, evidence) in [
        ("disk-full", "write: no space left"),
        ("disk-error", "write: input/output error"),
        ("slow-sync", "the sync took"),
        ("torn-tail", "40 bytes before byte"),
        ("bit-flip", "/wal"),
    ] {
        let (result, observed) = seen(&events, fault, "evidenced");
        assert_eq!(result, "installed", "{fault}: {observed} {}", errors(&output));
        assert!(observed.contains(evidence), "{fault}: {observed}");
        let (result, observed) = seen(&events, fault, "healed");
        assert!(observed.contains("written, synced, read"), "{fault}: {observed}");
        assert!(observed.ends_with("running"), "{fault}: {observed}");
        assert_eq!(result, "installed", "{fault}: {observed}");
    }
}

#[test]
fn faults_without_a_disk_to_hit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(&["run", "--lab", "sim", "--fault", "disk-full"], folder.path());
    assert_eq!(output.status.code(), Some(64));
    assert!(errors(&output).contains("simulated nodes have no disk"), "{}", errors(&output));
}
