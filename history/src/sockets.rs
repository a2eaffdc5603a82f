//! One line of `sockets.jsonl`: which TCP connections of a node with other nodes wait for a
//! retransmission, by the kernel's own words, or that nobody could ask.
//!
//! Format version 1. A node's state holds until its next line: one is written when it changes.
//! `sent` and `received` bound the moment at which the kernel was asked, on the harness's clock.

use serde::{Deserialize, Serialize};

/// The file's name in a run's folder.
pub const SOCKETS_FILE: &str = "sockets.jsonl";

/// A connection that waits: the same bytes were sent at least twice, and nobody acknowledged them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingSocket {
    /// The node at the other end.
    pub peer: String,
    /// Our port.
    pub port: u16,
    /// The other's.
    pub peer_port: u16,
    /// Whether it was asked for and is not made yet.
    #[serde(default)]
    pub connecting: bool,
    /// How often the same bytes were sent again so far.
    pub retransmits: u32,
    /// How often the time until the next was doubled.
    #[serde(default)]
    pub backoff: u32,
    /// From one retransmission to the next, µs.
    #[serde(default)]
    pub rto_us: u64,
    /// From the sample until the next retransmission, ms.
    #[serde(default)]
    pub next_ms: u64,
}

/// A line of `sockets.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketsEvent {
    /// When the kernel was asked, ns since the run's start.
    pub sent: i64,
    /// When its answer was in, ns since the run's start.
    pub received: i64,
    /// The node whose kernel it is.
    pub node: String,
    /// How many connections with other nodes were open.
    #[serde(default)]
    pub open: u64,
    /// Those that waited; none is a state too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<WaitingSocket>,
    /// Why it is not known: from here to the node's next line nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
