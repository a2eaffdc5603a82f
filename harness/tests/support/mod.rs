//! What the integration tests share: running the binary, and waiting with a deadline.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]
#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod chromium;
pub mod mongo_site;
pub mod site;
pub mod times;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The binary under test.
pub fn splitbrain() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_splitbrain"));
    command.stdin(Stdio::null()).env_remove("SPLITBRAIN_LAB");
    command
}

/// Runs it to its end.
pub fn run(arguments: &[&str], folder: &Path) -> Output {
    splitbrain().args(arguments).current_dir(folder).output().unwrap()
}

/// Standard error as text.
pub fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Waits until something holds; panics with `what` when it does not in time.
pub fn wait_until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + limit;
    while !holds() {
        assert!(Instant::now() < until, "not within {limit:?}: {what}");
        std::thread::yield_now();
    }
}

/// The only run below `runs/NAME` of a folder.
pub fn only_run(folder: &Path, name: &str) -> PathBuf {
    let mut runs = std::fs::read_dir(folder.join("runs").join(name)).unwrap();
    let run = runs.next().unwrap().unwrap().path();
    assert!(runs.next().is_none(), "more than one run of {name}");
    run
}

/// Whether this machine can bring a lab up; says loudly if it cannot.
pub fn lab_works() -> bool {
    let root = nix::unistd::Uid::effective().is_root();
    let sshd = Path::new("/usr/sbin/sshd").exists();
    if root && sshd {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "CI must be able to bring a lab up");
    eprintln!("skipped: the local lab needs root and sshd");
    false
}

/// Processes of this test's labs: those whose environment or arguments name `mark`.
pub fn processes_with(mark: &str) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let found = numbers.filter(|pid: &i32| {
        let read = |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let text = [read("environ"), read("cmdline")].concat();
        *pid != std::process::id() as i32 && String::from_utf8_lossy(&text).contains(mark)
    });
    found.collect()
}

/// Mount points of this mount namespace.
pub fn mounts() -> usize {
    std::fs::read_to_string("/proc/self/mounts").unwrap().lines().count()
}

/// Interfaces of this network namespace.
pub fn interfaces() -> Vec<String> {
    let entries = std::fs::read_dir("/sys/class/net").unwrap().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Runs `splitbrain run --name NAME` with these flags; gives its exit code, verdict and what was
/// said.
pub fn judged(
    folder: &Path,
    name: &str,
    flags: &[&str],
) -> (Option<i32>, serde_json::Value, String) {
    let output = run(&[&["run", "--name", name], flags].concat(), folder);
    let path = only_run(folder, name).join("verdict.json");
    let text = std::fs::read(path).unwrap_or_else(|_| panic!("{}", errors(&output)));
    (output.status.code(), serde_json::from_slice(&text).unwrap(), errors(&output))
}

/// What a checker's outcome says in this field: `verdict`, `role`.
pub fn field<'a>(value: &'a serde_json::Value, checker: &str, field: &str) -> &'a str {
    value["checkers"][checker][field].as_str().unwrap()
}

/// A checker's verdict.
pub fn verdict<'a>(value: &'a serde_json::Value, checker: &str) -> &'a str {
    field(value, checker, "verdict")
}
