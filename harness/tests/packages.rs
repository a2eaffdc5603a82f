//! Faults of several families at once: a plan is drawn from its seed and replays, and faults in
//! force at once are undone each by itself.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use support::{errors, lab_works, only_run, run, splitbrain, wait_until};

const PACKAGE: &str = "name = \"mixed\"\nworkload = \"ledger\"\nduration = \"12s\"\n\
    [store]\nreplication = \"sync\"\nfailover = \"vote\"\nread = \"committed\"\n\
    [package]\nfaults = [\"network\", \"process\", \"kill:n1\", \"pause:n2\", \"nothing\"]\n\
    every = \"200ms..1s\"\nfor = \"300ms..1500ms\"\nmax_faults = 2\n";

fn lines(run: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(run.join("faults.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Faults that were made: when, until when, which, whom.
fn spans(lines: &[Value]) -> Vec<(i64, i64, String, BTreeSet<String>)> {
    let of = |phase: &'static str| lines.iter().filter(move |line| line["phase"] == phase);
    let span = |line: &Value| {
        let healed = of("healed").find(|healed| healed["id"] == line["id"]);
        let healed = healed.unwrap_or_else(|| panic!("{line} was not healed"));
        assert!(healed["error"].is_null(), "{healed}");
        let targets = line["targets"].as_array().into_iter().flatten();
        let targets = targets.map(|node| node.as_str().unwrap().to_owned()).collect();
        let at = |line: &Value| line["time"].as_i64().unwrap();
        (at(line), at(healed), line["fault"].as_str().unwrap().to_owned(), targets)
    };
    of("injected").map(span).collect()
}

/// At most two at once, nothing beside nothing, and one fault on one process.
fn keeps_to_its_package(lines: &[Value]) {
    let spans = spans(lines);
    let on_process = |name: &str| {
        ["kill", "pause", "slow", "stop", "restart", "crash-loop", "kill-in-start"].contains(&name)
            || name == "rolling-restart"
    };
    for (place, (from, until, name, nodes)) in spans.iter().enumerate() {
        let begun = spans[..place].iter().filter(|(_, end, ..)| from < end);
        assert!(begun.clone().count() < 2, "three at once: {spans:?}");
        for (_, _, other, others) in begun {
            assert!(name != "nothing" && other != "nothing", "{from} to {until}: {spans:?}");
            let one = on_process(name) && on_process(other) && !nodes.is_disjoint(others);
            assert!(!one, "{name} and {other} on one process: {spans:?}");
        }
    }
}

#[test]
fn a_package_is_drawn_from_the_seed_and_its_plan_replays() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("test.toml"), PACKAGE).unwrap();
    let (mut families, mut nothing) = (BTreeSet::new(), false);
    for seed in 1..=4 {
        let seed = seed.to_string();
        let runs = |runs: &str, config: &str| {
            let flags = ["run", "--lab", "sim", "--config", config, "--runs-dir", runs];
            let output = run(&[&flags[..], &["--seed", &seed]].concat(), folder.path());
            let said = errors(&output);
            assert!(output.status.code().is_some_and(|code| code == 0 || code == 2), "{said}");
            let of_name = folder.path().join(runs).join("mixed");
            std::fs::read_dir(of_name).unwrap().next().unwrap().unwrap().path()
        };
        let drawn = runs(&format!("drawn-{seed}"), "test.toml");
        let plan = drawn.join("plan.toml");
        let again = runs(&format!("again-{seed}"), plan.to_str().unwrap());
        for name in ["history.jsonl", "faults.jsonl", "telemetry.jsonl", "plan.toml"] {
            let read = |run: &Path| std::fs::read(run.join(name)).unwrap();
            assert!(read(&drawn) == read(&again), "seed {seed}: {name} differs");
        }
        let flags = ["run", "--lab", "sim", "--config", "test.toml", "--plan", "--seed", &seed];
        let printed = run(&flags, folder.path()).stdout;
        assert_eq!(printed, std::fs::read(&plan).unwrap(), "it can be printed before");
        let lines = lines(&drawn);
        keeps_to_its_package(&lines);
        families.extend(lines.iter().map(|line| line["family"].as_str().unwrap().to_owned()));
        nothing |= lines.iter().any(|line| line["fault"] == "nothing" && line["phase"] == "healed");
    }
    assert_eq!(families.into_iter().collect::<Vec<_>>(), ["network", "nothing", "process"]);
    assert!(nothing, "a baseline was there");
}

/// Every two families that may be in force at once, on the same nodes, are proven and undone each
/// by itself, whichever ends first.
fn pairs_are_undone_each_by_itself(lab: &str, faults: &[&str], limit: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut flags = vec!["run", "--lab", lab, "--name", "pairs", "--replication", "sync"];
    flags.extend(["--time-limit", limit, "--rate", "200"]);
    flags.extend(faults.iter().flat_map(|fault| ["--fault", *fault]));
    let output = run(&flags, folder.path());
    let said = errors(&output);
    assert!(output.status.code().is_some_and(|code| code == 0 || code == 2), "{said}");
    let lines = lines(&only_run(folder.path(), "pairs"));
    let made = spans(&lines);
    assert_eq!(made.len(), faults.len(), "{said}");
    for line in lines.iter().filter(|line| line["phase"] == "evidenced") {
        assert_eq!(line["result"], "installed", "{line}");
    }
    for line in lines.iter().filter(|line| line["phase"] == "healed") {
        for probe in line["evidence"].as_array().unwrap() {
            assert_eq!(probe["holds"], true, "{line}");
        }
    }
}

#[test]
fn in_the_simulator_faults_at_once_are_undone_each_by_itself() {
    // Partitions that share a link, in both orders; one around a killed node; a process that is
    // paused within a partition.
    let faults = [
        "isolate:n2@1s+1500ms",
        "isolate:n3@2s+1s",
        "isolate:n3@4s+2s",
        "isolate:n2@4500ms+500ms",
        "kill:n2@7s+1s",
        "isolate:n2@7500ms+1s",
        "isolate:n3@10s+2s",
        "pause:n3@10500ms+500ms",
    ];
    pairs_are_undone_each_by_itself("sim", &faults, "16s");
    let folder = tempfile::tempdir().unwrap();
    // Which node a role is, is known only when it strikes: with one leader for good, the same.
    let one = ["--failover", "none", "--seed", "1"];
    let faults = ["slow:leader@2050ms+2s,stopped=10%", "kill:leader@2500ms+400ms"];
    let flags = ["run", "--lab", "sim", "--fault", faults[0], "--fault", faults[1]];
    let output = run(&[&flags[..], &one, &["--name", "late"]].concat(), folder.path());
    assert!(output.status.code().is_some_and(|code| code == 0 || code == 2));
    let lines = lines(&only_run(folder.path(), "late"));
    let kill = lines.iter().find(|l| l["fault"] == "kill" && l["phase"] == "evidenced").unwrap();
    assert_eq!(kill["result"], "skipped", "{kill}");
    let why = kill["error"].as_str().unwrap();
    assert!(why.starts_with("f1 (slow of n"), "{why}");
    assert!(why.ends_with("is in force: both stop, end or start the same process"), "{why}");
}

#[test]
fn on_hosts_faults_at_once_are_undone_each_by_itself() {
    if !lab_works() {
        return;
    }
    let faults = [
        "isolate:n2@1s+1500ms",
        "isolate:n3@1500ms+2s",
        "kill:n3@1800ms+700ms",
        "clock-bump:n1@1s+6s",
        "slow-sync:n2@4s+2s,delay=20ms",
        "pause:n2@4500ms+500ms",
        "isolate:n3@5500ms+1500ms",
    ];
    pairs_are_undone_each_by_itself("local", &faults, "8500ms");
}

/// Both of a host's agents are killed at once and their program is removed, while a server is
/// paused: what is typed as the run says lets it go on.
#[test]
fn a_fault_that_cannot_be_healed_ends_the_run_with_what_to_type() {
    if !lab_works() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let name = format!("unhealed-{}", std::process::id());
    let up = ["lab", "up", "--hosts", "3", "--name", &name, "--ttl", "2m"];
    let up = run(&up, folder.path());
    assert!(up.status.success(), "{}", errors(&up));
    let on_n2 = |line: &str| {
        let exec = ["lab", "exec", "n2", "--name", &name, "--", "sh", "-c", line];
        let output = run(&exec, folder.path());
        (output.status.success(), String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let flags = ["run", "--lab", &name, "--name", "left", "--fault", "cut:n2@1s+3s"];
    let more = ["--time-limit", "20s", "--recovery", "500ms", "--replication", "sync"];
    let child = splitbrain()
        .args(flags.iter().chain(&more))
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let installed = || {
        let runs = std::fs::read_dir(folder.path().join("runs/left")).into_iter().flatten();
        let mut faults = runs.flatten().map(|run| run.path().join("faults.jsonl"));
        faults.any(|path| std::fs::read_to_string(path).is_ok_and(|f| f.contains("installed")))
    };
    wait_until("the fault is in force", Duration::from_secs(30), installed);
    // Worker, guardian and sentry; stopped first, so that none sees another's end.
    let all = "'^(agent-|sb-)'";
    let (killed, _) =
        on_n2(&format!("pkill -STOP {all} && pkill -KILL {all} && rm /run/splitbrain/agent-*"));
    assert!(killed, "there were agents");
    let output = child.wait_with_output().unwrap();
    let said = errors(&output);
    assert_eq!(output.status.code(), Some(75), "{said}");
    assert!(said.contains("fault f1 (cut of n2) could not be healed: the run was st"), "{said}");
    let line = said.lines().find(|line| line.contains("on n2 (root@")).unwrap_or_else(|| {
        panic!("nothing to type: {said}");
    });
    let typed = line.split_once("): ").unwrap().1;
    let table = typed.strip_prefix("nft delete table inet ").unwrap_or_default();
    let table = table.split(' ').next().unwrap();
    assert!(!table.is_empty(), "{typed}");
    let there = || on_n2("nft list tables").1.contains(table);
    assert!(there(), "the cut is in force still: {said}");
    on_n2(typed);
    assert!(!there(), "what was typed ended the cut");
    // Its agent is gone, so that the server there is ended another way.
    assert!(said.contains("its server was stopped over SSH instead"), "{said}");
    assert_eq!(on_n2("pgrep -f '[s]plitbrain/store-'").1, "", "no server runs on");
    assert!(run(&["lab", "down", &name], folder.path()).status.success());
}
