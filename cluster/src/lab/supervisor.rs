//! The supervisor: init of the lab's PID namespace.
//!
//! It makes the lab's mounts, keys, bridges and hosts, then does its job, and ends when the job or
//! the other end of its socket does. The kernel then ends everything in its namespaces.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::unistd::{Pid, setsid};
use serde::{Deserialize, Serialize};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicI32, Ordering};

use super::spec::{ENVIRONMENT, FOLDER, LabInfo, LabSpec};
use super::{host_init, outer, sys};

/// The hidden first argument of this process.
pub(super) const MODE: &str = "__lab-supervisor";

/// What a supervisor is for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Job {
    /// Run this binary with these arguments inside.
    Inner { argv: Vec<String> },
    /// Make one SSH session to each host, say so, and wait for the end: a measurement.
    Sessions,
    /// Stay until told otherwise, or until so many seconds have passed.
    Keep { ttl_s: u64 },
}

/// The inner process, for the signal handler.
static INNER: AtomicI32 = AtomicI32::new(0);

/// Never returns.
pub(super) fn main(arguments: &[String]) -> ! {
    let ended = run(arguments);
    if let Err(error) = ended {
        say::errln!("{error}");
    }
    std::process::exit(0) // tidy: allow(exit) the supervisor's own main
}

fn run(arguments: &[String]) -> Result<(), String> {
    let started = Instant::now();
    let [fd, spec, job] = arguments else {
        return Err("bad supervisor arguments".to_owned());
    };
    let fd: i32 = fd.parse().map_err(|_| "bad descriptor".to_owned())?;
    // SAFETY: the outer process left this descriptor open for us, and nothing else here owns it.
    let mut control = UnixStream::from(unsafe { OwnedFd::from_raw_fd(fd) });
    let spec: LabSpec = serde_json::from_str(spec).map_err(|error| error.to_string())?;
    let job: Job = serde_json::from_str(job).map_err(|error| error.to_string())?;
    // The terminal's signals go to the outer process, which forwards them.
    let _ = setsid();
    let brought_up = bring_up(&spec).and_then(|()| {
        let info = LabInfo::of(&spec, started.elapsed().as_millis() as u64);
        let text = serde_json::to_vec(&info).map_err(|error| error.to_string())?;
        let path = format!("{FOLDER}/lab.json");
        fs::write(&path, text).map_err(|error| format!("{path}: {error}"))
    });
    let done = brought_up.and_then(|()| match job {
        Job::Inner { argv } => inner(&argv, &mut control),
        Job::Sessions => sessions(&spec, &mut control),
        Job::Keep { ttl_s } => keep(ttl_s, &mut control),
    });
    if let Err(error) = &done {
        let mut message = vec![0xff];
        message.extend_from_slice(error.as_bytes());
        // The outer process may be gone; then nobody wants to know.
        let _ = control.write_all(&message);
    }
    Ok(())
}

fn bring_up(spec: &LabSpec) -> Result<(), String> {
    make_mounts()?;
    let keys = make_keys()?;
    let mut links = Vec::new();
    let mut hosts = Vec::new();
    for number in 1..=spec.hosts {
        let (ours, theirs) = UnixStream::pair().map_err(|error| error.to_string())?;
        let theirs = OwnedFd::from(theirs);
        let arguments = [sys::number(&theirs), number.to_string(), spec.hosts.to_string()];
        let pid = sys::clone_into(host_init::MODE, &arguments, &[&theirs], &[])
            .map_err(|error| format!("host n{number}: clone: {error}"))?;
        links.push(pid);
        hosts.push(ours);
    }
    make_network(&links)?;
    for mut child in keys {
        let status = child.wait().map_err(|error| format!("ssh-keygen: {error}"))?;
        if !status.success() {
            return Err("ssh-keygen failed".to_owned());
        }
    }
    publish_keys(spec)?;
    for host in &mut hosts {
        host.write_all(b"k").map_err(|error| format!("a host ended early: {error}"))?;
    }
    // A byte when its interfaces are up: connecting before would cost a second of ARP.
    for (place, host) in hosts.iter_mut().enumerate() {
        let mut ready = [0; 1];
        let said = host.read_exact(&mut ready);
        if said.is_err() || ready != *b"u" {
            return Err(format!("host n{} did not come up", place + 1));
        }
    }
    // The hosts end with this process in any case; their sockets may stay open until then.
    std::mem::forget(hosts);
    Ok(())
}

fn make_mounts() -> Result<(), String> {
    let none: Option<&str> = None;
    let text = |what: &str, error: nix::Error| format!("mount {what}: {error}");
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .map_err(|error| text("/ private", error))?;
    mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), none)
        .map_err(|error| text("/proc", error))?;
    // The only trace outside: an empty folder that labs share as a mount point.
    fs::create_dir_all(FOLDER).map_err(|error| format!("{FOLDER}: {error}"))?;
    mount(Some("tmpfs"), FOLDER, Some("tmpfs"), MsFlags::empty(), Some("mode=0755"))
        .map_err(|error| text(FOLDER, error))?;
    fs::create_dir(format!("{FOLDER}/keys")).map_err(|error| format!("{FOLDER}/keys: {error}"))
}

/// Starts making the user's key and one host key; they are ready a few ms later.
fn make_keys() -> Result<Vec<Child>, String> {
    let keygen = |name: &str| {
        Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "splitbrain", "-f"])
            .arg(format!("{FOLDER}/keys/{name}"))
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| format!("ssh-keygen: {error}"))
    };
    Ok(vec![keygen("user")?, keygen("host")?])
}

fn publish_keys(spec: &LabSpec) -> Result<(), String> {
    let read = |name: &str| {
        let path = format!("{FOLDER}/keys/{name}");
        fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))
    };
    let host = read("host.pub")?;
    let key = host.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    let lines = (1..=spec.hosts).map(|n| format!("{} {key}\n", super::spec::control(n)));
    let path = format!("{FOLDER}/keys/known_hosts");
    fs::write(&path, lines.collect::<String>()).map_err(|error| format!("{path}: {error}"))
}

/// Two bridges and two links a host, in one run of `ip`.
fn make_network(hosts: &[Pid]) -> Result<(), String> {
    let mut script = String::from("link set lo up\n");
    for (bridge, address) in [("br-ctl", "198.18.0.254/24"), ("br-data", "198.19.0.254/24")] {
        script.push_str(&format!(
            "link add {bridge} type bridge\naddr add {address} dev {bridge}\nlink set {bridge} up\n"
        ));
    }
    for (place, pid) in hosts.iter().enumerate() {
        for (bridge, kind) in [("br-ctl", "ctl"), ("br-data", "data")] {
            let outside = format!("{kind}-n{}", place + 1);
            script.push_str(&format!(
                "link add {outside} type veth peer name {kind}0 netns {pid}\n\
                 link set {outside} master {bridge} up\n"
            ));
        }
    }
    run_ip(&script)
}

/// Runs a batch of `ip` commands.
pub(super) fn run_ip(script: &str) -> Result<(), String> {
    let mut command = Command::new("/sbin/ip");
    command.args(["-batch", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("ip: {error}"))?;
    if let Some(mut pipe) = child.stdin.take() {
        let _ = pipe.write_all(script.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| format!("ip: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("ip: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

/// Runs the harness inside, and passes its status on.
fn inner(argv: &[String], control: &mut UnixStream) -> Result<(), String> {
    let mut command = Command::new("/proc/self/exe");
    command.args(argv).env(ENVIRONMENT, format!("{FOLDER}/lab.json"));
    // SAFETY: between fork and exec only prctl(2) is called.
    unsafe {
        command.pre_exec(|| {
            sys::die_with_parent();
            Ok(())
        })
    };
    let child = command.spawn().map_err(|error| format!("the harness: {error}"))?;
    let inner = Pid::from_raw(child.id() as i32);
    pass_signals_to(inner);
    let status = wait_for(inner, control);
    if let Some(status) = status {
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        let _ = control.write_all(&[code.clamp(0, 254) as u8]);
    }
    Ok(())
}

/// Reaps until the inner process has ended; `None` when the outer process went first.
fn wait_for(inner: Pid, control: &UnixStream) -> Option<std::process::ExitStatus> {
    loop {
        let mut status = 0;
        // SAFETY: waitpid(2) writes to the local it is given.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
        if pid == inner.as_raw() {
            return Some(ExitStatusExt::from_raw(status));
        }
        if 0 < pid {
            continue;
        }
        if gone(control, 20) {
            return None;
        }
    }
}

/// Waits up to so many ms; `true` when the other end of the socket is closed.
fn gone(control: &UnixStream, wait_ms: u16) -> bool {
    let mut fds = [PollFd::new(control.as_fd(), PollFlags::POLLIN)];
    let _ = poll(&mut fds, PollTimeout::from(wait_ms));
    let closed = PollFlags::POLLHUP | PollFlags::POLLERR;
    fds[0].revents().is_some_and(|events| events.intersects(closed))
}

fn pass_signals_to(inner: Pid) {
    extern "C" fn pass(number: libc::c_int) {
        let pid = INNER.load(Ordering::Relaxed);
        if let Ok(signal) = Signal::try_from(number) {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
    INNER.store(inner.as_raw(), Ordering::Relaxed);
    for number in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: the handler only loads an atomic and calls kill(2).
        let before = unsafe { signal(number, SigHandler::Handler(pass)) };
        if number == Signal::SIGHUP && matches!(before, Ok(SigHandler::SigIgn)) {
            // Started by nohup: it is to go on.
            // SAFETY: no handler of ours is involved.
            let _ = unsafe { signal(number, SigHandler::SigIgn) };
        }
    }
}

fn sessions(spec: &LabSpec, control: &mut UnixStream) -> Result<(), String> {
    let hosts = outer::connect_all(spec)?;
    control.write_all(&[0]).map_err(|error| error.to_string())?;
    while !gone(control, 1_000) {}
    // Closing sessions in good order is not what is measured: the end of the namespaces is.
    std::mem::forget(hosts);
    Ok(())
}

fn keep(ttl_s: u64, control: &mut UnixStream) -> Result<(), String> {
    control.write_all(&[0]).map_err(|error| error.to_string())?;
    let started = Instant::now();
    while started.elapsed().as_secs() < ttl_s {
        // SAFETY: waitpid(2) may be given no place for the status.
        while 0 < unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } {}
        if gone(control, 1_000) {
            break;
        }
    }
    Ok(())
}
