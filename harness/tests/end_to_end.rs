//! The main job on real hosts: sshd, agents, the store's real nodes, a real kill, a real report.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

mod support;

use support::{lab_works, verdict};

/// Runs a test on the lab; gives its exit code and verdict.
fn judged(name: &str, flags: &[&str]) -> (Option<i32>, serde_json::Value) {
    let folder = tempfile::tempdir().unwrap();
    let (code, value, _) = support::judged(folder.path(), name, flags);
    (code, value)
}

/// Every host's agent was put there and started, each fault was made by one, and all say how they
/// ended.
fn every_command_is_written_down(run: &std::path::Path) {
    let text = std::fs::read_to_string(run.join("commands.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |by: &str, part: &str| {
        let said = |line: &&serde_json::Value| line["what"].as_str().unwrap().contains(part);
        lines.iter().filter(|line| line["by"] == by).filter(said).collect::<Vec<_>>()
    };
    assert_eq!(of("stream", " serve ").len(), 3, "{text}");
    assert_eq!(of("agent", "\"kill\"").len(), 3, "{text}");
    let commands = of("command", "");
    assert!(!commands.is_empty() && commands.iter().all(|line| line["status"].is_i64()), "{text}");
}

#[test]
fn an_asynchronous_leader_loses_and_a_majority_keeps() {
    if !lab_works() {
        return;
    }
    let flags = ["--fault", "kill:leaderx3", "--rate", "800", "--time-limit", "10s"];
    let folder = tempfile::tempdir().unwrap();
    let (code, lossy, _) = support::judged(folder.path(), "async", &flags);
    every_command_is_written_down(&support::only_run(folder.path(), "async"));
    assert_eq!(verdict(&lossy, "lost-writes"), "invalid", "{lossy}");
    assert_eq!(code, Some(1));
    let lost = &lossy["checkers"]["lost-writes"];
    let named = lost["findings"].as_array().unwrap().iter().filter(|finding| {
        let sentence = finding["sentence"].as_str().unwrap();
        sentence.contains("kill of n")
    });
    assert_eq!(named.count(), lost["lost"].as_array().unwrap().len(), "each names its window");

    let sync = [&flags[..], &["--replication", "sync"]].concat();
    let (code, kept) = judged("sync", &sync);
    assert_eq!((code, verdict(&kept, "lost-writes")), (Some(0), "valid"), "{kept}");
    assert_eq!(kept["coverage"]["missing"], serde_json::json!([]));
}

#[test]
fn a_cut_follower_shows_stale_reads_and_the_leader_does_not() {
    if !lab_works() {
        return;
    }
    let flags = ["--workload", "profile", "--failover", "none", "--fault", "isolate:a-follower"];
    let (_, any) = judged("any", &[&flags[..], &["--policy", "any-follower"]].concat());
    assert_eq!(verdict(&any, "read-your-writes"), "invalid", "{any}");
    assert_eq!(verdict(&any, "monotonic-reads"), "invalid", "{any}");
    let (code, leader) = judged("leader", &flags);
    assert_eq!(verdict(&leader, "read-your-writes"), "valid", "{leader}");
    assert_eq!(verdict(&leader, "monotonic-reads"), "valid", "{leader}");
    assert_ne!(code, Some(1));
}
