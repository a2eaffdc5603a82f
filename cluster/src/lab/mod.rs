//! The local lab: namespaced hosts on this machine, each with a real sshd.
//!
//! Four kinds of process, all of one binary that re-executes itself:
//! - the *outer* process, which the user started: waits, forwards signals, returns the status;
//! - the *supervisor* ([`supervisor`]): init of the lab's PID namespace, owns the lab's network and
//!   mounts; ends when the outer end of a socket pair closes, and everything ends with it;
//! - one *host init* per host ([`host_init`]): PID 1 of the host, starts sshd, reaps;
//! - the *inner* process: the same command as the outer one, inside the lab's network.
//!
//! Nothing needs cleaning up: mounts, links and temporary files live in namespaces that end with
//! their last process. Read next: [`spec`], [`outer`], [`supervisor`].

mod host_init;
mod keeper;
mod outer;
mod spec;
mod supervisor;
mod sys;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

pub use keeper::{Kept, down, enter, list, up};
pub use outer::{bench, run_inside};
pub use spec::{LabError, LabInfo, LabSpec, current};

static EXECUTABLE: OnceLock<PathBuf> = OnceLock::new();

/// This binary. Remembered from the start: inside a kept lab `/proc` is the lab's own, and does not
/// know this process.
pub fn executable() -> Option<&'static Path> {
    EXECUTABLE.get().map(PathBuf::as_path)
}

/// First thing in `main`: takes over when this process is one of the lab's own.
///
/// Returns only in processes that are not. Must be called before any thread is started.
pub fn maybe_reenter() {
    // Where `/proc` is another's already, what it was started as must do.
    let started_as = || std::env::args_os().next().map(PathBuf::from).filter(|p| p.is_absolute());
    if let Some(path) = std::env::current_exe().ok().or_else(started_as) {
        // The first call wins; a second finds the same.
        let _ = EXECUTABLE.set(path);
    }
    let arguments: Vec<String> = std::env::args().collect();
    let mode = arguments.get(1).map(String::as_str);
    match mode {
        Some(supervisor::MODE) => supervisor::main(&arguments[2..]),
        Some(host_init::MODE) => host_init::main(&arguments[2..]),
        _ => {}
    }
}
