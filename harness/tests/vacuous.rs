//! Nothing is valid that was not looked at: bare histories in which there is little or nothing to
//! judge, and what is said of each.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

mod support;

use std::path::Path;

use support::{errors, run};

/// An operation: its process, node, kind, whether it is a final read, invoked and completed value.
type Operation = (i64, &'static str, &'static str, bool, &'static str, &'static str);

fn history(operations: &[Operation]) -> String {
    let mut text = String::new();
    for (at, (process, node, kind, last, invoked, completed)) in operations.iter().enumerate() {
        let node = if node.is_empty() { String::new() } else { format!("\"node\":\"{node}\",") };
        let last = if *last { "\"final\":true," } else { "" };
        for (half, (kind, value)) in [("invoke", invoked), (*kind, completed)].iter().enumerate() {
            let index = 2 * at + half;
            text += &format!(
                "{{\"index\":{index},\"type\":\"{kind}\",\"process\":{process},{node}{last}\
                 \"time\":{index},\"f\":\"txn\",\"value\":[{value}]}}\n"
            );
        }
    }
    text
}

/// Writes, judges; gives the exit code and all that was said.
fn check(text: &str, arguments: &[&str], folder: &Path) -> (Option<i32>, String) {
    std::fs::write(folder.join("h.jsonl"), text).unwrap();
    let output = run(&[&["check", "h.jsonl"], arguments].concat(), folder);
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &errors(&output);
    (output.status.code(), said)
}

const W1: &str = r#"["append","x",1]"#;
const W2: &str = r#"["append","x",2]"#;
const ASK: &str = r#"["r","x",null]"#;

#[test]
fn a_history_without_anything_to_judge_is_unknown_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let nemesis = "{\"index\":0,\"type\":\"info\",\"process\":\"nemesis\",\"time\":0,\
                   \"f\":\"start\",\"value\":null}\n";
    let failed = history(&[(0, "", "fail", false, W1, W1), (1, "", "fail", false, ASK, ASK)]);
    let unsure = history(&[(0, "", "info", false, W1, W1), (1, "", "info", false, ASK, ASK)]);
    let writes = history(&[(0, "", "ok", false, W1, W1), (1, "", "ok", false, W2, W2)]);
    let counter = history(&[
        (0, "", "ok", false, r#"["inc","x",5]"#, r#"["inc","x",5]"#),
        (0, "", "ok", false, ASK, r#"["r","x",0]"#),
    ]);
    for (text, part) in [
        ("", "no operation of a client"),
        ("\n\n", "no operation of a client"),
        (nemesis, "no operation of a client"),
        (&failed, "no operation succeeded (2 failed, 0 of unknown outcome)"),
        (&unsure, "no operation succeeded (0 failed, 2 of unknown outcome)"),
        (&writes, "loss was not looked for: 2 acknowledged writes"),
        (&counter, "1 micro-operations increment counters, which no checker judges"),
    ] {
        let (code, said) = check(text, &[], folder.path());
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(part), "{part}: {said}");
        // Nor is any checker by itself: what has nothing to judge is not valid.
        for checker in [
            "read-your-writes",
            "monotonic-reads",
            "consistent-prefix",
            "lost-writes",
            "list-append",
            "rw-register",
            "session",
            "all",
        ] {
            let (code, said) = check(text, &["--checker", checker], folder.path());
            assert_eq!(code, Some(2), "{checker}: {said}");
        }
    }
}

/// A history as Jepsen writes them: no final reads, lines of the nemesis. It comes out valid, and
/// one line says that loss was not looked for; asked about loss by name it is unknown.
#[test]
fn a_good_jepsen_history_is_valid_and_says_what_was_not_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = history(&[
        (0, "", "ok", false, W1, W1),
        (1, "", "ok", false, ASK, r#"["r","x",[1]]"#),
        (0, "", "ok", false, W2, W2),
        (1, "", "ok", false, ASK, r#"["r","x",[1,2]]"#),
        (0, "", "ok", false, ASK, r#"["r","x",[1,2]]"#),
    ]);
    text += "{\"index\":10,\"type\":\"info\",\"process\":\"nemesis\",\"time\":10,\"f\":\"stop\",\
             \"value\":null}\n";
    let (code, said) = check(&text, &[], folder.path());
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("loss was not looked for: 2 acknowledged writes"), "{said}");
    for named in [&["--checker", "lost-writes"][..], &["--checker", "all"]] {
        let (code, said) = check(&text, named, folder.path());
        assert_eq!(code, Some(2), "{said}");
    }
    // A group of which one has nothing to judge is judged by the others.
    let (code, said) = check(&text, &["--checker", "session"], folder.path());
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn final_reads_that_differ_are_invalid_and_those_that_agree_are_valid() {
    let folder = tempfile::tempdir().unwrap();
    for nodes in [["n1", "n2"], ["", ""]] {
        for (seen, code, list) in [
            (["[1,2]", "[1,2]"], 0, ""),
            (["[1,2]", "[1]"], 1, "diverged"),
            (["[1]", "[2]"], 1, "diverged"),
            (["[1]", "[1]"], 1, "lost"),
        ] {
            let reads = seen.map(|seen| &*format!(r#"["r","x",{seen}]"#).leak());
            let text = history(&[
                (0, "n1", "ok", false, W1, W1),
                (0, "n1", "ok", false, W2, W2),
                (1, nodes[0], "ok", true, ASK, reads[0]),
                (2, nodes[1], "ok", true, ASK, reads[1]),
            ]);
            let (got, said) = check(&text, &["--checker", "lost-writes"], folder.path());
            assert_eq!(got, Some(code), "{seen:?}: {said}");
            let (_, json) = check(&text, &["--checker", "lost-writes", "--json"], folder.path());
            let value: serde_json::Value = serde_json::from_str(&json).unwrap();
            let facts = &value["checkers"]["lost-writes"];
            for name in ["lost", "diverged"] {
                let none = facts[name].as_array().unwrap().is_empty();
                assert_eq!(none, name != list, "{seen:?}: {name}: {json}");
            }
        }
    }
    // Of one node the latest counts: it had not caught up when it was first asked.
    let text = history(&[
        (0, "n1", "ok", false, W1, W1),
        (1, "n2", "ok", true, ASK, r#"["r","x",[]]"#),
        (1, "n2", "ok", true, ASK, r#"["r","x",[1]]"#),
    ]);
    let (code, said) = check(&text, &["--checker", "lost-writes"], folder.path());
    assert_eq!(code, Some(0), "{said}");
}

const ADD1: &str = r#"["add","s",1]"#;
const ADD2: &str = r#"["add","s",2]"#;
const REM1: &str = r#"["rem","s",1]"#;
const SET: &str = r#"["r","s",null]"#;

/// Of a value that two operations write to one key, as by a client that tries again, nobody can say
/// which of them a read shows: neither loss nor a phantom is told of it, and it is not valid.
#[test]
fn a_value_that_two_operations_wrote_is_unknown_and_never_judged_by_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let register = [r#"["w","x",1]"#, r#"["w","x",2]"#, r#"["r","x",1]"#];
    for (what, operations) in [
        (
            "retried after info, then lost",
            vec![
                (0, "", "info", false, ADD1, ADD1),
                (1, "", "ok", false, ADD1, ADD1),
                (1, "", "ok", false, ADD2, ADD2),
                (2, "", "ok", true, SET, r#"["r","s",[2]]"#),
            ],
        ),
        (
            "retried after fail, and there",
            vec![
                (0, "", "fail", false, W1, W1),
                (1, "", "ok", false, W1, W1),
                (1, "", "ok", true, ASK, r#"["r","x",[1]]"#),
            ],
        ),
        (
            "written back",
            vec![
                (0, "", "ok", false, register[0], register[0]),
                (0, "", "ok", false, register[1], register[1]),
                (0, "", "ok", false, register[0], register[0]),
                (0, "", "ok", true, ASK, register[2]),
            ],
        ),
    ] {
        let text = history(&operations);
        for checker in ["lost-writes", "session"] {
            let (code, said) = check(&text, &["--checker", checker], folder.path());
            assert_eq!(code, Some(2), "{what}, {checker}: {said}");
        }
    }
}

#[test]
fn what_was_removed_for_certain_and_is_there_in_the_end_is_resurrected() {
    let folder = tempfile::tempdir().unwrap();
    let lost = |operations: &[Operation]| {
        check(&history(operations), &["--checker", "lost-writes", "--json"], folder.path())
    };
    let begun = [
        (0, "", "ok", false, ADD1, ADD1),
        (0, "", "ok", false, REM1, REM1),
        (0, "", "ok", false, ADD2, ADD2),
    ];
    let both = (1, "", "ok", true, SET, r#"["r","s",[1,2]]"#);
    let second = (1, "", "ok", true, SET, r#"["r","s",[2]]"#);
    let (code, said) = lost(&[&begun[..], &[both]].concat());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(r#""resurrected":[["s",1]]"#), "{said}");
    let (code, said) = lost(&[&begun[..], &[second]].concat());
    assert_eq!(code, Some(0), "{said}");
    // A removal that was over before the value was added removed nothing.
    let (code, said) = lost(&[begun[1], begun[0], begun[2], second]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(r#""lost":[["s",1]]"#), "{said}");
    // One that failed, or of which nobody knows, makes nothing that is there a resurrection.
    for kind in ["fail", "info"] {
        let (code, said) = lost(&[begun[0], (3, "", kind, false, REM1, REM1), begun[2], both]);
        assert_eq!(code, Some(0), "{kind}: {said}");
    }
}

#[test]
fn what_no_checker_judges_makes_a_bare_history_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let swap = r#"["cas","y",[0,1]]"#;
    let good = [(0, "", "ok", false, W1, W1), (0, "", "ok", false, ASK, r#"["r","x",[1]]"#)];
    let (code, said) = check(&history(&good), &[], folder.path());
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = check(
        &history(&[&good[..], &[(1, "", "ok", false, swap, swap)]].concat()),
        &[],
        folder.path(),
    );
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("1 micro-operations compare and set"), "{said}");
    // Completions alone: which write was over before the final read nobody knows.
    let alone = "{\"type\":\"ok\",\"process\":0,\"value\":[[\"add\",\"s\",1]]}\n\
                 {\"type\":\"ok\",\"process\":1,\"final\":true,\"value\":[[\"r\",\"s\",[]]]}\n";
    let (code, said) = check(alone, &["--checker", "lost-writes"], folder.path());
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("only the completion is there"), "{said}");
}

/// Operations of one session that overlap are in no order: a read obliges nothing that came back
/// before the write was acknowledged.
#[test]
fn operations_of_one_session_that_overlap_are_in_no_order() {
    let folder = tempfile::tempdir().unwrap();
    let line = |kind: &str, process: u32, value: &str| {
        format!("{{\"type\":\"{kind}\",\"process\":{process},\"session\":7,\"value\":[{value}]}}\n")
    };
    let empty = r#"["r","x",[]]"#;
    let text =
        [line("invoke", 0, W1), line("invoke", 1, ASK), line("ok", 1, empty), line("ok", 0, W1)];
    let (code, said) = check(&text.concat(), &["--checker", "session"], folder.path());
    assert_eq!(code, Some(2), "nothing to judge: {said}");
    let one = r#"["r","x",[1]]"#;
    let text = [
        line("invoke", 0, ASK),
        line("invoke", 1, ASK),
        line("ok", 0, one),
        line("ok", 1, empty),
        line("invoke", 1, ASK),
        line("ok", 1, one),
    ];
    let (code, said) = check(&text.concat(), &["--checker", "monotonic-reads"], folder.path());
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_page_never_takes_the_place_of_its_history() {
    let folder = tempfile::tempdir().unwrap();
    let text = history(&[(0, "", "ok", false, W1, W1)]);
    std::fs::write(folder.path().join("h.jsonl"), &text).unwrap();
    let output = run(&["report", "h.jsonl", "--out", "./h.jsonl"], folder.path());
    assert_eq!(output.status.code(), Some(64), "{}", errors(&output));
    assert_eq!(std::fs::read_to_string(folder.path().join("h.jsonl")).unwrap(), text);
}
