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
    /// Who asks: clients that keep something for a session (a connection, a causal clock) need it.
    pub session: usize,
    /// The node must have applied at least this position before it reads; from [`StepReply::Ok`].
    pub token: Option<u64>,
    /// Whether the answer shall carry a token: it may cost a further round trip.
    pub wants_token: bool,
    /// Whether the client itself chooses the node: the one that it is told means nothing then, and
    /// the reply is [`StepReply::Routed`].
    pub routed: bool,
}

/// A request that a client which chooses its nodes itself has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// To whom; `None` for a node that is none of the test's.
    pub node: Option<usize>,
    /// How long before the reply, ns.
    pub ago: u64,
    /// What came of it: `ok`, or the error.
    pub outcome: String,
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
        /// The same as a number that grows, if it was wanted: at least what was written or seen.
        token: Option<u64>,
    },
    /// The node certainly did not do it.
    Refused {
        /// Why, in the system's words.
        reason: String,
        /// Whom the node named as leader, by number.
        leader: Option<usize>,
    },
    /// The node certainly did not do it, and another would not either: a conflict, a constraint.
    Aborted {
        /// Why, in the system's words.
        reason: String,
    },
    /// The node has not applied the position asked for; nothing was done.
    Behind {
        /// How far it is.
        reason: String,
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
        /// Where the system says it stands, if it does.
        position: Option<serde_json::Value>,
    },
    /// What came of a request whose nodes the client chose.
    Routed {
        /// Whom it asked, in order; empty if nothing was sent.
        asked: Vec<Asked>,
        /// What came of it; never routed itself.
        reply: Box<StepReply>,
    },
}

impl StepReply {
    /// Nobody knows, and no position is known.
    pub fn unknown(reason: impl Into<String>) -> StepReply {
        StepReply::Unknown { reason: reason.into(), position: None }
    }
}

/// What the keys of a workload hold: decides the tables or collections, and what a read shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// A value each, written and compared.
    Register,
    /// A list each, appended to.
    List,
    /// A set each.
    Set,
    /// A sum each.
    Counter,
}

impl Model {
    /// The model of a workload that uses these micro-operations.
    pub fn of(micro_ops: &[&str]) -> Model {
        let uses = |name: &str| micro_ops.contains(&name);
        match () {
            () if uses("append") => Model::List,
            () if uses("add") || uses("rem") => Model::Set,
            () if uses("inc") => Model::Counter,
            () => Model::Register,
        }
    }
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
