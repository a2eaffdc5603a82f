//! Every history of set A, judged as its verdict says: verdicts, lists of lost writes, and the
//! sizes of minimal witnesses.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};

use history::{History, read_history};
use serde_json::Value;
use splitbrain_checkers::{Context, Outcome, by_name};

const NAMES: [&str; 4] =
    ["read-your-writes", "monotonic-reads", "consistent-prefix", "lost-writes"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/sessions/A")
}

fn read(path: &Path) -> History {
    let read = read_history(path).unwrap();
    assert_eq!(read.damage, None, "{}", path.display());
    read.history
}

fn verdict(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn judge(name: &str, history: &History) -> Outcome {
    by_name(name).unwrap().check(history, &Context::default())
}

/// What is wrong with the judgement of one history, in words.
fn disagreements(name: &str, history: &History, expected: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    for checker in NAMES {
        let outcome = judge(checker, history);
        let said = outcome.verdict.as_str();
        if checker == "lost-writes" {
            for list in ["lost", "duplicated", "phantom"] {
                let (have, want) = (&outcome.facts[list], &expected[checker][list]);
                if have != want {
                    wrong.push(format!("{name}: {list} is {have}, should be {want}"));
                }
            }
            continue;
        }
        // Nothing to judge is no violation, and never passes for one.
        let nothing = !outcome.applies() && expected[checker] == "valid";
        if expected[checker] != said && !nothing {
            wrong.push(format!("{name}: {checker} is {said}, should be {}", expected[checker]));
            continue;
        }
        let size = outcome.findings.iter().map(|finding| finding.witness.len()).min();
        let minimum = expected["witness_min"][checker].as_u64().map(|size| size as usize);
        if minimum.is_some() && size != minimum {
            wrong.push(format!("{name}: {checker} witness has {size:?}, should have {minimum:?}"));
        }
    }
    wrong
}

fn histories(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> =
        entries.filter(|path| path.to_string_lossy().ends_with(ending)).collect();
    paths.sort();
    paths
}

#[test]
fn set_a_is_agreed_with() {
    let paths = histories(&folder(), ".jsonl");
    assert!(150 < paths.len(), "only {} histories are here", paths.len());
    let mut wrong = Vec::new();
    for path in &paths {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let expected = verdict(&path.with_extension("verdict.json"));
        wrong.extend(disagreements(&name, &read(path), &expected));
    }
    assert!(wrong.is_empty(), "{} disagreements:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn large_histories_are_agreed_with() {
    for path in histories(&folder().join("large"), ".jsonl.gz") {
        let name = path.file_name().unwrap().to_string_lossy().replace(".jsonl.gz", "");
        let expected = verdict(&path.with_file_name(format!("{name}.verdict.json")));
        let history = read(&path);
        assert_eq!(history.ops.len(), 100_000, "{name}");
        assert_eq!(disagreements(&name, &history, &expected), Vec::<String>::new());
    }
}
