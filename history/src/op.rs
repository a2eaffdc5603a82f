//! An operation of a history, in 48 bytes: there are millions of them.

use std::ops::Range;

use crate::event::EventKind;
use crate::line::Line;

/// No index, no node.
const NONE: u32 = u32::MAX;
/// Not completed.
const NEVER: i64 = i64::MIN;

/// An operation: an invocation with its completion, if there is one.
#[derive(Clone, Debug, PartialEq)]
pub struct Op {
    invoked: i64,
    completed: i64,
    index: u32,
    completed_index: u32,
    process: i32,
    session: i32,
    node: u32,
    mops_start: u32,
    mops_end: u32,
    /// `Ok`, `Fail` or `Info`.
    pub kind: EventKind,
    /// A read after heal and convergence.
    pub final_read: bool,
    /// By a session that stayed with a leader which the run knew to be deposed.
    pub stayed: bool,
}

impl Op {
    /// As invoked, by a line that [`fits`]: `info` until it is completed.
    pub(crate) fn new(line: &Line<'_>, node: Option<u32>, mops: Range<u32>) -> Op {
        Op {
            invoked: line.time,
            completed: NEVER,
            index: line.index as u32,
            completed_index: NONE,
            process: line.process as i32,
            session: line.session.unwrap_or(line.process) as i32,
            node: node.unwrap_or(NONE),
            mops_start: mops.start,
            mops_end: mops.end,
            kind: EventKind::Info,
            final_read: line.final_read,
            stayed: line.stayed,
        }
    }

    /// Takes in its completion, of a line that [`fits`].
    pub(crate) fn complete(&mut self, line: &Line<'_>, node: Option<u32>) {
        self.completed_index = line.index as u32;
        self.completed = line.time;
        self.node = node.unwrap_or(self.node);
        self.kind = line.kind;
        self.final_read |= line.final_read;
        self.stayed &= line.stayed;
    }

    /// Of a completion that stands for the whole operation: whatever came before or after it is
    /// not known to have been over, or not begun.
    pub(crate) fn forget_when(&mut self) {
        self.completed_index = NONE;
    }

    /// History index of the invocation: operations are in its order.
    pub fn index(&self) -> u64 {
        u64::from(self.index)
    }

    /// History index of the completion.
    pub fn completed_index(&self) -> Option<u64> {
        (self.completed_index != NONE).then_some(u64::from(self.completed_index))
    }

    /// Its process.
    pub fn process(&self) -> i64 {
        i64::from(self.process)
    }

    /// Its session.
    pub fn session(&self) -> i64 {
        i64::from(self.session)
    }

    /// The node that answered, else the one it was sent to, by number.
    pub fn node(&self) -> Option<u32> {
        (self.node != NONE).then_some(self.node)
    }

    /// ns since the run's start.
    pub fn invoked(&self) -> i64 {
        self.invoked
    }

    /// ns since the run's start.
    pub fn completed(&self) -> Option<i64> {
        (self.completed != NEVER).then_some(self.completed)
    }

    /// Its micro-operations, in [`History::mops`](crate::History::mops).
    pub fn mops(&self) -> Range<u32> {
        self.mops_start..self.mops_end
    }
}

/// Whether a line's numbers can be kept in an operation.
///
/// # Errors
/// Which cannot, and what the most is.
pub(crate) fn fits(line: &Line<'_>) -> Result<(), String> {
    if line.index >= u64::from(NONE) {
        let most = NONE - 1;
        return Err(format!("index {} is too large: {most} is the most", line.index));
    }
    let numbers = [("process", Some(line.process)), ("session", line.session)];
    for (what, number) in numbers {
        if let Some(number) = number.filter(|number| i32::try_from(*number).is_err()) {
            return Err(format!("{what} {number} is out of range: {} is the most", i32::MAX));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read_events;

    #[test]
    fn an_operation_is_small() {
        assert_eq!(size_of::<Op>(), 48);
    }

    #[test]
    fn what_cannot_be_kept_is_refused_with_the_line() {
        let lines = |index: &str, process: &str| {
            format!(
                "{{\"index\":0,\"type\":\"invoke\",\"process\":1,\"time\":0,\"f\":\"txn\",\
                 \"value\":[]}}\n{{\"index\":{index},\"type\":\"invoke\",\"process\":{process},\
                 \"time\":1,\"f\":\"txn\",\"value\":[]}}\n"
            )
        };
        let damage = |text: String| read_events(text.as_bytes()).damage;
        assert_eq!(damage(lines("4294967294", "2147483647")), None);
        let index = damage(lines("4294967295", "2")).map(|damage| (damage.line, damage.why));
        let why = "index 4294967295 is too large: 4294967294 is the most";
        assert_eq!(index, Some((2, why.into())));
        let process = damage(lines("1", "2147483648")).map(|damage| (damage.line, damage.why));
        let why = "process 2147483648 is out of range: 2147483647 is the most";
        assert_eq!(process, Some((2, why.into())));
    }
}
