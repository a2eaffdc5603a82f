//! The outer process: brings a lab up, runs this same command inside, and returns its status.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, Uid};
use std::sync::atomic::{AtomicI32, Ordering};

use super::spec::{LabError, LabSpec};
use super::supervisor::{self, Job};
use super::sys;
use crate::SshHost;

/// The supervisor, for the signal handler.
static SUPERVISOR: AtomicI32 = AtomicI32::new(0);

/// Runs this process's own command again inside a fresh lab; gives its exit status.
///
/// Must be called on the main thread before any other is started.
pub fn run_inside(spec: &LabSpec) -> Result<u8, LabError> {
    let job = Job::Inner { argv: std::env::args().skip(1).collect() };
    let (mut control, pid) = start(spec, &job)?;
    forward_signals(pid);
    // The supervisor writes the inner process's status as one byte, then ends.
    let mut status = Vec::new();
    let _ = control.read_to_end(&mut status);
    let ended = loop {
        match waitpid(pid, None) {
            Err(nix::Error::EINTR) => {}
            other => break other,
        }
    };
    match (status.first(), ended) {
        (Some(0xff), _) => {
            Err(LabError::Setup(String::from_utf8_lossy(&status[1..]).trim().to_owned()))
        }
        (Some(status), _) => Ok(*status),
        (None, Ok(WaitStatus::Signaled(_, signal, _))) => {
            Err(LabError::Ended(format!("its supervisor by {}", signal.as_str())))
        }
        (None, _) => Err(LabError::Ended("the harness inside it was killed".to_owned())),
    }
}

/// How old a control group is that is empty and not about to be filled.
const LEFTOVER_AGE: Duration = Duration::from_secs(60);

/// Checks what can be checked, and clones the supervisor.
pub(super) fn start(spec: &LabSpec, job: &Job) -> Result<(UnixStream, Pid), LabError> {
    check(spec)?;
    // A lab that was killed could not tidy up.
    agent::cgroup::limit::sweep(LEFTOVER_AGE);
    let setup = |why: String| LabError::Setup(why);
    let (own, theirs) = UnixStream::pair().map_err(|error| setup(error.to_string()))?;
    let theirs = OwnedFd::from(theirs);
    let json = |value: Result<String, serde_json::Error>| value.map_err(|e| setup(e.to_string()));
    let arguments = [
        sys::number(&theirs),
        json(serde_json::to_string(spec))?,
        json(serde_json::to_string(job))?,
    ];
    let pid = sys::clone_into(supervisor::MODE, &arguments, &[&theirs], &[]);
    let pid = pid.map_err(|error| setup(format!("clone: {error}")))?;
    Ok((own, pid))
}

fn check(spec: &LabSpec) -> Result<(), LabError> {
    if !(3..=9).contains(&spec.hosts) {
        return Err(LabError::Hosts(spec.hosts));
    }
    if !Uid::effective().is_root() {
        return Err(LabError::NotRoot);
    }
    let needed = [
        ("/usr/sbin/sshd", "openssh-server"),
        ("/usr/bin/ssh-keygen", "openssh-client"),
        ("/sbin/ip", "iproute2"),
    ];
    for (program, package) in needed {
        if !Path::new(program).exists() {
            return Err(LabError::Missing { program, package });
        }
    }
    Ok(())
}

/// A terminal sends Ctrl-C to the whole group; the inner process has a session of its own, so it
/// gets exactly what is forwarded here.
fn forward_signals(supervisor: Pid) {
    extern "C" fn forward(number: libc::c_int) {
        let pid = SUPERVISOR.load(Ordering::Relaxed);
        if let Ok(signal) = Signal::try_from(number) {
            // Async-signal-safe; a supervisor that is gone has nothing to be told.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
    SUPERVISOR.store(supervisor.as_raw(), Ordering::Relaxed);
    for number in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: the handler only loads an atomic and calls kill(2).
        let before = unsafe { signal(number, SigHandler::Handler(forward)) };
        if number == Signal::SIGHUP && matches!(before, Ok(SigHandler::SigIgn)) {
            // Started by nohup: it is to go on.
            // SAFETY: no handler of ours is involved.
            let _ = unsafe { signal(number, SigHandler::SigIgn) };
        }
    }
}

/// Medians of bringing labs up and down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bench {
    /// From nothing to an authenticated SSH session to every host, ms.
    pub up_ms: f64,
    /// From the order to the end of the last process, ms.
    pub down_ms: f64,
}

/// Brings a lab up and down `rounds` times. On the main thread of a single-threaded process.
pub fn bench(hosts: usize, rounds: usize) -> Result<Bench, LabError> {
    let (mut ups, mut downs) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let spec = LabSpec { hosts, id: format!("bench-{round}") };
        let started = Instant::now();
        let (mut control, pid) = start(&spec, &Job::Sessions)?;
        let mut answer = [0; 1];
        let ready = control.read_exact(&mut answer).is_ok() && answer == [0];
        let up = started.elapsed();
        if !ready {
            let mut why = String::new();
            let _ = control.read_to_string(&mut why);
            return Err(LabError::Setup(why));
        }
        let started = Instant::now();
        drop(control);
        let _ = waitpid(pid, None);
        ups.push(up.as_secs_f64() * 1e3);
        downs.push(started.elapsed().as_secs_f64() * 1e3);
    }
    Ok(Bench { up_ms: median(ups), down_ms: median(downs) })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// One authenticated session to every host, made in parallel.
pub(super) fn connect_all(spec: &LabSpec) -> Result<Vec<SshHost>, String> {
    let info = super::spec::LabInfo::of(spec, 0);
    let threads: Vec<_> = info
        .hosts
        .into_iter()
        .map(|address| std::thread::spawn(move || SshHost::connect(address)))
        .collect();
    let mut hosts = Vec::new();
    for thread in threads {
        let connected = thread.join().map_err(|_| "a connecting thread panicked".to_owned())?;
        hosts.push(connected.map_err(|error| error.to_string())?);
    }
    Ok(hosts)
}
