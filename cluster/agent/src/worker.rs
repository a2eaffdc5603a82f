//! The worker: reads requests, acts, answers. One thread that acts, and nothing it does takes
//! long; measurements that do have threads of their own.
//!
//! When its standard input ends (the harness or its channel is gone), when its lease is not
//! renewed, when the run's longest duration is over, or when the guardian is gone, it undoes
//! everything and ends.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use crate::addresses;
use crate::burn::Burners;
use crate::capture;
use crate::capture::keeper::Captures;
use crate::clock::boottime_ms;
use crate::clocks::Clocks;
use crate::disk;
use crate::frame;
use crate::guardian::Terms;
use crate::host_lock::HostLock;
use crate::journal::Journal;
use crate::life::{Lives, Plan};
use crate::means;
use crate::packet_filter;
use crate::ping;
use crate::press;
use crate::probe;
use crate::process;
use crate::proto::{Answer, Ask, ProcessId, ProcessState, Request, Response, Start};
use crate::shape::keeper::Shapers;
use crate::shape::rules;
use crate::sockets;
use crate::timer;
use crate::undo::Undo;

/// Length of one turn of a slowed process, ms.
const SLOW_PERIOD_MS: u64 = 100;
/// How long a signal may take to show, ms.
const SIGNAL_MS: u64 = 500;

/// See the module's doc.
pub struct Worker {
    journal: Journal,
    renewals: File,
    terms: Terms,
    end: u64,
    renewed: u64,
    lock: Option<HostLock>,
    note: Option<String>,
    timer: Option<String>,
    slowed: Vec<Slowed>,
    lives: Lives,
    clock: Clocks,
    shapers: Shapers,
    captures: Captures,
    burners: Burners,
}

struct Slowed {
    fault: String,
    process: ProcessId,
    stopped_ms: u64,
    stopped: bool,
    turn_at: u64,
}

impl Worker {
    /// A worker that tells its guardian of every renewal.
    pub fn new(
        dir: &Path,
        renewals: OwnedFd,
        terms: Terms,
        (lock, note, timer): (HostLock, Option<String>, Option<String>),
    ) -> io::Result<Worker> {
        let journal = Journal::open(dir)?;
        let renewed = boottime_ms();
        let end = terms.end_from(renewed);
        let (renewals, lock) = (File::from(renewals), Some(lock));
        let (slowed, lives, clock) = (Vec::new(), Lives::default(), Clocks::default());
        let shapers = Shapers::default();
        Ok(Worker {
            journal,
            renewals,
            terms,
            end,
            renewed,
            lock,
            note,
            timer,
            slowed,
            lives,
            clock,
            shapers,
            captures: Captures::default(),
            burners: Burners::default(),
        })
    }

    /// Serves until input, lease or guardian ends; everything is undone then.
    pub fn serve(&mut self, guardian: &OwnedFd) -> Result<(), String> {
        let mut buffer: Vec<u8> = Vec::new();
        let ended = loop {
            let now = boottime_ms();
            if self.end <= now {
                break Err("the run's longest duration is over".to_owned());
            }
            let lease_left = (self.renewed + self.terms.lease_ms).saturating_sub(now);
            if lease_left == 0 {
                break Err("the lease was not renewed".to_owned());
            }
            let turn = self.turn(now);
            // What it noted is only of use if nobody has undone it meanwhile.
            if self.overdue() {
                drop(self.late());
            }
            self.journal.acted();
            let wait = lease_left.min(self.end - now).min(turn).clamp(1, 1_000);
            let stdin = io::stdin();
            let mut fds = [
                PollFd::new(stdin.as_fd(), PollFlags::POLLIN),
                PollFd::new(guardian.as_fd(), PollFlags::POLLIN),
            ];
            let timeout = PollTimeout::try_from(wait as i32).unwrap_or(PollTimeout::MAX);
            let ready = poll(&mut fds, timeout).unwrap_or(0);
            let happened = |fd: &PollFd| fd.revents().is_some_and(|events| !events.is_empty());
            if ready != 0 && happened(&fds[1]) {
                break Err("the guardian is gone".to_owned());
            }
            if ready == 0 || !happened(&fds[0]) {
                continue;
            }
            let mut chunk = [0; 64 << 10];
            match stdin.lock().read(&mut chunk) {
                Ok(0) => break Ok(()),
                Ok(length) => buffer.extend_from_slice(&chunk[..length]),
                Err(error) => break Err(format!("standard input: {error}")),
            }
            if let Err(error) = self.answer_all(&mut buffer) {
                break Err(error.to_string());
            }
        };
        self.undo(None)?;
        self.stop_timer();
        if let Some(lock) = &mut self.lock {
            lock.clear()?;
        }
        ended
    }

    fn answer_all(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        while let Some(request) = frame::take::<Request>(buffer)? {
            let now = boottime_ms();
            if self.overdue() {
                // This worker was stuck, and its guardian has undone what it turned.
                self.let_go(None);
            }
            // Any request shows that the harness lives.
            self.renewed = now;
            // A guardian that is gone is seen by the pipe that it held.
            drop(self.renewals.write_all(b"."));
            if is_measure(&request.body) {
                answer_later(request);
                continue;
            }
            let mut body = self.answer(request.body);
            if self.overdue() {
                body = self.late().and(body);
            }
            self.journal.acted();
            frame::write(&mut io::stdout().lock(), &Response { id: request.id, body })?;
        }
        Ok(())
    }

    /// Whether the guardian may have undone everything.
    fn overdue(&self) -> bool {
        self.renewed + self.terms.lease_ms <= boottime_ms()
    }

    /// After an act that took longer than the lease: an error if the guardian has undone it,
    /// perhaps before it was done at all. It is undone once more then, with all else.
    fn late(&mut self) -> Result<(), String> {
        let reopened = self.journal.reopen().map_err(|error| format!("journal: {error}"))?;
        if !reopened {
            return Ok(());
        }
        let undone = self.undo(None)?.join("; ");
        Err(format!(
            "this agent was stuck for longer than its lease: its guardian has undone everything \
             meanwhile, and so has it: {undone}"
        ))
    }

    fn answer(&mut self, ask: Ask) -> Result<Answer, String> {
        match ask {
            Ask::Renew => Ok(Answer::Done),
            Ask::Hello => {
                Ok(Answer::Welcome { note: self.note.clone(), timer: self.timer.clone() })
            }
            Ask::Means { needed } => Ok(Answer::Means { lacking: means::lacking(&needed) }),
            Ask::Addresses => own_addresses(),
            Ask::Release => self.release(),
            Ask::Start { start, settle_ms } => {
                let process = process::start(&self.clock.dress(start), settle_ms)?;
                let state = process::state(&process);
                Ok(Answer::Process { process: Some(process), state })
            }
            Ask::State { pidfile } => Ok(state_of(&pidfile)),
            Ask::Kill { fault, pidfile, restart } => {
                let restart = restart.map(|start| Undo::Restart { start: self.clock.dress(start) });
                let undo = restart.unwrap_or(Undo::Nothing);
                let gone = |state| matches!(state, ProcessState::Absent | ProcessState::Zombie);
                self.signal(&fault, &pidfile, undo, Signal::SIGKILL, gone)
            }
            Ask::Pause { fault, pidfile } => {
                let undo = self.undo_stop(&pidfile)?;
                let stopped = |state| state == ProcessState::Stopped;
                self.signal(&fault, &pidfile, undo, Signal::SIGSTOP, stopped)
            }
            Ask::Slow { fault, pidfile, stopped_percent } => {
                self.slow(fault, &pidfile, stopped_percent)
            }
            Ask::Live { fault, start, plan } => self.live(fault, self.clock.dress(start), plan),
            Ask::Press { about } => {
                let about = about.started_by(|start| self.clock.dress(start));
                press::answer(&mut self.journal, &mut self.burners, about)
            }
            Ask::LifeOf { fault } => {
                self.lives.story(&fault).map(|story| Answer::Life { story: Box::new(story) })
            }
            Ask::Drop { fault, from } => self.drop_packets(&fault, &from, &[]),
            Ask::DropClients { fault, from, ports } => self.drop_clients(&fault, &from, &ports),
            Ask::FakeClock { .. }
            | Ask::SetClock { .. }
            | Ask::SetHostClock { .. }
            | Ask::HostClock => self.clock.answer(&mut self.journal, ask),
            Ask::Shape { fault, peers, seed } => {
                self.shapers.begin(&mut self.journal, &fault, peers, seed)
            }
            Ask::Disk { about } => {
                let about = about.started_by(|start| self.clock.dress(start));
                disk::asks::answer(&mut self.journal, about)
            }
            Ask::Duplicate { fault, to, share } => self.duplicate(&fault, &to, share),
            Ask::Capture { address, bound } => {
                self.captures.begin(&mut self.journal, address, bound)
            }
            Ask::EndCapture => self.captures.end(self.journal.folder()),
            Ask::Shaped { fault } => Ok(self.shapers.status(&fault)),
            // Answered by threads of their own: see `answer_all`.
            Ask::Ping { .. } | Ask::HttpGet { .. } | Ask::Reach { .. } | Ask::Sockets { .. } => {
                measure(ask)
            }
            Ask::Heal { fault } => self.undo(Some(&fault)).map(|undone| Answer::Healed { undone }),
            Ask::HealAll => self.undo(None).map(|undone| Answer::Healed { undone }),
            Ask::Stop { pidfile, grace_ms } => stop(&pidfile, grace_ms),
            Ask::Tail { path, lines } => {
                process::last_lines(&path, lines).map(|text| Answer::Text { text })
            }
        }
    }

    /// Undoes a fault, or all.
    fn undo(&mut self, fault: Option<&str>) -> Result<Vec<String>, String> {
        self.let_go(fault);
        let undone = self.journal.undo(fault);
        self.shapers.forget(fault);
        self.burners.forget(fault);
        if fault.is_none_or(|fault| fault == capture::keeper::ID) {
            self.captures.forget();
        }
        undone
    }

    /// Nothing is left for it.
    fn stop_timer(&mut self) {
        if self.timer.take().is_some() {
            timer::stop(self.journal.folder());
        }
    }

    fn release(&mut self) -> Result<Answer, String> {
        self.undo(None)?;
        self.stop_timer();
        match &mut self.lock {
            Some(lock) => lock.release().map(|()| Answer::Done),
            None => Ok(Answer::Done),
        }
    }

    fn note(&mut self, fault: &str, undo: &Undo) -> Result<(), String> {
        self.journal.before(fault, undo).map_err(|error| format!("journal: {error}"))
    }

    fn drop_clients(
        &mut self,
        fault: &str,
        from: &[IpAddr],
        ports: &[u16],
    ) -> Result<Answer, String> {
        // No port would mean all of them.
        if ports.is_empty() {
            return Err("no port of the system was named".to_owned());
        }
        self.drop_packets(fault, from, ports)
    }

    fn drop_packets(
        &mut self,
        fault: &str,
        from: &[IpAddr],
        ports: &[u16],
    ) -> Result<Answer, String> {
        let name = packet_filter::name(fault);
        self.note(fault, &Undo::Filter { name: name.clone() })?;
        packet_filter::install(&name, from, ports).map(|mechanism| Answer::Dropping { mechanism })
    }

    fn duplicate(&mut self, fault: &str, to: &[IpAddr], share: u32) -> Result<Answer, String> {
        let (name, boot) = (packet_filter::name(fault), process::boot_id());
        self.note(fault, &Undo::Shape { name: name.clone(), process: None, boot })?;
        rules::duplicate(&name, to, share)?;
        Ok(Answer::Shaping { mechanism: "TEE".to_owned() })
    }

    fn undo_stop(&self, pidfile: &str) -> Result<Undo, String> {
        Ok(Undo::Continue { process: running(pidfile)?, boot: process::boot_id() })
    }

    fn signal(
        &mut self,
        fault: &str,
        pidfile: &str,
        undo: Undo,
        signal: Signal,
        done: impl Fn(ProcessState) -> bool,
    ) -> Result<Answer, String> {
        let process = running(pidfile)?;
        self.note(fault, &undo)?;
        process::signal(&process, signal)?;
        let state = process::wait(&process, Duration::from_millis(SIGNAL_MS), done);
        Ok(Answer::Process { process: Some(process), state })
    }

    fn slow(&mut self, fault: String, pidfile: &str, percent: u32) -> Result<Answer, String> {
        let process = running(pidfile)?;
        let undo = self.undo_stop(pidfile)?;
        self.note(&fault, &undo)?;
        process::signal(&process, Signal::SIGSTOP)?;
        let stopped_ms = SLOW_PERIOD_MS * u64::from(percent.min(100)) / 100;
        let turn_at = boottime_ms() + stopped_ms;
        let state = ProcessState::Stopped;
        let answer = Answer::Process { process: Some(process.clone()), state };
        self.slowed.push(Slowed { fault, process, stopped_ms, stopped: true, turn_at });
        Ok(answer)
    }

    fn live(&mut self, fault: String, start: Start, plan: Plan) -> Result<Answer, String> {
        let process = running(&start.pidfile)?;
        self.note(&fault, &Lives::undo(&process, &start, &plan))?;
        let story = self.lives.begin(fault, process, start, plan)?;
        Ok(Answer::Life { story: Box::new(story) })
    }

    /// Does what is due; gives how long until more is, ms. Only within the lease: a worker that was
    /// stuck for longer finds its faults undone by the guardian, and nobody would undo a turn that
    /// it made then.
    fn turn(&mut self, now: u64) -> u64 {
        self.turn_slowed(now);
        self.lives.turn(now);
        self.clock.turn(&mut self.journal, now);
        self.shapers.tend(&mut self.journal, now);
        let slowed = self.slowed.iter().map(|slowed| slowed.turn_at);
        let others = self.clock.next_turn().into_iter().chain(self.shapers.turn_at());
        let next = slowed.chain(self.lives.next()).chain(others).min();
        next.map_or(1_000, |at| at.saturating_sub(now))
    }

    /// Turns a fault, or all, no more.
    fn let_go(&mut self, fault: Option<&str>) {
        self.slowed.retain(|slowed| fault.is_some_and(|fault| fault != slowed.fault));
        self.lives.forget(fault);
        self.clock.let_go(fault);
    }

    fn turn_slowed(&mut self, now: u64) {
        for slowed in &mut self.slowed {
            if now < slowed.turn_at {
                continue;
            }
            let (signal, next) = match slowed.stopped {
                true => (Signal::SIGCONT, SLOW_PERIOD_MS - slowed.stopped_ms),
                false => (Signal::SIGSTOP, slowed.stopped_ms),
            };
            // A process that has ended meanwhile needs no turns.
            drop(process::signal(&slowed.process, signal));
            slowed.stopped = !slowed.stopped;
            slowed.turn_at = now + next.max(1);
        }
    }
}

/// Whether it only looks, and may wait long for something that does not come: nothing that acts,
/// least of all healing, stands in line behind it.
fn is_measure(ask: &Ask) -> bool {
    let looks = matches!(ask, Ask::Ping { .. } | Ask::Sockets { .. });
    looks || matches!(ask, Ask::HttpGet { .. } | Ask::Reach { .. })
}

/// Measures, on a thread that answers by itself.
fn answer_later(request: Request) {
    thread::spawn(move || {
        let response = Response { id: request.id, body: measure(request.body) };
        // A channel that is gone ends the worker; there is nobody to tell.
        drop(frame::write(&mut io::stdout().lock(), &response));
    });
}

fn measure(ask: Ask) -> Result<Answer, String> {
    match ask {
        Ask::Ping { targets, plan } => Ok(ping::answer(&targets, plan)),
        Ask::HttpGet { post, address, path, timeout_ms } => {
            let request = format!("{} {path}", if post { "POST" } else { "GET" });
            let (status, body) = probe::http(address, &request, Duration::from_millis(timeout_ms))?;
            Ok(Answer::Http { status, body })
        }
        Ask::Reach { targets, timeout_ms } => {
            let outcomes = probe::reach(&targets, Duration::from_millis(timeout_ms));
            Ok(Answer::Reached { outcomes })
        }
        Ask::Sockets { peers } => {
            sockets::of_peers(&peers).map(|sockets| Answer::Sockets { sockets })
        }
        _ => Err("this is no measure".to_owned()),
    }
}

/// Answers every request with the same no, until input ends.
pub fn refuse(why: &str) -> Result<(), String> {
    let mut stdin = io::stdin().lock();
    while let Some(request) = frame::read::<Request>(&mut stdin).map_err(|e| e.to_string())? {
        let body = Err(why.to_owned());
        let response = Response { id: request.id, body };
        frame::write(&mut io::stdout().lock(), &response).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// The process in a pidfile, if it runs.
pub(crate) fn running(pidfile: &str) -> Result<ProcessId, String> {
    process::from_pidfile(pidfile)
        .filter(|process| {
            matches!(process::state(process), ProcessState::Running | ProcessState::Stopped)
        })
        .ok_or_else(|| format!("no process of {pidfile} runs"))
}

fn own_addresses() -> Result<Answer, String> {
    let control = packet_filter::own_address();
    addresses::interfaces().map(|interfaces| Answer::Addresses { interfaces, control })
}

fn state_of(pidfile: &str) -> Answer {
    match process::from_pidfile(pidfile) {
        Some(process) => {
            let state = process::state(&process);
            Answer::Process { process: Some(process), state }
        }
        None => Answer::Process { process: None, state: ProcessState::Absent },
    }
}

fn stop(pidfile: &str, grace_ms: u64) -> Result<Answer, String> {
    let gone = |state| matches!(state, ProcessState::Absent | ProcessState::Zombie);
    let Ok(process) = running(pidfile) else {
        return Ok(Answer::Process { process: None, state: ProcessState::Absent });
    };
    process::signal_one(&process, Signal::SIGTERM)?;
    process::signal(&process, Signal::SIGCONT).or_else(|error| {
        // It may have obeyed already.
        if gone(process::state(&process)) { Ok(()) } else { Err(error) }
    })?;
    let mut state = process::wait(&process, Duration::from_millis(grace_ms), gone);
    if !gone(state) {
        process::signal(&process, Signal::SIGKILL)?;
        state = process::wait(&process, Duration::from_millis(SIGNAL_MS), gone);
    }
    Ok(Answer::Process { process: Some(process), state })
}
