//! The journal: what must be undone, written and synced before it is done.
//!
//! JSON lines in a folder that only root can read. `{"do":..}` is written before an act,
//! `{"undone":..}` after all acts of a fault were undone. A line that was torn by a crash belongs
//! to an act that was not begun.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::undo::Undo;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    Do { fault: String, undo: Undo },
    Undone { fault: String },
}

/// Its name, in a run's folder.
pub const FILE: &str = "journal.jsonl";

/// See the module's doc.
pub struct Journal {
    path: PathBuf,
    file: File,
    /// What was written for the act that is under way.
    fresh: Vec<(String, Undo)>,
}

impl Journal {
    /// Opens the journal in `dir`, which is made if need be, for root alone.
    pub fn open(dir: &Path) -> io::Result<Journal> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let path = dir.join(FILE);
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
        Ok(Journal { path, file, fresh: Vec::new() })
    }

    /// Where it is, and what belongs to the run beside it.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    /// Writes down how to undo what is about to be done.
    pub fn before(&mut self, fault: &str, undo: &Undo) -> io::Result<()> {
        self.write(&Line::Do { fault: fault.to_owned(), undo: undo.clone() })?;
        self.fresh.push((fault.to_owned(), undo.clone()));
        Ok(())
    }

    /// Writes down that all of a fault was undone.
    pub fn after(&mut self, fault: &str) -> io::Result<()> {
        self.fresh.retain(|(other, _)| other != fault);
        self.write(&Line::Undone { fault: fault.to_owned() })
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.file.write_all(&text)?;
        self.file.sync_data()
    }

    /// The act that is under way is over, within the lease: whoever undoes comes after it.
    pub fn acted(&mut self) {
        self.fresh.clear();
    }

    /// The act is over, and may have been done after a guardian had undone it: this process was
    /// stuck in between. Opens such faults anew, since nobody else would undo them once more; says
    /// whether there are any.
    pub fn reopen(&mut self) -> io::Result<bool> {
        // A guardian that is at it writes only in the end that it has undone a fault.
        self.alone(|journal| {
            let open = journal.open_entries()?;
            let lost = |fault: &str| {
                journal.fresh.iter().any(|entry| entry.0 == fault && !open.contains(entry))
            };
            // In their order, with those that are open yet: undone twice is undone once.
            let again = journal.fresh.iter().filter(|(fault, _)| lost(fault)).cloned();
            let again: Vec<(String, Undo)> = again.collect();
            journal.fresh.clear();
            again.iter().try_for_each(|(fault, undo)| journal.before(fault, undo))?;
            journal.fresh.clear();
            Ok(!again.is_empty())
        })
    }

    /// What has been done and not undone, latest first.
    pub fn open_entries(&self) -> io::Result<Vec<(String, Undo)>> {
        let mut open: Vec<(String, Undo)> = Vec::new();
        for line in fs::read_to_string(&self.path)?.lines() {
            match serde_json::from_str::<Line>(line) {
                Ok(Line::Do { fault, undo }) => open.push((fault, undo)),
                Ok(Line::Undone { fault }) => open.retain(|(other, _)| *other != fault),
                Err(_) => {}
            }
        }
        open.reverse();
        Ok(open)
    }

    /// Undoes the entries of `fault`, or of all; says what it did. An entry that cannot be undone
    /// stays open with all of its fault, and its error is returned with what to type.
    pub fn undo(&mut self, fault: Option<&str>) -> Result<Vec<String>, String> {
        self.undo_by(fault, &mut Undo::carry_out)
    }

    /// Acts while nobody undoes, unless whoever acts is stuck for long.
    pub fn alone<R>(&mut self, act: impl FnOnce(&mut Journal) -> R) -> R {
        lock(&self.file);
        let done = act(self);
        // Whoever does not hold it lets nobody go by that.
        let _ = self.file.unlock();
        done
    }

    fn undo_by(
        &mut self,
        fault: Option<&str>,
        carry_out: &mut dyn FnMut(&Undo) -> Result<String, String>,
    ) -> Result<Vec<String>, String> {
        self.alone(|journal| journal.undo_alone(fault, carry_out))
    }

    fn undo_alone(
        &mut self,
        fault: Option<&str>,
        carry_out: &mut dyn FnMut(&Undo) -> Result<String, String>,
    ) -> Result<Vec<String>, String> {
        let mut open = self.open_entries().map_err(|error| format!("journal: {error}"))?;
        open.retain(|(id, _)| fault.is_none_or(|fault| fault == id));
        // What was written more than once is undone once.
        let mut seen: Vec<(String, Undo)> = Vec::new();
        open.retain(|entry| {
            let new = !seen.contains(entry);
            seen.extend(new.then(|| entry.clone()));
            new
        });
        let (mut undone, mut errors) = (Vec::new(), Vec::new());
        let mut failed: Vec<&str> = Vec::new();
        for (place, (id, undo)) in open.iter().enumerate() {
            match carry_out(undo) {
                Ok(said) => undone.push(format!("{id}: {said}")),
                Err(error) => {
                    errors.push(format!("{id}: {error}; by hand: {}", undo.by_hand()));
                    failed.push(id);
                }
            }
            // A fault is forgotten with its last entry: cut short before, it is undone once more,
            // which does no harm, while one forgotten too early would stay for good.
            let last = open[place + 1..].iter().all(|(other, _)| other != id);
            if last && !failed.contains(&id.as_str()) {
                self.after(id).map_err(|error| format!("journal: {error}"))?;
            }
        }
        if errors.is_empty() { Ok(undone) } else { Err(errors.join("; ")) }
    }
}

/// How often, and with what pause, another that undoes is waited for: it may be stuck, and then
/// undoing twice is better than not at all.
const TRIES: u32 = 150;
const PAUSE: Duration = Duration::from_millis(20);

/// Undoing alone: two at once would both find a server dead, and both start it.
fn lock(file: &File) {
    for _ in 0..TRIES {
        if !matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            return;
        }
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    /// A journal with two entries of one fault and one of another in between.
    fn journal(dir: &Path) -> Journal {
        let mut journal = Journal::open(dir).unwrap();
        for (fault, name) in [("f1", "a"), ("f2", "b"), ("f1", "c")] {
            journal.before(fault, &filter(name)).unwrap();
        }
        journal
    }

    fn filter(name: &str) -> Undo {
        Undo::Filter { name: name.to_owned() }
    }

    fn open(journal: &Journal) -> Vec<Undo> {
        journal.open_entries().unwrap().into_iter().map(|(_, undo)| undo).collect()
    }

    #[test]
    fn a_crash_between_two_entries_of_a_fault_forgets_neither() {
        for cut in 0..3 {
            let dir = tempfile::tempdir().unwrap();
            let mut left = journal(dir.path());
            let mut calls = 0;
            let crash = catch_unwind(AssertUnwindSafe(|| {
                left.undo_by(None, &mut |_| {
                    assert!(calls < cut, "cut");
                    calls += 1;
                    Ok("undone".to_owned())
                })
            }));
            assert!(crash.is_err());
            drop(left);
            // The next to come is told of all that was not surely undone.
            let mut found = Journal::open(dir.path()).unwrap();
            let expected: &[&str] = if cut < 2 { &["c", "b", "a"] } else { &["c", "a"] };
            let expected: Vec<Undo> = expected.iter().map(|name| filter(name)).collect();
            assert_eq!(open(&found), expected, "cut after {cut}");
            found.undo_by(None, &mut |_| Ok("undone".to_owned())).unwrap();
            assert_eq!(open(&found), []);
        }
    }

    #[test]
    fn what_cannot_be_undone_keeps_its_fault_open() {
        for broken in ["a", "c"] {
            let dir = tempfile::tempdir().unwrap();
            let mut journal = journal(dir.path());
            let broken = filter(broken);
            let said = journal.undo_by(None, &mut |undo| match *undo == broken {
                true => Err("no".to_owned()),
                false => Ok("undone".to_owned()),
            });
            assert!(said.unwrap_err().contains("by hand: nft delete table"));
            assert_eq!(open(&journal), [filter("c"), filter("a")]);
        }
    }

    #[test]
    fn two_who_undo_at_once_do_not_do_the_same_twice() {
        let dir = tempfile::tempdir().unwrap();
        let (mut one, mut other) = (journal(dir.path()), Journal::open(dir.path()).unwrap());
        let (did, seen) = std::sync::mpsc::channel();
        let mut second = Some(move || {
            other.undo_by(None, &mut |_| {
                did.send(()).unwrap();
                Ok("undone".to_owned())
            })
        });
        let mut waiting = None;
        let undone = one.undo_by(None, &mut |_| {
            waiting = second.take().map(thread::spawn).or(waiting.take());
            assert!(seen.recv_timeout(Duration::from_millis(50)).is_err(), "the other waits");
            Ok("undone".to_owned())
        });
        assert_eq!(undone.unwrap().len(), 3);
        assert_eq!(waiting.unwrap().join().unwrap().unwrap(), [""; 0]);
    }

    #[test]
    fn what_a_stuck_worker_does_after_it_was_undone_is_undone_once_more() {
        let dir = tempfile::tempdir().unwrap();
        let (mut worker, mut guardian) = (journal(dir.path()), Journal::open(dir.path()).unwrap());
        worker.acted();
        worker.before("f3", &filter("d")).unwrap();
        worker.before("f4", &filter("e")).unwrap();
        worker.after("f4").unwrap();
        // Stuck here, before it has done what it wrote.
        guardian.undo_by(None, &mut |_| Ok("undone".to_owned())).unwrap();
        worker.before("f3", &filter("g")).unwrap();
        assert!(worker.reopen().unwrap());
        assert_eq!(open(&worker), ["g", "d", "g"].map(filter), "and nothing that is long over");
        let undone = worker.undo_by(None, &mut |undo| Ok(format!("{undo:?}"))).unwrap();
        assert_eq!(undone.len(), 2, "{undone:?}");
        assert!(!worker.reopen().unwrap(), "once");
        worker.before("f5", &filter("h")).unwrap();
        assert!(!worker.reopen().unwrap(), "nobody has undone it");
        assert_eq!(open(&worker), [filter("h")]);
    }

    #[test]
    fn one_fault_is_undone_without_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = journal(dir.path());
        let undone = journal.undo_by(Some("f1"), &mut |_| Ok("undone".to_owned())).unwrap();
        assert_eq!(undone, ["f1: undone", "f1: undone"]);
        assert_eq!(open(&journal), [filter("b")]);
    }
}
