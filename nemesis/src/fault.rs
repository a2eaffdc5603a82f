//! The catalogue of faults.

use crate::clock;
use crate::disk;
use crate::family::Family;
use crate::life;
use crate::limit;
use crate::parameters::{Kind, Parameter};
use crate::shape;

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
    /// The cluster is split in a minority and a majority; the target is in the minority, unless its
    /// parameter says otherwise.
    Halves,
    /// The leader is isolated.
    LeaderAlone,
    /// A follower and the leader of one shard do not hear each other; all other links stand.
    Cut,
    /// The leader is asked, by the system's own command, to stand down for a while.
    StepDown,
    /// A member is taken out of the cluster, by the system's own command; added again when healed.
    Remove,
    /// A node loses its place and all its data, and gets both again from the others when healed.
    Replace,
    /// Two halves that hear each other only by way of the target.
    Bridge,
    /// Every node hears a majority, and each another one.
    MajoritiesRing,
    /// Packets are dropped in one direction only.
    OneWay,
    /// Clients do not reach the node; its peers do.
    ClientsCut,
    /// A region does not hear the others, nor is heard.
    RegionCut,
    /// All nodes of a region are killed or stopped at once.
    RegionLost,
    /// Asked to end in good order; started again when healed.
    Stop,
    /// Asked to end in good order, and started again at once.
    Restart,
    /// Restarted one node after another, each when the one before is back.
    RollingRestart,
    /// SIGKILL and a new start, over and over.
    CrashLoop,
    /// Busy processes beside the system's, so that it gets less of the processor.
    Load,
    /// Clients of our own that read from a node as fast as it answers.
    ReadLoad,
    /// No more than a share of a processor for the system's processes.
    CpuLimit,
    /// No more than so much memory, beside what they have, for the system's processes.
    MemoryLimit,
    /// SIGKILL, a new start, and SIGKILL in the middle of it; started again when healed.
    KillInStart,
    /// A node is made leader by a command, though another may lead.
    Promote,
    /// Nobody who died is replaced meanwhile: the approval that it needs is withheld.
    ApprovalWithheld,
    /// The server's clock jumps.
    ClockBump,
    /// The server's clock jumps to and fro.
    ClockStrobe,
    /// The server's clock goes faster or slower.
    ClockDrift,
    /// The server's clock leaps ahead and then jumps back.
    ClockJumpBack,
    /// Packets between the target and all others take longer.
    Delay,
    /// Some of them are lost.
    Loss,
    /// Some are held back, so that later ones overtake them.
    Reorder,
    /// Some come twice.
    Duplicate,
    /// Some have a bit flipped, which the checksum finds.
    Corrupt,
    /// No more than so many bits pass a second.
    Bandwidth,
    /// The links come and go.
    Flapping,
    /// The system is killed and what it had not synced is gone.
    LoseUnsynced,
    /// The system is killed and the last bytes of its log are gone, synced or not.
    TornTail,
    /// One bit of a file that holds content is flipped, for good.
    BitFlip,
    /// No space is left under the system's data.
    DiskFull,
    /// Reads, writes or syncs end with an input/output error.
    DiskError,
    /// Syncs take longer.
    SlowSync,
    /// No fault is in force meanwhile: a baseline.
    Nothing,
}

/// Every fault, in the order in which lists show them.
pub const ALL: [Fault; 45] = [
    Fault::Kill,
    Fault::Pause,
    Fault::Slow,
    Fault::Isolate,
    Fault::Halves,
    Fault::LeaderAlone,
    Fault::Cut,
    Fault::StepDown,
    Fault::Promote,
    Fault::ApprovalWithheld,
    Fault::Remove,
    Fault::Replace,
    Fault::Bridge,
    Fault::MajoritiesRing,
    Fault::OneWay,
    Fault::ClientsCut,
    Fault::RegionCut,
    Fault::RegionLost,
    Fault::Stop,
    Fault::Restart,
    Fault::RollingRestart,
    Fault::CrashLoop,
    Fault::KillInStart,
    Fault::ClockBump,
    Fault::ClockStrobe,
    Fault::ClockDrift,
    Fault::ClockJumpBack,
    Fault::Delay,
    Fault::Loss,
    Fault::Reorder,
    Fault::Duplicate,
    Fault::Corrupt,
    Fault::Bandwidth,
    Fault::Flapping,
    Fault::LoseUnsynced,
    Fault::TornTail,
    Fault::BitFlip,
    Fault::DiskFull,
    Fault::DiskError,
    Fault::SlowSync,
    Fault::Load,
    Fault::ReadLoad,
    Fault::CpuLimit,
    Fault::MemoryLimit,
    Fault::Nothing,
];

/// How much of the time a slowed process is stopped. At nine parts in ten it answers in bursts and
/// lags.
const STOPPED: Parameter = Parameter {
    name: "stopped",
    kind: Kind::WholePercent,
    default: "90%",
    bounds: Some(("1%", "99%")),
    summary: "share of the time in which the process is stopped",
};

/// Where the target of `halves` is.
const SIDE: Parameter = Parameter {
    name: "side",
    kind: Kind::Word(&["minority", "majority", "drawn"]),
    default: "minority",
    bounds: None,
    summary: "the side that the target is on: minority, majority or drawn",
};

/// Which way the packets go that `one-way` drops.
const DIRECTION: Parameter = Parameter {
    name: "direction",
    kind: Kind::Word(&["in", "out"]),
    default: "in",
    bounds: None,
    summary: "with in the target hears no other node, with out none hears it",
};

/// How the nodes of a region are lost.
const HOW: Parameter = Parameter {
    name: "how",
    kind: Kind::Word(&["kill", "pause"]),
    default: "kill",
    bounds: None,
    summary: "kill, and start them again when healed; or pause",
};

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
            Fault::Promote => "promote",
            Fault::ApprovalWithheld => "approval-withheld",
            Fault::Remove => "remove",
            Fault::Replace => "replace",
            Fault::Bridge => "bridge",
            Fault::MajoritiesRing => "majorities-ring",
            Fault::OneWay => "one-way",
            Fault::ClientsCut => "clients-cut",
            Fault::RegionCut => "region-cut",
            Fault::RegionLost => "region-lost",
            Fault::Stop => "stop",
            Fault::Restart => "restart",
            Fault::RollingRestart => "rolling-restart",
            Fault::CrashLoop => "crash-loop",
            Fault::KillInStart => "kill-in-start",
            Fault::ClockBump => "clock-bump",
            Fault::ClockStrobe => "clock-strobe",
            Fault::ClockDrift => "clock-drift",
            Fault::ClockJumpBack => "clock-jump-back",
            Fault::Delay => "delay",
            Fault::Loss => "loss",
            Fault::Reorder => "reorder",
            Fault::Duplicate => "duplicate",
            Fault::Corrupt => "corrupt",
            Fault::Bandwidth => "bandwidth",
            Fault::Flapping => "flapping",
            Fault::LoseUnsynced => "lose-unsynced",
            Fault::TornTail => "torn-tail",
            Fault::BitFlip => "bit-flip",
            Fault::DiskFull => "disk-full",
            Fault::DiskError => "disk-error",
            Fault::SlowSync => "slow-sync",
            Fault::Load => "load",
            Fault::ReadLoad => "read-load",
            Fault::CpuLimit => "cpu-limit",
            Fault::MemoryLimit => "memory-limit",
            Fault::Nothing => "nothing",
        }
    }

    /// One sentence for lists.
    pub fn summary(self) -> &'static str {
        match self {
            Fault::Kill => "kill the system's process, start it again when healed",
            Fault::Pause => "stop the process (SIGSTOP), continue it when healed",
            Fault::Slow => "stop and continue the process in turn, so that it falls behind",
            Fault::Isolate => "cut a node off from all other nodes; clients still reach it",
            Fault::Halves => "split the nodes in a minority, with the target, and the rest",
            Fault::LeaderAlone => "cut the leader off from all other nodes",
            Fault::Cut => "cut the link between a follower and the leader of one shard",
            Fault::StepDown => "ask the leader to stand down for a while (not PostgreSQL)",
            Fault::Promote => "make a follower the leader by a command, though another leads",
            Fault::ApprovalWithheld => "the operator's failovers wait for approval (PostgreSQL)",
            Fault::Remove => "take a member out, add it again when healed (MongoDB alone)",
            Fault::Replace => "take a node and its data away, copy them anew when healed",
            Fault::Bridge => "two halves that hear each other only by way of the target",
            Fault::MajoritiesRing => "every node hears a majority, each another one; of 4 or more",
            Fault::OneWay => "drop packets between the target and all others one way only",
            Fault::ClientsCut => "clients do not reach the node; its peers do",
            Fault::RegionCut => "a region and all others do not hear each other",
            Fault::RegionLost => "kill, or stop, all nodes of a region at once",
            Fault::Stop => "end the process in good order, start it again when healed",
            Fault::Restart => "end the process in good order and start it again at once",
            Fault::RollingRestart => "restart one node after another, each when the last is back",
            Fault::CrashLoop => "kill the process and start it again, over and over",
            Fault::ReadLoad => "clients of our own read from a node as fast as it answers",
            Fault::Load => "keep processors busy beside the process, so that it falls behind",
            Fault::CpuLimit => "give the process no more than a share of one processor",
            Fault::MemoryLimit => "give the process little memory beside what it has",
            Fault::KillInStart => "kill the process, start it, kill it again while it starts",
            Fault::ClockBump => "the server's clock jumps, and goes on from there",
            Fault::ClockStrobe => "the server's clock jumps to and fro",
            Fault::ClockDrift => "the server's clock goes faster, or slower",
            Fault::ClockJumpBack => "the server's clock leaps ahead, and then jumps back",
            Fault::Delay => "packets between the target and all others take longer",
            Fault::Loss => "some packets between the target and all others are lost",
            Fault::Reorder => "some packets are held back, so that later ones overtake them",
            Fault::Duplicate => "some packets are sent twice",
            Fault::Corrupt => "some packets have a bit flipped; their checksum finds it",
            Fault::Bandwidth => "no more than so many bits a second pass between two nodes",
            Fault::Flapping => "the links of the target come and go",
            Fault::LoseUnsynced => "kill the process and forget what it had not synced",
            Fault::TornTail => "kill the process and take the last bytes of its log",
            Fault::BitFlip => "flip one bit of a data or log file, for good",
            Fault::DiskFull => "no space left under the system's data",
            Fault::DiskError => "reads, writes or syncs end with an input/output error",
            Fault::SlowSync => "every sync takes longer",
            Fault::Nothing => "no fault is in force meanwhile: a baseline among others",
        }
    }

    /// What it acts on.
    pub fn family(self) -> Family {
        match self {
            Fault::Kill
            | Fault::Pause
            | Fault::Slow
            | Fault::RegionLost
            | Fault::Stop
            | Fault::Restart
            | Fault::RollingRestart
            | Fault::CrashLoop
            | Fault::KillInStart
            | Fault::Load
            | Fault::ReadLoad
            | Fault::CpuLimit
            | Fault::MemoryLimit => Family::Process,
            Fault::Isolate
            | Fault::Halves
            | Fault::LeaderAlone
            | Fault::Cut
            | Fault::Bridge
            | Fault::MajoritiesRing
            | Fault::OneWay
            | Fault::ClientsCut
            | Fault::RegionCut
            | Fault::Delay
            | Fault::Loss
            | Fault::Reorder
            | Fault::Duplicate
            | Fault::Corrupt
            | Fault::Bandwidth
            | Fault::Flapping => Family::Network,
            Fault::StepDown | Fault::Promote | Fault::ApprovalWithheld => Family::Failover,
            Fault::ClockBump | Fault::ClockStrobe | Fault::ClockDrift | Fault::ClockJumpBack => {
                Family::Clock
            }
            Fault::Remove | Fault::Replace => Family::Membership,
            Fault::LoseUnsynced
            | Fault::TornTail
            | Fault::BitFlip
            | Fault::DiskFull
            | Fault::DiskError
            | Fault::SlowSync => Family::Disk,
            Fault::Nothing => Family::Nothing,
        }
    }

    /// Whom it hits when nobody is named.
    pub fn default_selector(self) -> &'static str {
        match self {
            Fault::Kill
            | Fault::Pause
            | Fault::LeaderAlone
            | Fault::ClientsCut
            | Fault::StepDown
            | Fault::Stop
            | Fault::Restart
            | Fault::CrashLoop
            | Fault::KillInStart
            | Fault::LoseUnsynced
            | Fault::TornTail
            | Fault::DiskFull
            | Fault::DiskError => "leader",
            Fault::RollingRestart | Fault::ApprovalWithheld | Fault::Nothing => "all",
            Fault::RegionCut | Fault::RegionLost => "a-region",
            Fault::Slow
            | Fault::Cut
            | Fault::Load
            | Fault::ReadLoad
            | Fault::CpuLimit
            | Fault::MemoryLimit
            | Fault::Remove
            | Fault::Replace
            | Fault::Promote
            | Fault::BitFlip
            | Fault::SlowSync => "a-follower",
            Fault::Isolate
            | Fault::Halves
            | Fault::Bridge
            | Fault::MajoritiesRing
            | Fault::OneWay
            | Fault::ClockBump
            | Fault::ClockStrobe
            | Fault::ClockDrift
            | Fault::ClockJumpBack
            | Fault::Delay
            | Fault::Loss
            | Fault::Reorder
            | Fault::Duplicate
            | Fault::Corrupt
            | Fault::Bandwidth
            | Fault::Flapping => "one",
        }
    }

    /// Whether it is over once it was made: nothing of it is left that ends with time.
    pub fn over_at_once(self) -> bool {
        matches!(self, Fault::Restart | Fault::RollingRestart)
    }

    /// How long it takes at least until it is made and proven, ms: what a schedule that is drawn
    /// allows for. One that is planned for less lasts as long all the same.
    pub fn least_ms(self) -> u64 {
        match self {
            Fault::ClockBump => 3_000,
            Fault::ClockDrift => 4_500,
            Fault::ClockJumpBack => 5_500,
            Fault::ClockStrobe => 8_000,
            Fault::CrashLoop => 3_000,
            Fault::RollingRestart => 6_000,
            Fault::Restart | Fault::Promote => 1_000,
            Fault::Load | Fault::ReadLoad | Fault::CpuLimit => 2_000,
            Fault::MemoryLimit => 3_500,
            fault if crate::shape::is(fault) => 4_000,
            _ => 300,
        }
    }

    /// The parameters that it takes.
    pub fn parameters(self) -> &'static [Parameter] {
        match self {
            Fault::Slow => &[STOPPED],
            Fault::Halves => &[SIDE],
            Fault::OneWay => &[DIRECTION],
            Fault::RegionLost => &[HOW],
            Fault::Stop => &[life::GRACE],
            Fault::Restart => &[life::GRACE, life::SET],
            Fault::RollingRestart => &[life::GRACE, life::REJOIN, life::GAP, life::SET],
            Fault::CrashLoop => &[life::PERIOD],
            Fault::KillInStart => &[life::AFTER],
            Fault::ClockBump => &[clock::OFFSET],
            Fault::ClockStrobe => &[clock::SWING, clock::PERIOD],
            Fault::ClockDrift => &[clock::RATE],
            Fault::ClockJumpBack => &[clock::LEAP, clock::BACK],
            Fault::Delay => &shape::DELAY,
            Fault::Loss => &shape::LOSS,
            Fault::Reorder => &shape::REORDER,
            Fault::Duplicate => &shape::DUPLICATE,
            Fault::Corrupt => &shape::CORRUPT,
            Fault::Bandwidth => &shape::BANDWIDTH,
            Fault::Flapping => &shape::FLAPPING,
            Fault::LoseUnsynced => &[disk::TORN],
            Fault::TornTail => &[disk::BYTES],
            Fault::BitFlip => &[disk::FILES],
            Fault::DiskError => &[disk::ON, disk::FILES],
            Fault::SlowSync => &[disk::DELAY, disk::FILES],
            Fault::Load => &[life::CORES],
            Fault::ReadLoad => &[limit::CLIENTS],
            Fault::CpuLimit => &[limit::CPU],
            Fault::MemoryLimit => &[limit::MEMORY],
            _ => &[],
        }
    }

    /// Whether it is about regions: whoever is named stands for all nodes of its region.
    pub fn is_of_regions(self) -> bool {
        matches!(self, Fault::RegionCut | Fault::RegionLost)
    }

    /// The fewest nodes with which it is what its name says.
    pub fn least_nodes(self) -> usize {
        match self {
            Fault::MajoritiesRing => 4,
            Fault::Bridge => 3,
            // A cluster that exists may have one node or two, and those can be killed.
            _ => 1,
        }
    }
}
