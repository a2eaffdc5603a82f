//! Faults that end a process otherwise than by one kill: in good order, again and again, in the
//! middle of its start-up.
//!
//! Each is a small state machine ([`turn`]) that the worker's loop turns, because a server may take
//! many seconds to end in good order and nothing that the worker does may take long.

mod turn;

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::clock::boottime_ms;
use crate::external::PATH;
use crate::process;
use crate::proto::{ProcessId, ProcessState, Start};
use crate::undo::Undo;
use turn::Life;

/// How a system is asked to end in good order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Graceful {
    /// SIGTERM.
    Term,
    /// SIGINT: PostgreSQL's fast shutdown. On SIGTERM it would wait for its clients to go.
    Int,
    /// A command of whoever looks after it: a signal would make that one start it again.
    Command(Vec<String>),
}

impl Graceful {
    /// Its name.
    pub fn name(&self) -> String {
        match self {
            Graceful::Term => Signal::SIGTERM.as_str().to_owned(),
            Graceful::Int => Signal::SIGINT.as_str().to_owned(),
            Graceful::Command(argv) => argv.join(" "),
        }
    }

    /// Asks a process; gives the command that goes on asking, if there is one.
    pub fn ask(&self, process: &ProcessId) -> Result<Option<Child>, String> {
        let argv = match self {
            Graceful::Term => return process::signal_one(process, Signal::SIGTERM).map(|()| None),
            Graceful::Int => return process::signal_one(process, Signal::SIGINT).map(|()| None),
            Graceful::Command(argv) => argv,
        };
        let [program, arguments @ ..] = &argv[..] else {
            return Err("no program to stop it".to_owned());
        };
        let mut command = Command::new(program);
        command.args(arguments).env("PATH", PATH);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().map(Some).map_err(|error| format!("{program}: {error}"))
    }
}

/// What is done to a process's life. Healed, it runs again, whatever was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "life", rename_all = "kebab-case")]
pub enum Plan {
    /// Asked to end, and left down.
    Stop {
        /// How it is asked.
        graceful: Graceful,
        /// How long it may take before it is killed, ms.
        grace_ms: u64,
    },
    /// Asked to end, and started again at once.
    Restart {
        /// How it is asked.
        graceful: Graceful,
        /// How long it may take before it is killed, ms.
        grace_ms: u64,
    },
    /// Killed and started again, over and over.
    CrashLoop {
        /// How long it runs before it is killed again, ms.
        period_ms: u64,
    },
    /// Killed, started, killed again while it starts, and left down.
    KillInStart {
        /// How long after its start, ms.
        after_ms: u64,
        /// Where it listens once it serves.
        address: SocketAddr,
    },
}

/// What has become of a process so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Story {
    /// The process that was there first.
    pub first: ProcessId,
    /// How that one is now.
    pub first_state: ProcessState,
    /// What it was sent: a signal's name, or a command.
    pub sent: String,
    /// How long it took to end, ms; nothing while it has not.
    pub ended_ms: Option<u64>,
    /// Whether it had to be killed after its grace.
    pub forced: bool,
    /// The process that is there now.
    pub latest: Option<ProcessId>,
    /// How that one is.
    pub latest_state: ProcessState,
    /// How often a process was killed.
    pub kills: u32,
    /// How often one was started.
    pub starts: u32,
    /// Whether something listened at its address when it was killed while it started.
    pub listened: Option<bool>,
    /// How long all of this has taken, ms.
    pub age_ms: u64,
    /// Whether nothing more is to come but what is repeated.
    pub settled: bool,
    /// What went wrong.
    pub error: Option<String>,
}

/// All lives that are being turned.
#[derive(Default)]
pub struct Lives {
    all: Vec<Life>,
}

impl Lives {
    /// What must be in the journal before [`Lives::begin`].
    pub fn undo(process: &ProcessId, start: &Start, plan: &Plan) -> Undo {
        let start = start.clone();
        match plan {
            Plan::Stop { graceful, .. } | Plan::Restart { graceful, .. } => Undo::Revive {
                process: process.clone(),
                boot: process::boot_id(),
                graceful: graceful.clone(),
                start,
            },
            Plan::CrashLoop { .. } | Plan::KillInStart { .. } => Undo::Restart { start },
        }
    }

    /// Begins a life; its undoing is in the journal.
    pub fn begin(
        &mut self,
        fault: String,
        process: ProcessId,
        start: Start,
        plan: Plan,
    ) -> Result<Story, String> {
        let now = boottime_ms();
        let life = Life::begin(now, fault, process, start, plan)?;
        let story = life.story(now);
        self.all.push(life);
        Ok(story)
    }

    /// What has become of a fault's process.
    pub fn story(&self, fault: &str) -> Result<Story, String> {
        let life = self.all.iter().find(|life| life.fault == fault);
        life.map(|life| life.story(boottime_ms())).ok_or_else(|| format!("no fault {fault} here"))
    }

    /// Does what is due.
    pub fn turn(&mut self, now: u64) {
        for life in &mut self.all {
            life.turn(now);
        }
    }

    /// When something is due next, on the clock of [`boottime_ms`].
    pub fn next(&self) -> Option<u64> {
        self.all.iter().filter_map(Life::due).min()
    }

    /// Turns a fault, or all, no more. A start command that is under way is waited for, so that
    /// whoever undoes the fault does not give another; and the end of what was killed, so that it
    /// is not taken for running.
    pub fn forget(&mut self, fault: Option<&str>) {
        let gone = |life: &Life| fault.is_none_or(|fault| fault == life.fault);
        for life in self.all.iter_mut().filter(|life| gone(life)) {
            life.finish();
        }
        self.all.retain(|life| !gone(life));
    }
}
