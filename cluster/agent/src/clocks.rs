//! Clocks that faults move: those of servers alone, and that of the host.

use std::fs;
use std::path::Path;

use crate::clock::boottime_ms;
use crate::fake_clock::FakeClock;
use crate::journal::{self, Journal};
use crate::process;
use crate::proto::{Answer, Ask, ClockChange, Start};
use crate::real_clock::kernel::{self, Kernel};
use crate::real_clock::{self, Host, RealClock};
use crate::time_sync::Systemd;
use crate::undo::Undo;

/// See the module's doc.
#[derive(Default)]
pub struct Clocks {
    fake: FakeClock,
    real: RealClock,
}

impl Clocks {
    /// Answers what is asked about clocks; what it does is in the journal before.
    pub fn answer(&mut self, journal: &mut Journal, ask: Ask) -> Result<Answer, String> {
        match ask {
            Ask::FakeClock { file } => self.fake.prepare(file).map(|()| Answer::Done),
            Ask::SetClock { fault, pidfile, change } => {
                let file = self.fake.file_for(&fault)?;
                write(journal, &fault, &Undo::Clock { file })?;
                let now = boottime_ms();
                self.fake.set(&fault, &pidfile, &change, now).map(|()| Answer::Done)
            }
            Ask::SetHostClock { fault, change } => {
                kernel::allowed()?;
                let said = journal.alone(|journal| self.set_real(journal, &fault, &change))?;
                let clock = real_clock::told(&Kernel, said)?;
                Ok(Answer::HostClock { clock })
            }
            Ask::HostClock => {
                let clock = real_clock::told(&Kernel, Vec::new())?;
                Ok(Answer::HostClock { clock })
            }
            _ => Err("this is not about clocks".to_owned()),
        }
    }

    fn set_real(
        &mut self,
        journal: &mut Journal,
        fault: &str,
        change: &ClockChange,
    ) -> Result<Vec<String>, String> {
        if !self.real.holds() {
            untouched(journal.folder())?;
        }
        let (mut clock, mut sync, boot) = (Kernel, Systemd::here(), process::boot_id());
        let mut host = Host { clock: &mut clock, sync: &mut sync, boot };
        let mut note = |undo: &Undo| write(journal, fault, undo);
        let said = self.real.set(&mut host, &mut note, fault, change, boottime_ms())?;
        self.real.keep(&mut Kernel, journal).map(|()| said)
    }

    /// Gives a server what it needs to have a clock of its own, if servers here have.
    pub fn dress(&self, start: Start) -> Start {
        self.fake.dress(start)
    }

    /// When [`Clocks::turn`] has something to do, on the clock of `boottime_ms`.
    pub fn next_turn(&self) -> Option<u64> {
        self.fake.next_turn().into_iter().chain(self.real.next_turn()).min()
    }

    /// Does what is due.
    pub fn turn(&mut self, journal: &mut Journal, now: u64) {
        self.fake.turn(now);
        if self.real.next_turn().is_some_and(|at| at <= now) {
            journal.alone(|journal| {
                self.real.turn(&mut Kernel, now);
                // It is right again then, and has no more turns.
                drop(self.real.keep(&mut Kernel, journal));
            });
        }
    }

    /// No more turns for a fault, or for any.
    pub fn let_go(&mut self, fault: Option<&str>) {
        self.fake.let_go(fault);
        self.real.let_go(fault);
    }
}

fn write(journal: &mut Journal, fault: &str, undo: &Undo) -> Result<(), String> {
    journal.before(fault, undo).map_err(|error| format!("journal: {error}"))
}

/// Refuses to take a clock for right that a fault has moved and nobody has put right: of this run,
/// or of one that left its journal beside this one's.
fn untouched(folder: &Path) -> Result<(), String> {
    let beside = folder.parent().and_then(|base| fs::read_dir(base).ok()).into_iter().flatten();
    let journals = beside.flatten().map(|entry| entry.path());
    for dir in journals.filter(|dir| dir.join(journal::FILE).exists()) {
        let open = Journal::open(&dir).and_then(|journal| journal.open_entries());
        let open = open.map_err(|error| format!("{}: {error}", dir.display()))?;
        let here = process::boot_id();
        let moved = |undo: &Undo| matches!(undo, Undo::RealClock { before } if before.boot == here);
        if let Some((fault, _)) = open.iter().find(|(_, undo)| moved(undo)) {
            let journal = dir.display();
            return Err(format!(
                "the host's clock is still moved by {fault} of {journal}: splitbrain heal"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::real_clock::{Before, Rate, Reading};

    #[test]
    fn a_clock_that_a_dead_run_has_moved_is_not_taken_for_right() {
        let base = tempfile::tempdir().unwrap();
        let (own, other) = (base.path().join("own"), base.path().join("other"));
        let mut journal = Journal::open(&other).unwrap();
        drop(Journal::open(&own).unwrap());
        let moved = |boot: String| Undo::RealClock {
            before: Before { boot, at: Reading::default(), rate: Rate::default() },
        };
        assert_eq!(untouched(&own), Ok(()));
        journal.before("f1", &moved("another".to_owned())).unwrap();
        assert_eq!(untouched(&own), Ok(()), "that boot's clock is gone");
        journal.before("f2", &moved(process::boot_id())).unwrap();
        let refused = untouched(&own).unwrap_err();
        assert!(refused.contains("moved by f2 of ") && refused.contains("/other"), "{refused}");
        journal.after("f2").unwrap();
        assert_eq!(untouched(&own), Ok(()));
    }
}
