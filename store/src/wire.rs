//! What clients and nodes say to each other, as JSON.
//!
//! `POST /txn` takes a [`TxnRequest`] and gives a [`TxnReply`]; `GET /status` gives a
//! [`NodeStatus`]; `POST /peer` takes a list of [`Envelope`].

use history::{Key, MicroOp, ShardTelemetry};
use serde::{Deserialize, Serialize};

/// A transaction for one node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TxnRequest {
    /// Micro-operations; reads carry `null`. Those that write must lie on one shard.
    pub ops: Vec<MicroOp>,
    /// Whether the node must believe itself leader of every shard touched.
    pub leader: bool,
}

/// What a node answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum TxnReply {
    /// It happened.
    Ok {
        /// The micro-operations, reads with what they showed.
        ops: Vec<MicroOp>,
        /// Shard and log position, for each shard touched.
        position: Vec<(u32, u64)>,
    },
    /// It certainly did not: nothing was written to any log.
    Refused {
        /// Why.
        reason: String,
        /// The leader of the first shard touched, as this node believes.
        leader: Option<String>,
    },
    /// It is in the leader's log and may or may not survive.
    Unknown {
        /// Why.
        reason: String,
    },
}

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its name.
    pub node: String,
    /// Its replicas.
    pub shards: Vec<ShardTelemetry>,
    /// What its process takes for the time, µs since 1970: nothing in the store depends on it. A
    /// simulated node has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall_us: Option<i64>,
}

/// An entry of a shard's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its place, from 1.
    pub index: u64,
    /// The term of the leader that wrote it.
    pub term: u64,
    /// Micro-operations that write; none in the entry that opens a term.
    pub ops: Vec<MicroOp>,
}

/// What replicas of one shard say to each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "m", rename_all = "kebab-case")]
pub enum Message {
    /// The leader's log after `prev_index`; empty to say that it lives.
    Append {
        /// The leader's term.
        term: u64,
        /// The entry before `entries`.
        prev_index: u64,
        /// Its term.
        prev_term: u64,
        /// What follows it.
        entries: Vec<Entry>,
        /// What the leader knows to be committed.
        commit: u64,
        /// The leader's last entry, for lag.
        last: u64,
    },
    /// Answer to `Append`.
    Appended {
        /// The follower's term.
        term: u64,
        /// Whether its log fitted.
        ok: bool,
        /// When ok, the last entry known to agree; else the last that may.
        index: u64,
        /// When not ok, the entry before those that were sent, which did not agree.
        refused: u64,
    },
    /// A candidate asks for a vote.
    Vote {
        /// The term it would lead.
        term: u64,
        /// Its last entry.
        last_index: u64,
        /// The term of that.
        last_term: u64,
        /// Only asks whether it would get the vote: nobody's term changes.
        pre: bool,
    },
    /// Answer to `Vote`.
    Voted {
        /// The term it was asked for when granted, else the voter's.
        term: u64,
        /// Whether it got the vote.
        granted: bool,
        /// Whether it was only asked.
        pre: bool,
    },
}

/// A message with where it comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// The sender's number.
    pub from: usize,
    /// The shard it is about.
    pub shard: u32,
    /// The message.
    #[serde(rename = "msg")]
    pub message: Message,
}

/// The shard of a key: integers by remainder, strings by FNV-1a.
pub fn shard_of(key: &Key, shards: u32) -> u32 {
    let shards = shards.max(1);
    match key {
        Key::Int(key) => key.rem_euclid(i64::from(shards)) as u32,
        Key::Str(key) => {
            let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
            (hash % u64::from(shards)) as u32
        }
    }
}
