//! The catalogue of faults.

/// A family of faults, by the resource that they act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// Packets between nodes.
    Network,
    /// The system's processes.
    Process,
    /// Who leads.
    Failover,
}

impl Family {
    /// Every family.
    pub const ALL: [Family; 3] = [Family::Network, Family::Process, Family::Failover];

    /// The word of the records.
    pub fn as_str(self) -> &'static str {
        match self {
            Family::Network => "network",
            Family::Process => "process",
            Family::Failover => "failover",
        }
    }
}

/// A fault, without whom it hits and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// SIGKILL to the system's processes; started again when healed.
    Kill,
    /// SIGSTOP; SIGCONT when healed.
    Pause,
    /// SIGSTOP and SIGCONT in turn, so that the node keeps up only in part.
    Slow,
    /// The targets can reach no other node, nor be reached by one; clients still reach all.
    Isolate,
    /// The cluster is split in a minority with the target and a majority without it.
    Halves,
    /// The leader is isolated.
    LeaderAlone,
    /// A follower and the leader of one shard do not hear each other; all other links stand.
    Cut,
    /// The leader is asked, by the system's own command, to stand down for a while.
    StepDown,
}

/// Every fault, in the order in which lists show them.
pub const ALL: [Fault; 8] = [
    Fault::Kill,
    Fault::Pause,
    Fault::Slow,
    Fault::Isolate,
    Fault::Halves,
    Fault::LeaderAlone,
    Fault::Cut,
    Fault::StepDown,
];

impl Fault {
    /// The fault called `name`.
    pub fn by_name(name: &str) -> Option<Fault> {
        ALL.into_iter().find(|fault| fault.name() == name)
    }

    /// Its name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Kill => "kill",
            Fault::Pause => "pause",
            Fault::Slow => "slow",
            Fault::Isolate => "isolate",
            Fault::Halves => "halves",
            Fault::LeaderAlone => "leader-alone",
            Fault::Cut => "cut",
            Fault::StepDown => "step-down",
        }
    }

    /// One sentence for lists.
    pub fn summary(self) -> &'static str {
        match self {
            Fault::Kill => "kill the system's process, start it again when healed",
            Fault::Pause => "stop the process (SIGSTOP), continue it when healed",
            Fault::Slow => "stop and continue the process in turn, so that it falls behind",
            Fault::Isolate => "cut a node off from all other nodes; clients still reach it",
            Fault::Halves => "split the nodes in a minority with the target and the rest",
            Fault::LeaderAlone => "cut the leader off from all other nodes",
            Fault::Cut => "cut the link between a follower and the leader of one shard",
            Fault::StepDown => "ask the leader to stand down for a while (MongoDB alone)",
        }
    }

    /// What it acts on.
    pub fn family(self) -> Family {
        match self {
            Fault::Kill | Fault::Pause | Fault::Slow => Family::Process,
            Fault::Isolate | Fault::Halves | Fault::LeaderAlone | Fault::Cut => Family::Network,
            Fault::StepDown => Family::Failover,
        }
    }

    /// Whom it hits when nobody is named.
    pub fn default_selector(self) -> &'static str {
        match self {
            Fault::Kill | Fault::Pause | Fault::LeaderAlone | Fault::StepDown => "leader",
            Fault::Slow | Fault::Cut => "a-follower",
            Fault::Isolate | Fault::Halves => "one",
        }
    }
}
