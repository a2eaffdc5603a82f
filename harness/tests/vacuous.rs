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
