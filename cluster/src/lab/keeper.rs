//! Labs that stay up: a detached keeper process with a control socket and a time to live.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, setns};
use nix::sys::stat::Mode;
use nix::unistd::{ForkResult, dup2_stderr, dup2_stdin, dup2_stdout, fork, setsid};
use serde::{Deserialize, Serialize};

use super::outer;
use super::spec::{ENVIRONMENT, FOLDER, LabError, LabInfo, LabSpec};
use super::supervisor::Job;

const LABS: &str = "/run/splitbrain-labs";

/// A kept lab, as lists show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Its name.
    pub id: String,
    /// How many hosts.
    pub hosts: usize,
    /// The supervisor, init of the lab's PID namespace.
    pub supervisor: i32,
    /// When the supervisor started, in clock ticks since boot.
    pub start: u64,
    /// How long it may stay, s.
    pub ttl_s: u64,
}

/// Brings a lab up that stays when this process ends, for `ttl_s` seconds at most.
///
/// Must be called on the main thread before any other is started.
pub fn up(spec: &LabSpec, ttl_s: u64) -> Result<Kept, LabError> {
    let setup = |why: String| LabError::Setup(why);
    let folder = folder(&spec.id)?;
    list();
    if folder.exists() {
        return Err(setup(format!("a lab {} is up already", spec.id)));
    }
    let (mut ready, report) = UnixStream::pair().map_err(|error| setup(error.to_string()))?;
    // SAFETY: single-threaded; the child goes on as the keeper.
    match unsafe { fork() }.map_err(|error| setup(error.to_string()))? {
        ForkResult::Child => {
            drop(ready);
            keeper(spec, ttl_s, &folder, report)
        }
        ForkResult::Parent { .. } => {
            drop(report);
            let mut text = String::new();
            ready.read_to_string(&mut text).map_err(|error| setup(error.to_string()))?;
            serde_json::from_str(&text).map_err(|_| setup(text.trim().to_owned()))
        }
    }
}

fn folder(id: &str) -> Result<PathBuf, LabError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if id.is_empty() || !id.chars().all(plain) {
        return Err(LabError::NoSuchLab(id.to_owned()));
    }
    Ok(Path::new(LABS).join(id))
}

fn keeper(spec: &LabSpec, ttl_s: u64, folder: &Path, mut report: UnixStream) -> ! {
    let _ = setsid();
    // Before anything else is started: whoever reads our output must not wait for the lab's end.
    detach();
    // Whoever asked for the end waits for the end of its connection, which the kernel closes when
    // this process, the lab's last, is gone.
    let _asked = match keep_up(spec, ttl_s, folder) {
        Ok((control, listener, kept)) => {
            let text = serde_json::to_vec(&kept).unwrap_or_default();
            let _ = report.write_all(&text);
            drop(report);
            serve(&listener, control, kept.supervisor)
        }
        Err(error) => {
            let _ = report.write_all(error.to_string().as_bytes());
            None
        }
    };
    let _ = fs::remove_dir_all(folder);
    std::process::exit(0) // tidy: allow(exit) the keeper's own main
}

fn keep_up(
    spec: &LabSpec,
    ttl_s: u64,
    folder: &Path,
) -> Result<(UnixStream, UnixListener, Kept), LabError> {
    let setup = |error: std::io::Error| LabError::Setup(error.to_string());
    let (mut control, pid) = outer::start(spec, &Job::Keep { ttl_s })?;
    let mut answer = [0; 1];
    control.read_exact(&mut answer).map_err(setup)?;
    if answer != [0] {
        let mut why = String::new();
        let _ = control.read_to_string(&mut why);
        return Err(LabError::Setup(why));
    }
    let start = agent::process::by_pid(pid.as_raw()).map_or(0, |process| process.start);
    let (id, hosts) = (spec.id.clone(), spec.hosts);
    let kept = Kept { id, hosts, supervisor: pid.as_raw(), start, ttl_s };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(setup)?;
    let text = serde_json::to_vec(&kept).map_err(|error| LabError::Setup(error.to_string()))?;
    fs::write(folder.join("lab.json"), text).map_err(setup)?;
    let listener = UnixListener::bind(folder.join("control.sock")).map_err(setup)?;
    listener.set_nonblocking(true).map_err(setup)?;
    Ok((control, listener, kept))
}

fn detach() {
    let null = open("/dev/null", OFlag::O_RDWR, Mode::empty());
    if let Ok(null) = null {
        let _ = (dup2_stdin(&null), dup2_stdout(&null), dup2_stderr(&null));
    }
    let _ = std::env::set_current_dir("/");
}

/// Until somebody connects to the control socket (that is the order to go) or the lab is gone.
/// Gives the connection.
fn serve(listener: &UnixListener, control: UnixStream, supervisor: i32) -> Option<UnixStream> {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;
    loop {
        let mut fds = [
            PollFd::new(listener.as_fd(), PollFlags::POLLIN),
            PollFd::new(control.as_fd(), PollFlags::POLLIN),
        ];
        let _ = poll(&mut fds, PollTimeout::from(5_000u16));
        let asked = listener.accept().ok().map(|(stream, _)| stream);
        let ended = fds[1].revents().is_some_and(|events| !events.is_empty());
        if asked.is_none() && !ended {
            continue;
        }
        drop(control);
        let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(supervisor), None);
        return asked;
    }
}

/// Labs that are up; what dead keepers left is removed.
pub fn list() -> Vec<Kept> {
    let Ok(entries) = fs::read_dir(LABS) else {
        return Vec::new();
    };
    let mut labs = Vec::new();
    for entry in entries.flatten() {
        let text = fs::read(entry.path().join("lab.json")).unwrap_or_default();
        let kept: Option<Kept> = serde_json::from_slice(&text).ok();
        let alive = kept.as_ref().is_some_and(|kept| {
            agent::process::by_pid(kept.supervisor).is_some_and(|p| p.start == kept.start)
        });
        match kept {
            Some(kept) if alive => labs.push(kept),
            _ => drop(fs::remove_dir_all(entry.path())),
        }
    }
    labs.sort_by(|a, b| a.id.cmp(&b.id));
    labs
}

fn find(id: Option<&str>) -> Result<Kept, LabError> {
    let labs = list();
    let found = match id {
        Some(id) => labs.into_iter().find(|lab| lab.id == id),
        None if labs.len() == 1 => labs.into_iter().next(),
        None => None,
    };
    found.ok_or_else(|| LabError::NoSuchLab(id.unwrap_or("(name one)").to_owned()))
}

/// Ends a lab; returns when it is gone. Without a name, the only one.
pub fn down(id: Option<&str>) -> Result<Kept, LabError> {
    let kept = find(id)?;
    let path = folder(&kept.id)?.join("control.sock");
    let mut asked = UnixStream::connect(path).map_err(|e| LabError::Setup(e.to_string()))?;
    let mut end = Vec::new();
    let _ = asked.read_to_end(&mut end);
    Ok(kept)
}

/// Moves this process into a kept lab's network and mounts, so that it reaches the hosts.
///
/// Must be called on the main thread before any other is started.
pub fn enter(id: Option<&str>) -> Result<LabInfo, LabError> {
    let kept = find(id)?;
    let setup = |error: nix::Error| LabError::Setup(format!("entering lab {}: {error}", kept.id));
    let pwd = std::env::current_dir();
    let namespace = |name: &str| -> Result<OwnedFd, LabError> {
        let path = format!("/proc/{}/ns/{name}", kept.supervisor);
        open(path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).map_err(setup)
    };
    let (net, mnt) = (namespace("net")?, namespace("mnt")?);
    setns(net, CloneFlags::CLONE_NEWNET).map_err(setup)?;
    setns(mnt, CloneFlags::CLONE_NEWNS).map_err(setup)?;
    if let Ok(pwd) = pwd {
        let _ = std::env::set_current_dir(pwd);
    }
    let path = format!("{FOLDER}/lab.json");
    let text = fs::read(&path).map_err(|error| LabError::Setup(format!("{path}: {error}")))?;
    // SAFETY: single-threaded, as the caller promises.
    unsafe { std::env::set_var(ENVIRONMENT, &path) };
    serde_json::from_slice(&text).map_err(|error| LabError::Setup(error.to_string()))
}
