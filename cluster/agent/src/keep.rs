//! A keeper: a process that stays above a program and adopts what the program leaves behind.
//!
//! Patroni starts its server through a child that ends at once, so the host's init would inherit
//! the server, and a kill of Patroni's process tree would leave it running.

use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::wait;

/// `splitbrain-agent keep PROGRAM ARGS...`: ends when nothing of it is left.
pub fn keep(program: &str, arguments: &[String]) -> Result<(), String> {
    set_child_subreaper(true).map_err(|error| format!("adopting orphans: {error}"))?;
    // Requests to end go to the whole group: the program obeys, and the keeper waits for it.
    let mut obeyed = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        obeyed.add(signal);
    }
    obeyed.thread_block().map_err(|error| format!("blocking signals: {error}"))?;
    let own_group = nix::unistd::getpgrp().as_raw();
    // The standard library gives the program an empty signal mask.
    let mut command = Command::new(program);
    command.args(arguments).process_group(own_group);
    command.spawn().map_err(|error| format!("{program}: {error}"))?;
    // Bounded by the lives of the children.
    loop {
        match wait() {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return Ok(()),
        }
    }
}
