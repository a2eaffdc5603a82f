//! Ctrl-C: the first ends the run in good order, the second at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use nix::sys::signal::{SigHandler, Signal, signal};

static SIGNALS: AtomicU8 = AtomicU8::new(0);

/// How often the user has asked for the end.
#[derive(Clone, Debug, Default)]
pub struct StopFlag {
    own: Option<Arc<AtomicU8>>,
}

impl StopFlag {
    /// Counts SIGINT and SIGTERM of this process from now on.
    pub fn install() -> StopFlag {
        extern "C" fn count(_number: i32) {
            SIGNALS.fetch_add(1, Ordering::Relaxed);
        }
        for number in [Signal::SIGINT, Signal::SIGTERM] {
            // SAFETY: the handler only adds to an atomic.
            let _ = unsafe { signal(number, SigHandler::Handler(count)) };
        }
        StopFlag { own: None }
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
