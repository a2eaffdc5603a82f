//! One line of `telemetry.jsonl`: what a node said of itself, or that it said nothing.
//!
//! Format version 1. `sent` and `received` bound the moment of the sample on the harness's clock.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A replica's role in one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Accepts writes.
    Leader,
    /// Copies a leader.
    Follower,
    /// Asks to become leader.
    Candidate,
    /// Was leader, has met a higher term and not yet caught up.
    Deposed,
}

/// One shard's replica on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardTelemetry {
    /// The shard.
    pub shard: u32,
    /// The replica's own belief.
    pub role: Role,
    /// Its term.
    pub term: u64,
    /// Whom it believes to be leader.
    #[serde(default)]
    pub leader: Option<String>,
    /// Its last log position.
    pub position: u64,
    /// Entries it knows to be committed.
    #[serde(default)]
    pub committed: u64,
    /// How far it is behind the last leader position that it knows of, in the system's own measure;
    /// `None` where it does not know or the system does not tell.
    #[serde(default)]
    pub lag: Option<u64>,
    /// Entries of its own that were cut off and kept aside when it was demoted; `None` where the
    /// system does not tell.
    #[serde(default)]
    pub aside: Option<u64>,
}

/// The detail that is `false` of a node that only votes.
pub const HOLDS_DATA: &str = "holds_data";
/// The detail that is `false` of a node that is not ready to be read, wherever its log ends.
pub const READY: &str = "ready";

/// A line of `telemetry.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TelemetryEvent {
    /// When the sample was asked for, ns since the run's start.
    pub sent: i64,
    /// When its answer was in, ns since the run's start; never decreases along the file.
    pub received: i64,
    /// The node.
    pub node: String,
    /// Whether the node's process answered.
    pub alive: bool,
    /// Its replicas, empty when it did not answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shards: Vec<ShardTelemetry>,
    /// Why it did not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What else the system says of itself, by the system's own names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, serde_json::Value>,
}

impl TelemetryEvent {
    /// Whether the node has replicas, or could have: an arbiter has none, ever.
    pub fn holds_data(&self) -> bool {
        self.details.get(HOLDS_DATA) != Some(&serde_json::Value::Bool(false))
    }

    /// Whether it can be read, as far as it has said.
    pub fn ready(&self) -> bool {
        self.details.get(READY) != Some(&serde_json::Value::Bool(false))
    }
}
