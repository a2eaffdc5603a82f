//! Anomalies that show without a cycle, and why dependencies exist.

use std::collections::BTreeMap;
use std::fmt;

use crate::anomaly::Anomaly;

/// One case of an anomaly that is no cycle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// What it is.
    pub anomaly: Anomaly,
    /// The operations that show it, by number in the history.
    pub ops: Vec<u32>,
    /// The key, by number.
    pub key: u32,
    /// The values that show it.
    pub values: Vec<i64>,
    /// What happened, in a sentence.
    pub sentence: String,
}

/// Cases as they are found: the first of each kind are kept, all are counted.
#[derive(Clone, Debug, Default)]
pub struct Cases {
    /// The first of each kind.
    pub kept: Vec<Case>,
    /// How many there are of each kind.
    pub counts: BTreeMap<Anomaly, u64>,
    max: u64,
}

impl Cases {
    /// Keeps so many of each kind.
    pub fn new(max: usize) -> Cases {
        Cases { max: max.max(1) as u64, ..Cases::default() }
    }

    /// Takes one in; it is made only if it is kept.
    pub fn add(&mut self, anomaly: Anomaly, case: impl FnOnce() -> Case) {
        let count = self.counts.entry(anomaly).or_default();
        *count += 1;
        if *count <= self.max {
            self.kept.push(case());
        }
    }
}

/// Why a history cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The history index of the line at fault.
    pub line: u64,
    /// What is wrong with it.
    pub why: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the operation at index {}: {}", self.line, self.why)
    }
}

impl std::error::Error for Refusal {}

/// Why one version of a register comes before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionSource {
    /// Every value comes after the initial state.
    Initial,
    /// A transaction read the one and wrote the other.
    WritesFollowReads,
    /// A process saw the one and then the other.
    Sequential,
    /// Who saw the one was done before the other was touched.
    Linearizable,
    /// Nothing says so: an order that is tried.
    Tried,
}

/// Why one transaction comes before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It wrote `from`, the other wrote the next version, `to`.
    Overwrote {
        /// Key by number.
        key: u32,
        /// Version overwritten.
        from: i64,
        /// Version written.
        to: i64,
    },
    /// The other read what it wrote.
    Read {
        /// Key by number.
        key: u32,
        /// The value.
        value: i64,
    },
    /// It read `from` (`None`: the initial state), and the other wrote the next version, `to`.
    ReadBefore {
        /// Key by number.
        key: u32,
        /// Version read.
        from: Option<i64>,
        /// Version written.
        to: i64,
    },
    /// The same process ran both, one after the other.
    Process,
    /// It was complete before the other was invoked.
    Realtime,
}
