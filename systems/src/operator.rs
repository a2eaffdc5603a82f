//! Whoever replaces a dead leader: a runbook, carried out by us.

use history::TelemetryEvent;

/// An operator: told of every sample, it acts on the cluster when its runbook says so.
pub trait Operator: Send {
    /// Looks at the newest sample of every node and does the next thing, if there is one; says in
    /// words what was done. May block: it has a thread of its own.
    fn turn(&mut self, now_ns: i64, latest: &[Option<TelemetryEvent>]) -> Vec<String>;
}
