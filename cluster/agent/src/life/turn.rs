//! One life: its steps, each short.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{Plan, Story};
use crate::clock::boottime_ms;
use crate::external::{External, Starting};
use crate::process;
use crate::proto::{ProcessId, ProcessState, Start};

/// How often it is looked whether a process has ended or begun, ms.
const LOOK_MS: u64 = 2;
/// How long a process must run to count as started again, ms.
const SETTLE_MS: u64 = 60;
/// How long what was killed may take to be gone, ms: the kernel may have to free much.
const DYING_MS: u64 = 5_000;
/// How long a connection to a server on the same host may take.
const LISTEN: Duration = Duration::from_millis(20);

/// See the module's doc.
pub struct Life {
    pub(super) fault: String,
    start: Start,
    plan: Plan,
    began: u64,
    first: ProcessId,
    step: Step,
    sent: String,
    ended_ms: Option<u64>,
    forced: bool,
    kills: u32,
    starts: u32,
    listened: Option<bool>,
    error: Option<String>,
}

enum Step {
    /// Asked to end, by a command that may still be at it; killed at this moment.
    Asked { command: Option<Child>, kill_at: u64 },
    /// Killed: all of these must be gone, by this moment.
    Dying { tree: Vec<ProcessId>, until: u64 },
    /// A start command is under way.
    Starting(Starting),
    /// Started at this moment, if it could be.
    Up { since: u64 },
    /// Nothing more happens.
    Over,
}

fn gone(process: &ProcessId) -> bool {
    matches!(process::state(process), ProcessState::Absent | ProcessState::Zombie)
}

impl Life {
    pub(super) fn begin(
        now: u64,
        fault: String,
        process: ProcessId,
        start: Start,
        plan: Plan,
    ) -> Result<Life, String> {
        let mut life = Life {
            fault,
            start,
            plan,
            began: now,
            first: process,
            step: Step::Over,
            sent: "SIGKILL".to_owned(),
            ended_ms: None,
            forced: false,
            kills: 0,
            starts: 0,
            listened: None,
            error: None,
        };
        match &life.plan {
            Plan::Stop { graceful, grace_ms } | Plan::Restart { graceful, grace_ms } => {
                life.sent = graceful.name();
                let command = graceful.ask(&life.first)?;
                life.step = Step::Asked { command, kill_at: now.saturating_add(*grace_ms) };
            }
            Plan::CrashLoop { .. } | Plan::KillInStart { .. } => {
                let first = life.first.clone();
                life.kill(now, &first)?;
            }
        }
        Ok(life)
    }

    /// When it is to be turned.
    pub(super) fn due(&self) -> Option<u64> {
        match self.step {
            // Whenever the loop comes round, which it does after this at the latest.
            Step::Asked { .. } | Step::Dying { .. } | Step::Starting(_) => {
                Some(boottime_ms() + LOOK_MS)
            }
            Step::Up { since } => Some(since + self.up_ms()),
            Step::Over => None,
        }
    }

    /// How long it is let run.
    fn up_ms(&self) -> u64 {
        match self.plan {
            Plan::CrashLoop { period_ms } => period_ms,
            Plan::KillInStart { after_ms, .. } => after_ms,
            Plan::Stop { .. } | Plan::Restart { .. } => SETTLE_MS,
        }
    }

    pub(super) fn turn(&mut self, now: u64) {
        if let Err(error) = self.try_turn(now) {
            self.error = Some(error);
            // A start that failed is tried again after a period; all else is for whoever heals.
            self.step = match self.plan {
                Plan::CrashLoop { .. } => Step::Up { since: now },
                _ => Step::Over,
            };
        }
    }

    fn try_turn(&mut self, now: u64) -> Result<(), String> {
        match &mut self.step {
            Step::Asked { command, kill_at } => {
                if let Some(child) = command {
                    // Reaped; that the process ends is what counts.
                    let _ = child.try_wait();
                }
                if gone(&self.first) {
                    return self.ended(now);
                }
                if *kill_at <= now {
                    self.forced = true;
                    let first = self.first.clone();
                    return self.kill(now, &first);
                }
            }
            Step::Dying { tree, until } => {
                tree.retain(|process| !gone(process));
                if tree.is_empty() {
                    return self.ended(now);
                }
                if *until <= now {
                    return Err(format!("process {} is not gone after SIGKILL", tree[0].pid));
                }
            }
            Step::Starting(starting) => {
                if starting.poll()?.is_some() {
                    self.starts += 1;
                    self.step = Step::Up { since: now };
                }
            }
            Step::Up { since } => {
                let since = *since;
                if since + self.up_ms() <= now {
                    return self.up_for_long_enough(now);
                }
            }
            Step::Over => {}
        }
        Ok(())
    }

    /// What runs by its pidfile now.
    fn running(&self) -> Option<ProcessId> {
        process::from_pidfile(&self.start.pidfile).filter(|process| !gone(process))
    }

    /// It ran for as long as it was let: killed again, or left alone.
    fn up_for_long_enough(&mut self, now: u64) -> Result<(), String> {
        match self.plan {
            Plan::Stop { .. } | Plan::Restart { .. } => {
                self.step = Step::Over;
                return match self.running() {
                    Some(_) => Ok(()),
                    None => Err("it ended at once after its start".to_owned()),
                };
            }
            Plan::KillInStart { address, .. } => self.listened = Some(listens(address)),
            Plan::CrashLoop { .. } => {}
        }
        match self.running() {
            Some(process) => self.kill(now, &process),
            None if matches!(self.plan, Plan::CrashLoop { .. }) => self.begin_start(now),
            None => Err("it ended by itself before it could be killed in its start-up".to_owned()),
        }
    }

    fn kill(&mut self, now: u64, process: &ProcessId) -> Result<(), String> {
        let tree = process::tree(process);
        process::signal(process, Signal::SIGKILL)?;
        self.kills += 1;
        self.step = Step::Dying { tree, until: now + DYING_MS };
        Ok(())
    }

    /// What was to end has ended.
    fn ended(&mut self, now: u64) -> Result<(), String> {
        self.ended_ms.get_or_insert(now - self.began);
        match self.plan {
            Plan::Restart { .. } | Plan::CrashLoop { .. } => self.begin_start(now),
            Plan::KillInStart { .. } if self.kills == 1 => self.begin_start(now),
            Plan::KillInStart { .. } | Plan::Stop { .. } => {
                self.step = Step::Over;
                Ok(())
            }
        }
    }

    fn begin_start(&mut self, now: u64) -> Result<(), String> {
        if let Some(hold) = self.start.hold.as_ref().filter(|path| Path::new(path).exists()) {
            return Err(format!("left to whoever made {hold}"));
        }
        self.step = match External::parse(&self.start.pidfile) {
            Some(_) => Step::Starting(Starting::begin(&self.start)?),
            None => {
                process::start(&self.start, 0)?;
                self.starts += 1;
                Step::Up { since: now }
            }
        };
        Ok(())
    }

    /// Waits for a start or a kill that is under way; bounded by the limit of either.
    pub(super) fn finish(&mut self) {
        loop {
            let under_way = match &mut self.step {
                Step::Starting(starting) => matches!(starting.poll(), Ok(None)),
                Step::Dying { tree, until } => {
                    tree.retain(|process| !gone(process));
                    !tree.is_empty() && boottime_ms() < *until
                }
                Step::Asked { .. } | Step::Up { .. } | Step::Over => false,
            };
            if !under_way {
                self.step = Step::Over;
                return;
            }
            std::thread::sleep(Duration::from_millis(LOOK_MS));
        }
    }

    pub(super) fn story(&self, now: u64) -> Story {
        let latest = process::from_pidfile(&self.start.pidfile);
        let state = |process: &ProcessId| process::state(process);
        // A loop is one when it has come round.
        let repeats = matches!(self.plan, Plan::CrashLoop { .. });
        let round = 2 <= self.kills || self.error.is_some();
        Story {
            first: self.first.clone(),
            first_state: state(&self.first),
            sent: self.sent.clone(),
            ended_ms: self.ended_ms,
            forced: self.forced,
            latest_state: latest.as_ref().map_or(ProcessState::Absent, state),
            latest,
            kills: self.kills,
            starts: self.starts,
            listened: self.listened,
            age_ms: now - self.began,
            settled: matches!(self.step, Step::Over) || repeats && round,
            error: self.error.clone(),
        }
    }
}

fn listens(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, LISTEN).is_ok()
}
