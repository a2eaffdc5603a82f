//! Hosts over SSH, against a real sshd on loopback.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use splitbrain_cluster::{Exec, Host, HostAddress, HostError, SshHost};

/// An sshd of our own, ended with the test.
struct Sshd {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Sshd {
    fn start() -> Option<Sshd> {
        if !Uid::effective().is_root() || !Path::new("/usr/sbin/sshd").exists() {
            assert!(std::env::var_os("CI").is_none(), "CI must be able to run sshd");
            eprintln!("skipped: these tests need root and openssh-server");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all("/run/sshd").unwrap();
        for name in ["host", "user", "other"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(folder.path().join(name));
            assert!(keygen.status().unwrap().success());
        }
        let port = free_port();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\n\
             PermitRootLogin prohibit-password\nUsePAM no\nUseDNS no\nStrictModes no\n\
             PidFile none\nMaxSessions 50\n",
            at("host"),
            at("user.pub")
        );
        fs::write(folder.path().join("config"), config).unwrap();
        let mut command = Command::new("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f", &at("config")]).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let sshd = Sshd { child, folder, port };
        sshd.know("host");
        let until = Instant::now() + Duration::from_secs(5);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "sshd does not listen");
        }
        Some(sshd)
    }

    /// Writes known_hosts with this key.
    fn know(&self, key: &str) {
        let public = fs::read_to_string(self.folder.path().join(format!("{key}.pub"))).unwrap();
        let key: Vec<&str> = public.split_whitespace().take(2).collect();
        let line = format!("[127.0.0.1]:{} {}\n", self.port, key.join(" "));
        fs::write(self.folder.path().join("known_hosts"), line).unwrap();
    }

    fn address(&self, key: &str) -> HostAddress {
        HostAddress {
            name: "n1".to_owned(),
            address: "127.0.0.1".to_owned(),
            port: self.port,
            user: "root".to_owned(),
            key: self.folder.path().join(key),
            known_hosts: self.folder.path().join("known_hosts"),
            ssh_agent: false,
            sudo: false,
            jump: None,
            region: None,
            data_address: "127.0.0.1".parse().unwrap(),
        }
    }

    fn connect(&self) -> SshHost {
        SshHost::connect(self.address("user")).unwrap()
    }

    fn refusal(&self, address: HostAddress) -> HostError {
        SshHost::connect(address).err().unwrap()
    }

    /// sshd's processes for sessions, and theirs.
    fn sessions(&self) -> Vec<Pid> {
        let sessions = children(Pid::from_raw(self.child.id() as i32));
        sessions.iter().flat_map(|pid| [vec![*pid], children(*pid)].concat()).collect()
    }

    fn signal_all(&self, signal: Signal) {
        let _ = kill(Pid::from_raw(self.child.id() as i32), signal);
        for pid in self.sessions() {
            let _ = kill(pid, signal);
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.signal_all(Signal::SIGCONT);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn children(pid: Pid) -> Vec<Pid> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().map(|child| Pid::from_raw(child.parse().unwrap())).collect()
}

fn ssh_threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.starts_with("ssh-")).count()
}

#[test]
fn commands_give_status_output_and_errors() {
    let Some(sshd) = Sshd::start() else { return };
    let host = sshd.connect();
    let run = |line: &str| host.exec(Exec::shell(line)).unwrap();
    let result = run("echo out; echo err >&2; exit 3");
    assert_eq!((result.status, result.text().as_str()), (3, "out\n"));
    assert_eq!(result.stderr, b"err\n");
    assert_eq!(run("kill -9 $$").status, 137);
    let stdin = Exec { stdin: vec![b'x'; 300_000], ..Exec::shell("wc -c") };
    assert_eq!(host.exec(stdin).unwrap().text().trim(), "300000");
    assert_eq!(run("head -c 3000000 /dev/zero").stdout.len(), 3_000_000);
    let words = Exec::argv(&["printf", "%s", "it's $HOME; `x`"]);
    assert_eq!(host.exec(words).unwrap().text(), "it's $HOME; `x`");
}

#[test]
fn one_session_serves_many_at_once() {
    let Some(sshd) = Sshd::start() else { return };
    let host = sshd.connect();
    let started = Instant::now();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let host = &host;
            scope.spawn(move || {
                let result = host.exec(Exec::shell(format!("sleep 0.5; echo {number}"))).unwrap();
                assert_eq!(result.text(), format!("{number}\n"));
            });
        }
    });
    let took = started.elapsed();
    assert!(took < Duration::from_secs(3), "eight waits of 0.5 s took {took:?} together");
}

#[test]
fn files_go_there_and_back() {
    let Some(sshd) = Sshd::start() else { return };
    let host = sshd.connect();
    let bytes: Vec<u8> = (0..5_000_000_u32).map(|n| (n * 7 % 251) as u8).collect();
    let path = sshd.folder.path().join("it's a file");
    host.upload(&bytes, path.to_str().unwrap(), 0o640).unwrap();
    assert_eq!(host.download(path.to_str().unwrap()).unwrap(), bytes);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(matches!(host.download("/nonexistent"), Err(HostError::Local { .. })));
}

#[test]
fn wrong_keys_are_refused_each_by_its_name() {
    let Some(sshd) = Sshd::start() else { return };
    let refused = sshd.refusal(sshd.address("other"));
    assert!(matches!(refused, HostError::Auth { .. }), "{refused}");
    sshd.know("other");
    let changed = sshd.refusal(sshd.address("user"));
    assert!(matches!(changed, HostError::ChangedKey { .. }), "{changed}");
    assert!(changed.to_string().contains("host n1: the host key of 127.0.0.1"));
    fs::write(sshd.folder.path().join("known_hosts"), "").unwrap();
    let unknown = sshd.refusal(sshd.address("user"));
    assert!(matches!(unknown, HostError::UnknownKey { .. }), "{unknown}");
    let nobody = sshd.refusal(HostAddress { port: free_port(), ..sshd.address("user") });
    assert!(matches!(nobody, HostError::Unreachable { .. }), "{nobody}");
}

#[test]
fn a_stopped_sshd_is_a_timeout_that_names_the_host_and_leaks_nothing() {
    let Some(sshd) = Sshd::start() else { return };
    let before = ssh_threads();
    let host = sshd.connect();
    sshd.signal_all(Signal::SIGSTOP);
    let started = Instant::now();
    let exec = Exec::shell("true").timeout(Duration::from_secs(2));
    let late = host.exec(exec).unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(late.to_string().starts_with("host n1: no answer within"), "{late}");
    let started = Instant::now();
    let late = sshd.refusal(sshd.address("user"));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(late.to_string().starts_with("host n1:"), "{late}");
    sshd.signal_all(Signal::SIGCONT);
    drop(host);
    let until = Instant::now() + Duration::from_secs(5);
    while before < ssh_threads() {
        assert!(Instant::now() < until, "{} ssh threads are left", ssh_threads());
    }
}

#[test]
fn a_dropped_session_is_made_anew() {
    let Some(sshd) = Sshd::start() else { return };
    let host = sshd.connect();
    for pid in sshd.sessions() {
        let _ = kill(pid, Signal::SIGKILL);
    }
    // The first request may meet the broken session; it says so, and the next has a new one.
    if let Err(error) = host.exec(Exec::shell("echo again")) {
        assert!(matches!(error, HostError::Broken { .. }), "{error}");
    }
    assert_eq!(host.exec(Exec::shell("echo again")).unwrap().text(), "again\n");
}
