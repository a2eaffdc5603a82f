//! How a command ends when it is asked to: in good order, whatever the signal and whenever.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{splitbrain, wait_until};

fn send(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id() as i32), signal).unwrap();
}

/// Many simulated runs, the first of which has ended.
fn many(folder: &Path, name: &str) -> Child {
    let mut child = splitbrain()
        .args(["run", "--lab", "sim", "--count", "100000", "--time-limit", "3s", "--name", name])
        .current_dir(folder)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    // One reader for all of it: what is dropped with its buffer would be a closed pipe.
    let mut said = BufReader::new(child.stderr.take().unwrap());
    said.read_line(&mut line).unwrap();
    thread::spawn(move || said.read_to_string(&mut String::new()));
    child
}

#[test]
fn each_signal_that_asks_for_the_end_ends_in_good_order_with_130() {
    let folder = tempfile::tempdir().unwrap();
    // Kernel and shell both send SIGHUP when a terminal is closed.
    for signals in [
        &[Signal::SIGINT][..],
        &[Signal::SIGTERM],
        &[Signal::SIGHUP],
        &[Signal::SIGHUP, Signal::SIGHUP],
    ] {
        let name = format!("ended-{}-{}", signals[0].as_str().to_lowercase(), signals.len());
        let mut child = many(folder.path(), &name);
        signals.iter().for_each(|signal| send(&child, *signal));
        assert_eq!(child.wait().unwrap().code(), Some(130), "{signals:?}");
        for run in std::fs::read_dir(folder.path().join("runs").join(&name)).unwrap() {
            for file in ["verdict.json", "report.html"] {
                assert!(run.as_ref().unwrap().path().join(file).exists(), "{signals:?}: {file}");
            }
        }
    }
}

/// Hosts whose sshd talks without end before its banner.
fn talking_inventory(folder: &Path) {
    let mut text = String::new();
    for host in 1..=3 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        text.push_str(&format!(
            "[[host]]\nname = \"h{host}\"\naddress = \"127.0.0.1\"\nport = {port}\n\
             key = \"key\"\nknown_hosts = \"known_hosts\"\n"
        ));
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                thread::spawn(move || while stream.write_all(&[b'x'; 60_000]).is_ok() {});
            }
        });
    }
    std::fs::write(folder.join("inventory.toml"), text).unwrap();
    std::fs::write(folder.join("key"), "").unwrap();
    std::fs::write(folder.join("known_hosts"), "").unwrap();
}

#[test]
fn hosts_that_talk_without_end_before_their_banner_are_given_up_by_every_command() {
    let folder = tempfile::tempdir().unwrap();
    talking_inventory(folder.path());
    let begun = Instant::now();
    let commands = [
        &["run", "--hosts-file", "inventory.toml", "--time-limit", "2s"][..],
        &["heal", "--hosts", "inventory.toml"],
        &["doctor", "--hosts", "inventory.toml"],
    ];
    let started: Vec<_> = commands
        .iter()
        .map(|words| {
            let mut command = splitbrain();
            command.args(*words).current_dir(folder.path());
            (words, command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
        })
        .collect();
    for (words, child) in started {
        let done = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
        assert_eq!(done.status.code(), Some(75), "{words:?}: {said}");
        let late = said.contains("no answer within 4") && said.contains(" ms while connecting");
        assert!(late, "{words:?}: {said}");
    }
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
}

#[test]
fn a_run_that_is_connecting_hears_ctrl_c() {
    let folder = tempfile::tempdir().unwrap();
    talking_inventory(folder.path());
    let mut child = splitbrain()
        .args(["run", "--hosts-file", "inventory.toml", "--time-limit", "2s", "--name", "early"])
        .current_dir(folder.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The commands' log is made right before the first connection.
    let runs = folder.path().join("runs/early");
    wait_until("it connects", Duration::from_secs(20), || {
        let run = std::fs::read_dir(&runs).ok().and_then(|mut runs| runs.next()?.ok());
        run.is_some_and(|run| run.path().join("commands.jsonl").exists())
    });
    let asked = Instant::now();
    send(&child, Signal::SIGINT);
    let code = child.wait().unwrap().code();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("interrupted before anything was run"), "{said}");
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
}

#[test]
fn mistakes_in_an_inventory_are_64_and_leave_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let host = |number: u32| {
        format!("[[host]]\nname = \"h{number}\"\naddress = \"127.0.0.{number}\"\nkey = \"key\"\n")
    };
    let hosts: String = (1..=3).map(host).collect();
    std::fs::write(folder.path().join("key"), "").unwrap();
    std::fs::write(folder.path().join("open"), "hunter2\n").unwrap();
    let attach = "[attach]\nsystem = \"postgres\"\n";
    let user = format!("{attach}uri = \"postgres://a@/b\"\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(folder.path().join("open"), mode).unwrap();
    for (text, said) in [
        (hosts.replace("\"key\"", "\"no-key\""), "no-key cannot be read"),
        (format!("{attach}uri = \"postgres://a:hunter2@/b\"\n{hosts}"), "a password does not"),
        (format!("{attach}uri = \"postgres://a@/b?x=y\"\n{hosts}"), "x"),
        (format!("{user}password_env = \"SPLITBRAIN_NO_SUCH\"\n{hosts}"), "SPLITBRAIN_NO_SUCH"),
        (format!("{user}password_file = \"open\"\n{hosts}"), "others may read it"),
        (format!("{user}passfile = \"open\"\n{hosts}"), "others may read it"),
        (hosts.replace("127.0.0.3", "127.0.0.1"), "h3 is the machine of host h1"),
    ] {
        std::fs::write(folder.path().join("inventory.toml"), &text).unwrap();
        let mut words = vec!["run", "--hosts-file", "inventory.toml", "--time-limit", "2s"];
        if text.contains("[attach]") {
            words.extend(["--system", "postgres"]);
        }
        let done = support::run(&words, folder.path());
        let told = support::errors(&done);
        assert_eq!(done.status.code(), Some(64), "{text}{told}");
        assert!(told.contains(said) && !told.contains("hunter2"), "{said}: {told}");
        assert!(!folder.path().join("runs").exists(), "{text}");
    }
}

#[test]
fn labs_that_cannot_be_are_mistakes() {
    let folder = tempfile::tempdir().unwrap();
    for words in [
        &["run", "--lab", "nosuch"][..],
        &["lab", "down", "nosuch"],
        &["lab", "exec", "n1", "--name", "nosuch", "--", "true"],
        &["lab", "up", "--hosts", "1000", "--name", "nosuch"],
        &["run", "--lab", "sim", "--name=-x"],
    ] {
        let done = support::run(words, folder.path());
        let told = support::errors(&done);
        assert_eq!(done.status.code(), Some(64), "{words:?}: {told}");
        assert!(!told.contains("could not be brought up"), "{words:?}: {told}");
    }
}
