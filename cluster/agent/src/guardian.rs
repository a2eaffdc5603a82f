//! The guardian: a second process that undoes the journal when the worker cannot.
//!
//! The worker writes a byte to a pipe for every renewal. The guardian undoes everything when the
//! pipe ends (the worker is gone, however it went) or stays silent for longer than the lease
//! (the worker is stuck). The worker in turn sees the guardian's end by a pipe of its own.
//!
//! A third one, the sentry, does nothing but wait until both are gone, and then undoes what neither
//! could.
//!
//! When the run's longest duration is over, the worker is ended and everything undone, even if the
//! harness goes on renewing.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::getppid;

use crate::clock::boottime_ms;
use crate::journal::Journal;
use crate::timer;

/// How long an agent holds faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Without hearing from the harness, ms.
    pub lease_ms: u64,
    /// In all, ms; 0 is no limit.
    pub limit_ms: u64,
    /// Whether the host's service manager watches too.
    pub timer: bool,
}

impl Terms {
    /// When all is over, on the clock of [`boottime_ms`].
    pub fn end_from(self, start: u64) -> u64 {
        if self.limit_ms == 0 { u64::MAX } else { start.saturating_add(self.limit_ms) }
    }
}

/// How long the worker may take to end by itself, ms.
const GRACE_MS: u64 = 500;

/// Watches until the worker is gone; then undoes and ends. `alive` is held open only so that the
/// worker sees its end.
pub fn watch(dir: &Path, renewals: OwnedFd, alive: OwnedFd, terms: Terms) {
    let mut pipe = File::from(renewals);
    let worker = getppid();
    let mut renewed = boottime_ms();
    let end = terms.end_from(renewed).saturating_add(GRACE_MS);
    loop {
        let now = boottime_ms();
        if end <= now {
            // Still there after its time: it could only stand in the way. A worker that has ended
            // is not the parent any more, so nobody else is hit.
            if getppid() == worker && worker.as_raw() != 1 {
                let _ = kill(worker, Signal::SIGKILL);
            }
            break;
        }
        let left = (renewed + terms.lease_ms).saturating_sub(now);
        if left == 0 {
            undo(dir);
            // The worker may yet wake up; from now on each renewal opens a lease anew.
            renewed = boottime_ms();
        }
        let wait = PollTimeout::try_from(left.min(end - now).clamp(1, 1_000) as i32)
            .unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, wait).unwrap_or(0) == 0 {
            continue;
        }
        let mut bytes = [0; 64];
        match pipe.read(&mut bytes) {
            Ok(0) | Err(_) => break,
            Ok(_) => renewed = boottime_ms(),
        }
    }
    // The timer goes on where something is left.
    if undo(dir) {
        timer::stop(dir);
    }
    drop(alive);
}

/// The sentry: waits until nobody is left who holds the other end, then undoes.
pub fn stand_by(dir: &Path, both: OwnedFd) {
    let mut pipe = File::from(both);
    // Nobody writes to it. An error is as good as its end: undoing too early is better than never.
    let mut bytes = [0; 1];
    while matches!(pipe.read(&mut bytes), Err(error) if error.kind() == ErrorKind::Interrupted) {}
    if undo(dir) {
        timer::stop(dir);
    }
}

/// Whether all was undone.
fn undo(dir: &Path) -> bool {
    // Bounded tries: what cannot be undone now may work a moment later.
    for _ in 0..20 {
        match Journal::open(dir).map_err(|error| error.to_string()).and_then(|mut j| j.undo(None)) {
            Ok(_) => return true,
            Err(error) => say::errln!("splitbrain-agent guardian: {error}"),
        }
        std::thread::sleep(std::time::Duration::from_millis(250));
    }
    false
}
