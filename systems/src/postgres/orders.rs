//! What the operator is told, as people tell one: promote that one now; or wait for our word.

use std::sync::{Mutex, MutexGuard};

/// Shared by the operator and whoever gives orders.
#[derive(Debug, Default)]
pub struct Orders(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    promote: Option<usize>,
    withheld: bool,
    waiting: bool,
    waited: u64,
}

impl Orders {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Orders a promotion, though the leader may be well.
    pub fn promote(&self, node: usize) {
        self.lock().promote = Some(node);
    }

    /// Takes the order that was given last.
    pub fn take(&self) -> Option<usize> {
        self.lock().promote.take()
    }

    /// Withholds the approval that a failover needs, or gives it; says how many waited for it since
    /// it was withheld.
    pub fn withhold(&self, withheld: bool) -> u64 {
        let mut state = self.lock();
        if withheld {
            (state.waiting, state.waited) = (false, 0);
        }
        state.withheld = withheld;
        state.waited
    }

    /// Whether a failover that is due may be made. `first` is whether it asks for the first time.
    pub fn approved(&self) -> Asked {
        let mut state = self.lock();
        if !state.withheld {
            state.waiting = false;
            return Asked::Approved;
        }
        let first = !std::mem::replace(&mut state.waiting, true);
        state.waited += u64::from(first);
        if first { Asked::Refused } else { Asked::Waiting }
    }

    /// The leader is back: nobody waits any more.
    pub fn needless(&self) {
        self.lock().waiting = false;
    }
}

/// What became of a question for approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It may be made.
    Approved,
    /// It waits from now on.
    Refused,
    /// It waits still.
    Waiting,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failover_waits_for_approval_and_is_counted_once() {
        let orders = Orders::default();
        assert_eq!(orders.approved(), Asked::Approved);
        assert_eq!(orders.withhold(true), 0);
        assert_eq!(orders.approved(), Asked::Refused);
        assert_eq!(orders.approved(), Asked::Waiting);
        orders.needless();
        assert_eq!(orders.approved(), Asked::Refused, "the leader was back and is gone again");
        assert_eq!(orders.withhold(false), 2);
        assert_eq!(orders.approved(), Asked::Approved);
        assert_eq!(orders.withhold(true), 0, "counted anew");
    }

    #[test]
    fn an_order_is_taken_once() {
        let orders = Orders::default();
        orders.promote(2);
        assert_eq!((orders.take(), orders.take()), (Some(2), None));
    }
}
