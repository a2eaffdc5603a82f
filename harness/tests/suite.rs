//! Suites and matrices end to end, in the simulator: what passes, what does not, what goes on.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use support::{errors, run};

/// Cases that each say something else.
const CANARY: &str = "[[case]]\nname = \"canary\"\nlab = \"sim\"\ncanary = \"drop-writes\"\n\
                      seeds = \"1..2\"\nfinds = [\"lost-writes\"]\n";
const FOUND: &str = "[[case]]\nname = \"found\"\nlab = \"sim\"\nfaults = [\"kill:leaderx2\"]\n\
                     seeds = \"1..2\"\nfinds = [\"lost-writes\"]\n";
const CLEAN: &str = "[[case]]\nname = \"clean\"\nlab = \"sim\"\nset = [\"store.failover=none\"]\n\
                     expect = \"valid\"\n";
const MISSING: &str = "[[case]]\nname = \"missing\"\nlab = \"sim\"\n\
                       set = [\"store.failover=none\"]\nfinds = [\"lost-writes\"]\n";
const THIN: &str = "[[case]]\nname = \"thin\"\nlab = \"sim\"\nset = [\"store.failover=none\"]\n\
                    rate = 5\nexpect = \"valid\"\n";
/// There is no lab of this name.
const NO_LAB: &str = "[[case]]\nname = \"no-lab\"\nlab = \"nowhere\"\nexpect = \"valid\"\n";

fn suite(folder: &Path, cases: &[&str], flags: &[&str]) -> Output {
    let text = format!("name = \"s\"\n{}", cases.concat());
    std::fs::write(folder.join("s.toml"), text).unwrap();
    run(&[&["suite", "s.toml"], flags].concat(), folder)
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

fn only_folder(folder: &Path) -> PathBuf {
    let mut folders = folders(folder);
    assert_eq!(folders.len(), 1, "{folders:?}");
    folders.remove(0)
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn status<'a>(suite: &'a Value, case: &str) -> &'a str {
    let cases = suite["cases"].as_array().unwrap();
    cases.iter().find(|found| found["name"] == case).unwrap()["status"].as_str().unwrap()
}

#[test]
fn findings_that_are_expected_pass_with_the_canary_among_them() {
    let folder = tempfile::tempdir().unwrap();
    let output = suite(folder.path(), &[CANARY, FOUND, CLEAN], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    let kept = only_folder(&folder.path().join("suites/s"));
    let result = json(&kept.join("suite.json"));
    for case in ["canary", "found", "clean"] {
        assert_eq!(status(&result, case), "as-expected");
    }
    let read = |name: &str| std::fs::read_to_string(kept.join(name)).unwrap();
    assert!(read("junit.xml").contains("tests=\"3\" skipped=\"0\" failures=\"0\" errors=\"0\""));
    assert!(read("summary.md").contains("3 cases: 3 as expected"));
    let page = read("index.html");
    for seed in result["cases"][0]["seeds"].as_array().unwrap() {
        let run = kept.join(seed["run"].as_str().unwrap());
        assert!(run.join("report.html").exists());
        assert!(page.contains(&format!("{}/report.html", seed["run"].as_str().unwrap())));
        let said = json(&run.join("run.json"))["host_facts"]["canary"].to_string();
        assert!(said.contains("never sent, on purpose"), "the lie is on record: {said}");
    }
    assert!(read("logs/canary.log").contains("CANARY"), "and is told");
}

#[test]
fn a_missing_finding_fails_and_an_environment_touches_no_other_case() {
    let folder = tempfile::tempdir().unwrap();
    let output = suite(folder.path(), &[NO_LAB, MISSING, THIN, CLEAN], &[]);
    assert_eq!(output.status.code(), Some(1), "{}", errors(&output));
    let result = json(&only_folder(&folder.path().join("suites/s")).join("suite.json"));
    assert_eq!(status(&result, "no-lab"), "environment");
    assert_eq!(status(&result, "missing"), "unexpected");
    assert_eq!(status(&result, "thin"), "unknown");
    assert_eq!(status(&result, "clean"), "as-expected");
    let why = result["cases"][0]["why"].to_string();
    assert!(why.contains("there is no lab nowhere"), "{why}");

    let other = tempfile::tempdir().unwrap();
    let output = suite(other.path(), &[NO_LAB, THIN, CLEAN], &[]);
    assert_eq!(output.status.code(), Some(75), "an environment outranks an unknown");
    let other = tempfile::tempdir().unwrap();
    assert_eq!(suite(other.path(), &[THIN, CLEAN], &[]).status.code(), Some(2));
    let other = tempfile::tempdir().unwrap();
    suite(other.path(), &[MISSING, CLEAN], &["--fail-fast"]);
    let result = json(&only_folder(&other.path().join("suites/s")).join("suite.json"));
    assert_eq!(status(&result, "clean"), "not-run");
}

#[test]
fn a_suite_goes_on_where_it_ended_and_runs_changed_cases_again() {
    let folder = tempfile::tempdir().unwrap();
    suite(folder.path(), &[FOUND, CLEAN], &["--only", "found"]);
    let kept = only_folder(&folder.path().join("suites/s"));
    let first = json(&kept.join("suite.json"));
    assert_eq!((status(&first, "found"), status(&first, "clean")), ("as-expected", "not-run"));

    let resume = ["--resume", kept.to_str().unwrap()];
    suite(folder.path(), &[FOUND, CLEAN], &resume);
    let second = json(&kept.join("suite.json"));
    assert_eq!(status(&second, "clean"), "as-expected");
    assert_eq!(first["cases"][0], second["cases"][0], "what was finished was left alone");

    let changed = CLEAN.replace("valid\"\n", "valid\"\nrate = 300\n");
    suite(folder.path(), &[FOUND, &changed], &resume);
    assert_eq!(folders(&kept.join("runs/clean")).len(), 2, "a changed case is run again");
    assert_eq!(folders(&kept.join("runs/found")).len(), 2, "one a seed, none run again");
}

#[test]
fn slices_are_joined_to_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [FOUND, CLEAN, CANARY];
    for shard in ["1/2", "2/2"] {
        let out = format!("out-{}", &shard[..1]);
        let output = suite(folder.path(), &cases, &["--shard", shard, "--out", &out]);
        assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    }
    let slices: Vec<PathBuf> =
        ["out-1/s", "out-2/s"].iter().map(|out| only_folder(&folder.path().join(out))).collect();
    let slices: Vec<&str> = slices.iter().map(|slice| slice.to_str().unwrap()).collect();
    let arguments = [&["merge"], &slices[..], &["--into", "whole"]].concat();
    let output = run(&arguments, folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    let whole = json(&folder.path().join("whole/suite.json"));
    let cases = whole["cases"].as_array().unwrap();
    let names: Vec<&str> = cases.iter().map(|case| case["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["found", "clean", "canary"], "in the order of the file");
    let run_of = cases[2]["seeds"][0]["run"].as_str().unwrap();
    assert!(folder.path().join("whole").join(run_of).join("report.html").exists());
    assert_eq!(run(&arguments, folder.path()).status.code(), Some(64), "never over another");
}

#[test]
fn a_slice_from_elsewhere_brings_regular_files_and_plain_links_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    suite(folder.path(), &[FOUND], &[]);
    let kept = only_folder(&folder.path().join("suites/s"));
    let told = std::fs::read_to_string(kept.join("suite.json")).unwrap();
    let merge = |what: &str, said: &str| {
        let arguments = ["merge", kept.to_str().unwrap(), "--into", "whole"];
        let output = run(&arguments, folder.path());
        assert_eq!(output.status.code(), Some(64), "{what}: {}", errors(&output));
        assert!(errors(&output).contains(said), "{what}: {}", errors(&output));
        assert!(!folder.path().join("whole").exists(), "{what}: nothing is half done");
    };
    for place in ["runs", "runs/found", "logs"] {
        for (what, target) in [("out", "/etc/hostname"), ("up", ".."), ("dangling", "/no/where")] {
            let link = kept.join(place).join("leak");
            std::os::unix::fs::symlink(target, &link).unwrap();
            merge(&format!("{place}/leak, {what}"), "leak: it is a symbolic link");
            std::fs::remove_file(link).unwrap();
        }
        let fifo = kept.join(place).join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
        merge(&format!("{place}/fifo"), "fifo: it is a FIFO");
        std::fs::remove_file(fifo).unwrap();
    }
    for run in ["javascript:alert(1)//", "../../../../etc/passwd"] {
        let mut hostile = json(&kept.join("suite.json"));
        hostile["cases"][0]["seeds"][0]["run"] = run.into();
        std::fs::write(kept.join("suite.json"), hostile.to_string()).unwrap();
        merge(run, "expected a path below runs/");
    }
    std::fs::remove_file(kept.join("suite.json")).unwrap();
    nix::unistd::mkfifo(&kept.join("suite.json"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    merge("a FIFO as suite.json", "suite.json: it is a FIFO");
    std::fs::remove_file(kept.join("suite.json")).unwrap();
    std::fs::write(kept.join("suite.json"), told).unwrap();
    let arguments = ["merge", kept.to_str().unwrap(), "--into", "whole"];
    assert_eq!(run(&arguments, folder.path()).status.code(), Some(0));
}

#[test]
fn bad_input_is_told_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    for (flags, part) in [
        (&["--shard", "5/4"][..], "is not a slice such as 3/16"),
        (&["--only", "foudn"][..], "did you mean found?"),
        (&["--resume", "nowhere"][..], "give the folder of a suite"),
    ] {
        let output = suite(folder.path(), &[FOUND], flags);
        assert_eq!(output.status.code(), Some(64));
        assert!(errors(&output).contains(part), "{}", errors(&output));
    }
    let output = suite(folder.path(), &[&FOUND.replace("lost-writes", "lost-write")], &[]);
    assert!(errors(&output).contains("case found: finds: unknown checker"), "{}", errors(&output));
    assert!(!folder.path().join("suites").exists(), "nothing has run");
    for (arguments, part) in [
        (&["matrix"][..], "a matrix is of a system"),
        (&["matrix", "--system", "stor"][..], "did you mean store?"),
        (&["matrix", "--system", "store", "--only", "sync-leeder"][..], "did you mean sync-leader"),
        (&["matrix", "--system", "store", "--time-limit", "50s"][..], "within 40 s"),
        (&["matrix", "--resume", "nowhere"][..], "--resume takes a matrix folder"),
    ] {
        let output = run(arguments, folder.path());
        assert_eq!(output.status.code(), Some(64), "{}", errors(&output));
        assert!(errors(&output).contains(part), "{}", errors(&output));
    }
}

#[test]
fn a_matrix_says_what_each_setting_gives_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let base = ["matrix", "--system", "store", "--lab", "sim", "--quick"];
    let output = run(&base, folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    let kept = only_folder(&folder.path().join("matrix/store"));
    let matrix = json(&kept.join("matrix.json"));
    let rows = matrix["rows"].as_array().unwrap();
    let cell = |row: &str, checker: &str| {
        let row = rows.iter().find(|found| found["name"] == row).unwrap();
        row["cells"][checker].clone()
    };
    assert_eq!(cell("async-leader", "lost-writes")["state"], "violated");
    assert_eq!(cell("async-leader", "lost-writes")["promised"], false);
    assert_eq!(cell("sync-leader", "lost-writes")["state"], "held");
    assert_eq!(cell("sync-leader", "lost-writes")["promised"], true);
    assert_eq!(cell("two-shards-any-follower", "consistent-prefix")["state"], "violated");
    for checker in matrix["columns"].as_array().unwrap() {
        assert_eq!(cell("no-failover-leader", checker.as_str().unwrap())["state"], "held");
    }
    let page = std::fs::read_to_string(kept.join("matrix.html")).unwrap();
    let report = format!("{}/report.html", rows[0]["run"].as_str().unwrap());
    assert!(page.contains(&report) && kept.join(report).exists(), "the witness is linked");

    let output = run(&["matrix", "--resume", kept.to_str().unwrap()], folder.path());
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(json(&kept.join("matrix.json")), matrix, "nothing was run again");
}

#[test]
fn seeds_are_told_one_by_one_and_as_rates_of_each_checker() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["run", "--lab", "sim", "--fault", "kill:leader", "--rate", "20", "--json"];
    let thin = ["--set", "coverage.ok_outside_min=1"];
    let output = run(&[&flags[..], &thin, &["--seeds", "1..10"]].concat(), folder.path());
    let said = errors(&output);
    assert!(!said.contains("found a violation"), "{said}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 11, "a line a seed, and the rates: {text}");
    let found = |line: &Value| line["checkers"]["lost-writes"]["count"].as_u64().unwrap() != 0;
    for (seed, line) in (1..=10).zip(&lines) {
        assert_eq!(line["seed"], seed);
        assert!(line["operations"]["ok"].as_u64().unwrap() > 0, "{line}");
        assert!(line["verdict"].is_string() && line["checkers"]["lost-writes"]["role"].is_string());
    }
    let count = lines[..10].iter().filter(|line| found(line)).count();
    assert!((1..10).contains(&count), "by chance: {text}");
    let rate = &lines[10]["rates"]["lost-writes"];
    assert_eq!(rate["found"], count);
    assert_eq!(rate["of"], 10);
    let (low, high) = (rate["low"].as_f64().unwrap(), rate["high"].as_f64().unwrap());
    assert!(low < count as f64 / 10.0 && count as f64 / 10.0 < high, "{rate}");
    let line = format!("not promised  violated in {count} of 10 runs: {count}0 % (");
    assert!(said.lines().any(|l| l.contains("lost-writes") && l.contains(&line)), "{said}");
}
