//! What keeps PostgreSQL's data when more than a server is lost: Patroni, going back in time, and
//! the two kinds of replication that are not streaming.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

mod support;

use std::path::Path;

use serde_json::Value;
use support::{errors, field, lab_works, only_run, run};

/// Whether these programs are there; says loudly which are not.
fn here(programs: &[&str]) -> bool {
    if !lab_works() {
        return false;
    }
    let path = std::env::var_os("PATH").unwrap();
    let servers = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let server = servers.map(|version| version.path().join("bin/postgres")).any(|s| s.exists());
    let mut missing: Vec<&str> = programs
        .iter()
        .filter(|program| !std::env::split_paths(&path).any(|f| f.join(program).is_file()))
        .copied()
        .collect();
    missing.extend((!server).then_some("a PostgreSQL server"));
    if missing.is_empty() {
        return true;
    }
    let missing = missing.join(", ");
    assert!(std::env::var_os("CI").is_none(), "CI must have {missing}");
    eprintln!("skipped: there is no {missing} (cargo xtask test installs them)");
    false
}

/// Runs a test; gives its exit code, its folder's verdict and what was said.
fn judged(folder: &Path, name: &str, flags: &[&str]) -> (Option<i32>, Value, String) {
    let system = ["--system", "postgres", "--set", "postgres.timeouts=lab"];
    support::judged(folder, name, &[&system, flags].concat())
}

#[test]
fn what_a_delayed_link_holds_is_lost_with_a_cut() {
    if !here(&[]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut flags = vec!["--failover", "operator", "--time-limit", "12s", "--recovery", "20s"];
    // The command promotes: the operator itself takes a link that slow for a leader that is gone.
    flags.extend(["--set", "postgres.detect_ms=20000"]);
    for fault in [
        "delay:leader@1s+7s,delay=200ms",
        // No write of the time after the cut is acknowledged: what is lost was under way.
        "clients-cut:n1@5s+3s",
        "leader-alone:n1@5020ms+3s",
        "kill:n1@5200ms+2s",
        "promote:n2@5400ms+1s",
    ] {
        flags.extend(["--fault", fault]);
    }
    let (code, value, said) = judged(folder.path(), "lag", &flags);
    assert_eq!(code, Some(1), "{said}");
    // 200 ms of about 200 writes a second; none while held packets got past the cut.
    let lost = value["checkers"]["lost-writes"]["count"].as_u64().unwrap();
    assert!((10..400).contains(&lost), "{lost}: {said}");
    let faults = only_run(folder.path(), "lag").join("faults.jsonl");
    let faults = std::fs::read_to_string(faults).unwrap();
    let proven = |id: &str| {
        let of = format!("\"id\":\"{id}\",\"phase\":\"evidenced\"");
        faults.lines().any(|line| line.contains(&of) && line.contains("\"result\":\"installed\""))
    };
    // Each beside the others: connections over slow links, and those of clients to a node whose
    // peers do not reach it either.
    assert!(["f1", "f2", "f3", "f4"].into_iter().all(proven), "{faults}");
    assert!(faults.contains("\"while_in_force\":[\"f3\"]"), "{faults}");
}

#[test]
fn an_operator_waits_for_approval_and_promotes_whom_it_is_told_to() {
    if !here(&[]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut flags = vec!["--failover", "operator", "--replication", "any:1"];
    for fault in ["approval-withheld@1s+3s", "kill:leader@1500ms+7s", "promote:n1@9s+1s"] {
        flags.extend(["--fault", fault]);
    }
    flags.extend(["--time-limit", "12s", "--recovery", "20s"]);
    let (_, value, said) = judged(folder.path(), "told", &flags);
    assert_eq!(field(&value, "lost-writes", "verdict"), "valid", "{said}");
    assert!(said.contains("the approval to replace it is withheld"), "{said}");
    assert!(said.contains("n1 is to be promoted: so it was told"), "{said}");
    let faults = only_run(folder.path(), "told").join("faults.jsonl");
    let faults = std::fs::read_to_string(faults).unwrap();
    let installed = faults.lines().filter(|line| line.contains("\"result\":\"installed\""));
    assert_eq!(installed.count(), 6, "each proven, and proven to be over: {faults}");
    assert!(faults.contains("\"observed\":\"n1 in term 3, after"), "{faults}");
}

/// n2 alone confirms what is written while n3 is cut from the leader.
#[test]
fn who_is_promoted_fetches_first_what_another_has_confirmed() {
    if !here(&[]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut flags = vec!["--failover", "operator", "--replication", "any:1"];
    flags.extend(["--fault", "cut:n3@2s+6s", "--fault", "promote:n3@4s+1s"]);
    flags.extend(["--time-limit", "11s", "--recovery", "20s"]);
    let (_, value, said) = judged(folder.path(), "behind", &flags);
    assert_eq!(field(&value, "lost-writes", "verdict"), "valid", "{said}");
    assert!(said.contains("n3 has fetched from n2 what it lacked"), "{said}");
    let effects = &value["fault-effects"];
    assert!(effects["f1"] == true && effects["f2"] == true, "{effects}\n{said}");
}

#[test]
fn patroni_in_synchronous_mode_loses_nothing_when_its_leader_is_killed() {
    if !here(&["patroni", "etcd"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut flags = vec!["--failover", "patroni", "--replication", "any:1"];
    for setting in ["postgres.patroni_ttl_s=5", "postgres.patroni_retry_timeout_s=2"] {
        flags.extend(["--set", setting]);
    }
    flags.extend(["--fault", "kill:leader@2s+10s", "--time-limit", "15s", "--recovery", "20s"]);
    let (code, value, said) = judged(folder.path(), "patroni", &flags);
    assert_eq!(field(&value, "lost-writes", "verdict"), "valid", "{said}");
    assert_eq!(field(&value, "lost-writes", "role"), "promised");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("(RTO)") && said.contains("was seen to lead"), "{said}");
    let logs = only_run(folder.path(), "patroni").join("logs/n1");
    assert!(logs.join("etcd.log").is_file() && logs.join("postgres.log").is_file());
}

#[test]
fn what_was_deleted_everywhere_comes_back_and_what_came_after_is_counted_as_lost() {
    if !here(&[]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let flags = ["recover", "--json", "--delete-at", "2s", "--noticed-after", "2s"];
    let output = run(&flags, folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let writes = &told["writes"];
    assert!(0 < writes["before"].as_u64().unwrap(), "{told}");
    assert_eq!(writes["before_left"], 0, "no node keeps what was deleted");
    assert_eq!(writes["before_back"], writes["before"]);
    assert_eq!(writes["after_lost"], writes["after"]);
    assert!(0 < told["rto_ms"].as_u64().unwrap() && 0 < told["rpo_ms"].as_u64().unwrap());
    let run_folder = only_run(folder.path(), "recover");
    let faults = std::fs::read_to_string(run_folder.join("faults.jsonl")).unwrap();
    assert!(faults.contains("\"delete\"") && faults.contains("\"restore\""), "{faults}");
    assert!(run_folder.join("report.html").is_file() && run_folder.join("recovery.json").is_file());
}

/// A follower that is cut off is stale, catches up afterwards, and nothing is lost.
fn followers_lag_and_catch_up(kind: &str) {
    let folder = tempfile::tempdir().unwrap();
    let setting = format!("postgres.replication_kind={kind}");
    let flags = ["--set", &setting, "--policy", "any-follower", "--time-limit", "5s"];
    let flags = [&flags[..], &["--fault", "isolate:n2@2s+1s"]].concat();
    let (code, value, said) = judged(folder.path(), kind, &flags);
    assert_eq!(field(&value, "read-your-writes", "verdict"), "invalid", "{said}");
    assert_eq!(field(&value, "read-your-writes", "role"), "observation");
    assert_eq!(field(&value, "lost-writes", "verdict"), "valid", "{said}");
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("did not converge"), "{said}");
}

#[test]
fn subscribers_lag_and_catch_up() {
    if here(&[]) {
        followers_lag_and_catch_up("logical");
    }
}

#[test]
fn followers_of_a_table_of_changes_lag_and_catch_up() {
    if here(&[]) {
        followers_lag_and_catch_up("trigger");
    }
}

#[test]
fn what_cannot_be_combined_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |flags: &[&str], expected: &str| {
        let output = run(&[&["run", "--system", "postgres"], flags].concat(), folder.path());
        assert_eq!(output.status.code(), Some(64), "{}", errors(&output));
        assert!(errors(&output).contains(expected), "{}", errors(&output));
    };
    let logical = ["--set", "postgres.replication_kind=logical"];
    let with = |more: &[&'static str]| [&logical[..], more].concat();
    refused(&with(&["--failover", "operator"]), "postgres.failover");
    refused(&with(&["--replication", "any:1"]), "postgres.replication");
    refused(&with(&["--policy", "position-token"]), "--policy");
    let short = ["--failover", "patroni", "--set", "postgres.patroni_ttl_s=5"];
    refused(&short, "loop_wait + 2 * retry_timeout");
    let output = run(&["recover", "--set", "postgres.failover=operator"], folder.path());
    assert_eq!(output.status.code(), Some(64), "{}", errors(&output));
    assert!(errors(&output).contains("failover = \"none\""), "{}", errors(&output));
    assert!(!folder.path().join("runs").exists(), "nothing was begun");
}
