//! The thread of one host: owns the session, turns over the channels, reconnects.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::EventFd;
use ssh2::{BlockDirections, Session};

use super::channel::{Active, Sink, Turn};
use super::connect::connect;
use crate::host::{Exec, ExecResult, HostAddress, HostError};

/// Channels open at a time on one session; sshd's own default limit is 10.
const CHANNELS_MAX: usize = 8;
/// Longest sleep, so that keepalives go out.
const TURN_MAX: Duration = Duration::from_millis(1_000);

/// What is asked of a host's thread.
pub(super) enum Command {
    Exec {
        exec: Exec,
        reply: Sender<Result<ExecResult, HostError>>,
    },
    Stream {
        command: String,
        input: Receiver<Vec<u8>>,
        output: Sender<Vec<u8>>,
        reply: Sender<Result<(), HostError>>,
    },
}

/// See the module's doc.
pub(super) struct Worker {
    address: HostAddress,
    commands: Receiver<Command>,
    wake: Arc<EventFd>,
    closing: Arc<AtomicBool>,
    session: Option<Session>,
    waiting: VecDeque<Active>,
    active: Vec<Active>,
}

impl Worker {
    pub fn new(
        address: HostAddress,
        commands: Receiver<Command>,
        wake: Arc<EventFd>,
        closing: Arc<AtomicBool>,
    ) -> Worker {
        let (waiting, active) = (VecDeque::new(), Vec::new());
        Worker { address, commands, wake, closing, session: None, waiting, active }
    }

    pub fn connect(&mut self) -> Result<(), HostError> {
        let (session, _) = connect(&self.address)?;
        session.set_blocking(false);
        self.session = Some(session);
        Ok(())
    }

    pub fn run(&mut self) {
        while !self.closing.load(Ordering::SeqCst) {
            // Emptied before the queue is looked at, so that no ring is lost.
            let _ = self.wake.read();
            if !self.take_commands() {
                return;
            }
            self.expire();
            let progress = self.turn_all();
            if !progress {
                self.sleep();
            }
        }
    }

    /// `false` when nobody can send commands any more.
    fn take_commands(&mut self) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Exec { exec, reply }) => self.waiting.push_back(Active::new(
                    exec.command,
                    exec.stdin,
                    Sink::Exec(reply),
                    Some(exec.timeout),
                )),
                Ok(Command::Stream { command, input, output, reply }) => {
                    let sink = Sink::Stream { input, output, started: Some(reply) };
                    self.waiting.push_back(Active::new(command, Vec::new(), sink, None));
                }
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn expire(&mut self) {
        let now = Instant::now();
        let late = |active: &Active| active.deadline.is_some_and(|deadline| deadline <= now);
        let host = &self.address.name;
        let mut place = 0;
        let mut opening_lost = false;
        while place < self.active.len() {
            if late(&self.active[place]) {
                let active = self.active.remove(place);
                opening_lost |= active.opening();
                fail_late(host, active);
            } else {
                place += 1;
            }
        }
        let (expired, kept): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(late);
        self.waiting = kept;
        for active in expired {
            fail_late(host, active);
        }
        if opening_lost {
            // libssh2 remembers the half-open channel; only a new session forgets it.
            self.drop_session("a channel could not be opened in time");
        }
    }

    fn turn_all(&mut self) -> bool {
        let idle = self.waiting.is_empty() && self.active.is_empty();
        if self.session.is_none()
            && !idle
            && let Err(error) = self.connect()
        {
            for active in self.waiting.drain(..).chain(self.active.drain(..)) {
                active.fail(error.clone());
            }
            return true;
        }
        let Some(session) = self.session.clone() else {
            return false;
        };
        if !self.active.iter().any(Active::opening)
            && self.active.len() < CHANNELS_MAX
            && let Some(next) = self.waiting.pop_front()
        {
            self.active.push(next);
        }
        let mut progress = false;
        let mut broken = None;
        let mut place = 0;
        while place < self.active.len() {
            match self.active[place].turn(&session) {
                Ok(Turn::Idle) => place += 1,
                Ok(Turn::Progress) => {
                    progress = true;
                    place += 1;
                }
                Ok(Turn::Ended) => {
                    progress = true;
                    self.active.remove(place).finish();
                }
                Err(why) => {
                    broken = Some(why);
                    break;
                }
            }
        }
        if let Some(why) = broken {
            self.drop_session(&why);
            return true;
        }
        progress || (!self.waiting.is_empty() && !self.active.iter().any(Active::opening))
    }

    /// What was under way has an unknown end; what waits will get a new session.
    fn drop_session(&mut self, why: &str) {
        self.session = None;
        for active in self.active.drain(..) {
            let doing = format!("running {}", active.command.chars().take(60).collect::<String>());
            let host = self.address.name.clone();
            active.fail(HostError::Broken { host, doing, why: why.to_owned() });
        }
    }

    fn sleep(&mut self) {
        let now = Instant::now();
        let deadlines = self.active.iter().chain(&self.waiting).filter_map(|a| a.deadline);
        let deadline = deadlines.min().map(|deadline| deadline.saturating_duration_since(now));
        let wait = deadline.unwrap_or(TURN_MAX).min(TURN_MAX) + Duration::from_millis(1);
        let wait = PollTimeout::try_from(wait.as_millis() as i32).unwrap_or(PollTimeout::MAX);
        let wake = Arc::clone(&self.wake);
        let mut fds = vec![PollFd::new(wake.as_fd(), PollFlags::POLLIN)];
        let session = self.session.clone();
        if let Some(session) = &session {
            let directions = session.block_directions();
            let mut events = PollFlags::POLLIN;
            if matches!(directions, BlockDirections::Outbound | BlockDirections::Both) {
                events |= PollFlags::POLLOUT;
            }
            // SAFETY: the session owns the socket and outlives this call.
            let socket = unsafe { BorrowedFd::borrow_raw(session.as_raw_fd()) };
            fds.push(PollFd::new(socket, events));
        }
        // An interrupted wait is as good as a wake-up.
        let _ = poll(&mut fds, wait);
        if let Some(session) = &session {
            // Not sent when not due; a dead peer shows when the channels are turned.
            let _ = session.keepalive_send();
        }
    }
}

fn fail_late(host: &str, active: Active) {
    let doing = format!("running {}", active.command.chars().take(60).collect::<String>());
    let limit = active.limit;
    active.fail(HostError::Timeout { host: host.to_owned(), doing, limit });
}
