//! Calm before the first fault and after the last one: for as many operations as the coverage gate
//! asks for, waited for within bounds.
//!
//! A server that is slow at its start, or a machine that is busy, does less in the time that a
//! schedule leaves than was thought: such a run could not be judged. So the schedule as a whole
//! waits for its baseline, and the workload goes on past its time limit for what comes after.

use history::{EventKind, MicroOp};

use super::Core;
use super::faults::Life;

/// A wait that is told of: shorter ones are steps of the runner, ns.
const TOLD_NS: u64 = 10_000_000;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calm {
    /// ok operations of each kind; none are waited for with 0.
    pub ok_min: u64,
    /// When the main phase ends, ns since the run's start; without it with its generator.
    pub end: Option<u64>,
    /// How long to wait at most, for each of both, ns.
    pub limit_ns: u64,
}

/// Operations of one kind: what reads, what writes, what does both.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    invoked: u64,
    ok: u64,
    /// ok ones that were invoked after the last fault.
    after: u64,
}

/// What was counted and decided so far.
#[derive(Debug)]
pub(super) struct Calmed {
    asked: Calm,
    kinds: [Tally; 3],
    schedule: Schedule,
    /// When the newest ok operation completed, ns: at that moment it is not before a fault yet.
    newest: u64,
    /// Until when operations count as during a fault, ns; `None` before there was any.
    last: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Schedule {
    /// Its first moment has not come.
    Ahead,
    /// It has, and the schedule is held back; at this moment it begins all the same.
    Held(u64),
    /// Faults are made when they are due.
    Begun,
}

impl Calmed {
    pub(super) fn new(asked: Calm) -> Calmed {
        let kinds = [Tally::default(); 3];
        Calmed { asked, kinds, schedule: Schedule::Ahead, newest: 0, last: None }
    }

    pub(super) fn invoked(&mut self, mops: &[MicroOp]) {
        self.kinds[kind(mops)].invoked += 1;
    }

    pub(super) fn completed(
        &mut self,
        mops: &[MicroOp],
        (invoked, now): (u64, u64),
        how: EventKind,
    ) {
        if how != EventKind::Ok {
            return;
        }
        self.newest = now;
        let tally = &mut self.kinds[kind(mops)];
        tally.ok += 1;
        tally.after += u64::from(self.last.is_none_or(|last| last < invoked));
    }

    /// A fault is over; operations invoked until `watched` are not after it.
    pub(super) fn fault_over(&mut self, watched: u64) {
        self.last = self.last.max(Some(watched));
        self.kinds.iter_mut().for_each(|tally| tally.after = 0);
    }

    /// Until when the schedule is held back, as far as is known, if it is.
    pub(super) fn held_until(&self) -> Option<u64> {
        match self.schedule {
            Schedule::Held(_) if self.enough(|tally| tally.ok) => Some(self.newest + 1),
            Schedule::Held(until) => Some(until),
            Schedule::Ahead | Schedule::Begun => None,
        }
    }

    fn enough(&self, count: fn(&Tally) -> u64) -> bool {
        let mut seen = self.kinds.iter().filter(|tally| tally.invoked != 0).peekable();
        self.asked.ok_min == 0
            || (seen.peek().is_some() && seen.all(|tally| self.asked.ok_min <= count(tally)))
    }

    /// The moment until which the main phase may go on past its end.
    fn latest(&self, end: u64) -> u64 {
        end.max(self.last.unwrap_or(0)) + self.asked.limit_ns
    }
}

/// A kind's place: as the coverage gate counts them.
fn kind(mops: &[MicroOp]) -> usize {
    let reads = mops.iter().any(MicroOp::is_read);
    let writes = mops.iter().any(|mop| !mop.is_read());
    usize::from(writes) * (1 + usize::from(reads))
}

impl Core {
    /// Whether faults that are due must wait still. When the wait is over, all that is to come is
    /// later by as long as it took.
    pub(super) fn hold_faults(&mut self) -> bool {
        if self.calmed.asked.ok_min == 0 || self.calmed.schedule == Schedule::Begun {
            return false;
        }
        let Some(first) = self.faults.iter().map(|fault| fault.planned.start).min() else {
            return false;
        };
        if self.now < first {
            return false;
        }
        let enough = self.calmed.enough(|tally| tally.ok) && self.calmed.newest < self.now;
        match self.calmed.schedule {
            Schedule::Held(until) if enough || until <= self.now => {
                self.calmed.schedule = Schedule::Begun;
                self.begin_late(self.now - first, enough);
                false
            }
            Schedule::Ahead if !enough => {
                self.calmed.schedule = Schedule::Held(first + self.calmed.asked.limit_ns);
                true
            }
            Schedule::Held(_) => true,
            Schedule::Ahead | Schedule::Begun => {
                self.calmed.schedule = Schedule::Begun;
                false
            }
        }
    }

    fn begin_late(&mut self, by: u64, enough: bool) {
        for fault in &mut self.faults {
            fault.planned.start += by;
            if let Life::Due(at) = &mut fault.life {
                *at += by;
            }
        }
        if let Some(end) = &mut self.calmed.asked.end {
            *end += by;
        }
        if by < TOLD_NS {
            return;
        }
        let count = self.calmed.asked.ok_min;
        let but = if enough { "" } else { ", which did not come" };
        self.notes.push(format!(
            "the first fault, and all that follows, waited {:.2} s for {count} ok operations of \
             each kind before it{but}",
            by as f64 / 1e9
        ));
    }

    /// Whether the main phase has lasted long enough.
    pub(super) fn time_is_up(&mut self) -> bool {
        let Some(end) = self.calmed.asked.end.filter(|end| *end <= self.now) else {
            return false;
        };
        let over = self.faults.iter().all(|fault| fault.life == Life::Over);
        let enough = over && self.calmed.enough(|tally| tally.after);
        if !enough && self.now < self.calmed.latest(end) {
            return false;
        }
        if end + TOLD_NS <= self.now {
            let but = if enough { "" } else { ", which did not come" };
            let what = match self.calmed.last {
                Some(_) => "after the last fault",
                None => "in all",
            };
            self.notes.push(format!(
                "the workload went on for {:.2} s past its time limit for {} ok operations of each \
                 kind {what}{but}",
                (self.now - end) as f64 / 1e9,
                self.calmed.asked.ok_min
            ));
        }
        true
    }

    /// When the main phase's end is to be looked at, ns.
    pub(super) fn end_wake(&self) -> Option<u64> {
        let end = self.calmed.asked.end.filter(|_| self.phase.is_main())?;
        Some(if self.now < end { end } else { self.calmed.latest(end) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calmed(ok_min: u64) -> Calmed {
        Calmed::new(Calm { ok_min, end: Some(100), limit_ns: 50 })
    }

    fn did(calmed: &mut Calmed, mops: &[MicroOp], invoked: u64, how: EventKind) {
        calmed.invoked(mops);
        calmed.completed(mops, (invoked, invoked + 1), how);
    }

    #[test]
    fn each_kind_that_was_invoked_needs_as_many() {
        let read = [MicroOp::read(1)];
        let write = [MicroOp::append(1, 7)];
        let both = [read[0].clone(), write[0].clone()];
        let mut two = calmed(2);
        assert!(!two.enough(|tally| tally.ok), "nothing was done yet");
        did(&mut two, &read, 1, EventKind::Ok);
        did(&mut two, &read, 2, EventKind::Ok);
        assert!(two.enough(|tally| tally.ok), "no other kind was seen");
        for mops in [&write[..], &both] {
            did(&mut two, mops, 3, EventKind::Info);
            did(&mut two, mops, 4, EventKind::Ok);
            assert!(!two.enough(|tally| tally.ok), "one of two");
            did(&mut two, mops, 5, EventKind::Ok);
            assert!(two.enough(|tally| tally.ok));
        }
        assert!(calmed(0).enough(|tally| tally.ok), "nothing is asked for");
    }

    #[test]
    fn after_a_fault_only_what_was_invoked_later_counts() {
        let read = [MicroOp::read(1)];
        let mut one = calmed(1);
        did(&mut one, &read, 5, EventKind::Ok);
        assert!(one.enough(|tally| tally.after), "without a fault all is after");
        one.fault_over(10);
        did(&mut one, &read, 10, EventKind::Ok);
        assert!(!one.enough(|tally| tally.after));
        did(&mut one, &read, 11, EventKind::Ok);
        assert!(one.enough(|tally| tally.after));
        assert_eq!(one.latest(100), 150);
        one.fault_over(120);
        assert!(!one.enough(|tally| tally.after), "another fault was over later");
        assert_eq!(one.latest(100), 170, "and there is as long a wait after it");
    }
}
