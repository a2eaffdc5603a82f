//! What a session's requests look like to any system, and what may come back.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use history::{Key, MicroOp};

/// One request to one node: a transaction, or the part of one that a node serves.
#[derive(Clone, Debug, PartialEq)]
pub struct StepRequest {
    /// The micro-operations; reads carry `None`.
    pub mops: Vec<MicroOp>,
    /// Whether the node must believe itself leader.
    pub leader: bool,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum StepReply {
    /// It happened.
    Ok {
        /// The micro-operations, reads with what they showed.
        mops: Vec<MicroOp>,
        /// Where the system says it stands.
        position: Option<serde_json::Value>,
    },
    /// The node certainly did not do it.
    Refused {
        /// Why, in the system's words.
        reason: String,
        /// Whom the node named as leader, by number.
        leader: Option<usize>,
    },
    /// It never reached a node: the connection was refused.
    NotSent {
        /// Why.
        reason: String,
    },
    /// Nobody knows: no answer in time, a broken connection, or the node does not know either.
    Unknown {
        /// Why.
        reason: String,
    },
}

/// What a client can express, and what is atomic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Names of micro-operations, as in the file format.
    pub micro_ops: &'static [&'static str],
    /// What is atomic: `operation`, `key`, `shard` or `everything`.
    pub atomic: &'static str,
    /// `atomic` or `ordered`: whether all reads of a transaction share one moment.
    pub reads: &'static str,
}

/// A boxed future, so that clients of several systems fit behind one pointer.
pub type ReplyFuture<'a> = Pin<Box<dyn Future<Output = StepReply> + Send + 'a>>;

/// A connection of sessions to a system.
pub trait Client: Send + Sync {
    /// What it can express.
    fn capabilities(&self) -> Capabilities;

    /// Sends `request` to the node with this number. Never takes longer than `deadline`.
    fn apply(&self, node: usize, request: StepRequest, deadline: Duration) -> ReplyFuture<'_>;

    /// Which shard a key lives on.
    fn shard_of(&self) -> fn(&Key, u32) -> u32;
}
