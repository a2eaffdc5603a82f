//! How each act is undone. Doing it twice is the same as doing it once.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::packet_filter;
use crate::process;
use crate::proto::{ProcessId, ProcessState, Start};

/// See the module's doc.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "undo", rename_all = "kebab-case")]
pub enum Undo {
    /// Take away a packet filter of our own.
    Filter {
        /// The name of its table or chain.
        name: String,
    },
    /// Let a process go on, if it is still that process.
    Continue {
        /// Which.
        process: ProcessId,
        /// The boot it belonged to.
        boot: String,
    },
    /// Start a process again, unless one runs.
    Restart {
        /// How.
        start: Start,
    },
    /// Nothing to be done: a process that was killed and shall stay dead.
    Nothing,
}

impl Undo {
    /// Undoes it; says in words what was done.
    pub fn carry_out(&self) -> Result<String, String> {
        match self {
            Undo::Filter { name } => packet_filter::remove(name),
            Undo::Continue { process, boot } => {
                if *boot != process::boot_id() || process::state(process) == ProcessState::Absent {
                    return Ok(format!("process {} is gone", process.pid));
                }
                process::signal(process, nix::sys::signal::Signal::SIGCONT)?;
                Ok(format!("continued process {}", process.pid))
            }
            Undo::Restart { start } => {
                if let Some(hold) = start.hold.as_ref().filter(|path| Path::new(path).exists()) {
                    return Ok(format!("left to whoever made {hold}"));
                }
                if let Some(running) = process::from_pidfile(&start.pidfile)
                    && matches!(
                        process::state(&running),
                        ProcessState::Running | ProcessState::Stopped
                    )
                {
                    return Ok(format!("process {} already runs", running.pid));
                }
                let process = process::start(start, 0)?;
                Ok(format!("started {} as process {}", start.argv.join(" "), process.pid))
            }
            Undo::Nothing => Ok("nothing to undo".to_owned()),
        }
    }

    /// What a person would type.
    pub fn by_hand(&self) -> String {
        match self {
            Undo::Filter { name } => format!("nft delete table inet {name}"),
            Undo::Continue { process, .. } => format!("kill -CONT {}", process.pid),
            Undo::Restart { start } => format!("setsid {} &", start.argv.join(" ")),
            Undo::Nothing => "nothing".to_owned(),
        }
    }
}
