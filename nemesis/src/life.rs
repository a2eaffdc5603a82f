//! Faults that end a process otherwise than by one kill: their parameters, and what they come to.

use crate::act::Act;
use crate::cluster_view::ClusterView;
use crate::fault::Fault;
use crate::parameters::{Kind, Parameter};
use crate::planned::PlannedFault;

/// How long a server may take to end in good order.
pub const GRACE: Parameter = Parameter {
    name: "grace",
    kind: Kind::Duration,
    default: "30s",
    bounds: Some(("10ms", "10m")),
    summary: "how long it may take to end; then it is killed, and the fault counts as no effect",
};

/// How long a process runs before it is killed again.
pub const PERIOD: Parameter = Parameter {
    name: "period",
    kind: Kind::Duration,
    default: "2s",
    bounds: Some(("50ms", "10m")),
    summary: "how long it runs before it is killed again",
};

/// How long a process is let start.
pub const AFTER: Parameter = Parameter {
    name: "after",
    kind: Kind::Duration,
    default: "50ms",
    bounds: Some(("1ms", "1m")),
    summary: "how long after its start it is killed again",
};

/// How many processes keep processors busy.
pub const CORES: Parameter = Parameter {
    name: "cores",
    kind: Kind::Count,
    default: "2",
    bounds: Some(("1", "64")),
    summary: "how many processes keep processors busy",
};

/// How long is waited between two nodes.
pub const GAP: Parameter = Parameter {
    name: "gap",
    kind: Kind::Duration,
    default: "500ms",
    bounds: Some(("0s", "10m")),
    summary: "how long is waited after a node is back before the next is restarted",
};

/// How long a node may take to be one of the cluster again.
pub const REJOIN: Parameter = Parameter {
    name: "rejoin",
    kind: Kind::Duration,
    default: "30s",
    bounds: Some(("100ms", "1h")),
    summary: "how long a node may take to be back; no other is restarted if it is not",
};

/// What is different after a restart.
pub const SET: Parameter = Parameter {
    name: "set",
    kind: Kind::Text,
    default: "nothing",
    bounds: None,
    summary: "a setting that is another from then on, NAME=VALUE",
};

/// One node after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rolling {
    /// How long each may take to end, ms.
    pub grace_ms: u64,
    /// How long each may take to be one of the cluster again, ms.
    pub rejoin_ms: u64,
    /// How long is waited between two, ms.
    pub gap_ms: u64,
}

/// What becomes of a process until its fault is healed; then it runs again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Asked to end, and left down.
    Stop {
        /// How long it may take, ms.
        grace_ms: u64,
    },
    /// Asked to end, and started again at once.
    Restart {
        /// How long it may take, ms.
        grace_ms: u64,
    },
    /// Restarted in this order, each when the one before is back.
    Rolling(Rolling),
    /// Killed and started, over and over.
    CrashLoop {
        /// How long it runs before it is killed again, ms.
        period_ms: u64,
    },
    /// Killed, started, killed again while it starts, and left down.
    KillInStart {
        /// How long after its start, ms.
        after_ms: u64,
    },
}

impl PlannedFault {
    /// The act of a fault of this kind on these nodes.
    pub(crate) fn life(&self, nodes: &[usize]) -> Act {
        let ms = |name| self.parameters.number(name).unsigned_abs();
        let grace_ms = ms("grace");
        let life = match self.fault {
            Fault::Restart => Life::Restart { grace_ms },
            Fault::RollingRestart => {
                let (rejoin_ms, gap_ms) = (ms("rejoin"), ms("gap"));
                Life::Rolling(Rolling { grace_ms, rejoin_ms, gap_ms })
            }
            Fault::CrashLoop => Life::CrashLoop { period_ms: ms("period") },
            Fault::KillInStart => Life::KillInStart { after_ms: ms("after") },
            _ => Life::Stop { grace_ms },
        };
        let set = self.parameters.text("set");
        let set = (!matches!(set, "" | "nothing")).then(|| set.to_owned());
        Act::Live { nodes: nodes.to_vec(), life, set }
    }
}

/// Followers first, so that leadership moves once, and not from one that is to be restarted to
/// another.
pub(crate) fn leaders_last(mut nodes: Vec<usize>, view: &ClusterView) -> Vec<usize> {
    nodes.sort_by_key(|node| (view.leads_any(&view.names()[*node]), *node));
    nodes
}
