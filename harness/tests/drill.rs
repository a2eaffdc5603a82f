//! The drill: a table of faults made, proven and healed on a lab.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

mod support;

use serde_json::Value;
use support::{errors, lab_works, run};

#[test]
fn a_drill_proves_and_heals_what_it_makes_and_keeps_the_record() {
    if !lab_works() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let only = "kill,halves,delay,slow-sync";
    let flags = ["drill", "--hosts", "3", "--rounds", "1", "--format", "json", "--only", only];
    let output = run(&flags, folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    let table: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = table["rows"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["fault"].as_str().unwrap()).collect();
    assert_eq!(names, ["kill", "halves", "delay", "slow-sync"], "in the catalogue's order");
    for row in rows {
        let round = &row["rounds"][0];
        assert_eq!((&round["proven"], &round["healed"]), (&true.into(), &true.into()), "{row}");
        assert!(round["serving_ms"].as_f64() >= round["heal_ms"].as_f64(), "{row}");
        assert!(!round["evidence"].as_array().unwrap().is_empty(), "{row}");
    }
    assert_eq!(rows[1]["rounds"][0]["mechanism"], "nf_tables");
    let drill = support::only_run(folder.path(), "drill");
    let markdown = std::fs::read_to_string(drill.join("drill.md")).unwrap();
    assert!(markdown.contains("| halves | 1 of 1 | 1 of 1 | "), "{markdown}");
    let lines = std::fs::read_to_string(drill.join("faults.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 4 * 4, "planned, injected, evidenced, healed");
    assert!(drill.join("load/1/history.jsonl").exists());
}
