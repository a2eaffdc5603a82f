//! What a port carries out, and what it says of it.

use history::{Evidence, FaultResult, Unprovable};

use crate::clock::ClockChange;
use crate::disk::DiskAct;
use crate::life::Life;
use crate::limit::Limit;
use crate::shape::Shape;

/// Packets from `from` are dropped where they arrive, at `at`. Nodes by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// The node that drops.
    pub at: usize,
    /// The node whose packets are dropped.
    pub from: usize,
}

/// A fault with everything decided: small enough for an agent, or the simulator, to carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// SIGKILL; the system is started again when healed.
    Kill {
        /// Nodes by number.
        nodes: Vec<usize>,
    },
    /// SIGSTOP until healed.
    Pause {
        /// Nodes by number.
        nodes: Vec<usize>,
    },
    /// Stopped for `stopped_percent` of every period until healed.
    Slow {
        /// Nodes by number.
        nodes: Vec<usize>,
        /// Share of time stopped.
        stopped_percent: u32,
    },
    /// The process is ended otherwise than by one kill; it runs again when healed.
    Live {
        /// Nodes by number.
        nodes: Vec<usize>,
        /// What becomes of it.
        life: Life,
        /// A setting that is another after it, `NAME=VALUE`.
        set: Option<String>,
    },
    /// The server's clock is moved until healed.
    Clock {
        /// Nodes by number.
        nodes: Vec<usize>,
        /// How.
        change: ClockChange,
    },
    /// Clients of our own read until healed; no agent has a part in it.
    ReadLoad {
        /// Nodes by number.
        nodes: Vec<usize>,
        /// How many for each.
        clients: u32,
    },
    /// Processors kept busy beside the system's processes until healed.
    Load {
        /// Nodes by number.
        nodes: Vec<usize>,
        /// By how many processes each.
        cores: u32,
    },
    /// The system's processes get no more than so much until healed.
    Limit {
        /// Nodes by number.
        nodes: Vec<usize>,
        /// Of what, and how much.
        limit: Limit,
    },
    /// Packets dropped until healed.
    Drop {
        /// Which.
        links: Vec<Link>,
    },
    /// What clients send is dropped where it arrives; what peers send is not.
    CutClients {
        /// Nodes by number.
        nodes: Vec<usize>,
    },
    /// Taken out of the cluster by the system's own command; added again when healed.
    Remove {
        /// Nodes by number.
        nodes: Vec<usize>,
    },
    /// Out of the cluster, killed and emptied; filled by the others and back when healed.
    Replace {
        /// Nodes by number.
        nodes: Vec<usize>,
    },
    /// Packets shaped until healed.
    Shape {
        /// Which.
        links: Vec<Link>,
        /// How.
        shape: Shape,
        /// What chance is drawn from.
        seed: u64,
    },
    /// Asked by the system's own command to stand down; may lead again when healed.
    StepDown {
        /// Nodes by number.
        nodes: Vec<usize>,
        /// How long at most, should nobody heal it.
        seconds: u32,
    },
    /// Made the leader by a command, though another may lead; nothing is undone.
    Promote {
        /// Nodes by number: the last that it works for leads.
        nodes: Vec<usize>,
    },
    /// Failovers wait for approval until healed.
    WithholdApproval,
    /// Done to the disk under a node's data.
    Disk {
        /// Nodes by number.
        nodes: Vec<usize>,
        /// What.
        what: DiskAct,
    },
    /// Nothing is done, by nobody.
    Nothing,
}

impl Act {
    /// Every node it touches, by number.
    pub fn nodes(&self) -> Vec<usize> {
        let mut nodes = match self {
            Act::Kill { nodes }
            | Act::Pause { nodes }
            | Act::Slow { nodes, .. }
            | Act::Live { nodes, .. }
            | Act::Clock { nodes, .. }
            | Act::CutClients { nodes }
            | Act::Remove { nodes }
            | Act::Replace { nodes }
            | Act::Disk { nodes, .. }
            | Act::Load { nodes, .. }
            | Act::ReadLoad { nodes, .. }
            | Act::Limit { nodes, .. }
            | Act::Promote { nodes }
            | Act::StepDown { nodes, .. } => nodes.clone(),
            Act::Drop { links } => links.iter().map(|link| link.at).collect(),
            Act::WithholdApproval | Act::Nothing => Vec::new(),
            Act::Shape { links, .. } => {
                links.iter().flat_map(|link| [link.at, link.from]).collect()
            }
        };
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }

    /// Both directions between the two groups.
    pub fn drop_between(a: &[usize], b: &[usize]) -> Act {
        let mut links: Vec<Link> = Vec::new();
        for &one in a {
            for &other in b {
                links.push(Link { at: one, from: other });
                links.push(Link { at: other, from: one });
            }
        }
        links.sort_unstable();
        Act::Drop { links }
    }
}

/// What came of an act, or of undoing it. By default nothing is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActReport {
    /// How it was made: `nf_tables`, `iptables`, `signal`, `cgroup v1`,
    /// `libfaketime`, `command`, `simulated`.
    pub mechanism: String,
    /// Whether it had its effect.
    pub result: FaultResult,
    /// The probes.
    pub evidence: Vec<Evidence>,
    /// Probes that could not tell, because another fault was in force.
    pub unprovable: Vec<Unprovable>,
    /// How long the act took, ns.
    pub took: i64,
    /// What went wrong.
    pub error: Option<String>,
}

impl Default for ActReport {
    fn default() -> ActReport {
        ActReport {
            mechanism: String::new(),
            result: FaultResult::Indeterminate,
            evidence: Vec::new(),
            unprovable: Vec::new(),
            took: 0,
            error: None,
        }
    }
}

impl ActReport {
    /// The result that the probes allow: all of them must hold.
    pub fn judge(evidence: &[Evidence]) -> FaultResult {
        if evidence.is_empty() {
            FaultResult::Indeterminate
        } else if evidence.iter().all(|probe| probe.holds) {
            FaultResult::Installed
        } else {
            FaultResult::NoEffect
        }
    }
}
