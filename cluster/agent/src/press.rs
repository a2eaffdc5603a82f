//! Pressure: what the system gets of its host, and what it is asked to do with less.

use serde::{Deserialize, Serialize};

use crate::burn::{self, Burners};
use crate::cgroup::{Controller, Limit, limit};
use crate::journal::Journal;
use crate::proto::Answer;
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
        PressAsk::Limit { fault, pidfile, limit } => {
            limit::begin(journal, &fault, &running(&pidfile)?, limit)
                .map(|mechanism| Answer::Limited { mechanism })
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
