//! PostgreSQL as people run it: what each setting gives, on real servers under real faults.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

mod support;

use std::fs;
use std::path::Path;

use serde_json::Value;
use support::site::postgres_here;
use support::times::{deeds, faults_agree, lines, nothing_acknowledged};
use support::{errors, lab_works, only_run, run, verdict};

/// A leader cut off for a moment before it is killed: what it took meanwhile is on it alone.
const CUT_AND_KILL: [&str; 4] =
    ["--fault", "leader-alone@3500ms+2500ms", "--fault", "kill:leader@3800ms+2200ms"];

/// Whether there is a server to test; says loudly if there is not.
fn postgres_works() -> bool {
    lab_works() && postgres_here()
}

/// Runs a test; gives its exit code, verdict and what was said.
fn judged(folder: &Path, name: &str, flags: &[&str]) -> (Option<i32>, Value, String) {
    let system = ["--system", "postgres", "--set", "postgres.timeouts=lab"];
    support::judged(folder, name, &[&system, flags].concat())
}

#[test]
fn followers_show_stale_reads_and_a_token_or_remote_apply_mends_what_it_promises() {
    if !postgres_works() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let base = ["--workload", "profile", "--set", "postgres.apply_delay_ms.n3=100"];
    let base = [&base[..], &["--time-limit", "5s", "--sessions", "16"]].concat();
    let judged = |name: &str, flags: &[&str]| {
        let (code, value, said) = judged(folder.path(), name, &[&base[..], flags].concat());
        assert_eq!(code, Some(0), "what is promised holds: {said}");
        value
    };
    let any = judged("any", &["--policy", "any-follower"]);
    assert_eq!(verdict(&any, "read-your-writes"), "invalid", "{any}");
    assert_eq!(verdict(&any, "monotonic-reads"), "invalid", "{any}");

    let token = judged("token", &["--policy", "position-token"]);
    for checker in ["read-your-writes", "monotonic-reads"] {
        assert_eq!(token["checkers"][checker]["role"], "promised");
        assert_eq!(verdict(&token, checker), "valid", "{token}");
    }
    assert!(0 < served_by_followers(&only_run(folder.path(), "token")), "tokens are of use");

    let apply = ["--replication", "first:2", "--set", "postgres.synchronous_commit=remote_apply"];
    let apply = judged("apply", &[&apply[..], &["--policy", "any-follower"]].concat());
    assert_eq!(apply["checkers"]["read-your-writes"]["role"], "promised");
    assert_eq!(verdict(&apply, "read-your-writes"), "valid", "{apply}");
    assert_eq!(verdict(&apply, "monotonic-reads"), "invalid", "{apply}");
}

/// Reads that a follower answered with a position.
fn served_by_followers(run: &Path) -> usize {
    let history = std::fs::read_to_string(run.join("history.jsonl")).unwrap();
    let lines = history.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let on_follower = lines.filter(|line| {
        line["type"] == "ok" && line["node"] != "n1" && line["target"] == "position-token"
    });
    on_follower.filter(|line| line["position"].is_string()).count()
}

#[test]
fn failover_loses_what_was_not_confirmed_and_keeps_what_was() {
    if !postgres_works() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let base = [&["--failover", "operator", "--time-limit", "9s"], &CUT_AND_KILL[..]].concat();
    let (code, lossy, said) = judged(folder.path(), "async", &base);
    assert_eq!((code, verdict(&lossy, "lost-writes")), (Some(1), "invalid"), "{said}");
    let lost = &lossy["checkers"]["lost-writes"];
    let named = lost["findings"].as_array().unwrap().len();
    assert_eq!(named, lost["lost"].as_array().unwrap().len(), "each lost value is named");
    assert!(said.contains("is promoted") && said.contains("by pg_rewind"), "{said}");

    let any = [&base[..], &["--replication", "any:1"]].concat();
    let (code, kept, said) = judged(folder.path(), "any", &any);
    assert_eq!((code, verdict(&kept, "lost-writes")), (Some(0), "valid"), "{said}");
    assert_eq!(kept["checkers"]["lost-writes"]["role"], "promised");
}

#[test]
fn the_operator_s_notes_carry_the_times_at_which_things_were_done() {
    if !postgres_works() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--failover", "operator", "--fault", "leader-alone@2s+3s", "--time-limit", "7s"];
    let (_, _, said) = judged(folder.path(), "times", &flags);
    let run = only_run(folder.path(), "times");
    faults_agree(&run);
    let deeds = deeds(&said);
    assert!(deeds.is_sorted_by_key(|(_, answered, _)| *answered), "{said}");
    let found = |what: &str| {
        deeds.iter().find(|(.., told)| told.contains(what)).unwrap_or_else(|| panic!("{said}"))
    };
    let (fenced, promoted, back) =
        (found("fenced n1"), found("is promoted"), found("n1 is back and follows"));
    assert!(fenced.0 < fenced.1 && fenced.1 <= promoted.0 && promoted.1 <= back.0, "{said}");
    nothing_acknowledged(&run, "n1", fenced.1, back.0);
    // What was done on n1's host to fence it was done then, by the log of commands; times in notes
    // are cut to milliseconds.
    let milli = 1_000_000;
    let commands = lines(&run, "commands.jsonl");
    let stops = commands.iter().filter(|line| {
        line["host"] == "n1" && line["what"].as_str().unwrap().contains("\"ask\":\"stop\"")
    });
    let within = |line: &&Value| {
        // What was done before the run's clock started has no time on it.
        let (asked, answered) = (line["asked"].as_i64(), line["answered"].as_i64());
        asked.is_some_and(|at| fenced.0 - milli <= at)
            && answered.is_some_and(|at| at <= fenced.1 + milli)
    };
    assert_eq!(stops.filter(within).count(), 1, "{said}");
}

#[test]
fn the_wrong_candidate_and_an_unfenced_leader_lose_writes() {
    if !postgres_works() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let wrong = ["--replication", "any:1", "--set", "postgres.candidate=least-advanced"];
    let faults = ["--fault", "cut:n3@3s+4s", "--fault", "kill:leader@4500ms+2500ms"];
    let base = ["--failover", "operator", "--time-limit", "10s"];
    let (_, value, said) =
        judged(folder.path(), "wrong", &[&base[..], &wrong[..], &faults[..]].concat());
    assert_eq!(verdict(&value, "lost-writes"), "invalid", "{said}");

    let unfenced = ["--set", "postgres.fence=false", "--fault", "leader-alone@3500ms+3s"];
    let (_, value, said) = judged(folder.path(), "unfenced", &[&base[..], &unfenced[..]].concat());
    assert_eq!(verdict(&value, "lost-writes"), "invalid", "{said}");
    assert!(said.contains("split brain: n1 (term 1) and n"), "{said}");
}

/// Nightly, ten seeds each: suites/nightly.toml.
#[test]
fn each_isolation_level_gives_its_own_and_shows_what_it_does_not_forbid() {
    if !postgres_works() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |level: &str| {
        let isolation = format!("postgres.isolation={level}");
        let flags = ["--workload", "append", "--time-limit", "5s", "--set", &isolation];
        let (code, value, said) = judged(folder.path(), level, &flags);
        assert_eq!(code, Some(0), "{level}: {said}");
        let lists = &value["checkers"]["list-append"];
        assert_eq!(lists["role"], "promised", "{level}: {lists}");
        assert_eq!(lists["verdict"], "valid", "{level}: {lists}");
        let beyond = lists["beyond"].as_array().unwrap().iter();
        beyond.map(|anomaly| anomaly.as_str().unwrap().to_owned()).collect::<Vec<String>>()
    };
    let read_committed = at("read-committed");
    assert!(read_committed.contains(&"G-single-item".to_owned()), "{read_committed:?}");
    let repeatable_read = at("repeatable-read");
    assert!(repeatable_read.contains(&"G2-item".to_owned()), "{repeatable_read:?}");
    let serial = at("serializable");
    let strong = |name: &String| name.ends_with("-realtime") || name.ends_with("-process");
    assert!(serial.iter().all(strong), "{serial:?}");
}

#[test]
fn a_standby_that_lost_all_its_data_is_copied_anew() {
    if !postgres_works() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let sync = ["--set", "postgres.replication=any", "--fault", "replace@2s+2s"];
    let lab = ["--system", "postgres", "--set", "postgres.timeouts=lab"];
    let flags = [&lab[..], &["--time-limit", "6s"], &sync].concat();
    let (_, kept, said) = support::judged(folder.path(), "out", &flags);
    assert_eq!(kept["checkers"]["lost-writes"]["verdict"], "valid", "{kept}\n{said}");
    assert!(!said.contains("did not converge"), "{said}");
    let run = support::only_run(folder.path(), "out");
    let faults = fs::read_to_string(run.join("faults.jsonl")).unwrap();
    let lines: Vec<Value> =
        faults.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |phase: &str| lines.iter().find(|line| line["phase"] == phase).unwrap().clone();
    let (out, back) = (of("evidenced"), of("healed"));
    assert_eq!((&out["result"], &back["result"]), (&"installed".into(), &"installed".into()));
    assert!(out.to_string().contains("files before, 0 after"), "{out}");
    assert!(back.to_string().contains("pg_basebackup from n1"), "{back}");
    assert!(back.to_string().contains("streaming after"), "{back}");
}

#[test]
fn what_cannot_be_built_is_named_with_its_host() {
    if !postgres_works() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (port, words) in [("22", "host n1: port 22 is taken"), ("80", "Permission denied")] {
        let set = format!("postgres.port={port}");
        let output = run(&["run", "--system", "postgres", "--set", &set], folder.path());
        assert_eq!(output.status.code(), Some(75));
        assert!(errors(&output).contains(words), "{}", errors(&output));
    }
}

/// Versions of servers that `lab install` has put on this machine; says loudly which are not there.
fn installed_versions() -> Vec<&'static str> {
    let packages = splitbrain::install::PACKAGES.into_iter();
    let packages = packages.filter(|p| ["postgres-17", "postgres-18"].contains(&p.name));
    let (there, absent): (Vec<_>, Vec<_>) = packages.partition(|package| package.says().is_ok());
    for package in absent {
        eprintln!("skipped: PostgreSQL {}: lab install {}", package.version, package.name);
    }
    there.into_iter().map(|package| package.version).collect()
}

/// What `run.json` says of every node's server.
fn servers(run: &Path) -> Vec<String> {
    let info: Value = serde_json::from_slice(&fs::read(run.join("run.json")).unwrap()).unwrap();
    let servers = info["servers"].as_object().unwrap();
    servers.values().map(|server| server.as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_installed_version_is_recorded_fails_over_and_is_rewound() {
    if !postgres_works() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for version in installed_versions() {
        let (name, set) = (format!("v{version}"), format!("postgres.version={version}"));
        let flags = ["--failover", "operator", "--replication", "any:1", "--set", &set];
        let flags = [&flags[..], &CUT_AND_KILL, &["--time-limit", "8s"]].concat();
        let (code, value, said) = judged(folder.path(), &name, &flags);
        assert_eq!(code, Some(0), "{version}: {said}");
        assert_eq!(verdict(&value, "lost-writes"), "valid", "{version}: {value}");
        let run = only_run(folder.path(), &name);
        let servers = servers(&run);
        assert_eq!(servers.len(), 3, "every node said its version: {servers:?}");
        let text = format!("postgres (PostgreSQL) {version}, ");
        assert!(servers.iter().all(|server| server.starts_with(&text)), "{servers:?}");
        let page = fs::read_to_string(run.join("report.html")).unwrap();
        assert!(page.contains(&format!("n1, n2, n3: {text}")), "{version}: not on the page");
        assert!(page.contains("pg_rewind"), "{version}: the old leader was rewound: {said}");
    }
}

#[test]
fn a_server_that_does_not_run_is_refused_by_name() {
    use std::os::unix::fs::PermissionsExt;
    if !postgres_works() {
        return;
    }
    // Hosts have their own /tmp, and see this.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let open = fs::Permissions::from_mode(0o755);
    for program in ["initdb", "pg_basebackup", "pg_rewind", "postgres"] {
        let path = folder.path().join(program);
        fs::write(&path, "#!/bin/sh\necho 'libpq.so.5: no such file' >&2; exit 127\n").unwrap();
        fs::set_permissions(&path, open.clone()).unwrap();
    }
    let set = format!("postgres.binary={}/postgres", folder.path().display());
    let refused = |set: &str, words: &str| {
        let output = run(&["run", "--system", "postgres", "--set", set], folder.path());
        assert_eq!(output.status.code(), Some(75), "{}", errors(&output));
        assert!(errors(&output).contains(words), "{}", errors(&output));
    };
    refused(&set, "does not run: it ends with 127: libpq.so.5: no such file");
    refused("postgres.version=14", "no PostgreSQL 14 that runs is there: there is");
    refused("postgres.binary=/nowhere/postgres", "postgres.binary: there is no /nowhere/postgres");
}
