//! Faults that end processes otherwise than by one kill: on the lab, in the simulator, with
//! PostgreSQL; each with its proof.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

mod support;

use std::path::Path;

use serde_json::Value;
use support::{errors, lab_works, only_run, run};

/// Runs a test; gives the last word on every fault: evidence of its injection and of its healing.
fn faults(folder: &Path, name: &str, flags: &[&str]) -> Vec<(Value, Value)> {
    let output = run(&[&["run", "--name", name], flags].concat(), folder);
    let path = only_run(folder, name).join("faults.jsonl");
    let text = std::fs::read_to_string(path).unwrap_or_else(|_| panic!("{}", errors(&output)));
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |phase: &'static str| lines.iter().filter(move |line| line["phase"] == phase).cloned();
    let healed = |id: &Value| of("healed").find(|event| event["id"] == *id).unwrap();
    let pair = |evidenced: Value| (evidenced.clone(), healed(&evidenced["id"]));
    let all: Vec<(Value, Value)> = of("evidenced").map(pair).collect();
    for (evidenced, healed) in &all {
        if evidenced["fault"] == "load" {
            // Who gets little on a machine that is busy with other tests cannot be given much less.
            assert!(evidenced["result"] == "installed" || !had_most(evidenced), "{evidenced}");
        } else {
            assert_eq!(evidenced["result"], "installed", "{evidenced}");
        }
        assert_eq!(healed["result"], "installed", "{healed}");
    }
    assert_eq!(all.len(), of("planned").count(), "{text}");
    // Whether enough was going on besides is a matter of how fast this machine is.
    assert!(matches!(output.status.code(), Some(0 | 2)), "{}", errors(&output));
    all
}

/// Whether the system got at least half of the processor time that it wanted before.
fn had_most(load: &Value) -> bool {
    let expected = load["evidence"][0]["expected"].as_str().unwrap();
    let before = expected.trim_end_matches(" %").rsplit(' ').next().unwrap();
    before.parse::<f64>().is_ok_and(|before| 50.0 <= before)
}

fn named<'a>(all: &'a [(Value, Value)], fault: &str) -> &'a (Value, Value) {
    all.iter().find(|(evidenced, _)| evidenced["fault"] == fault).unwrap()
}

/// What was seen of each probe of an event.
fn observed(event: &Value) -> Vec<&str> {
    let probes = event["evidence"].as_array().unwrap();
    probes.iter().map(|probe| probe["observed"].as_str().unwrap()).collect()
}

/// Every fault of this kind; whom each hits if nobody is named.
const ALL: [&str; 10] = [
    "--fault",
    "stop:a-follower",
    "--fault",
    "restart:leader",
    "--fault",
    "crash-loop:a-follower,period=300ms",
    "--fault",
    "kill-in-start:leader,after=20ms",
    "--fault",
    "rolling-restart,gap=50ms",
];

#[test]
fn every_process_fault_has_its_proof_on_the_store() {
    if !lab_works() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--hosts", "3", "--replication", "sync", "--time-limit", "12s"];
    let mut lives = ALL;
    let [.., rolling] = &mut lives;
    *rolling = "rolling-restart,gap=50ms,set=ship_ms=20";
    let all = faults(
        folder.path(),
        "store",
        &[&flags[..], &lives, &["--fault", "load@1s+1s,cores=8"]].concat(),
    );
    let (stop, healed) = named(&all, "stop");
    assert_eq!((&stop["mechanism"], observed(stop)[0]), (&"signal".into(), "absent"));
    assert!(observed(stop)[1].starts_with("ended after "), "{stop}");
    assert!(observed(healed)[0].ends_with(": running"), "{healed}");
    let (crash_loop, healed) = named(&all, "crash-loop");
    assert!(observed(crash_loop)[1].starts_with("kills 2, starts "), "{crash_loop}");
    assert!(observed(healed)[1].starts_with("kills "), "{healed}");
    let (in_start, _) = named(&all, "kill-in-start");
    assert!(observed(in_start)[1].starts_with("kills 2, starts 1; it "), "{in_start}");
    assert_eq!(observed(in_start)[2], "none");
    let (load, _) = named(&all, "load");
    assert_eq!(load["mechanism"], "busy processes");
    let (rolling, _) = named(&all, "rolling-restart");
    let back = observed(rolling).into_iter().filter(|seen| seen.starts_with("after "));
    assert_eq!(back.count(), 3, "{rolling}");
    let otherwise = observed(rolling).into_iter().filter(|seen| *seen == "20");
    assert_eq!(otherwise.count(), 3, "each says so itself: {rolling}");
    let (restart, _) = named(&all, "restart");
    assert!(observed(restart)[2].starts_with("process "), "{restart}");
}

#[test]
fn a_limit_is_met_and_everybody_goes_back() {
    if !lab_works() {
        return;
    }
    if let Err(why) = agent::cgroup::limit::trial(agent::cgroup::Limit::Cpu { percent: 50 }) {
        eprintln!("skipped: {why}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--hosts", "3", "--replication", "sync", "--time-limit", "6s"];
    let limits = ["--fault", "cpu-limit:n2@500ms+2s,cpu=1%"];
    let limits = [
        &limits[..],
        &["--fault", "memory-limit:n3@500ms+2s,limit=64kb"],
        &["--fault", "read-load:n1@3s+1s"],
    ]
    .concat();
    let all = faults(folder.path(), "limits", &[&flags[..], &limits].concat());
    let (limit, healed) = named(&all, "cpu-limit");
    assert!(limit["mechanism"].as_str().unwrap().starts_with("cgroup v"), "{limit}");
    assert!(observed(limit)[0].contains(" periods, "), "{limit}");
    let back = observed(healed)[0];
    assert!(back.contains("processes back in the cgroup /sys/fs/cgroup"), "{healed}");
    let (reads, healed) = named(&all, "read-load");
    assert!(observed(reads)[0].contains(" a second; it used "), "{reads}");
    assert!(observed(healed)[0].parse::<u64>().unwrap() > 100, "{healed}");
    let (limit, healed) = named(&all, "memory-limit");
    assert!(observed(limit)[0].contains(" processes killed for it"), "{limit}");
    assert!(observed(healed)[0].contains("processes back in the cgroup"), "{healed}");
    assert!(back.contains("(waited in ") && !back.contains("waited in 0 "), "{healed}");
}

#[test]
fn the_simulator_has_them_too() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--lab", "sim", "--hosts", "3", "--replication", "sync", "--time-limit", "20s"];
    let all = faults(folder.path(), "sim", &[&flags[..], &ALL].concat());
    assert_eq!(all.len(), ALL.len() / 2);
    let (restart, healed) = named(&all, "restart");
    assert_eq!(restart["time"], healed["time"], "it is over when it runs again");
    let killed = ["--fault", "kill:all", "--fault", "all-restart"];
    let all = faults(folder.path(), "all", &[&flags[..], &killed].concat());
    assert_eq!(observed(&all[0].0), ["absent"; 3]);
    assert_eq!(observed(&all[0].1), ["running"; 3]);
}

#[test]
fn postgres_is_shut_down_fast() {
    if !lab_works() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let lab = ["--system", "postgres", "--set", "postgres.timeouts=lab"];
    let flags = [&lab[..], &["--hosts", "3", "--time-limit", "6s", "--fault"]].concat();
    let restart = "restart:a-follower,set=Work_Mem=8192kB";
    let all = faults(folder.path(), "postgres", &[&flags[..], &[restart]].concat());
    let probe = &all[0].0["evidence"][1]["probe"];
    assert!(observed(&all[0].0).contains(&"8MB"), "in the server's unit: {}", all[0].0);
    assert!(probe.as_str().unwrap().contains("SIGINT"), "{probe}");
}
