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
}

impl PlannedFault {
    /// The act of a fault of this kind on these nodes.
    pub(crate) fn life(&self, nodes: &[usize]) -> Act {
        let grace_ms = self.parameters.number("grace").unsigned_abs();
        let life = match self.fault {
            Fault::Restart => Life::Restart { grace_ms },
            _ => Life::Stop { grace_ms },
        };
        Act::Live { nodes: nodes.to_vec(), life }
    }
}
