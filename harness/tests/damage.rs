//! Damage of any record of a run is damage of its verdict: it never makes one valid, and is told
//! with the file, on the terminal, in `verdict.json` and on the page.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

mod support;

use std::fs;
use std::path::Path;

use support::{errors, only_run, run};

const RECORDS: [&str; 3] = ["faults.jsonl", "telemetry.jsonl", "run.json"];

type Damage = (&'static str, fn(&Path, &[u8]));

/// Everything that is done to a file; each gets its path and what was in it.
const DAMAGES: [Damage; 11] = [
    ("missing", |path, _| fs::remove_file(path).unwrap()),
    ("empty", |path, _| fs::write(path, b"").unwrap()),
    ("binary", |path, _| fs::write(path, [0xff, 0xfe, 0x80, b'\n', 0xc3]).unwrap()),
    ("NUL", |path, _| fs::write(path, [0; 4096]).unwrap()),
    ("a folder", |path, _| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
    }),
    ("null", |path, _| fs::write(path, b"null\n").unwrap()),
    ("another JSON", |path, _| fs::write(path, b"{\"index\":1}\n").unwrap()),
    ("garbage first", |path, old| fs::write(path, [b"garbage\n", old].concat()).unwrap()),
    ("garbage last", |path, old| fs::write(path, [old, b"garbage\n"].concat()).unwrap()),
    ("cut in a line", |path, old| fs::write(path, &old[..old.len() - 9]).unwrap()),
    ("cut between lines", |path, old| {
        let half = old[..old.len() / 2].iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
        fs::write(path, &old[..half]).unwrap();
    }),
];

fn valid_run(folder: &Path) -> std::path::PathBuf {
    let arguments = "run --lab sim --seed 3 --replication sync --fault kill:leader --name base";
    let output = run(&arguments.split(' ').collect::<Vec<_>>(), folder);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    only_run(folder, "base")
}

#[test]
fn no_damage_of_a_record_makes_a_run_valid() {
    let folder = tempfile::tempdir().unwrap();
    let whole = valid_run(folder.path());
    let kept: Vec<Vec<u8>> =
        RECORDS.iter().map(|name| fs::read(whole.join(name)).unwrap()).collect();
    for (name, old) in RECORDS.iter().zip(&kept) {
        for (what, damage) in DAMAGES {
            let path = whole.join(name);
            damage(&path, old);
            let output = run(&["check", "latest"], folder.path());
            let said = String::from_utf8_lossy(&output.stdout).into_owned() + &errors(&output);
            assert_eq!(output.status.code(), Some(2), "{name} {what}: {said}");
            assert!(said.contains(name), "{name} {what} is not told: {said}");
            let judged = fs::read_to_string(whole.join("verdict.json")).unwrap();
            if *name != "run.json" {
                let judged: serde_json::Value = serde_json::from_str(&judged).unwrap();
                assert_eq!(judged["verdict"], "unknown", "{name} {what}");
                let report = run(&["report", "latest"], folder.path());
                assert_eq!(report.status.code(), Some(0), "{name} {what}: {}", errors(&report));
                let page = fs::read_to_string(whole.join("report.html")).unwrap();
                assert!(page.contains(name), "{name} {what} is not on the page");
            }
            let _ = fs::remove_dir(&path);
            fs::write(&path, old).unwrap();
        }
    }
    let output = run(&["check", "latest"], folder.path());
    assert_eq!(output.status.code(), Some(0), "whole again: {}", errors(&output));
}

/// A required fault without effect, then a broken first line.
#[test]
fn a_damaged_record_does_not_hide_that_a_fault_had_no_effect() {
    let folder = tempfile::tempdir().unwrap();
    let faults = valid_run(folder.path()).join("faults.jsonl");
    let text = fs::read_to_string(&faults).unwrap();
    let text = text.replace("\"result\":\"installed\"", "\"result\":\"no-effect\"");
    for text in [text.clone(), format!("garbage\n{text}"), format!("{text}garbage\n")] {
        fs::write(&faults, &text).unwrap();
        let output = run(&["check", "latest"], folder.path());
        assert_eq!(output.status.code(), Some(2), "{text}");
    }
}

/// What run.json asks for cannot be read, and nothing tells of a fault.
#[test]
fn a_config_that_cannot_be_read_is_told_and_is_never_valid() {
    let folder = tempfile::tempdir().unwrap();
    let whole = valid_run(folder.path());
    let text = fs::read_to_string(whole.join("run.json")).unwrap();
    let mut info: serde_json::Value = serde_json::from_str(&text).unwrap();
    info["config"] = "x=[".into();
    fs::write(whole.join("run.json"), info.to_string()).unwrap();
    fs::write(whole.join("faults.jsonl"), "").unwrap();
    let output = run(&["check", "latest"], folder.path());
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &errors(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("run.json: its config cannot be read"), "{said}");
}

/// Times that no clock gives: one that goes backward, none, and the limits of 64 bits.
#[test]
fn impossible_times_in_a_record_end_no_judging() {
    let folder = tempfile::tempdir().unwrap();
    let whole = valid_run(folder.path());
    for name in ["history.jsonl", "faults.jsonl", "telemetry.jsonl"] {
        let old = fs::read_to_string(whole.join(name)).unwrap();
        let lines: Vec<&str> = old.lines().collect();
        for time in ["0", "9223372036854775807", "-9223372036854775807"] {
            let mut text = String::new();
            for (at, line) in lines.iter().enumerate() {
                // Every seventh line of the later half.
                let odd = lines.len() / 2 <= at && at % 7 == 0;
                let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
                for field in ["time", "duration", "received", "sent"] {
                    if odd && value.get(field).is_some() {
                        value[field] = serde_json::from_str(time).unwrap();
                    }
                }
                text += &format!("{value}\n");
            }
            fs::write(whole.join(name), text).unwrap();
            for command in [&["check", "latest"][..], &["report", "latest"]] {
                let output = run(command, folder.path());
                let said = errors(&output);
                assert!(output.status.code() < Some(70), "{name} {time}: {said}");
            }
        }
        fs::write(whole.join(name), &old).unwrap();
    }
}
