//! Clock faults on the lab, seen in each server's own clock: the store, PostgreSQL, MongoDB.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

mod support;

use std::path::Path;

use serde_json::Value;
use support::{errors, lab_works, run};

fn lines(run: &Path, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(run.join(file)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Runs a test with these flags; gives its folder's fault lines of a phase, and its telemetry.
fn faulted(name: &str, flags: &[&str]) -> (Vec<Value>, Vec<Value>) {
    let folder = tempfile::tempdir().unwrap();
    let (_, judged, said) = support::judged(folder.path(), name, flags);
    let run = support::only_run(folder.path(), name);
    let faults = lines(&run, "faults.jsonl");
    let of = |phase: &str| -> Vec<Value> {
        faults.iter().filter(|line| line["phase"] == phase).cloned().collect()
    };
    for line in of("evidenced").iter().chain(&of("healed")) {
        let result = (&line["result"], &line["mechanism"]);
        assert_eq!(result, (&"installed".into(), &"libfaketime".into()), "{line}\n{said}");
        assert_eq!(line["family"], "clock");
    }
    assert_eq!(of("evidenced").len(), of("healed").len());
    assert_ne!(judged["verdict"], "invalid", "{judged}\n{said}");
    let page = std::fs::read_to_string(run.join("report.html")).unwrap();
    assert!(page.contains("svg class=\"clocks\""), "the report plots the clocks");
    (of("evidenced"), lines(&run, "telemetry.jsonl"))
}

/// What was seen by the probes of a fault, s.
fn seen(fault: &Value) -> Vec<f64> {
    let evidence = fault["evidence"].as_array().unwrap();
    let number = |text: &str| text.trim_start_matches('x').trim_end_matches(" s").parse().unwrap();
    evidence.iter().map(|probe| number(probe["observed"].as_str().unwrap())).collect()
}

/// The offsets that telemetry has of a node, s.
fn offsets(telemetry: &[Value], node: &str) -> Vec<f64> {
    let of = telemetry.iter().filter(|sample| sample["node"] == node);
    let ms = of.filter_map(|sample| sample["details"]["clock_offset_ms"].as_f64());
    ms.map(|ms| ms / 1_000.0).collect()
}

/// Whether clocks can be moved here; says loudly if they cannot.
fn clocks_move() -> bool {
    let found = lab_works() && agent::fake_clock::library().is_some();
    if !found {
        assert!(std::env::var_os("CI").is_none(), "CI must have libfaketime");
        eprintln!("skipped: the lab needs root, sshd and libfaketime");
    }
    found
}

fn near(seen: f64, there: f64) -> bool {
    (seen - there).abs() < 0.5
}

#[test]
fn the_store_sees_its_clocks_jump_drift_and_jump_back() {
    if !clocks_move() {
        return;
    }
    let flags = ["--hosts", "4", "--time-limit", "9s"];
    let faults = [
        "clock-bump:n1@1s+3s,offset=-30s",
        "clock-drift:n2@1s+5s,rate=x1.5",
        "clock-jump-back:n3@1s+5s",
        "clock-strobe:n4@1s+5s",
    ];
    let faults = faults.iter().flat_map(|fault| ["--fault", fault]).collect::<Vec<_>>();
    let (faults, telemetry) = faulted("store", &[&flags[..], &faults].concat());
    assert_eq!(faults.len(), 4);
    for fault in &faults {
        let seen = seen(fault);
        let expected: &[f64] = match fault["fault"].as_str().unwrap() {
            "clock-bump" => &[0.0, -30.0],
            "clock-drift" => &[0.0, 1.5],
            "clock-jump-back" => &[0.0, 60.0, -60.0],
            _ => &[0.0, 5.0, 0.0],
        };
        assert_eq!(seen.len(), expected.len(), "{fault}");
        assert!(seen.iter().zip(expected).all(|(seen, there)| near(*seen, *there)), "{fault}");
    }
    for (node, there) in [("n1", -30.0), ("n4", 5.0), ("n3", 60.0), ("n3", -60.0)] {
        let offsets = offsets(&telemetry, node);
        assert!(offsets.iter().any(|seen| near(*seen, there)), "{node} at {there}: {offsets:?}");
        assert!(near(offsets[0], 0.0) && near(*offsets.last().unwrap(), 0.0), "{offsets:?}");
    }
}

#[test]
fn databases_see_their_clocks_jump() {
    if !clocks_move() {
        return;
    }
    // A replica set would keep the time of a clock that was ahead: see below.
    for (system, bump, jump) in [
        ("postgres", "clock-bump:n1@1s+2s", 30.0),
        ("mongodb", "clock-bump:n1@1s+2s,offset=-30s", -30.0),
    ] {
        let fault = ["--time-limit", "5s", "--fault", bump];
        let folder = tempfile::tempdir().unwrap();
        let there = match system {
            "postgres" => Path::new("/usr/lib/postgresql").exists(),
            _ => run(&["lab", "install", "mongodb"], folder.path()).status.success(),
        };
        if !there {
            assert!(std::env::var_os("CI").is_none(), "CI must have {system}");
            eprintln!("skipped: there is no {system}");
            continue;
        }
        let (faults, telemetry) = faulted(system, &[&["--system", system], &fault[..]].concat());
        let [fault] = &faults[..] else { panic!("one fault was asked for") };
        assert!(near(seen(fault)[1], jump), "{fault}");
        let offsets = offsets(&telemetry, "n1");
        assert!(offsets.iter().any(|seen| near(*seen, jump)), "{offsets:?}");
        assert!(near(*offsets.last().unwrap(), 0.0), "{offsets:?}");
    }
}

#[test]
fn a_replica_set_s_cluster_time_is_not_healed_with_the_clock_that_took_it_along() {
    if !clocks_move() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    if !run(&["lab", "install", "mongodb"], folder.path()).status.success() {
        assert!(std::env::var_os("CI").is_none(), "CI must have mongodb");
        eprintln!("skipped: there is no mongodb");
        return;
    }
    let fault = ["--fault", "clock-bump:leader@1s+3s,offset=24h", "--time-limit", "6s"];
    let flags = [&["run", "--name", "day", "--system", "mongodb"], &fault[..]].concat();
    let output = run(&flags, folder.path());
    let said = errors(&output);
    assert!(said.contains("f1 was not healed: the clocks are right again, but"), "{said}");
    let faults = lines(&support::only_run(folder.path(), "day"), "faults.jsonl");
    let healed = faults.iter().find(|line| line["phase"] == "healed").unwrap();
    let probes = healed["evidence"].as_array().unwrap();
    let of = |what: &str| {
        let found = probes.iter().filter(|probe| probe["probe"].as_str().unwrap().contains(what));
        found.map(|probe| probe["holds"].as_bool().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(of("cluster's time"), [false, false, false], "all members took it: {healed}");
    assert_eq!(of("server's clock"), [true], "{healed}");
    assert_eq!(healed["result"], "no-effect", "{healed}");
}

#[test]
fn a_clock_fault_without_means_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    for (flags, part) in [
        (&["--lab", "sim", "--fault", "clock-bump"][..], "reads no clock of the day"),
        (&["--fault", "clock-bump,offset=100ms"], "cannot be told from the true time"),
        (&["--fault", "clock-drift,rate=x3"], "a factor such as x1.5 from x0.5 to x2"),
        (&["--fault", "clock-jump-back,offset=+60s"], "at least a second behind leap"),
        (
            &[
                "--system",
                "postgres",
                "--set",
                "postgres.failover=patroni",
                "--fault",
                "clock-bump",
            ],
            "Patroni starts its server",
        ),
    ] {
        let refused = run(&[&["run"], flags].concat(), folder.path());
        assert_eq!(refused.status.code(), Some(64), "{flags:?}: {}", errors(&refused));
        assert!(errors(&refused).contains(part), "{flags:?}: {}", errors(&refused));
    }
}

/// Nothing here sets a clock: what is refused or printed alone.
#[test]
fn the_clock_of_a_host_needs_its_familys_word_and_goes_no_faster_than_a_kernel_lets_it() {
    let folder = tempfile::tempdir().unwrap();
    let hosts = "[[host]]\nname = \"a\"\naddress = \"192.0.2.1\"\n\
                 [[host]]\nname = \"b\"\naddress = \"192.0.2.2\"\n\
                 [[host]]\nname = \"c\"\naddress = \"192.0.2.3\"\n";
    for (name, allow) in [("open.toml", "clock"), ("shut.toml", "network")] {
        let text = format!("cluster_id = \"x\"\nallow = [\"{allow}\"]\n{hosts}");
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let patroni = ["--system", "postgres", "--set", "postgres.failover=patroni"];
    let run = |file: &str, fault: &str, more: &[&str]| {
        let flags = ["run", "--hosts-file", file, "--dry-run", "--fault", fault];
        run(&[&flags[..], more].concat(), folder.path())
    };
    for (file, fault, part) in [
        ("shut.toml", "clock-bump", "clock-bump is not allowed: it is of the family clock"),
        ("open.toml", "clock-drift,rate=x1.2", "goes at x0.9 to x1.1 (adjtimex)"),
        ("open.toml", "clock-drift,rate=x0.8", "goes at x0.9 to x1.1 (adjtimex)"),
    ] {
        let refused = run(file, fault, &[]);
        assert_eq!(refused.status.code(), Some(64), "{fault}: {}", errors(&refused));
        assert!(errors(&refused).contains(part), "{fault}: {}", errors(&refused));
    }
    for (fault, more, part) in [
        ("clock-drift:a", &[][..], "adjtimex: the tick of the host's own clock"),
        ("clock-bump:a", &patroni[..], "clock_settime: the host's own clock, for all that runs"),
    ] {
        let dry = run("open.toml", fault, more);
        let said = String::from_utf8_lossy(&dry.stdout).into_owned();
        assert_eq!(dry.status.code(), Some(0), "{}", errors(&dry));
        assert!(said.contains(part) && said.contains("systemctl stop"), "{said}");
    }
}
