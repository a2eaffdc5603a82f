//! MongoDB on the lab: what one member acknowledged is lost, what a majority did is kept, and a
//! causal session never sees time run backward.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

mod support;

use std::collections::BTreeSet;

use support::{errors, lab_works, run, verdict};

/// Whether there is a lab and a server for it; says loudly if there is not.
fn mongodb_works() -> bool {
    if !lab_works() {
        return false;
    }
    let folder = tempfile::tempdir().unwrap();
    let installed = run(&["lab", "install", "mongodb"], folder.path());
    let on_path = std::process::Command::new("mongod").arg("--version").output();
    if installed.status.success() || on_path.is_ok_and(|output| output.status.success()) {
        return true;
    }
    let why = errors(&installed);
    assert!(std::env::var_os("CI").is_none(), "CI must have a mongod: {why}");
    eprintln!("skipped: no mongod is here and none can be had: {why}");
    false
}

/// Runs a test on MongoDB; gives its exit code, its verdict and what was said.
fn judged(name: &str, flags: &[&str]) -> (Option<i32>, serde_json::Value, String) {
    let folder = tempfile::tempdir().unwrap();
    support::judged(folder.path(), name, &[&["--system", "mongodb"], flags].concat())
}

/// A cut that outlasts the step-down and the next election: 1 s and 2.2 s with this timeout.
const ISOLATE: [&str; 10] = [
    "--fault",
    "isolate:leader@1500ms+3500ms",
    "--time-limit",
    "8s",
    "--rate",
    "400",
    "--set",
    "mongodb.election_timeout_ms=1000",
    "--set",
    "mongodb.heartbeat_ms=250",
];

#[test]
fn a_majority_keeps_and_one_member_does_not() {
    if !mongodb_works() {
        return;
    }
    let one = ["--set", "mongodb.write_concern=1"];
    let (_, lossy, said) = judged("lossy", &[&ISOLATE[..], &one].concat());
    assert_eq!(verdict(&lossy, "lost-writes"), "invalid", "{lossy}\n{said}");
    for part in ["during isolate of", "commands reverted (", "by electionTimeout"] {
        assert!(said.contains(part), "{part} is told: {said}");
    }
    let (code, kept, said) = judged("kept", &ISOLATE);
    assert_eq!((code, verdict(&kept, "lost-writes")), (Some(0), "valid"), "{kept}\n{said}");
    assert_eq!(kept["coverage"]["missing"], serde_json::json!([]));
}

/// The lines of a run's `faults.jsonl` that tell of this phase.
fn fault_lines(run: &std::path::Path, phase: &str) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(run.join("faults.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.filter(|line| line["phase"] == phase).collect()
}

#[test]
fn a_primary_that_stands_down_is_followed_by_another() {
    if !mongodb_works() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--system", "mongodb", "--time-limit", "7s", "--fault", "step-down@2s+2s"];
    let (code, kept, said) = support::judged(folder.path(), "down", &flags);
    assert_eq!((code, verdict(&kept, "lost-writes")), (Some(0), "valid"), "{kept}\n{said}");
    let run = support::only_run(folder.path(), "down");
    let [told] = &fault_lines(&run, "evidenced")[..] else { panic!("one fault was asked for") };
    assert_eq!((&told["family"], &told["result"]), (&"failover".into(), &"installed".into()));
    let evidence = told["evidence"].as_array().unwrap();
    let seen: Vec<&str> = evidence.iter().map(|e| e["observed"].as_str().unwrap()).collect();
    assert!(seen[0].starts_with("primary, term "), "before: {told}");
    assert!(seen[1].starts_with("secondary, term "), "asked: {told}");
    let term = |text: &str| text.rsplit(' ').next().unwrap().parse::<i64>().unwrap();
    assert!(term(seen[0]) < term(seen[2]), "after: {told}");
    let target = told["targets"][0].as_str().unwrap();
    assert!(!seen[2].starts_with(target), "another leads: {told}");
    assert_eq!(fault_lines(&run, "healed")[0]["result"], "installed");
}

#[test]
fn a_member_is_taken_out_and_added_again() {
    if !mongodb_works() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--system", "mongodb", "--time-limit", "6s", "--fault", "remove@2s+2s"];
    let (_, kept, said) = support::judged(folder.path(), "out", &flags);
    assert_eq!(verdict(&kept, "lost-writes"), "valid", "{kept}\n{said}");
    assert!(!said.contains("did not converge"), "{said}");
    let run = support::only_run(folder.path(), "out");
    let version = |line: &serde_json::Value| {
        let seen = line["evidence"][0]["observed"].as_str().unwrap();
        seen.rsplit(' ').next().unwrap().parse::<u32>().unwrap()
    };
    let [out] = &fault_lines(&run, "evidenced")[..] else { panic!("one fault was asked for") };
    assert_eq!((&out["family"], &out["result"]), (&"membership".into(), &"installed".into()));
    assert!(out["evidence"][1]["observed"].as_str().unwrap().starts_with("REMOVED"), "{out}");
    let [back] = &fault_lines(&run, "healed")[..] else { panic!("and healed once") };
    assert_eq!(back["result"], "installed", "{back}");
    assert!(version(out) < version(back), "{out} {back}");
}

#[test]
fn a_member_that_lost_all_its_data_fetches_it_again() {
    if !mongodb_works() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--system", "mongodb", "--time-limit", "9s", "--fault", "replace@2s+1s"];
    let (_, kept, said) = support::judged(folder.path(), "out", &flags);
    assert_eq!(verdict(&kept, "lost-writes"), "valid", "{kept}\n{said}");
    assert!(!said.contains("did not converge"), "{said}");
    let run = support::only_run(folder.path(), "out");
    let [out] = &fault_lines(&run, "evidenced")[..] else { panic!("one fault was asked for") };
    assert_eq!(out["result"], "installed", "{out}");
    let seen = |line: &serde_json::Value, probe: &str| {
        let all = line["evidence"].as_array().unwrap();
        let found = all.iter().find(|seen| seen["probe"].as_str().unwrap().contains(probe));
        found.unwrap_or_else(|| panic!("{probe}: {line}"))["observed"].as_str().unwrap().to_owned()
    };
    assert!(seen(out, "says of itself").starts_with("REMOVED"), "{out}");
    assert!(seen(out, " data").ends_with(", 0 after"), "{out}");
    let [back] = &fault_lines(&run, "healed")[..] else { panic!("and healed once") };
    assert_eq!(back["result"], "installed", "{back}");
    assert_eq!(seen(back, "initial syncs"), "1 completed, 0 failed", "{back}");
    assert!(seen(back, "says of itself").starts_with("SECONDARY"), "{back}");
}

#[test]
fn a_follower_that_is_asked_to_stand_down_changes_nothing() {
    if !mongodb_works() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let fault = "step-down:a-follower@1s+1s";
    let flags = ["--system", "mongodb", "--time-limit", "4s", "--fault", fault];
    let (_, judged, said) = support::judged(folder.path(), "none", &flags);
    let run = support::only_run(folder.path(), "none");
    let told = &fault_lines(&run, "evidenced")[0];
    assert_eq!(told["result"], "no-effect", "{told}");
    assert!(told["evidence"][0]["observed"].as_str().unwrap().starts_with("secondary"), "{told}");
    assert_eq!(judged["verdict"], "unknown", "a required fault had no effect: {said}");
}

#[test]
fn followers_show_old_values_unless_the_session_is_causal() {
    if !mongodb_works() {
        return;
    }
    // As fast as sessions go, so that a read follows its write closely.
    let any = ["--workload", "profile", "--policy", "any-follower", "--rate", "0"];
    let any = [&any[..], &["--time-limit", "10s"]].concat();
    let (_, stale, said) =
        judged("stale", &[&any[..], &["--set", "mongodb.write_concern=1"]].concat());
    assert_eq!(verdict(&stale, "read-your-writes"), "invalid", "{stale}\n{said}");
    let causal = ["--set", "mongodb.causal=true", "--set", "mongodb.read_concern=majority"];
    let (code, clean, said) = judged("causal", &[&any[..], &causal].concat());
    assert_eq!(code, Some(0), "{clean}\n{said}");
    for checker in ["read-your-writes", "monotonic-reads"] {
        assert_eq!(verdict(&clean, checker), "valid", "{clean}");
        assert_eq!(clean["checkers"][checker]["role"], "promised", "{clean}");
    }
}

#[test]
fn with_an_arbiter_and_a_follower_gone_no_majority_has_a_write() {
    if !mongodb_works() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--system", "mongodb", "--set", "mongodb.arbiters=1", "--time-limit", "6s"];
    let flags = [&flags[..], &["--fault", "kill:n2@2s+2s"]].concat();
    let (_, judged, said) = support::judged(folder.path(), "psa", &flags);
    assert_eq!(verdict(&judged, "lost-writes"), "valid", "{judged}\n{said}");
    let missing = judged["coverage"]["missing"].to_string();
    assert!(!missing.contains("final read"), "who holds data is read: {missing}");
    assert!(!said.contains("did not converge"), "{said}");
    let run = support::only_run(folder.path(), "psa");
    let text = std::fs::read_to_string(run.join("history.jsonl")).unwrap();
    let (start, end) = (2_500_000_000, 4_000_000_000_u64);
    let mut unknown = 0;
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_ne!(line["node"], "n3", "nobody asks an arbiter for data: {line}");
        let during = (start..end).contains(&line["time"].as_u64().unwrap());
        if during && line["type"] != "invoke" && line["value"][0][0] == "append" {
            assert_eq!(line["type"], "info", "a majority of members has not: {line}");
            unknown += 1;
        }
    }
    assert!(10 < unknown, "{unknown} writes ended without an answer: {said}");
}

/// The nodes that completions of a run name, those of reads and those of writes.
fn answered(run: &std::path::Path) -> [BTreeSet<String>; 2] {
    let text = std::fs::read_to_string(run.join("history.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let mut nodes = [BTreeSet::new(), BTreeSet::new()];
    for line in lines.filter(|line| line["target"] == "driver") {
        match line["type"].as_str().unwrap() {
            "invoke" => assert_eq!(line["node"], serde_json::Value::Null, "{line}"),
            "ok" => {
                let writes = usize::from(line["value"][0][0] != "r");
                nodes[writes].insert(line["node"].as_str().unwrap().to_owned());
            }
            _ => {}
        }
    }
    nodes
}

#[test]
fn the_driver_routes_by_its_read_preference_and_says_who_answered() {
    if !mongodb_works() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let run = |preference: &str| {
        let set = format!("mongodb.read_preference={preference}");
        // For less than an election timeout: the primary goes on, and all others are behind.
        let fault = ["--fault", "leader-alone@1s+1200ms", "--time-limit", "3500ms"];
        let flags = ["--workload", "profile", "--policy", "driver", "--set", &set];
        let more = [&fault[..], &["--set", "mongodb.write_concern=1"]].concat();
        let flags = [&["--system", "mongodb"], &flags[..], &more].concat();
        let (_, judged, said) = support::judged(folder.path(), preference, &flags);
        let [reads, writes] = answered(&support::only_run(folder.path(), preference));
        assert_eq!(writes.len(), 1, "{writes:?}: one member leads");
        (verdict(&judged, "read-your-writes").to_owned(), reads, writes, said)
    };
    let (stale, reads, writes, said) = run("secondary");
    assert_eq!(stale, "invalid", "{said}");
    assert!(!reads.is_empty() && reads.is_disjoint(&writes), "{reads:?} {writes:?}");
    let (own, reads, writes, said) = run("primary");
    assert_eq!((own.as_str(), reads), ("valid", writes), "{said}");
}

#[test]
fn a_transaction_is_one_moment_and_mixed_writes_need_one() {
    if !mongodb_works() {
        return;
    }
    let mixed = ["--workload", "mixed", "--time-limit", "3s"];
    let folder = tempfile::tempdir().unwrap();
    let refused = run(&[&["run", "--system", "mongodb"], &mixed[..]].concat(), folder.path());
    assert_eq!(refused.status.code(), Some(64));
    assert!(errors(&refused).contains("mongodb.transactions=true"), "{}", errors(&refused));
    let set = ["--set", "mongodb.transactions=true", "--set", "mongodb.read_concern=snapshot"];
    // Its pure writes are too few in so short a time for the coverage gate, which is not the point.
    let (code, clean, said) = judged("mixed", &[&mixed[..], &set].concat());
    assert_ne!(code, Some(1), "{clean}\n{said}");
    assert_eq!(verdict(&clean, "consistent-prefix"), "valid", "{clean}\n{said}");
    assert_eq!(clean["checkers"]["consistent-prefix"]["role"], "promised", "{clean}");
}
