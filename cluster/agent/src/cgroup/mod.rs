//! Control groups: the kernel's limits for a process and its children, of either version.
//!
//! [`hierarchy`] finds where they are mounted and where a process is; [`limit`] puts a process tree
//! into a group of our own and back.

pub mod hierarchy;
pub mod limit;

use serde::{Deserialize, Serialize};

pub use hierarchy::Hierarchy;

/// What a group can limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Controller {
    /// Time of processors.
    Cpu,
    /// Memory.
    Memory,
}

impl Controller {
    /// The kernel's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Controller::Cpu => "cpu",
            Controller::Memory => "memory",
        }
    }
}

/// What a process tree may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "limit", rename_all = "kebab-case")]
pub enum Limit {
    /// So much time of processors.
    Cpu {
        /// Hundredths of one.
        percent: u32,
    },
    /// So much memory beside what they have already: it is counted where it was first touched.
    Memory {
        /// How much.
        bytes: u64,
    },
}

impl Limit {
    /// Who keeps it.
    pub fn controller(self) -> Controller {
        match self {
            Limit::Cpu { .. } => Controller::Cpu,
            Limit::Memory { .. } => Controller::Memory,
        }
    }
}

/// The group that a process is in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// `cgroup v1` or `cgroup v2`.
    pub version: String,
    /// Its folder.
    pub folder: String,
    /// In how many periods it has run.
    pub periods: u64,
    /// In how many of these it had to wait for the next.
    pub throttled: u64,
    /// How often its processes have met a limit of memory.
    pub met: u64,
    /// How many of them the kernel has killed for it.
    pub killed: u64,
}
