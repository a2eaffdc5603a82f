//! Ctrl-C: the first ends the run in good order, the second at once. SIGTERM counts as one; so does
//! SIGHUP, of a terminal that was closed or a session that was dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use nix::sys::signal::{SigHandler, Signal, signal};

use crate::error::UserError;
use crate::exit::Exit;

static SIGNALS: AtomicU8 = AtomicU8::new(0);

/// How often the user has asked for the end.
#[derive(Clone, Debug, Default)]
pub struct StopFlag {
    own: Option<Arc<AtomicU8>>,
}

impl StopFlag {
    /// Counts SIGINT, SIGTERM and SIGHUP of this process from now on.
    pub fn install() -> StopFlag {
        extern "C" fn count(_number: i32) {
            SIGNALS.fetch_add(1, Ordering::Relaxed);
        }
        // Kernel and shell both send one when a terminal is closed: together they are the first
        // Ctrl-C, never the second.
        extern "C" fn hung_up(_number: i32) {
            let _ = SIGNALS.compare_exchange(0, 1, Ordering::Relaxed, Ordering::Relaxed);
        }
        for number in [Signal::SIGINT, Signal::SIGTERM] {
            // SAFETY: the handler only adds to an atomic.
            let _ = unsafe { signal(number, SigHandler::Handler(count)) };
        }
        // SAFETY: the handler only changes an atomic.
        let before = unsafe { signal(Signal::SIGHUP, SigHandler::Handler(hung_up)) };
        if matches!(before, Ok(SigHandler::SigIgn)) {
            // Started by nohup: it is to go on.
            // SAFETY: no handler of ours is involved.
            let _ = unsafe { signal(Signal::SIGHUP, SigHandler::SigIgn) };
        }
        StopFlag { own: None }
    }

    /// Does what makes connections: those are given up as soon as the user wants the end. An error
    /// that comes of it, or after it, is an interruption and no failure.
    pub fn while_bringing<R>(
        &self,
        act: impl FnOnce() -> Result<R, UserError>,
    ) -> Result<R, UserError> {
        let flag = self.clone();
        let brought = cluster::ssh::interruptible(move || flag.stopped(), act);
        brought.map_err(|error| match self.stopped() {
            true => UserError {
                exit: Exit::Interrupted,
                what: format!("interrupted before anything was run: {}", error.what),
                ..error
            },
            false => error,
        })
    }

    /// A flag of its own, for tests.
    pub fn manual() -> StopFlag {
        StopFlag { own: Some(Arc::new(AtomicU8::new(0))) }
    }

    /// Asks for the end, once more.
    pub fn stop(&self) {
        self.counter().fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the run is to end: heal, read, report.
    pub fn stopped(&self) -> bool {
        0 < self.counter().load(Ordering::Relaxed)
    }

    /// Whether it is to end at once: heal and quit.
    pub fn hurried(&self) -> bool {
        1 < self.counter().load(Ordering::Relaxed)
    }

    fn counter(&self) -> &AtomicU8 {
        self.own.as_deref().unwrap_or(&SIGNALS)
    }
}
