//! Bad input: one clear message, the right exit code, nothing run.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

mod support;

use std::path::Path;

use support::{errors, run};

fn told(arguments: &[&str], folder: &Path) -> (Option<i32>, String) {
    let output = run(arguments, folder);
    (output.status.code(), errors(&output))
}

#[test]
fn mistakes_are_named_with_what_to_try() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, part) in [
        (&["run", "--workload", "leger"][..], "did you mean ledger?"),
        (&["run", "--policy", "laeder"][..], "did you mean leader?"),
        (&["run", "--fault", "kil"][..], "did you mean kill?"),
        (&["run", "--fault", "slow,stoped=50%"][..], "did you mean stopped? it takes stopped"),
        (&["run", "--fault", "slow,stopped=100%"][..], "from 1% to 99%, not \"100%\""),
        (&["run", "--fault", "majorities-ring"][..], "majorities-ring needs 4 nodes, not 3"),
        (&["run", "--fault", "kill:n7"][..], "unknown selector \"n7\""),
        (&["run", "--fault", "kill@20s"][..], "would start after the run's end"),
        (&["run", "--system", "oracle"][..], "systems are store"),
        (&["run", "--hosts", "2"][..], "a cluster has 3 to 9 hosts, not 2"),
        (&["run", "--replication", "sync:3"][..], "k is 1 to 2"),
        (&["run", "--time-limit", "soon"][..], "\"soon\" is not a duration"),
        (&["run", "--seeds", "9..1"][..], "is not a range"),
        (&["run", "--system", "mongodb", "--replication", "sync"][..], "mongodb.write_concern"),
        (&["run", "--system", "mongodb", "--lab", "sim"][..], "MongoDB runs on hosts"),
        (&["run", "--system", "mongodb", "--set", "mongodb.w=1"][..], "unknown field `w`"),
        (
            &["run", "--system", "mongodb", "--set", "mongodb.write_concern=most"][..],
            "unknown write concern \"most\"",
        ),
        (
            &["run", "--system", "mongodb", "--set", "mongodb.read_concern=snapshot"][..],
            "snapshot needs mongodb.transactions = true",
        ),
        (&["run", "--fault", "remove"][..], "remove is refused: no command takes a member out of"),
        (&["run", "--fault", "replace"][..], "replace is refused: a node of the store that"),
        (&["run", "--fault", "step-dwn"][..], "did you mean step-down?"),
        (&["run", "--policy", "driver"][..], "the policy driver is for a MongoDB that splitbrain"),
        (
            &["run", "--system", "mongodb", "--set", "mongodb.arbiters=2"][..],
            "2 arbiters of 3 members are too many: at most 1",
        ),
        (
            &["run", "--system", "mongodb", "--set", "mongodb.read_preference=nearest"][..],
            "it needs --policy driver, not leader",
        ),
        (
            &["run", "--lab", "sim", "--fault", "delay"][..],
            "delay is refused: the simulator's network carries messages, not packets",
        ),
        (
            &["run", "--fault", "delay,delay=2s"][..],
            "delay: delay is a duration such as 500ms from 1ms to 1s",
        ),
        (&["run", "--lab", "sim", "--fault", "load"][..], "load is refused"),
        (&["run", "--lab", "sim", "--fault", "cpu-limit"][..], "cpu-limit is refused"),
        (&["run", "--fault", "approval-withheld"][..], "leaders of store are elected"),
        (
            &["run", "--fault", "rolling-restart,set=fsync=false"][..],
            "a node of the store can get another heartbeat_ms, election_timeout_ms, ship_ms",
        ),
        (
            &["run", "--system", "postgres", "--fault", "restart,set=fsync=off"][..],
            "restart with set=fsync=off is refused: what PostgreSQL promises depends on fsync",
        ),
        (
            &["run", "--system", "postgres", "--fault", "restart,set=Synchronous_Commit=off"][..],
            "what PostgreSQL promises depends on synchronous_commit",
        ),
        (&["run", "--fault", "restart,set=heartbeat_ms=0"][..], "0 is not between 1 and 600000"),
        (&["run", "--set", "store.election_timeout_ms=0"][..], "0 is not between 1 and 600000"),
        (&["run", "--failover", "none", "--fault", "promote"][..], "nobody but the first leader"),
        (
            &["run", "--system", "postgres", "--fault", "leader-step-down"][..],
            "no command asks a leader of postgres to stand down",
        ),
        (&["lab", "install", "oracle"][..], "there is nothing to install for \"oracle\""),
        (&["check", "nowhere"][..], "no run and no file is called nowhere"),
        (&["check", "nowhere", "--checker", "lost-write"][..], "no run and no file"),
        (&["lab", "exec", "n1", "--name", "none", "--", "true"][..], "there is no lab none"),
    ] {
        let (code, said) = told(arguments, folder.path());
        assert!(said.contains(part), "{arguments:?}: {said}");
        assert_eq!(code, Some(64), "{arguments:?}");
        assert!(!said.contains("panicked"), "{said}");
    }
    assert!(!folder.path().join("runs").exists(), "nothing has run");
}

#[test]
fn a_test_file_is_wrong_at_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.toml");
    for (text, part) in [
        ("seed = 1\nworkloda = \"ledger\"\n", "test.toml:2: unknown field `workloda`"),
        ("workloda = \"ledger\"\n", "help: did you mean workload?"),
        ("seed = 1\n\nhosts = \"three\"\n", "test.toml:3: hosts: invalid type"),
        ("seed = 1\n\nhosts = 2\n", "test.toml:3: hosts: a cluster has 3 to 9 hosts"),
        ("\nduration = \"8\"\n", "test.toml:2: duration: \"8\" is not a duration"),
        ("\nduration = \"8ms\"\n", "test.toml:2: duration: 8ms is not between"),
        ("\nop_timeout = \"1ms\"\n", "test.toml:2: op_timeout: 1ms is not between"),
        ("\nsessions = 0\n", "test.toml:2: sessions: 0 is not between 1 and 10000"),
        ("\nsystem = \"stor\"\n", "test.toml:2: system: unknown system \"stor\""),
        ("\nworkload = \"leger\"\n", "test.toml:2: workload: unknown workload \"leger\""),
        ("\npolicy = \"leder\"\n", "test.toml:2: policy: unknown policy \"leder\""),
        ("\nname = \"a b\"\n", "test.toml:2: name: a name is one word"),
        ("[store]\nshards = 99\n", "test.toml:2: store.shards: 99 is not between 1 and 64"),
        ("[store]\nship_ms = 0\n", "test.toml:2: store.ship_ms: 0 is not between 1 and 600000"),
        ("[store]\nk = 7\n", "test.toml:2: store.k: 7 followers of 3 hosts"),
        ("[store]\nfailover = \"maybe\"\n", "test.toml:2: store.failover: unknown value"),
        ("[store]\nfailover = \"vot\"\n", "help: did you mean vote? one of none, vote, timeout"),
        ("[canary]\ndrop_acknowledged = \"2\"\n", "test.toml:2: canary.drop_acknowledged: \"2\""),
        ("[postgres]\n\nfailover = \"maybe\"\n", "test.toml:3: postgres.failover: unknown variant"),
        ("[mongodb]\nwriteconcern = 1\n", "test.toml:2: mongodb.writeconcern: unknown field"),
        ("[mongodb]\nwriteconcern = 1\n", "help: did you mean write_concern?"),
        ("faults = [\"slow,stopped=0%\"]\n", "from 1% to 99%, not \"0%\""),
        ("faults = [\n\"kill\",\n\"kill+x\"]\n", "test.toml:3: faults[1]: in fault \"kill+x\""),
        ("faults = [\n\"kill:n7\"]\n", "test.toml:2: faults[0]: unknown selector \"n7\""),
        ("[[fault]]\nkind = \"kil\"\n", "test.toml:2: fault[0].kind: unknown fault \"kil\""),
        ("[[fault]]\nat = \"1s\"\n", "test.toml:1: fault[0]: kind is missing"),
        (
            "[[fault]]\nkind = \"kill\"\n[[fault]]\nkind = \"slow\"\nstopped = 100\n",
            "test.toml:5: fault[1].stopped: slow: stopped is a whole percentage such as 90% from",
        ),
        (
            "faults = [\"kill\"]\n[[fault]]\nkind = \"kill\"\ntarget = \"a-folower\"\n",
            "test.toml:4: fault[0].target: unknown selector \"a-folower\"",
        ),
        ("[[fault]]\nkind = \"kill\"\ntarget = \"leder\"\n", "help: did you mean leader?"),
        ("[[fault]]\nkind = \"kill\"\nfro = \"2s\"\n", "help: did you mean for?"),
        ("[[fault]]\nkind = \"kill\"\nshard = 1\n", "test.toml:3: fault[0].shard: there is no"),
    ] {
        std::fs::write(&path, text).unwrap();
        let (code, said) = told(&["run", "--config", "test.toml"], folder.path());
        assert_eq!(code, Some(64), "{said}");
        assert!(said.contains(part), "{said}");
    }
}

/// Faults that cannot be at once, or that go past the end, and packages that cannot be.
#[test]
fn a_schedule_that_cannot_be_is_told_with_both_faults_and_both_times() {
    let folder = tempfile::tempdir().unwrap();
    let flags = |faults: &[&'static str]| {
        let faults = faults.iter().flat_map(|fault| ["--fault", fault]);
        ["run"].into_iter().chain(faults).collect::<Vec<_>>()
    };
    for (faults, part) in [
        (
            &["kill:n1@2s+3s", "pause:n1@4s+2s"][..],
            "--fault: pause of n1 from 4s to 6s overlaps kill of n1 from 2s to 5s with seed 1: \
             both stop, end or start the same process",
        ),
        (&["slow:all@2s+3s", "stop:n2@4s+2s"], "both stop, end or start the same process"),
        (&["clock-bump:n1@1s+5s", "clock-drift:n1@2s+5s"], "a server has one clock"),
        (&["disk-full:n1@1s+2s", "disk-full:n1@2s+2s"], "the same trouble of the same disk"),
        (&["disk-full:n1@1s+2s", "kill:n1@2s+2s"], "both start the same process again"),
        (&["delay:n1@1s+2s", "loss:n2@2s+2s"], "both shape the packets of the same links"),
        (&["kill:leader@2s+1s", "pause:leader@2s+2s"], "overlaps kill of leader from 2s to 3s"),
        (&["nothing@2s+1s", "pause:leader@2s+2s"], "nothing is to be in force meanwhile"),
        (&["kill:n1@6s+3s"], "kill of n1 from 6s to 9s goes past the run's end at 8s"),
        (&["kill:n1@2s+1sx9"], "from 8s to 9s goes past the run's end"),
    ] {
        let (code, said) = told(&flags(faults), folder.path());
        assert_eq!(code, Some(64), "{faults:?}: {said}");
        assert!(said.contains(part), "{faults:?}: {said}");
    }
    let path = folder.path().join("test.toml");
    let table = |kind: &str, rest: &str| format!("[[fault]]\nkind = \"{kind}\"\n{rest}\n");
    let (kill, pause) =
        ("target = \"n1\"\nat = \"2s\"\nfor = \"2s\"", "target = \"n1\"\nat = \"3s\"");
    for (text, part) in [
        (
            table("kill", kill) + &table("pause", &format!("{pause}\nfor = \"1s\"")),
            "test.toml:6: fault[1]: pause of n1 from 3s to 4s overlaps kill of n1 from 2s to 4s",
        ),
        ("[package]\nfaults = []\n".to_owned(), "test.toml:2: package.faults: a package has at"),
        (
            "[package]\nfaults = [\"kill\",\n\"networ\"]\n".to_owned(),
            "test.toml:3: package.faults[1]: \"networ\" is neither a family nor a fault",
        ),
        ("[package]\n\nevery = \"1s..x\"\n".to_owned(), "test.toml:3: package.every: \"1s..x\""),
        ("[package]\nmax_fault = 1\n".to_owned(), "help: did you mean max_faults?"),
        (
            "[package]\nfaults = [\"kill:n7\"]\n".to_owned(),
            "test.toml:2: package.faults[0]: unknown selector \"n7\"",
        ),
        (
            "[package]\nfaults = [\"clock-strobe\"]\n".to_owned(),
            "clock-strobe takes 8s to be made and proven, and faults have 4400ms",
        ),
        (
            "[package]\nfaults = [\"membership\"]\n".to_owned(),
            "no fault of membership is possible here: remove is refused: no command takes a member",
        ),
    ] {
        std::fs::write(&path, &text).unwrap();
        let (code, said) = told(&["run", "--config", "test.toml"], folder.path());
        assert_eq!(code, Some(64), "{text}: {said}");
        assert!(said.contains(part), "{text}: {said}");
    }
    let clocks = "[package]\nfaults = [\"kill\", \"clock\"]\n";
    std::fs::write(&path, clocks).unwrap();
    let (code, said) = told(&["run", "--config", "test.toml", "--lab", "sim"], folder.path());
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("package.faults[1]: no fault of clock is possible here"), "{said}");
    assert!(!folder.path().join("runs").exists(), "nothing has run");
}

#[test]
fn a_damaged_history_is_judged_up_to_the_damage() {
    let folder = tempfile::tempdir().unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../checkers/tests/goldens/sessions/A/mr-element-disappears-invalid.jsonl");
    let mut text = std::fs::read_to_string(golden).unwrap();
    text.push_str("{\"index\": 99, \"type\": \"inv");
    std::fs::write(folder.path().join("cut.jsonl"), &text).unwrap();
    let output = run(&["check", "cut.jsonl", "--json"], folder.path());
    assert_eq!(output.status.code(), Some(1), "what was found before the damage counts");
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let line = text.lines().count();
    let partial = value["partial"].as_str().unwrap();
    assert!(partial.contains(&format!("line {line}")), "{partial}");
    std::fs::write(folder.path().join("other.txt"), "hello\n").unwrap();
    let (code, said) = told(&["check", "other.txt"], folder.path());
    assert_eq!(code, Some(64));
    assert!(said.contains("is not a history: line 1"), "{said}");
}

#[test]
fn a_checker_of_the_contract_that_is_not_built_says_so() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("h.jsonl"), "").unwrap();
    let (code, said) = told(&["check", "h.jsonl", "--checker", "bank"], folder.path());
    assert_eq!(code, Some(64));
    assert!(said.contains("checker bank is not built yet"), "{said}");
    let (_, said) = told(&["check", "h.jsonl", "--checker", "lost-write"], folder.path());
    assert!(said.contains("did you mean lost-writes?"), "{said}");
}

/// What is wrong with a history of transactions is told with its line, by `check` as by `elle`.
#[test]
fn transactions_that_cannot_be_judged_say_where_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let op = |index: usize, kind: &str, process: usize, value: &str| {
        format!(
            "{{\"index\":{index},\"type\":\"{kind}\",\"process\":{process},\"f\":\"txn\",\
             \"value\":[{value}]}}\n"
        )
    };
    let both = |index: usize, value: &str| {
        op(index, "invoke", index, value) + &op(index + 1, "ok", index, value)
    };
    let append = both(0, r#"["append","x",1]"#);
    let write = both(0, r#"["w","x",1]"#);
    for (checker, text, part) in [
        (
            "list-append",
            append.clone() + &both(2, r#"["append","x",1]"#),
            "index 2: 1 is appended to key x a second time",
        ),
        (
            "rw-register",
            write.clone() + &both(2, r#"["w","x",1]"#),
            "index 2: 1 is written to key x a second time",
        ),
        (
            "list-append",
            append.clone() + &both(2, r#"["append","x",{"a":1}]"#),
            "line 3: value {\\\"a\\\":1} is no integer",
        ),
        (
            "list-append",
            append.clone() + &op(2, "ok", 7, r#"["r","x",[1]]"#),
            "line 3: process 7 completes an operation that it did not invoke",
        ),
        (
            "list-append",
            op(0, "invoke", 1, r#"["r","x",null]"#) + &op(1, "invoke", 1, r#"["r","x",null]"#),
            "line 2: process 1 invokes an operation while another of it is open",
        ),
    ] {
        std::fs::write(folder.path().join("h.jsonl"), &text).unwrap();
        let arguments = ["check", "h.jsonl", "--checker", checker, "--json"];
        let output = run(&arguments, folder.path());
        let told = String::from_utf8(output.stdout.clone()).unwrap();
        assert_eq!(output.status.code(), Some(2), "{part}: {told}");
        assert!(told.contains(part), "{part}: {told}");
    }
    // A register is never valid without what that rests on.
    let read = write + &both(2, r#"["r","x",1]"#);
    std::fs::write(folder.path().join("h.jsonl"), &read).unwrap();
    let output = run(&["check", "h.jsonl", "--checker", "rw-register", "--json"], folder.path());
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let registers = &value["checkers"]["rw-register"];
    assert_eq!(registers["verdict"], "valid", "{registers}");
    assert_eq!(registers["assuming"], serde_json::json!(["initial-state"]));
    let reason = "assuming: initial-state; strong-serializable implies linearizable-keys";
    assert_eq!(registers["reason"], reason);
    assert_eq!(registers["implied"], "linearizable-keys");
}

/// Below the levels that imply it, registers have no order of versions but what is assumed: the
/// second read is stale only if keys are linearizable.
#[test]
fn what_is_assumed_of_registers_is_asked_for_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let transactions =
        [r#"["w","x",1]"#, r#"["r","x",1],["w","y",1]"#, r#"["w","x",2]"#, r#"["r","x",1]"#];
    let mut text = String::new();
    for (at, value) in transactions.iter().enumerate() {
        for (index, kind) in [(2 * at, "invoke"), (2 * at + 1, "ok")] {
            text += &format!(
                "{{\"index\":{index},\"type\":\"{kind}\",\"process\":{at},\"f\":\"txn\",\
                 \"value\":[{value}]}}\n"
            );
        }
    }
    std::fs::write(folder.path().join("h.jsonl"), text).unwrap();
    // Strict serializability, the default, implies it.
    let strict = ["check", "h.jsonl", "--checker", "rw-register"];
    let (code, said) = told(&strict, folder.path());
    assert_eq!(code, Some(1), "{said}");
    let check = [&strict[..], &["--model", "serializable"]].concat();
    let (code, said) = told(&check, folder.path());
    assert_eq!(code, Some(0), "{said}");
    let assumed = [&check[..], &["--assume", "linearizable-keys"]].concat();
    let (code, said) = told(&assumed, folder.path());
    assert_eq!(code, Some(1), "{said}");
    let output = run(&[&assumed[..], &["--json"]].concat(), folder.path());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("linearizable-keys"), "{text}");
    let (code, said) = told(&[&check[..], &["--assume", "magic"]].concat(), folder.path());
    assert_eq!(code, Some(64), "{said}");
}

/// A level that no rule decides is refused by its name, before the file is looked at.
#[test]
fn a_level_that_is_not_judged_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let levels = "read-atomic update-atomic monotonic-atomic-view monotonic-view causal-cerone \
                  prefix parallel-snapshot-isolation cursor-stability PL-2L PL-FCV causal \
                  read-your-writes linearizable";
    for level in levels.split_whitespace() {
        let (code, said) = told(&["check", "h.jsonl", "--model", level], folder.path());
        assert_eq!(code, Some(64), "{level}: {said}");
        assert!(said.contains(level) && said.contains("no rule decides"), "{said}");
    }
}

/// Two transactions each write both registers; a third reads one of each. No order explains it, and
/// none was inferred.
#[test]
fn a_level_that_could_not_be_decided_is_not_refuted_and_exits_2() {
    let folder = tempfile::tempdir().unwrap();
    let wrote = [r#"["w","a",31],["w","b",32]"#, r#"["w","a",41],["w","b",42]"#];
    let line = |index: usize, kind: &str, process: usize, value: &str| {
        format!(
            "{{\"index\":{index},\"type\":\"{kind}\",\"process\":{process},\"f\":\"txn\",\
             \"value\":[{value}]}}\n"
        )
    };
    let mut text = String::new();
    for (process, wrote) in wrote.iter().enumerate() {
        text += &line(process, "invoke", process, wrote);
    }
    text += &line(2, "invoke", 2, r#"["r","a",null],["r","b",null]"#);
    for (process, wrote) in wrote.iter().enumerate() {
        text += &line(3 + process, "ok", process, wrote);
    }
    text += &line(5, "ok", 2, r#"["r","a",31],["r","b",42]"#);
    std::fs::write(folder.path().join("h.jsonl"), text).unwrap();
    for level in ["serializable", "snapshot-isolation"] {
        let check = ["check", "h.jsonl", "--model", level];
        let output = run(&check, folder.path());
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("? rw-register        not refuted"), "{said}");
        let output = run(&[&check[..], &["--json"]].concat(), folder.path());
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let registers = &value["checkers"]["rw-register"];
        assert_eq!(
            (&registers["verdict"], &registers["decided"]),
            (&"unknown".into(), &false.into())
        );
        let pairs = serde_json::json!({"pairs": 2, "of": 2, "share": 1.0});
        assert_eq!(registers["undecided-pairs"], pairs);
    }
    let (code, said) = told(&["check", "h.jsonl", "--model", "read-committed"], folder.path());
    assert_eq!(code, Some(0), "{said}");
}
