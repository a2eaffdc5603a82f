//! Limits of time that hold whatever the other end does.
//!
//! libssh2's own limit is for one wait: a host that keeps talking, before its banner or ever so
//! slowly, is never late. So a thread watches over each phase as a whole, and shuts the socket
//! down when its time is over, or when the user wants the end; libssh2 sees the end of the
//! connection then.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often is looked whether the user wants the end.
pub(super) const LOOK: Duration = Duration::from_millis(50);

type Asked = Box<dyn Fn() -> bool + Send + Sync>;

static ASKED: RwLock<Option<Asked>> = RwLock::new(None);

/// While `act` runs, connections that are being made and uploads under way are given up as soon as
/// `asked` says so. Of the whole process: one at a time.
pub fn interruptible<R>(
    asked: impl Fn() -> bool + Send + Sync + 'static,
    act: impl FnOnce() -> R,
) -> R {
    struct Reset;
    impl Drop for Reset {
        fn drop(&mut self) {
            *ASKED.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = None;
        }
    }
    *ASKED.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(Box::new(asked));
    let _reset = Reset;
    act()
}

/// Whether the user wants the end, where that is looked for.
pub fn interrupted() -> bool {
    let asked = ASKED.read().unwrap_or_else(|poisoned| poisoned.into_inner());
    asked.as_ref().is_some_and(|asked| asked())
}

/// Why a connection was shut down from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Late,
    Interrupted,
}

/// Shuts a socket down, for good.
pub(super) type Shut = Arc<dyn Fn() + Send + Sync>;

/// Watches over one phase until it is dropped.
pub(super) struct Limit {
    ended: Arc<AtomicU8>,
    until: Arc<Mutex<Instant>>,
    /// Never later than this, whatever progress is made.
    last: Instant,
    thread: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Limit {
    /// Shuts the socket down after `limit`; [`Limit::progress`] puts that off, up to `last`.
    pub fn start(shut: Shut, limit: Duration, last: Duration) -> Limit {
        let now = Instant::now();
        let ended = Arc::new(AtomicU8::new(0));
        let until = Arc::new(Mutex::new(now + limit.min(last)));
        let (done, over) = channel::<()>();
        let thread = {
            let (ended, until) = (Arc::clone(&ended), Arc::clone(&until));
            thread::spawn(move || {
                loop {
                    let left = moment(&until).saturating_duration_since(Instant::now());
                    if over.recv_timeout(left.min(LOOK)) != Err(RecvTimeoutError::Timeout) {
                        return;
                    }
                    let why = match (moment(&until) <= Instant::now(), interrupted()) {
                        (_, true) => 2,
                        (true, _) => 1,
                        _ => continue,
                    };
                    ended.store(why, Ordering::SeqCst);
                    return shut();
                }
            })
        };
        Limit { ended, until, last: now + last, thread: Some((done, thread)) }
    }

    /// Something came through: there is that much time again.
    pub fn progress(&self, limit: Duration) {
        let until = (Instant::now() + limit).min(self.last);
        *self.until.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = until;
    }

    /// Whether the socket was shut down, and why.
    pub fn ended(&self) -> Option<Ended> {
        match self.ended.load(Ordering::SeqCst) {
            0 => None,
            1 => Some(Ended::Late),
            _ => Some(Ended::Interrupted),
        }
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        if let Some((done, thread)) = self.thread.take() {
            drop(done);
            let _ = thread.join();
        }
    }
}

fn moment(until: &Mutex<Instant>) -> Instant {
    *until.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
