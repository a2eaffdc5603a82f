//! The worker's end of its shapers: started with their rules, watched, ended.
//!
//! A shaper that has ended takes nothing any more, and its rules let everything pass. One that is
//! stopped or stuck would lose every packet, which no fault asked for: it is ended, and the fault
//! undone and remembered as cut short.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::{Counters, Order, PeerShape, Said, rules};
use crate::clock::boottime_ms;
use crate::frame;
use crate::journal::Journal;
use crate::packet_filter;
use crate::process;
use crate::proto::{Answer, ProcessId, ProcessState};
use crate::undo::Undo;

/// How often a shaper is asked whether it is there, ms.
const ASK_MS: u64 = 200;
/// How long it may take to answer, ms: less than any lease.
const ANSWER_MS: u64 = 1_000;
/// How long it may take to be ready, ms.
const READY_MS: u16 = 2_000;
/// How long it may take to let go of what it holds, ms.
const GRACE_MS: u64 = 300;

/// The shapers of this host's faults, oldest first.
#[derive(Default)]
pub struct Shapers {
    running: Vec<Running>,
    /// Faults that were cut short, and why.
    ended: Vec<(String, String)>,
}

struct Running {
    fault: String,
    child: Child,
    process: ProcessId,
    orders: ChildStdin,
    said: ChildStdout,
    buffer: Vec<u8>,
    queue: u16,
    /// The queue of an older fault, where what passes goes on to.
    next: Option<u16>,
    counters: Counters,
    ask_at: u64,
    /// Since when an answer is awaited.
    asked: Option<u64>,
}

impl Shapers {
    /// Shapes what comes from these peers, until the fault is undone.
    pub fn begin(
        &mut self,
        journal: &mut Journal,
        fault: &str,
        peers: Vec<PeerShape>,
        seed: u64,
    ) -> Result<Answer, String> {
        let mut running = Running::start(fault)?;
        let name = packet_filter::name(fault);
        // Until it is told to begin the process does nothing, and ends with us.
        let process = Some(running.process.clone());
        let undo = Undo::Shape { name: name.clone(), process, boot: process::boot_id() };
        journal.before(fault, &undo).map_err(|error| format!("journal: {error}"))?;
        let from: Vec<_> = peers.iter().flat_map(|peer| peer.from.clone()).collect();
        let begun = running.begin(peers, seed);
        let done = begun.and_then(|queue| rules::queue(&name, &from, queue));
        self.ended.retain(|(other, _)| other != fault);
        self.running.push(running);
        self.order();
        done.map(|()| Answer::Shaping { mechanism: "NFQUEUE".to_owned() })
    }

    /// How a fault's shaper is.
    pub fn status(&mut self, fault: &str) -> Answer {
        let now = boottime_ms();
        let running = self.running.iter_mut().find(|running| running.fault == fault);
        let ended = self.ended.iter().find(|(other, _)| other == fault);
        match running {
            Some(running) => {
                // Twice: an answer that was awaited already is older than the question.
                for _ in 0..2 {
                    running.ask(now);
                    while running.asked.is_some() && boottime_ms() < now + ANSWER_MS / 2 {
                        running.wait(10);
                        drop(running.listen());
                    }
                }
                Answer::Shaped { counters: Some(running.counters), ended: None }
            }
            None => {
                let why = ended.map_or("no packets are shaped for it", |(_, why)| why);
                Answer::Shaped { counters: None, ended: Some(why.to_owned()) }
            }
        }
    }

    /// When [`Shapers::tend`] has something to do.
    pub fn turn_at(&self) -> Option<u64> {
        self.running.iter().map(|running| running.ask_at).min()
    }

    /// Asks those that are due whether they are there, and ends what does not answer.
    pub fn tend(&mut self, journal: &mut Journal, now: u64) {
        let mut dead: Vec<(String, String)> = Vec::new();
        for running in &mut self.running {
            if let Err(why) = running.listen() {
                dead.push((running.fault.clone(), why));
            } else if running.asked.is_some_and(|asked| asked + ANSWER_MS < now) {
                let why = format!("the shaper did not answer for {ANSWER_MS} ms");
                dead.push((running.fault.clone(), why));
            }
        }
        for (fault, why) in dead {
            let place = self.running.iter().position(|running| running.fault == fault);
            if let Some(place) = place {
                // Traffic flows from here on: nobody takes from the queue.
                self.running.remove(place).end();
            }
            let undone = journal.undo(Some(&fault));
            let failed = undone.err().map_or(String::new(), |error| format!("; {error}"));
            self.ended.push((fault, format!("{why}{failed}")));
        }
        self.order();
    }

    /// Tells each that is due which queue comes after its own.
    fn order(&mut self) {
        let now = boottime_ms();
        let mut older = None;
        for running in &mut self.running {
            if running.ask_at <= now || running.next != older {
                running.next = older;
                running.ask(now);
            }
            older = Some(running.queue);
        }
    }

    /// Forgets a fault that was undone, or all.
    pub fn forget(&mut self, fault: Option<&str>) {
        let ours = |other: &str| fault.is_none_or(|fault| fault == other);
        self.ended.retain(|(other, _)| !ours(other));
        let (over, on) = std::mem::take(&mut self.running)
            .into_iter()
            .partition::<Vec<Running>, _>(|running| ours(&running.fault));
        self.running = on;
        over.into_iter().for_each(Running::end);
    }
}

impl Running {
    fn start(fault: &str) -> Result<Running, String> {
        let own = std::env::current_exe().map_err(|error| format!("own path: {error}"))?;
        let mut command = Command::new(own);
        command.arg("shape").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| format!("the shaper: {error}"))?;
        let process = process::by_pid(child.id() as i32);
        let parts = child.stdin.take().zip(child.stdout.take()).zip(process);
        let Some(((orders, said), process)) = parts else {
            return Err("the shaper ended at once".to_owned());
        };
        // One that is stuck must not keep us from noticing.
        for fd in [orders.as_fd(), said.as_fd()] {
            fcntl(fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(|error| error.to_string())?;
        }
        Ok(Running {
            fault: fault.to_owned(),
            child,
            process,
            orders,
            said,
            buffer: Vec::new(),
            queue: 0,
            next: None,
            counters: Counters::default(),
            ask_at: 0,
            asked: None,
        })
    }

    fn begin(&mut self, peers: Vec<PeerShape>, seed: u64) -> Result<u16, String> {
        let order = Order::Begin { peers, seed };
        frame::write(&mut self.orders, &order).map_err(|error| format!("the shaper: {error}"))?;
        let until = boottime_ms() + u64::from(READY_MS);
        while boottime_ms() < until {
            self.wait(READY_MS);
            match self.hear()? {
                Some(Said::Ready { queue }) => {
                    self.queue = queue;
                    return Ok(queue);
                }
                Some(Said::Failed { why }) => return Err(why),
                Some(Said::Here { .. }) | None => {}
            }
        }
        Err(format!("the shaper was not ready within {READY_MS} ms"))
    }

    /// Waits until it says something, or so many ms.
    fn wait(&self, ms: u16) {
        let mut fds = [PollFd::new(self.said.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut fds, PollTimeout::from(ms));
    }

    /// What it says next, if it has said anything.
    fn hear(&mut self) -> Result<Option<Said>, String> {
        let mut chunk = [0; 4096];
        match self.said.read(&mut chunk) {
            Ok(0) => return Err("the shaper has ended".to_owned()),
            Ok(length) => self.buffer.extend_from_slice(&chunk[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(format!("the shaper: {error}")),
        }
        frame::take(&mut self.buffer).map_err(|error| format!("the shaper: {error}"))
    }

    /// Takes in all that it has said.
    fn listen(&mut self) -> Result<(), String> {
        while let Some(said) = self.hear()? {
            if let Said::Here { counters } = said {
                self.counters = counters;
                self.asked = None;
            }
        }
        Ok(())
    }

    fn ask(&mut self, now: u64) {
        self.ask_at = now + ASK_MS;
        let next = self.next;
        if self.asked.is_none() && frame::write(&mut self.orders, &Order::Ping { next }).is_ok() {
            self.asked = Some(now);
        }
    }

    /// Ends it, gently if it can hear, and reaps it.
    fn end(mut self) {
        drop(self.orders);
        let gone = |state| matches!(state, ProcessState::Absent | ProcessState::Zombie);
        let limit = Duration::from_millis(GRACE_MS);
        if !gone(process::wait(&self.process, limit, gone)) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// Ends a shaper whose rules are gone: it lets go of what it holds if it can hear.
pub fn end(process: &ProcessId) -> Result<(), String> {
    let gone = |state| matches!(state, ProcessState::Absent | ProcessState::Zombie);
    if gone(process::state(process)) {
        return Ok(());
    }
    drop(process::signal_one(process, Signal::SIGTERM));
    let limit = Duration::from_millis(GRACE_MS);
    if gone(process::wait(process, limit, gone)) {
        return Ok(());
    }
    process::signal_one(process, Signal::SIGKILL)
        .or_else(|error| if gone(process::state(process)) { Ok(()) } else { Err(error) })
}
