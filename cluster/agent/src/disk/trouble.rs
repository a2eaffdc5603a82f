//! What can be wrong with a disk, and which files have it.

use serde::{Deserialize, Serialize};

/// The name of the file that probes write: it has every trouble, whatever files are meant.
pub const PROBE: &str = ".splitbrain-probe";

/// What a disk refuses or delays until healed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "trouble", rename_all = "kebab-case")]
pub enum Trouble {
    /// No space is left: what would grow or write a file is refused.
    Full,
    /// An operation ends with an input/output error.
    Error {
        /// Which.
        on: Operation,
    },
    /// Syncs take this much longer, ms.
    SlowSync {
        /// How much.
        delay_ms: u64,
    },
}

/// An operation on a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Syncing.
    Sync,
}

/// The trouble of one fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Troubled {
    /// The fault's id.
    pub fault: String,
    /// What.
    pub trouble: Trouble,
    /// Parts of paths, one of which a file's must hold; none is all files.
    pub files: Vec<String>,
}

/// What came of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on.
    Granted,
    /// No space.
    NoSpace,
    /// An input/output error.
    Failed,
}

/// Whether a path, under the layer's folder, is one of these.
pub fn matches(files: &[String], path: &str) -> bool {
    files.is_empty() || is_probe(path) || files.iter().any(|part| path.contains(part.as_str()))
}

fn is_probe(path: &str) -> bool {
    path.rsplit('/').next() == Some(PROBE)
}

/// All that is wrong at the moment, and how often it was met.
#[derive(Default)]
pub struct Troubles {
    all: Vec<Troubled>,
    /// How many operations each fault refused or delayed, by place; those of probes do not count.
    met: Vec<u64>,
}

impl Troubles {
    /// Adds one; in place of one of the same fault.
    pub fn add(&mut self, troubled: Troubled) {
        self.remove(&troubled.fault);
        self.all.push(troubled);
        self.met.push(0);
    }

    /// Ends a fault; says how many operations met it.
    pub fn remove(&mut self, fault: &str) -> Option<u64> {
        let place = self.all.iter().position(|troubled| troubled.fault == fault)?;
        self.all.remove(place);
        Some(self.met.remove(place))
    }

    /// Ends all.
    pub fn clear(&mut self) {
        *self = Troubles::default();
    }

    /// Whether nothing is wrong: nobody needs to look up paths then.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// What becomes of an operation on a file.
    pub fn fate(&mut self, operation: Operation, path: &str) -> Fate {
        for (troubled, met) in self.all.iter().zip(&mut self.met) {
            if !matches(&troubled.files, path) {
                continue;
            }
            let fate = match troubled.trouble {
                Trouble::Full if operation == Operation::Write => Fate::NoSpace,
                Trouble::Error { on } if on == operation => Fate::Failed,
                _ => continue,
            };
            *met += u64::from(!is_probe(path));
            return fate;
        }
        Fate::Granted
    }

    /// How much longer a sync of a file takes, ms.
    pub fn delay_ms(&mut self, path: &str) -> u64 {
        let mut most = 0;
        for (troubled, met) in self.all.iter().zip(&mut self.met) {
            if let Trouble::SlowSync { delay_ms } = troubled.trouble
                && matches(&troubled.files, path)
            {
                *met += u64::from(!is_probe(path));
                most = most.max(delay_ms);
            }
        }
        most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn troubled(fault: &str, trouble: Trouble, files: &[&str]) -> Troubled {
        let files = files.iter().map(|part| (*part).to_owned()).collect();
        Troubled { fault: fault.to_owned(), trouble, files }
    }

    #[test]
    fn only_the_meant_operation_on_the_meant_files_fails() {
        let mut troubles = Troubles::default();
        let on = Operation::Sync;
        troubles.add(troubled("f1", Trouble::Error { on }, &["/pg_wal/"]));
        assert_eq!(troubles.fate(Operation::Sync, "data/pg_wal/0001"), Fate::Failed);
        assert_eq!(troubles.fate(Operation::Sync, ".splitbrain-probe"), Fate::Failed);
        assert_eq!(troubles.fate(Operation::Write, "data/pg_wal/0001"), Fate::Granted);
        assert_eq!(troubles.fate(Operation::Sync, "data/base/1"), Fate::Granted);
        troubles.add(troubled("f2", Trouble::Full, &[]));
        troubles.add(troubled("f3", Trouble::SlowSync { delay_ms: 20 }, &[]));
        assert_eq!(troubles.fate(Operation::Write, "data/base/1"), Fate::NoSpace);
        assert_eq!(troubles.fate(Operation::Read, "data/base/1"), Fate::Granted);
        assert_eq!(troubles.delay_ms("data/base/1"), 20);
        assert_eq!(troubles.remove("f1"), Some(1), "a probe does not count");
        assert_eq!(troubles.remove("f1"), None);
        assert_eq!(troubles.remove("f2"), Some(1));
        assert_eq!(troubles.fate(Operation::Sync, "data/pg_wal/0001"), Fate::Granted);
        troubles.clear();
        assert!(troubles.is_empty());
    }
}
