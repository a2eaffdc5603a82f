//! The guardian: a second process that undoes the journal when the worker cannot.
//!
//! The worker writes a byte to a pipe for every renewal. The guardian undoes everything when the
//! pipe ends (the worker is gone, however it went) or stays silent for longer than the lease
//! (the worker is stuck). The worker in turn sees the guardian's end by a pipe of its own.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::clock::boottime_ms;
use crate::journal::Journal;

/// Watches until the worker is gone; then undoes and ends. `alive` is held open only so that the
/// worker sees its end.
pub fn watch(dir: &Path, renewals: OwnedFd, alive: OwnedFd, lease_ms: u64) {
    let mut pipe = File::from(renewals);
    let mut renewed = boottime_ms();
    loop {
        let left = (renewed + lease_ms).saturating_sub(boottime_ms());
        if left == 0 {
            undo(dir);
            // The worker may yet wake up; from now on each renewal opens a lease anew.
            renewed = boottime_ms();
        }
        let wait = PollTimeout::try_from(left.clamp(1, 1_000) as i32).unwrap_or(PollTimeout::MAX);
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
    undo(dir);
    drop(alive);
}

fn undo(dir: &Path) {
    // Bounded tries: what cannot be undone now may work a moment later.
    for _ in 0..20 {
        match Journal::open(dir).map_err(|error| error.to_string()).and_then(|mut j| j.undo(None)) {
            Ok(_) => return,
            Err(error) => eprintln!("splitbrain-agent guardian: {error}"),
        }
        std::thread::sleep(std::time::Duration::from_millis(250));
    }
}
