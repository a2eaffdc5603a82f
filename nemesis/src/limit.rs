//! Faults that leave the system less of its host than it would take: their parameters, and what
//! they come to.

use crate::act::Act;
use crate::fault::Fault;
use crate::parameters::{Kind, Parameter};
use crate::planned::PlannedFault;

/// How much of one processor is left to the system.
pub const CPU: Parameter = Parameter {
    name: "cpu",
    kind: Kind::WholePercent,
    default: "5%",
    bounds: Some(("1%", "400%")),
    summary: "how much of one processor the process and its children get at most, all together",
};

/// How much memory is left to the system.
pub const MEMORY: Parameter = Parameter {
    name: "limit",
    kind: Kind::Size,
    default: "256kb",
    bounds: Some(("64kb", "64gb")),
    summary: "how much memory, with cached files, they may have beside what they have already",
};

/// What the system's processes get no more of until healed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Time of a processor.
    Cpu {
        /// Hundredths of one.
        percent: u32,
    },
    /// Memory beside what they have already.
    Memory {
        /// How much.
        bytes: u64,
    },
}

/// How many clients read.
pub const CLIENTS: Parameter = Parameter {
    name: "clients",
    kind: Kind::Count,
    default: "8",
    bounds: Some(("1", "256")),
    summary: "how many clients read from each node",
};

impl PlannedFault {
    /// The act of a fault of this kind on these nodes.
    pub(crate) fn press(&self, nodes: Vec<usize>) -> Act {
        let number = |name| self.parameters.number(name) as u32;
        match self.fault {
            Fault::Load => Act::Load { nodes, cores: number("cores") },
            Fault::ReadLoad => Act::ReadLoad { nodes, clients: number("clients") },
            Fault::MemoryLimit => {
                let bytes = self.parameters.number("limit").unsigned_abs();
                Act::Limit { nodes, limit: Limit::Memory { bytes } }
            }
            _ => Act::Limit { nodes, limit: Limit::Cpu { percent: number("cpu") } },
        }
    }
}
