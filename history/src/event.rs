//! One line of `history.jsonl`: an operation's invocation or its completion.
//!
//! Format version 1. Fields: `index` (the one order checkers use), `type`, `process`, `session`
//! (absent: the session named by its process), `node`, `time` (ns since the run's start on the
//! harness's monotonic clock), `f`, `value` (the transaction), and, where they say something,
//! `final`, `error`, `position`, `target`, `hops`. Unknown fields are ignored when read, so a
//! later version may add some.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::key::Key;
use crate::micro_op::{MicroOp, Observed};

/// What a line says about its operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// The operation is about to be sent.
    Invoke,
    /// It happened.
    Ok,
    /// It certainly did not happen.
    Fail,
    /// Nobody knows; it may take effect at any later time.
    Info,
}

impl EventKind {
    /// The word of the file format.
    pub fn as_str(self) -> &'static str {
        match self {
            EventKind::Invoke => "invoke",
            EventKind::Ok => "ok",
            EventKind::Fail => "fail",
            EventKind::Info => "info",
        }
    }
}

/// Whether a time, ns, is one that a history may have: within 73 years of its zero, so that those
/// since 1970 are, and the difference of two is never out of bounds.
pub(crate) fn possible_time(time: i64) -> bool {
    time.unsigned_abs() <= (i64::MAX / 4) as u64
}

/// The target of an operation of a session that stayed with a leader which the run knew to be
/// deposed: no request that a policy which knows the leader would make.
pub const STAYED: &str = "stayed";

/// One request of an operation: a redirect makes a second hop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// The node asked.
    pub node: Arc<str>,
    /// When it was asked, ns since the run's start.
    pub time: i64,
    /// What came of it: `ok`, or the reason it was refused, or the error.
    pub outcome: String,
}

/// A line of `history.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Position in the history: the order that checkers use.
    pub index: u64,
    /// Invocation, or the kind of completion.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// The logical thread; retired after an `info`.
    pub process: i64,
    /// The logical user; absent means the one named by `process`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<i64>,
    /// The node that the operation was first sent to; in a completion, the one that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Arc<str>>,
    /// Nanoseconds since the run's start.
    #[serde(default)]
    pub time: i64,
    /// The operation's name; `txn` for transactions of micro-operations.
    pub f: Cow<'static, str>,
    /// The transaction.
    pub value: Vec<MicroOp>,
    /// Whether this is a read taken after heal and convergence.
    #[serde(default, rename = "final", skip_serializing_if = "std::ops::Not::not")]
    pub final_read: bool,
    /// Why it failed or is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Where the system said the operation stands (log index, LSN, optime), as it said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<serde_json::Value>,
    /// What the policy aimed at (`leader`, `any-follower`), or [`STAYED`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Cow<'static, str>>,
    /// The requests made, when there was more than one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hops: Vec<Hop>,
}

impl Event {
    /// The logical user of this line.
    pub fn session_or_process(&self) -> i64 {
        self.session.unwrap_or(self.process)
    }

    /// Appends this line, newline included, to `out`.
    ///
    /// Written by hand because the runner records 100,000 lines a second on this path; rare
    /// fields go through serde.
    pub fn write_line(&self, out: &mut Vec<u8>) {
        let mut number = itoa::Buffer::new();
        out.extend_from_slice(b"{\"index\":");
        out.extend_from_slice(number.format(self.index).as_bytes());
        out.extend_from_slice(b",\"type\":\"");
        out.extend_from_slice(self.kind.as_str().as_bytes());
        out.extend_from_slice(b"\",\"process\":");
        out.extend_from_slice(number.format(self.process).as_bytes());
        if let Some(session) = self.session {
            out.extend_from_slice(b",\"session\":");
            out.extend_from_slice(number.format(session).as_bytes());
        }
        if let Some(node) = &self.node {
            out.extend_from_slice(b",\"node\":");
            write_json(out, node);
        }
        out.extend_from_slice(b",\"time\":");
        out.extend_from_slice(number.format(self.time).as_bytes());
        out.extend_from_slice(b",\"f\":");
        write_json(out, &self.f);
        out.extend_from_slice(b",\"value\":[");
        for (place, mop) in self.value.iter().enumerate() {
            if 0 < place {
                out.push(b',');
            }
            write_micro_op(out, mop, &mut number);
        }
        out.push(b']');
        self.write_rare_fields(out);
        out.extend_from_slice(b"}\n");
    }

    fn write_rare_fields(&self, out: &mut Vec<u8>) {
        if self.final_read {
            out.extend_from_slice(b",\"final\":true");
        }
        if let Some(error) = &self.error {
            out.extend_from_slice(b",\"error\":");
            write_json(out, error);
        }
        if let Some(position) = &self.position {
            out.extend_from_slice(b",\"position\":");
            write_json(out, position);
        }
        if let Some(target) = &self.target {
            out.extend_from_slice(b",\"target\":");
            write_json(out, target);
        }
        if !self.hops.is_empty() {
            out.extend_from_slice(b",\"hops\":");
            write_json(out, &self.hops);
        }
    }
}

fn write_micro_op(out: &mut Vec<u8>, mop: &MicroOp, number: &mut itoa::Buffer) {
    out.extend_from_slice(b"[\"");
    out.extend_from_slice(mop.name().as_bytes());
    out.extend_from_slice(b"\",");
    match mop.key() {
        Key::Int(key) => out.extend_from_slice(number.format(*key).as_bytes()),
        Key::Str(key) => write_json(out, key),
    }
    out.push(b',');
    match mop {
        MicroOp::Read { value: None, .. } => out.extend_from_slice(b"null"),
        MicroOp::Read { value: Some(Observed::Int(value)), .. }
        | MicroOp::Write { value, .. }
        | MicroOp::Append { value, .. }
        | MicroOp::Add { value, .. }
        | MicroOp::Rem { value, .. }
        | MicroOp::Inc { delta: value, .. } => {
            out.extend_from_slice(number.format(*value).as_bytes());
        }
        MicroOp::Read { value: Some(Observed::List(list)), .. } => write_list(out, list, number),
        MicroOp::Cas { old, new, .. } => write_list(out, &[*old, *new], number),
    }
    out.push(b']');
}

fn write_list(out: &mut Vec<u8>, list: &[i64], number: &mut itoa::Buffer) {
    out.push(b'[');
    for (place, value) in list.iter().enumerate() {
        if 0 < place {
            out.push(b',');
        }
        out.extend_from_slice(number.format(*value).as_bytes());
    }
    out.push(b']');
}

fn write_json<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("a Vec takes every byte and these types are all JSON");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_writer_writes_what_serde_writes() {
        let event = Event {
            index: 9,
            kind: EventKind::Ok,
            process: 3,
            session: Some(-3),
            node: Some("n\"2".into()),
            time: 1_941_250,
            f: "txn".into(),
            value: vec![
                MicroOp::append(5, 12),
                MicroOp::Read { key: "x".into(), value: Some(Observed::List(vec![4, 7])) },
                MicroOp::Read { key: 1.into(), value: None },
                MicroOp::Cas { key: 1.into(), old: 2, new: 3 },
            ],
            final_read: true,
            error: Some("a \u{1} b".into()),
            position: Some(serde_json::json!({"0": 12})),
            target: Some("leader".into()),
            hops: vec![Hop { node: "n1".into(), time: 5, outcome: "not-leader".into() }],
        };
        let mut line = Vec::new();
        event.write_line(&mut line);
        let text = String::from_utf8(line).unwrap();
        assert_eq!(text.trim_end(), serde_json::to_string(&event).unwrap());
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    }
}
