//! Faults of the disk under a system's data: their parameters, and what they come to.

use crate::act::Act;
use crate::fault::Fault;
use crate::parameters::{Kind, Parameter, Parameters};

/// Whether part of what was not synced arrives.
pub(crate) const TORN: Parameter = Parameter {
    name: "torn",
    kind: Kind::Word(&["no", "yes"]),
    default: "no",
    bounds: None,
    summary: "with yes the first unsynced pages of a file, and part of one, arrive",
};

/// How much of a log is torn off.
pub(crate) const BYTES: Parameter = Parameter {
    name: "bytes",
    kind: Kind::Count,
    default: "100",
    bounds: Some(("1", "1048576")),
    summary: "how many bytes are taken from the end of the log",
};

/// Which files.
pub(crate) const FILES: Parameter = Parameter {
    name: "files",
    kind: Kind::Word(&["any", "log", "data"]),
    default: "any",
    bounds: None,
    summary: "the system's write-ahead log, its data, or any file",
};

/// Which operations fail.
pub(crate) const ON: Parameter = Parameter {
    name: "on",
    kind: Kind::Word(&["sync", "write", "read"]),
    default: "sync",
    bounds: None,
    summary: "what fails: sync, write or read",
};

/// How much longer a sync takes.
pub(crate) const DELAY: Parameter = Parameter {
    name: "delay",
    kind: Kind::Duration,
    default: "200ms",
    bounds: Some(("1ms", "10s")),
    summary: "how much longer a sync takes",
};

/// A class of files; which they are is the system's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileClass {
    /// All.
    Any,
    /// The write-ahead log.
    Log,
    /// What the log is applied to.
    Data,
}

/// An operation on a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskOperation {
    /// Making durable.
    Sync,
    /// Writing.
    Write,
    /// Reading.
    Read,
}

/// What is done to a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskAct {
    /// Killed; unsynced writes are lost, or, by a seed, all but some. Started again when healed.
    Lose {
        /// Decides what arrives, if anything does.
        torn: Option<u64>,
    },
    /// Killed; the log's last bytes are lost. Started again when healed.
    Tear {
        /// How many.
        bytes: u64,
    },
    /// One bit flipped; it stays.
    Flip {
        /// Of which files.
        files: FileClass,
        /// Decides which bit.
        seed: u64,
    },
    /// No space until healed.
    Full,
    /// Errors until healed.
    Error {
        /// Of what.
        on: DiskOperation,
        /// On which files.
        files: FileClass,
    },
    /// Slow syncs until healed.
    SlowSync {
        /// How much longer, ms.
        delay_ms: u64,
        /// Of which files.
        files: FileClass,
    },
}

impl DiskAct {
    /// What a fault of this family comes to, with its parameters.
    pub(crate) fn of(fault: Fault, parameters: &Parameters, seed: u64) -> DiskAct {
        let number = |name| parameters.number(name).unsigned_abs();
        let files = match parameters.text("files") {
            "log" => FileClass::Log,
            "data" => FileClass::Data,
            _ => FileClass::Any,
        };
        match fault {
            Fault::TornTail => DiskAct::Tear { bytes: number("bytes") },
            Fault::BitFlip => DiskAct::Flip { files, seed },
            Fault::DiskFull => DiskAct::Full,
            Fault::SlowSync => DiskAct::SlowSync { delay_ms: number("delay"), files },
            Fault::DiskError => {
                let on = match parameters.text("on") {
                    "read" => DiskOperation::Read,
                    "write" => DiskOperation::Write,
                    _ => DiskOperation::Sync,
                };
                DiskAct::Error { on, files }
            }
            _ => DiskAct::Lose { torn: (parameters.text("torn") == "yes").then_some(seed) },
        }
    }

    /// The act of a fault on these nodes.
    pub(crate) fn on(nodes: &[usize], fault: Fault, parameters: &Parameters, seed: u64) -> Act {
        Act::Disk { nodes: nodes.to_vec(), what: DiskAct::of(fault, parameters, seed) }
    }

    /// Whether the system is killed for it, to be started again when healed.
    pub fn kills(&self) -> bool {
        matches!(self, DiskAct::Lose { .. } | DiskAct::Tear { .. })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn parameters_become_what_is_done() {
        let act = |fault, given: &[(&str, &str)]| {
            let given: BTreeMap<String, String> =
                given.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            DiskAct::of(fault, &Parameters::of(fault, &given).unwrap(), 7)
        };
        assert_eq!(act(Fault::LoseUnsynced, &[]), DiskAct::Lose { torn: None });
        assert_eq!(act(Fault::LoseUnsynced, &[("torn", "yes")]), DiskAct::Lose { torn: Some(7) });
        assert_eq!(act(Fault::TornTail, &[("bytes", "9")]), DiskAct::Tear { bytes: 9 });
        let error = DiskAct::Error { on: DiskOperation::Read, files: FileClass::Data };
        assert_eq!(act(Fault::DiskError, &[("on", "read"), ("files", "data")]), error);
        let slow = DiskAct::SlowSync { delay_ms: 1500, files: FileClass::Log };
        assert_eq!(act(Fault::SlowSync, &[("delay", "1.5s"), ("files", "log")]), slow);
        assert_eq!(act(Fault::BitFlip, &[]), DiskAct::Flip { files: FileClass::Any, seed: 7 });
        assert_eq!(act(Fault::DiskFull, &[]), DiskAct::Full);
    }
}
