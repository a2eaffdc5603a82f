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
}

impl Controller {
    /// The kernel's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Controller::Cpu => "cpu",
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
}

impl Limit {
    /// Who keeps it.
    pub fn controller(self) -> Controller {
        match self {
            Limit::Cpu { .. } => Controller::Cpu,
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
}
