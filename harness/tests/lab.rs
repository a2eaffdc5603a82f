//! Labs come up, do not collide, and leave nothing, however they end.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

mod support;

use std::time::Duration;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use support::{errors, interfaces, lab_works, mounts, processes_with, run, splitbrain, wait_until};

/// How long everything may take to be gone.
const GONE: Duration = Duration::from_secs(5);

#[test]
fn a_lab_stays_until_it_is_taken_down() {
    if !lab_works() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (before, links) = (mounts(), interfaces());
    let name = format!("test-{}", std::process::id());
    let up = run(&["lab", "up", "--hosts", "3", "--name", &name, "--ttl", "5m"], folder.path());
    assert!(up.status.success(), "{}", errors(&up));
    let exec = |host: &str, words: &[&str]| {
        let mut arguments = vec!["lab", "exec", host, "--name", &name, "--"];
        arguments.extend(words);
        run(&arguments, folder.path())
    };
    assert_eq!(String::from_utf8_lossy(&exec("n2", &["hostname"]).stdout), "n2\n");
    let reached = exec("n1", &["ssh-keyscan", "-T", "2", "n3"]);
    assert!(String::from_utf8_lossy(&reached.stdout).contains("ssh-ed25519"), "n1 reaches n3");
    assert_eq!(exec("n1", &["sh", "-c", "exit 7"]).status.code(), Some(7));
    let unknown = exec("n9", &["true"]);
    assert_eq!(unknown.status.code(), Some(64));
    assert!(errors(&unknown).contains("hosts are n1, n2, n3"), "{}", errors(&unknown));
    let list = run(&["lab", "list"], folder.path());
    assert!(String::from_utf8_lossy(&list.stdout).contains(&name));
    let down = run(&["lab", "down", &name], folder.path());
    assert!(down.status.success(), "{}", errors(&down));
    assert_eq!(processes_with(&name), [0; 0]);
    assert_eq!((mounts(), interfaces()), (before, links));
}

#[test]
fn a_kept_lab_runs_the_store_and_serves_a_test() {
    if !lab_works() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let name = format!("store-{}", std::process::id());
    let flags = ["lab", "up", "--hosts", "3", "--name", &name, "--ttl", "5m"];
    let up = run(&[&flags[..], &["--system", "store"]].concat(), folder.path());
    assert!(up.status.success(), "{}", errors(&up));
    let exec = ["lab", "exec", "n2", "--name", &name, "--", "ps", "-e", "-o", "args"];
    let processes = run(&exec, folder.path());
    assert!(String::from_utf8_lossy(&processes.stdout).contains("--config"), "a node runs");
    let flags = ["run", "--lab", &name, "--fault", "pause:a-follower", "--replication", "sync"];
    let ran = run(&flags, folder.path());
    let down = run(&["lab", "down", &name], folder.path());
    assert!(down.status.success(), "{}", errors(&down));
    assert_eq!(ran.status.code(), Some(0), "{}", errors(&ran));
}

#[test]
fn a_lab_ends_with_its_time_to_live() {
    if !lab_works() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let name = format!("ttl-{}", std::process::id());
    let up = run(&["lab", "up", "--hosts", "3", "--name", &name, "--ttl", "1s"], folder.path());
    assert!(up.status.success(), "{}", errors(&up));
    wait_until("the lab is gone", 2 * GONE, || processes_with(&name).is_empty());
}

#[test]
fn two_labs_at_once_do_not_collide() {
    if !lab_works() {
        return;
    }
    let start = || splitbrain().args(["lab", "bench", "--rounds", "3"]).spawn().unwrap();
    let (mut one, mut other) = (start(), start());
    assert!(one.wait().unwrap().success());
    assert!(other.wait().unwrap().success());
}

#[test]
fn a_killed_harness_leaves_nothing_and_what_it_recorded_is_judged() {
    if !lab_works() {
        return;
    }
    let (before, links) = (mounts(), interfaces());
    let seed = 20_261_124;
    println!("seed {seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for round in 0..4 {
        let folder = tempfile::tempdir().unwrap();
        let mark = format!("killed-{}-{round}", std::process::id());
        let mut child = splitbrain()
            .args(["run", "--fault", "leader-kill", "--name", &mark])
            .current_dir(folder.path())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let runs = folder.path().join("runs").join(&mark);
        let history = || {
            let run = std::fs::read_dir(&runs).ok()?.next()?.ok()?.path();
            let written = std::fs::metadata(run.join("history.jsonl")).ok()?.len();
            Some((run, written))
        };
        // A moment counted in what was recorded, so that it falls all over the run.
        let bytes = rng.random_range(1_000..900_000);
        wait_until("the run records", Duration::from_secs(30), || {
            history().is_some_and(|(_, written)| bytes < written)
        });
        child.kill().unwrap();
        child.wait().unwrap();
        wait_until("no process is left", GONE, || processes_with(&mark).is_empty());
        assert_eq!((mounts(), interfaces()), (before, links.clone()));
        let (run_folder, _) = history().unwrap();
        let check = run(&["check", run_folder.to_str().unwrap(), "--json"], folder.path());
        let code = check.status.code().unwrap();
        assert!(code == 1 || code == 2, "killed at {bytes} bytes: {code} {}", errors(&check));
        let verdict: serde_json::Value = serde_json::from_slice(&check.stdout).unwrap();
        assert!(verdict["checkers"]["lost-writes"]["verdict"].is_string());
    }
}

#[test]
fn ctrl_c_ends_a_run_in_good_order() {
    ends_in_good_order(&[nix::sys::signal::Signal::SIGINT]);
}

#[test]
fn a_closed_terminal_ends_a_run_in_good_order() {
    let hung_up = nix::sys::signal::Signal::SIGHUP;
    ends_in_good_order(&[hung_up, hung_up]);
}

fn ends_in_good_order(signals: &[nix::sys::signal::Signal]) {
    if !lab_works() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = splitbrain()
        .args(["run", "--name", "stopped", "--time-limit", "60s"])
        .current_dir(folder.path())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let runs = folder.path().join("runs/stopped");
    wait_until("the run records", Duration::from_secs(30), || {
        let run = std::fs::read_dir(&runs).ok().and_then(|mut runs| runs.next());
        let path = run.and_then(Result::ok).map(|run| run.path().join("history.jsonl"));
        path.and_then(|path| std::fs::metadata(path).ok()).is_some_and(|m| 50_000 < m.len())
    });
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    for signal in signals {
        nix::sys::signal::kill(pid, *signal).unwrap();
    }
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130), "interrupted");
    let run = support::only_run(folder.path(), "stopped");
    assert!(run.join("report.html").is_file(), "a report all the same");
    let history = std::fs::read_to_string(run.join("history.jsonl")).unwrap();
    assert!(history.contains("\"final\":true"), "final reads were taken");
}
