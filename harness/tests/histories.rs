//! Histories of other systems: `check` and `report` of a bare file, and what is no file at all.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

mod support;

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use support::{errors, run};

/// A session that does not see its own write, by a name that a page must escape.
const NAMED: &str = "\
{:type :invoke, :process \"<b>c1\", :f :txn, :value [[:append :x \"a&b\"]]}
{:type :info, :process :nemesis, :f :start, :value [:n1 :n2]}
{:type :ok, :process \"<b>c1\", :f :txn, :value [[:append :x \"a&b\"]], :error [:slow 7]}
{:type :invoke, :process \"<b>c1\", :f :txn, :value [[:r :x]]}
{:type :ok, :process \"<b>c1\", :f :txn, :value [[:r :x []]]}
";

fn checked(arguments: &[&str], folder: &Path) -> (Option<i32>, Value) {
    let output = run(&[&["check"], arguments, &["--json"]].concat(), folder);
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn a_history_of_names_is_judged_and_told_by_its_names() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("named"), NAMED).unwrap();
    let (code, value) = checked(&["named"], folder.path());
    assert_eq!(code, Some(1), "{value}");
    let own = &value["checkers"]["read-your-writes"];
    let sentence = own["findings"][0]["sentence"].as_str().unwrap();
    assert!(sentence.starts_with("session <b>c1 wrote a&b to key x"), "{sentence}");
    let witness = &own["findings"][0]["witness"][0];
    assert_eq!(witness["process"], "<b>c1");
    assert_eq!(witness["value"], json!([["append", "x", "a&b"]]));
    let note = "line 3: error is no text: kept as it stands";
    let read = json!({"form": "EDN", "operations": 2, "left_out": 1, "notes": [note]});
    assert_eq!(value["read"], read, "what was left out is counted");
    let output = run(&["check", "named"], folder.path());
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("1 lines of the nemesis") && told.contains(note), "{told}");
}

#[test]
fn the_report_of_a_bare_file_is_a_page_that_says_what_check_says() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("named.edn"), NAMED).unwrap();
    let output = run(&["report", "named.edn"], folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "named.edn.report.html\n");
    let page = std::fs::read_to_string(folder.path().join("named.edn.report.html")).unwrap();
    for part in [
        "✗ invalid",
        "session &lt;b&gt;c1 wrote a&amp;b to key x",
        "1 lines of the nemesis",
        "error is no text",
        "splitbrain check named.edn",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("<b>c1"), "names are escaped");
    let level = ["report", "named.edn", "--model", "serializable", "--out", "own.html"];
    assert_eq!(run(&level, folder.path()).status.code(), Some(0));
    let page = std::fs::read_to_string(folder.path().join("own.html")).unwrap();
    assert!(page.contains("splitbrain check named.edn --model serializable"), "{page}");
    let nowhere = ["report", "named.edn", "--out", "no/where.html"];
    let output = run(&nowhere, folder.path());
    assert_eq!(output.status.code(), Some(75));
    assert!(errors(&output).contains("--out"), "{}", errors(&output));
}

#[test]
fn a_file_that_is_none_is_named_with_what_would_be_one() {
    let folder = tempfile::tempdir().unwrap();
    let long = format!("{{\"index\":0,\"error\":\"{}\"}}\n", "x".repeat(5000));
    for (text, arguments, parts) in [
        ("time,op\n1,read\n", &[][..], ["line 1", "docs/histories.md"]),
        ("{:type :ok, :process 0, :f :read, :value 5}", &[], ["value 5", "[[\"r\",key,value]]"]),
        (&long, &["--max-line", "1K"], ["longer than 1 KiB", "--max-line"]),
        ("{}", &["--max-line", "much"], ["much is no size", "--max-line"]),
    ] {
        std::fs::write(folder.path().join("file"), text).unwrap();
        let output = run(&[&["check", "file"], arguments].concat(), folder.path());
        let said = errors(&output);
        assert_eq!(output.status.code(), Some(64), "{said}");
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    }
}

/// Each file of a run's folder in turn is a pipe that nobody writes to, a device by a link, and a
/// link to itself: none of them is read, and none makes the run pass for valid.
#[test]
fn pipes_devices_and_links_in_a_run_folder_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(&["run", "--lab", "sim", "--seed", "3", "--time-limit", "3s"], folder.path());
    assert!(output.status.code().is_some(), "{}", errors(&output));
    let output = run(&["list"], folder.path());
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(!told.is_empty());
    let runs = folder.path().join("runs");
    let name = std::fs::read_dir(&runs).unwrap().next().unwrap().unwrap().path();
    let run_folder = std::fs::read_dir(name).unwrap().next().unwrap().unwrap().path();
    for file in ["history.jsonl", "run.json", "faults.jsonl", "telemetry.jsonl"] {
        let (path, aside) = (run_folder.join(file), run_folder.join("aside"));
        std::fs::rename(&path, &aside).unwrap();
        for (make, what) in [("pipe", "a named pipe"), ("/dev/zero", "a link"), (file, "a link")] {
            match make {
                "pipe" => assert!(Command::new("mkfifo").arg(&path).status().unwrap().success()),
                target => symlink(target, &path).unwrap(),
            }
            let output = run(&["check", run_folder.to_str().unwrap()], folder.path());
            let said = errors(&output) + &String::from_utf8_lossy(&output.stdout);
            assert!(matches!(output.status.code(), Some(1 | 2 | 64)), "{file} {make}: {said}");
            assert!(said.contains(what) && said.contains(file), "{file} {make}: {said}");
            assert!(run(&["list"], folder.path()).status.success());
            std::fs::remove_file(&path).unwrap();
        }
        std::fs::rename(&aside, &path).unwrap();
    }
    let output = run(&["check", "/dev/zero"], folder.path());
    assert_eq!(output.status.code(), Some(64));
    assert!(errors(&output).contains("a device"), "{}", errors(&output));
}
