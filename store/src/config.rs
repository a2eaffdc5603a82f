//! What a node of the store is set to.

use serde::{Deserialize, Serialize};

/// When a leader acknowledges a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Replication {
    /// When its own log has it. Followers get it with the next shipment.
    Async,
    /// When `k` followers have it in their logs too; the leader is never counted.
    Sync {
        /// Followers.
        k: usize,
    },
}

/// How a shard gets another leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failover {
    /// Never: when the first leader is down, the shard takes no writes.
    None,
    /// A candidate needs the votes of a majority, each refusing one less up to date than itself.
    Vote,
    /// A follower that hears nothing promotes itself. May split the brain; promises nothing
    /// after a failover.
    Timeout,
}

/// Settings of a core. Times in ms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoreConfig {
    /// This node's number.
    pub node: usize,
    /// Every node's name, in order.
    pub names: Vec<String>,
    /// Independent logs; shard `s` is first led by node `s mod n`.
    pub shards: u32,
    /// When a write is acknowledged.
    pub replication: Replication,
    /// How a leader is replaced.
    pub failover: Failover,
    /// Whether reads see only committed entries.
    pub committed_reads: bool,
    /// How often a leader says that it lives.
    pub heartbeat_ms: u64,
    /// Shortest wait of a follower before it does something; the longest is twice this.
    pub election_timeout_ms: u64,
    /// How often an asynchronous leader ships its log: what is written in between is on the
    /// leader alone.
    pub ship_ms: u64,
    /// How long a request may wait for followers before its outcome is called unknown.
    pub wait_ms: u64,
    /// Jitter of election timeouts is drawn from it.
    pub seed: u64,
}

impl CoreConfig {
    /// How many nodes are a majority.
    pub fn majority(&self) -> usize {
        self.names.len() / 2 + 1
    }

    /// The node that leads a fresh shard.
    pub fn first_leader(&self, shard: u32) -> usize {
        shard as usize % self.names.len()
    }
}
