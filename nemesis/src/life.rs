//! Faults that end a process otherwise than by one kill: their parameters, and what they come to.

use crate::act::Act;
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
            Fault::CrashLoop => Life::CrashLoop { period_ms: ms("period") },
            Fault::KillInStart => Life::KillInStart { after_ms: ms("after") },
            _ => Life::Stop { grace_ms },
        };
        Act::Live { nodes: nodes.to_vec(), life }
    }
}
