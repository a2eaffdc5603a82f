//! Output that cannot be written: the exit code is the same, and nobody panics.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

mod support;

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use support::{only_run, run, splitbrain};

/// Where nothing can be written to any more.
#[derive(Clone, Copy, Debug)]
enum Gone {
    ClosedPipe,
    FullDisk,
}

impl Gone {
    fn end(self) -> Stdio {
        match self {
            Gone::ClosedPipe => Stdio::from(std::io::pipe().unwrap().1),
            Gone::FullDisk => Stdio::from(File::options().write(true).open("/dev/full").unwrap()),
        }
    }
}

/// An ok write that one final read of two lacks, so that `check` exits 1.
fn lost_write(folder: &Path) {
    let mut lines = String::new();
    for (index, (kind, f, value)) in
        [("invoke", "w", "1"), ("ok", "w", "1"), ("invoke", "r", "null"), ("ok", "r", "[]")]
            .iter()
            .enumerate()
    {
        let op = if *f == "w" { "append" } else { "r" };
        let last = if *f == "r" { ",\"final\":true" } else { "" };
        lines.push_str(&format!(
            "{{\"index\":{index},\"time\":{index},\"type\":\"{kind}\",\"process\":0,\"f\":\"txn\",\
             \"value\":[[\"{op}\",\"x\",{value}]]{last}}}\n"
        ));
    }
    std::fs::write(folder.join("lost.jsonl"), lines).unwrap();
}

/// Every command that says something and needs no host, with its exit code.
fn commands(folder: &Path) -> Vec<(Vec<String>, i32)> {
    lost_write(folder);
    let sim = ["run", "--lab", "sim", "--time-limit", "3s", "--name"];
    let sim: Vec<String> = sim.iter().map(|word| (*word).to_owned()).collect();
    let first = [&sim[..], &["first".to_owned()]].concat();
    let done = splitbrain().args(&first).current_dir(folder).output().unwrap();
    let code = done.status.code().unwrap();
    let of_run = only_run(folder, "first").display().to_string();
    std::fs::write(
        folder.join("suite.toml"),
        "name = \"s\"\n[[case]]\nname = \"one\"\nlab = \"sim\"\ntime_limit = \"3s\"\n\
         expect = \"valid\"\n",
    )
    .unwrap();
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let check = run(&["check", "lost.jsonl"], folder).status.code().unwrap();
    assert_eq!(check, 1);
    let mut all = vec![
        (words("check lost.jsonl"), check),
        (words("check lost.jsonl --json"), check),
        (words("check nowhere.jsonl"), 64),
        ([words("check"), vec![of_run.clone()]].concat(), code),
        ([words("check --json"), vec![of_run.clone()]].concat(), code),
        ([words("report"), vec![of_run]].concat(), 0),
        (words("run --lab sim --dry-run"), 0),
        (words("run --lab sim --plan"), 0),
        (words("suite suite.toml --list"), 0),
        (words("suite suite.toml"), run(&["suite", "suite.toml"], folder).status.code().unwrap()),
        (words("matrix list"), 0),
        (words("completions bash"), 0),
        (words("--help"), 0),
        (words("run --no-such-flag"), 64),
    ];
    for what in ["runs", "systems", "workloads", "policies", "faults", "checkers"] {
        all.push((words(&format!("list {what}")), 0));
    }
    all.push(([&sim[..], &words("again")].concat(), code));
    all.push(([&sim[..], &words("more --json --count 2")].concat(), code));
    all
}

#[test]
fn output_that_cannot_be_written_never_changes_how_a_command_ends() {
    let folder = tempfile::tempdir().unwrap();
    for (words, code) in commands(folder.path()) {
        for gone in [Gone::ClosedPipe, Gone::FullDisk] {
            for (out, err) in [(true, false), (false, true), (true, true)] {
                let mut command = splitbrain();
                command.args(&words).current_dir(folder.path());
                command.stdout(if out { gone.end() } else { Stdio::piped() });
                command.stderr(if err { gone.end() } else { Stdio::piped() });
                let done = command.output().unwrap();
                let what = format!("{words:?}, {gone:?}, standard output {out}, error {err}");
                let said = String::from_utf8_lossy(&done.stderr);
                assert_eq!(done.status.code(), Some(code), "{what}: {said}");
                assert!(!said.contains("panicked"), "{what}: {said}");
                let told = said.contains("standard output could not be written");
                assert!(!told || matches!(gone, Gone::FullDisk), "{what}: {said}");
            }
        }
    }
}

fn started(command: &mut Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_run_whose_reader_leaves_in_its_middle_is_judged_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = splitbrain();
    command.args(["run", "--lab", "sim", "--count", "2", "--time-limit", "3s", "--name", "left"]);
    let mut child = started(command.current_dir(folder.path()));
    // The reader takes one byte and goes: there is a run by then, and its end is still to be told.
    child.stderr.take().unwrap().read_exact(&mut [0]).unwrap();
    let status = child.wait().unwrap();
    assert!(matches!(status.code(), Some(0 | 2)), "{status}");
    for run in std::fs::read_dir(folder.path().join("runs/left")).unwrap() {
        for file in ["verdict.json", "report.html"] {
            assert!(run.as_ref().unwrap().path().join(file).exists(), "{file}");
        }
    }
}

/// A run whose files may not grow beyond so many blocks: what a full disk does to them.
fn run_on_a_full_disk(folder: &Path, name: &str, blocks: u32) -> (Option<i32>, String) {
    let line = format!(
        "trap '' XFSZ; ulimit -f {blocks}; exec {} run --lab sim --seed 3 --name {name}",
        env!("CARGO_BIN_EXE_splitbrain")
    );
    let mut shell = Command::new("bash");
    let done = shell.args(["-c", &line]).current_dir(folder).output().unwrap();
    (done.status.code(), support::errors(&done))
}

#[test]
fn a_full_disk_is_said_to_cut_the_history_short_and_what_is_there_is_judged() {
    let folder = tempfile::tempdir().unwrap();
    // Enough for the page; not even for that.
    for (name, blocks, whole) in [("late", 300, true), ("early", 20, false)] {
        let (code, said) = run_on_a_full_disk(folder.path(), name, blocks);
        assert_eq!(code, Some(75), "{name}: {said}");
        assert!(said.contains("the history is cut short: the run cannot be recorded"), "{said}");
        assert!(said.contains("File too large"), "the disk's own words: {said}");
        assert!(said.contains("? unknown"), "it is judged: {said}");
        assert_eq!(said.contains("report.html: "), !whole, "{name}: {said}");
        let run = only_run(folder.path(), name);
        assert!(run.join("history.jsonl").exists());
        assert_eq!(run.join("report.html").exists(), whole, "{name}: whole or not at all");
    }
}
