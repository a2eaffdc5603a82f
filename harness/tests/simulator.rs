//! The simulator: the same seed gives the same bytes wherever and whenever it runs, and the must
//! shows hold there too.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

mod support;

use std::path::Path;

use support::{errors, only_run, run, splitbrain};

const STREAMS: [&str; 5] =
    ["history.jsonl", "faults.jsonl", "telemetry.jsonl", "verdict.json", "run.json"];

fn simulate(folder: &Path, seed: u64, zone: &str, locale: &str) -> Vec<Vec<u8>> {
    let output = splitbrain()
        .args(["run", "--lab", "sim", "--fault", "kill:leaderx4", "--name", "twice"])
        .args(["--rate", "800", "--seed", &seed.to_string()])
        .current_dir(folder)
        .envs([("TZ", zone), ("LC_ALL", locale), ("HOME", "/nonexistent")])
        .output()
        .unwrap();
    assert!(output.status.code().is_some_and(|code| code <= 2), "{}", errors(&output));
    let run = only_run(folder, "twice");
    STREAMS.iter().map(|name| std::fs::read(run.join(name)).unwrap()).collect()
}

#[test]
fn a_seed_is_a_run_and_another_seed_another() {
    let mut last: Option<Vec<Vec<u8>>> = None;
    for seed in 1..=5 {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = simulate(one.path(), seed, "UTC", "C");
        let second = simulate(other.path(), seed, "Pacific/Auckland", "de_DE.UTF-8");
        for (name, (first, second)) in STREAMS.iter().zip(first.iter().zip(&second)) {
            assert!(first == second, "seed {seed}: {name} differs");
        }
        let verdict: serde_json::Value = serde_json::from_slice(&first[3]).unwrap();
        let lost = verdict["checkers"]["lost-writes"]["verdict"].as_str();
        assert_eq!(lost, Some("invalid"), "seed {seed}: the async leader kill shows");
        let changes = verdict["coverage"]["items"]
            .as_array()
            .unwrap()
            .iter()
            .find(|item| item["what"] == "leader changes");
        assert!(changes.unwrap()["have"].as_u64() >= Some(3), "seed {seed}: {changes:?}");
        if let Some(last) = last {
            assert!(last[0] != first[0], "seeds {seed} and {} are the same", seed - 1);
        }
        last = Some(first);
    }
}

#[test]
fn messages_overtake_each_other() {
    for seed in 1..=5 {
        let folder = tempfile::tempdir().unwrap();
        let seed = seed.to_string();
        let flags = ["run", "--lab", "sim", "--fault", "kill:leaderx4", "--rate", "800"];
        let output = run(&[&flags[..], &["--seed", &seed]].concat(), folder.path());
        let said = errors(&output);
        let note = said.lines().find(|line| line.contains("simulated:")).unwrap();
        let number = |before: &str| -> u64 {
            let words: Vec<&str> = note.split([' ', ',']).filter(|w| !w.is_empty()).collect();
            let at = words.iter().position(|word| *word == before).unwrap();
            words[at - 1].parse().unwrap()
        };
        let (sent, overtaken) = (number("messages"), number("delivered"));
        assert!(sent <= 100 * overtaken, "seed {seed}: {overtaken} of {sent} out of order");
    }
}

/// What must not be reported, over more seeds than the others: a false alarm is the worst bug.
#[test]
fn nothing_promised_is_ever_reported_broken() {
    let reads = ["local", "committed"];
    let faults = ["halves:leader,kill:one,pause:leader", "isolate:leader,slow:leader,cut:one"];
    for read in reads {
        for fault in faults {
            let flags =
                ["--replication", "sync", "--read", read, "--fault", fault, "--time-limit", "12s"];
            for verdict in finds_of(&flags, 1..=20) {
                let outcome = &verdict["checkers"]["lost-writes"];
                assert_ne!(outcome["verdict"], "invalid", "{fault} {read}: {outcome}");
            }
        }
    }
}

/// At 25 operations a second there are too few of them in two seconds of calm, and in one.
#[test]
fn a_schedule_waits_for_its_baseline_and_the_workload_for_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let slow = ["run", "--lab", "sim", "--name", "slow", "--rate", "25", "--replication", "sync"];
    let faults = ["--fault", "kill:n2@2s+3s", "--fault", "pause:n3@6s+3s", "--time-limit", "10s"];
    let output = run(&[&slow[..], &faults].concat(), folder.path());
    let said = errors(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for part in
        ["waited 6.", "s for 50 ok operations of each kind before it", "past its time limit"]
    {
        assert!(said.contains(part), "{part} is told: {said}");
    }
    let path = only_run(folder.path(), "slow").join("faults.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let at = |phase: &str, id: &str| {
        let mut lines = lines.clone().filter(|line| line["phase"] == phase && line["id"] == id);
        lines.next().unwrap()["time"].as_u64().unwrap()
    };
    let late = |id: &str| at("injected", id) - at("planned", id);
    assert_eq!(late("f1"), late("f2"), "the schedule as a whole is later");
    assert!(0 < late("f1"), "{text}");

    let few = ["--rate", "4", "--recovery", "2s", "--fault", "kill:n2@1s+1s", "--time-limit", "3s"];
    let output =
        run(&[&["run", "--lab", "sim", "--name", "few"], &few[..]].concat(), folder.path());
    let said = errors(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for what in ["before it, which did not come", "after the last fault, which did not come"] {
        let note = said.lines().find(|line| line.contains(what));
        let note = note.unwrap_or_else(|| panic!("{what} is told: {said}"));
        assert!(note.contains(" 2.00 s "), "the wait is bounded by --recovery: {note}");
    }
}

/// n1 leads at first. Who leads already, who does not lead, and who hears nobody.
#[test]
fn a_command_that_changes_nothing_has_no_effect() {
    let folder = tempfile::tempdir().unwrap();
    let mut flags = vec!["run", "--lab", "sim", "--name", "told", "--rate", "150"];
    flags.extend(["--replication", "sync"]);
    let faults = [
        ("promote:n1@1s+500ms", "no-effect", "shard 0: n1 in term 1"),
        ("promote:n3@2s+1s", "installed", "n3 in term 2, after "),
        ("promote:n3@4s+500ms", "no-effect", "shard 0: n3 in term 2"),
        ("step-down:n1@5s+500ms", "no-effect", "shard 0: n3 in term 2"),
        ("step-down:leader@6s+1s", "installed", " in term 3, after "),
        ("isolate:n2@9s+13s", "installed", "unreachable"),
        ("promote:n2@10s+11s", "no-effect", ", after 10000 ms"),
    ];
    flags.extend(faults.iter().flat_map(|(fault, ..)| ["--fault", fault]));
    let output = run(&[&flags[..], &["--time-limit", "24s"]].concat(), folder.path());
    let said = errors(&output);
    assert_eq!(output.status.code(), Some(2), "required faults had no effect: {said}");
    let path = only_run(folder.path(), "told").join("faults.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let evidenced: Vec<_> = lines.filter(|line| line["phase"] == "evidenced").collect();
    assert_eq!(evidenced.len(), faults.len(), "{text}");
    for ((fault, result, observed), line) in faults.iter().zip(&evidenced) {
        assert_eq!(line["result"], *result, "{fault}: {line}");
        let seen = line["evidence"][0]["observed"].as_str().unwrap();
        assert!(seen.contains(observed), "{fault}: {line}");
    }
}

/// What a probe sees because of another fault proves nothing of this one, and does not disprove it.
#[test]
fn a_fault_that_another_hides_is_not_provable_and_unknown_where_it_is_required() {
    let folder = tempfile::tempdir().unwrap();
    let mut flags = vec!["run", "--lab", "sim", "--name", "beside", "--rate", "150"];
    flags.extend(["--replication", "sync", "--time-limit", "24s"]);
    for fault in [
        "isolate:n2@2s+5s",
        "isolate:n2@3s+1s",
        "clients-cut:n3@3s+2s",
        "clients-cut:n3@3500ms+1s",
        "pause:n3@8s+13s",
        // The first of a family is required.
        "promote:n3@9s+11s",
    ] {
        flags.extend(["--fault", fault]);
    }
    let output = run(&flags, folder.path());
    let said = errors(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    let folder = only_run(folder.path(), "beside");
    let text = std::fs::read_to_string(folder.join("faults.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let lines: Vec<serde_json::Value> = lines.collect();
    let results = |phase: &str| {
        let result = |id: &str| {
            let line = lines.iter().find(|line| line["id"] == id && line["phase"] == phase);
            line.unwrap()["result"].as_str().unwrap().to_owned()
        };
        ["f1", "f2", "f3", "f4", "f5", "f6"].map(result)
    };
    let (seen, hidden) = ("installed", "indeterminate");
    assert_eq!(results("evidenced"), [seen, hidden, seen, hidden, seen, hidden], "{text}");
    // The older one is still there: the younger one's undoing was not seen either.
    assert_eq!(results("healed")[..4], [seen, hidden, seen, hidden], "{text}");
    assert_eq!(text.matches("\"while_in_force\":[\"f1\"]").count(), 8, "four links, twice: {text}");
    for words in [
        "fault f2 had no proven effect: not provable while f1 holds",
        "fault f2 was undone, and not seen to be healed: not provable while f1 holds",
        "effect of the required fault f6 (promote of n3), not provable while f5 holds: 0 of 1",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let page = std::fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(page.contains("effect not known: not provable while f1 holds"));
    assert!(page.contains("Undone, and not seen to be healed: not provable while f1 holds."));
}

/// Finds of checkers over seeds 1 to 5.
fn finds(flags: &[&str]) -> Vec<serde_json::Value> {
    finds_of(flags, 1..=5)
}

fn finds_of(flags: &[&str], seeds: std::ops::RangeInclusive<u64>) -> Vec<serde_json::Value> {
    let one = |seed: u64| {
        let folder = tempfile::tempdir().unwrap();
        let seed = seed.to_string();
        let all = [&["run", "--lab", "sim", "--name", "one", "--seed", &seed], flags].concat();
        let output = run(&all, folder.path());
        let path = only_run(folder.path(), "one").join("verdict.json");
        let text = std::fs::read(path).unwrap_or_else(|_| panic!("{}", errors(&output)));
        serde_json::from_slice(&text).unwrap()
    };
    seeds.map(one).collect()
}

#[test]
fn a_majority_that_votes_keeps_what_it_acknowledged() {
    for verdict in finds(&["--fault", "kill:leaderx2", "--replication", "sync"]) {
        assert_eq!(verdict["checkers"]["lost-writes"]["verdict"], "valid", "{verdict}");
        assert_eq!(verdict["verdict"], "valid", "{}", verdict["coverage"]);
    }
}

#[test]
fn stale_followers_show_in_profiles_and_leaders_do_not() {
    let base = ["--workload", "profile", "--failover", "none", "--fault", "isolate:a-follower"];
    for verdict in finds(&[&base[..], &["--policy", "any-follower"]].concat()) {
        assert_eq!(verdict["checkers"]["read-your-writes"]["verdict"], "invalid");
        assert_eq!(verdict["checkers"]["monotonic-reads"]["verdict"], "invalid");
    }
    for verdict in finds(&base) {
        assert_eq!(verdict["checkers"]["read-your-writes"]["verdict"], "valid", "{verdict}");
        assert_eq!(verdict["checkers"]["monotonic-reads"]["verdict"], "valid", "{verdict}");
    }
}

#[test]
fn an_answer_before_its_question_shows_on_a_slow_shard() {
    let base =
        ["--workload", "conversation", "--shards", "2", "--failover", "none", "--fault", "cut"];
    for verdict in finds(&[&base[..], &["--policy", "any-follower"]].concat()) {
        let outcome = &verdict["checkers"]["consistent-prefix"];
        assert_eq!(outcome["verdict"], "invalid", "{verdict}");
        assert_eq!(outcome["reads"], "ordered");
    }
    for verdict in finds(&base) {
        assert_eq!(verdict["checkers"]["consistent-prefix"]["verdict"], "valid", "{verdict}");
    }
}

/// The command that a run prints, in another folder, by a shell.
#[test]
fn the_printed_command_gives_the_same_bytes() {
    let lossy = "--name lost --replication async --fault kill:leader@3s+2s --set store.ship_ms=900 \
                 --set store.heartbeat_ms=1000 --set store.election_timeout_ms=2500 \
                 --set coverage.ok_outside_min=7 --set coverage.attempts_during_min=0";
    let drawn = "--name drawn --seed 9 --shards 2 --read committed --set store.fsync=false \
                 --set 'package.faults=[\"process\", \"slow,stopped=50%\"]' \
                 --set package.max_faults=2 --canary drop-writes:1/90 --workload profile \
                 --policy any-follower --set postgres.isolation=serializable";
    for given in [lossy, drawn] {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let shell = |line: &str, folder: &Path| {
            let binary = splitbrain().get_program().to_owned();
            let script = format!("splitbrain() {{ \"$BINARY\" \"$@\"; }}; {line}");
            let mut sh = std::process::Command::new("/bin/sh");
            sh.args(["-c", &script]).current_dir(folder).env("BINARY", binary);
            let output = sh.env_remove("SPLITBRAIN_LAB").output().unwrap();
            assert!(output.status.code().is_some_and(|code| code <= 2), "{}", errors(&output));
            errors(&output)
        };
        let said = shell(&format!("splitbrain run --lab sim {given}"), one.path());
        let printed = |said: &str| {
            let line = said.lines().find_map(|line| line.trim().strip_prefix("again ")).unwrap();
            line.trim().to_owned()
        };
        assert!(said.contains("byte for byte"), "{said}");
        let again = shell(&printed(&said), other.path());
        assert_eq!(printed(&again), printed(&said));
        let name = if given == lossy { "lost" } else { "drawn" };
        let (first, second) = (only_run(one.path(), name), only_run(other.path(), name));
        for stream in STREAMS {
            let read = |run: &Path| std::fs::read(run.join(stream)).unwrap();
            assert!(read(&first) == read(&second), "{stream} differs: {}", printed(&said));
        }
        let info: serde_json::Value =
            serde_json::from_slice(&std::fs::read(first.join("run.json")).unwrap()).unwrap();
        assert_eq!(info["command"], printed(&said).as_str());
        if given == lossy {
            let text = std::fs::read_to_string(first.join("verdict.json")).unwrap();
            let verdict: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(verdict["checkers"]["lost-writes"]["verdict"], "invalid", "{said}");
        }
    }
}

/// Two leaders that acknowledge at once, replicas that agree again afterwards.
#[test]
fn a_split_brain_is_never_valid_and_is_told() {
    let base = ["--failover", "timeout", "--fault", "leader-alone@3s+3s"];
    for stay in ["25%", "1"] {
        let set = format!("policy.stay={stay}");
        for verdict in finds(&[&base[..], &["--set", &set]].concat()) {
            assert_ne!(verdict["verdict"], "valid", "{verdict}");
            let doubts = verdict["doubts"].as_array().unwrap();
            let told = |doubt: &serde_json::Value| {
                let doubt = doubt.as_str().unwrap_or_default();
                doubt.starts_with("split brain: n1 (term 1) and ")
            };
            assert!(doubts.iter().any(told), "{doubts:?}");
            assert_eq!(verdict["checkers"]["lost-writes"]["verdict"], "invalid");
        }
    }
    // An orderly succession has nothing of it.
    for verdict in finds(&["--failover", "vote", "--fault", "step-down:leader@3s+2s"]) {
        let text = verdict.to_string();
        assert!(!text.contains("split brain"), "{text}");
    }
}

/// Of 20 sessions 5 stay where they are until they are refused; the others go where the leader is.
#[test]
fn some_sessions_stay_with_a_deposed_leader_and_are_marked() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["run", "--lab", "sim", "--name", "stay", "--failover", "timeout"];
    let output = run(&[&flags[..], &["--fault", "leader-alone@3s+3s"]].concat(), folder.path());
    assert!(output.status.code().is_some_and(|code| code <= 2), "{}", errors(&output));
    let text = std::fs::read_to_string(only_run(folder.path(), "stay").join("history.jsonl"));
    let text = text.unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ok = |line: &&serde_json::Value| line["type"] == "ok" && line["final"].is_null();
    let during = |line: &&serde_json::Value| {
        let time = line["time"].as_i64().unwrap();
        (4_000_000_000..5_900_000_000).contains(&time)
    };
    let mut stayed = 0;
    for line in lines.iter().filter(ok).filter(during) {
        let (session, node) = (line["session"].as_i64().unwrap(), &line["node"]);
        assert_eq!(session < 5, node == "n1", "{line}");
        let target = if session < 5 { "stayed" } else { "leader" };
        assert_eq!(line["target"], target, "{line}");
        stayed += i64::from(session < 5);
    }
    assert!(50 < stayed, "{stayed} operations of those that stayed");
}

/// A configuration that promises nothing, in a run in which nothing is found.
#[test]
fn a_run_of_no_promise_says_so_before_and_why_it_is_unknown_after() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["run", "--lab", "sim", "--name", "none", "--replication", "async"];
    let output = run(&[&flags[..], &["--time-limit", "4s"]].concat(), folder.path());
    let said = errors(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    let at = |part: &str| said.find(part).unwrap_or_else(|| panic!("{part}: {said}"));
    assert!(at("note: this configuration promises nothing") < at("? unknown"), "{said}");
    let why = "a promise: this configuration makes none to hold it to; consistent-prefix, \
               lost-writes, monotonic-reads, read-your-writes found nothing in this run";
    assert!(said.contains(why), "{said}");
    let page = std::fs::read_to_string(only_run(folder.path(), "none").join("report.html"));
    let page = page.unwrap();
    let start = page.find("Why nothing is proved").unwrap();
    let told = page.find(why).unwrap();
    let ticks = page[start..].find("✓ valid").map(|place| start + place).unwrap();
    assert!(start < told && told < ticks, "the reason comes before the ticks");
}
