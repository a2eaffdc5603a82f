//! `splitbrain-agent`: `serve DIR LEASE_MS LIMIT_MS OWNER [timer]`, `heal DIR`,
//! `heal-abandoned DIR`, `means`, and `spawn`, `keep` and
//! `shape` and `disk` for its own use.

use std::ffi::CStr;
use std::fs::File;
use std::path::Path;
use std::process::ExitCode;

use nix::fcntl::OFlag;
use nix::sys::prctl::set_name;
use nix::unistd::{ForkResult, dup2_stdin, dup2_stdout, fork, pipe2, setsid};
use splitbrain_agent::burn;
use splitbrain_agent::capture;
use splitbrain_agent::disk;
use splitbrain_agent::guardian::{self, Terms};
use splitbrain_agent::hold;
use splitbrain_agent::host_lock::HostLock;
use splitbrain_agent::journal::Journal;
use splitbrain_agent::keep;
use splitbrain_agent::means;
use splitbrain_agent::process;
use splitbrain_agent::shape::shaper;
use splitbrain_agent::timer;
use splitbrain_agent::worker::{self, Worker};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["serve", dir, lease, limit, owner] | ["serve", dir, lease, limit, owner, "timer"] => {
            match (lease.parse(), limit.parse()) {
                (Ok(lease_ms), Ok(limit_ms)) => {
                    let terms = Terms { lease_ms, limit_ms, timer: words.len() == 6 };
                    serve(Path::new(dir), terms, owner)
                }
                _ => Err(format!("\"{lease}\" or \"{limit}\" is not a time in ms")),
            }
        }
        ["heal", dir] => heal(Path::new(dir)),
        ["heal-abandoned", dir] => timer::heal_abandoned(Path::new(dir)).map(|undone| {
            undone.iter().for_each(|line| say::outln!("{line}"));
        }),
        ["means"] => print_means(),
        ["spawn", pidfile, program, ..] => process::spawn(pidfile, program, &arguments[3..]),
        ["shape"] => shaper::run(),
        ["capture", folder, interface, bound] => capture::run(folder, interface, bound),
        ["disk", folder, socket] => disk::run(folder, socket),
        ["burn"] => burn::burn(),
        ["keep", program, ..] => keep::keep(program, &arguments[2..]),
        _ => Err("usage: splitbrain-agent serve DIR LEASE_MS LIMIT_MS OWNER | heal DIR".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::errln!("splitbrain-agent: {error}");
            ExitCode::FAILURE
        }
    }
}

/// `limit_ms` is when all is undone and the agent ends, whatever the harness says; 0 is never.
fn serve(dir: &Path, terms: Terms, owner: &str) -> Result<(), String> {
    // Before the fork, so that worker and guardian share it.
    let run = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (lock, note) = match HostLock::take(dir, &run, owner) {
        Ok(taken) => taken,
        Err(why) => return worker::refuse(&why),
    };
    // Before anything is done that it would have to undo.
    let timer = terms.timer.then(|| timer::start(dir, terms.lease_ms));
    let text = |error: nix::Error| error.to_string();
    // Closed on exec: a process started by the worker must not keep its end of a pipe open, or the
    // worker's death would go unseen.
    let (renewals_read, renewals_write) = pipe2(OFlag::O_CLOEXEC).map_err(text)?;
    let (alive_read, alive_write) = pipe2(OFlag::O_CLOEXEC).map_err(text)?;
    let (both_read, both_write) = pipe2(OFlag::O_CLOEXEC).map_err(text)?;
    // SAFETY: no thread has been started yet, so the child may do anything.
    if let ForkResult::Child = unsafe { fork() }.map_err(text)? {
        drop((renewals_read, renewals_write, alive_read, alive_write, both_write));
        detach(c"sb-sentry")?;
        guardian::stand_by(dir, both_read);
        drop(lock);
        return Ok(());
    }
    drop(both_read);
    // SAFETY: likewise.
    match unsafe { fork() }.map_err(text)? {
        ForkResult::Child => {
            drop((renewals_write, alive_read));
            detach(c"sb-guardian")?;
            hold::by(&[&both_write]);
            guardian::watch(dir, renewals_read, alive_write, terms);
            drop(lock);
            Ok(())
        }
        ForkResult::Parent { .. } => {
            drop((renewals_read, alive_write));
            hold::by(&[&renewals_write, &both_write]);
            let mut worker = Worker::new(dir, renewals_write, terms, (lock, note, timer))
                .map_err(|error| error.to_string())?;
            worker.serve(&alive_read)
        }
    }
}

/// Away from the channel that the worker speaks on.
fn detach(name: &CStr) -> Result<(), String> {
    let text = |error: nix::Error| error.to_string();
    // Named for who looks at the host; nothing depends on it.
    let _ = set_name(name);
    // Out of the channel's session: sshd ends that one when the connection is lost.
    setsid().map_err(text)?;
    // Nor may it hold the channel open, or speak on it.
    let null = File::options().read(true).write(true).open("/dev/null");
    let null = null.map_err(|error| error.to_string())?;
    dup2_stdin(&null).map_err(text)?;
    dup2_stdout(&null).map_err(text)
}

fn heal(dir: &Path) -> Result<(), String> {
    let mut journal = Journal::open(dir).map_err(|error| error.to_string())?;
    let undone = journal.undo(None)?;
    for line in &undone {
        say::outln!("{line}");
    }
    if undone.is_empty() {
        say::outln!("nothing to heal");
    }
    Ok(())
}

/// What acts may need and this host does not have: a JSON array on one line, for `doctor`.
fn print_means() -> Result<(), String> {
    let lacking = serde_json::to_string(&means::lacking(&means::ALL));
    say::outln!("{}", lacking.map_err(|error| error.to_string())?);
    Ok(())
}
