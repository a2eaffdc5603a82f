//! Shaping: packets delayed, lost, held back, corrupted or slowed where they arrive.
//!
//! The worker ([`keeper`]) starts a process of its own for a fault ([`shaper`]), which takes the
//! packets of an NFQUEUE ([`netlink`]), decides on each ([`decide`]) and gives its verdict when the
//! packet is due. Rules ([`rules`]) send packets of the peers there; they name a bypass, so that
//! traffic flows as if there were no fault as soon as nobody takes them.
//!
//! At the receiver and nowhere else: a packet that is held where it was sent stays charged to its
//! socket, and TCP sends no more than two or so of those.

pub mod decide;
pub mod keeper;
pub mod netlink;
pub mod rules;
pub mod shaper;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// One million: shares are counted in parts of it.
pub const MILLION: u32 = 1_000_000;

/// How delays are spread around their middle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distribution {
    /// Evenly, no further from the middle than the jitter.
    #[default]
    Uniform,
    /// Normally, with the jitter as standard deviation; never below nothing.
    Normal,
}

/// A link that comes and goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flap {
    /// Length of a turn, ms.
    pub period_ms: u64,
    /// How long at the start of each turn nothing passes, ms.
    pub down_ms: u64,
}

/// What becomes of the packets of a link. Its default changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shape {
    /// Each is this much later, µs.
    pub delay_us: u64,
    /// Give or take this much, µs; each by itself, so that packets may overtake each other.
    pub jitter_us: u64,
    /// How the jitter is spread.
    pub distribution: Distribution,
    /// Parts of a million that are dropped.
    pub loss: u32,
    /// Parts of a million that are held back, so that later ones overtake them.
    pub reorder: u32,
    /// How long those are held back, µs.
    pub hold_us: u64,
    /// Parts of a million in which a bit is flipped; the checksum stays what it was.
    pub corrupt: u32,
    /// Bits a second that pass at most; 0 is no limit.
    pub rate: u64,
    /// Whether it comes and goes.
    pub flap: Option<Flap>,
}

/// A shape for everything that comes from these addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerShape {
    /// All addresses of one peer: one link, with one rate.
    pub from: Vec<IpAddr>,
    /// What becomes of its packets.
    pub shape: Shape,
}

/// What was done to packets so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Packets that came.
    pub seen: u64,
    /// Those that passed, sooner or later.
    pub passed: u64,
    /// Those dropped as lost.
    pub lost: u64,
    /// Those dropped while a flapping link was down.
    pub down: u64,
    /// Those dropped because too many waited for their turn at the rate.
    pub full: u64,
    /// Those in which a bit was flipped.
    pub corrupted: u64,
    /// Those held back.
    pub held: u64,
}

/// What the worker tells its shaper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub enum Order {
    /// First: what to do.
    Begin {
        /// The links.
        peers: Vec<PeerShape>,
        /// What chance is drawn from.
        seed: u64,
    },
    /// Are you there? From now on what passes goes through this queue too, of an older fault.
    Ping {
        /// The queue.
        next: Option<u16>,
    },
}

/// What a shaper says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "said", rename_all = "kebab-case")]
pub enum Said {
    /// Packets sent to this queue will be shaped.
    Ready {
        /// The queue.
        queue: u16,
    },
    /// They will not.
    Failed {
        /// Why.
        why: String,
    },
    /// The answer to a ping.
    Here {
        /// What was done so far.
        counters: Counters,
    },
}
