//! Pressure: what the system gets of its host, and what it is asked to do with less.

use serde::{Deserialize, Serialize};

use crate::burn::{self, Burners};
use crate::cgroup::{Controller, Limit, limit};
use crate::journal::Journal;
use crate::proto::{Answer, Start};
use crate::undo::Undo;
use crate::worker::running;

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "press", rename_all = "kebab-case")]
pub enum PressAsk {
    /// Keeps processors busy beside the process in a pidfile until healed.
    Burn {
        /// The fault's id.
        fault: String,
        /// The file: one that does not run is not hurt.
        pidfile: String,
        /// By how many processes.
        count: u32,
    },
    /// Limits what the process in a pidfile gets, with all its children, until healed.
    Limit {
        /// The fault's id.
        fault: String,
        /// The file.
        pidfile: String,
        /// Of what, and how much.
        limit: Limit,
        /// How its process is started again when healed, should it have died of it.
        #[serde(default)]
        restart: Option<Start>,
    },
    /// The control group of a limit, whoever is left in it.
    Limited {
        /// The fault's id.
        fault: String,
    },
    /// The control group that the process in a pidfile is in.
    Cgroup {
        /// The file.
        pidfile: String,
        /// Of which controller.
        controller: Controller,
    },
    /// How long the process in a pidfile, with all its children, has run and waited to run.
    ProcessorTimes {
        /// The file.
        pidfile: String,
    },
}

impl PressAsk {
    /// The same, with what is started again given what this host's servers have.
    pub fn started_by(self, dress: impl Fn(Start) -> Start) -> PressAsk {
        match self {
            PressAsk::Limit { fault, pidfile, limit, restart } => {
                PressAsk::Limit { fault, pidfile, limit, restart: restart.map(dress) }
            }
            other => other,
        }
    }
}

/// Answers it.
pub fn answer(
    journal: &mut Journal,
    burners: &mut Burners,
    about: PressAsk,
) -> Result<Answer, String> {
    match about {
        PressAsk::Burn { fault, pidfile, count } => {
            running(&pidfile)?;
            burners.begin(journal, &fault, count).map(|()| Answer::Done)
        }
        PressAsk::Limit { fault, pidfile, limit, restart } => {
            let process = running(&pidfile)?;
            // What is journalled first is undone last: nobody is started into the limit.
            if let Some(start) = restart {
                let undo = Undo::Restart { start };
                journal.before(&fault, &undo).map_err(|error| format!("journal: {error}"))?;
            }
            limit::begin(journal, &fault, &process, limit)
                .map(|mechanism| Answer::Limited { mechanism })
        }
        PressAsk::Limited { fault } => {
            limit::seen_by_fault(journal, &fault).map(|seen| Answer::Cgroup { seen })
        }
        PressAsk::Cgroup { pidfile, controller } => {
            limit::seen(controller, &running(&pidfile)?).map(|seen| Answer::Cgroup { seen })
        }
        PressAsk::ProcessorTimes { pidfile } => {
            let (ran_ns, waited_ns) = burn::times(&running(&pidfile)?);
            Ok(Answer::ProcessorTimes { ran_ns, waited_ns })
        }
    }
}
