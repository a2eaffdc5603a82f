//! Programs that a worker has started and that still act: nobody undoes behind their backs.
//!
//! A worker that dies may leave an `iptables-restore` under way. Who undoes at once finds no rules
//! yet, and they would come after. So such programs hold the pipes by whose end a death is seen:
//! it is seen once they have ended too.

use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicI32, Ordering};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

const NONE: RawFd = -1;
static HELD: [AtomicI32; 2] = [AtomicI32::new(NONE), AtomicI32::new(NONE)];

/// Says by which pipes this process's end is seen. They stay open for as long as it lives.
pub fn by(pipes: &[&OwnedFd]) {
    for (place, held) in HELD.iter().enumerate() {
        held.store(pipes.get(place).map_or(NONE, |pipe| pipe.as_raw_fd()), Ordering::Relaxed);
    }
}

/// Lets a program hold them. It must be one that ends soon, and leaves nothing running.
pub fn while_it_acts(command: &mut Command) {
    let pipes = [HELD[0].load(Ordering::Relaxed), HELD[1].load(Ordering::Relaxed)];
    let pass_on = move || {
        for pipe in pipes.into_iter().filter(|pipe| *pipe != NONE) {
            // SAFETY: between fork and exec the child has all that its parent had open.
            let pipe = unsafe { BorrowedFd::borrow_raw(pipe) };
            fcntl(pipe, FcntlArg::F_SETFD(FdFlag::empty()))?;
        }
        Ok(())
    };
    // SAFETY: it makes system calls alone.
    unsafe { command.pre_exec(pass_on) };
}

/// What this process starts from now on holds nothing that it was handed besides input, output and
/// errors.
pub fn nothing() {
    let open = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let numbers = open.filter_map(|entry| entry.file_name().to_str()?.parse::<RawFd>().ok());
    // Read first: the list itself is one of them.
    for number in numbers.filter(|number| 2 < *number).collect::<Vec<_>>() {
        // SAFETY: one that has been closed meanwhile gives an error and nothing else.
        let pipe = unsafe { BorrowedFd::borrow_raw(number) };
        let _ = fcntl(pipe, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
    }
}
