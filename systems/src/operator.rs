//! Whoever replaces a dead leader: a runbook, carried out by us.

use std::fmt::{Display, Formatter};

use history::TelemetryEvent;

/// An operator: told of every sample, it acts on the cluster when its runbook says so.
pub trait Operator: Send {
    /// Looks at the newest sample of every node and does the next thing, if there is one; says what
    /// was done, each with its time on `clock`, ns since the run's start. May block: it has a
    /// thread of its own.
    fn turn(&mut self, clock: &dyn Fn() -> i64, latest: &[Option<TelemetryEvent>]) -> Vec<Deed>;
}

/// Something that an operator did or found, in words, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    /// When it was asked for, ns since the run's start.
    pub asked: i64,
    /// When it was known to be done, ns since the run's start: done at some moment between.
    pub answered: i64,
    /// What.
    pub what: String,
}

impl Display for Deed {
    fn fmt(&self, to: &mut Formatter<'_>) -> std::fmt::Result {
        let seconds = |ns: i64| format!("{:.3} s", ns as f64 / 1e9);
        let (asked, answered) = (seconds(self.asked), seconds(self.answered));
        match asked == answered {
            true => write!(to, "operator, {asked}: {}", self.what),
            false => write!(to, "operator, between {asked} and {answered}: {}", self.what),
        }
    }
}

/// What is done in a turn, as it is done: nothing is told with another moment than its own.
pub struct Diary<'a> {
    clock: &'a dyn Fn() -> i64,
    deeds: Vec<Deed>,
}

impl<'a> Diary<'a> {
    /// An empty one.
    pub fn new(clock: &'a dyn Fn() -> i64) -> Diary<'a> {
        Diary { clock, deeds: Vec::new() }
    }

    /// ns since the run's start.
    pub fn now(&self) -> i64 {
        (self.clock)()
    }

    /// What was found, now.
    pub fn finds(&mut self, what: impl Into<String>) {
        let at = self.now();
        self.deeds.push(Deed { asked: at, answered: at, what: what.into() });
    }

    /// Does something; says what became of it, with the moments around it.
    pub fn does<R>(&mut self, act: impl FnOnce() -> R, words: impl FnOnce(&R) -> String) -> R {
        let asked = self.now();
        let done = act();
        self.deeds.push(Deed { asked, answered: self.now(), what: words(&done) });
        done
    }

    /// All of it, in the order in which it was done.
    pub fn deeds(self) -> Vec<Deed> {
        self.deeds
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_deed_carries_the_moments_around_the_act_and_not_those_of_the_turn() {
        let now = Cell::new(0);
        let clock = || now.get();
        let mut diary = Diary::new(&clock);
        now.set(3_700_000_000);
        diary.finds("n1 is gone");
        now.set(4_009_000_000);
        diary.does(|| now.set(4_312_000_000), |()| "fenced n1".to_owned());
        let said: Vec<String> = diary.deeds().iter().map(Deed::to_string).collect();
        assert_eq!(
            said,
            ["operator, 3.700 s: n1 is gone", "operator, between 4.009 s and 4.312 s: fenced n1"]
        );
    }
}
