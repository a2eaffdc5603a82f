//! What the harness asks of an agent, and what comes back. Version 1.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::addresses::Interface;
use crate::capture::Captured;
use crate::cgroup::Seen;
use crate::disk::asks::DiskAsk;
use crate::life::{Plan, Story};
use crate::means::{Lack, Means};
use crate::ping::{PingPlan, Pings};
use crate::press::PressAsk;
use crate::shape::{Counters, PeerShape};
use crate::sockets::Sockets;

/// A question, with a number that its answer carries too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The number.
    pub id: u64,
    /// What is asked.
    pub body: Ask,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// The question's number.
    pub id: u64,
    /// The answer, or what went wrong in one sentence.
    pub body: Result<Answer, String>,
}

/// A process, named so that a later one with the same number is not mistaken for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its number.
    pub pid: i32,
    /// When it started, in clock ticks since boot (field 22 of /proc/PID/stat).
    pub start: u64,
}

/// How to start a process that outlives the channel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Where its output is appended.
    pub log: String,
    /// Where its number is written.
    pub pidfile: String,
    /// While this file exists nobody but who made it starts the process: healing a kill does not.
    #[serde(default)]
    pub hold: Option<String>,
    /// What it finds in its environment, beside the agent's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Whether a library may be preloaded into the program itself; a script that changes the user
    /// does that for its server.
    #[serde(default)]
    pub preload: bool,
}

/// What is done to a server's clock. Offsets are against the host's clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum ClockChange {
    /// It jumps, and goes on from there.
    Offset {
        /// How far ahead, ms.
        offset_ms: i64,
    },
    /// It jumps to and fro.
    Strobe {
        /// How far ahead, ms.
        offset_ms: i64,
        /// How long it stays, there as here, ms.
        period_ms: u64,
    },
    /// It goes faster or slower from here on.
    Drift {
        /// Its rate, in thousandths.
        rate: u32,
    },
}

/// A host's clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostClock {
    /// The boot's name: hosts that share one share a clock.
    pub boot: String,
    /// The time of day, µs since 1970.
    pub realtime_us: i64,
    /// Since the boot, as fast as the time of day goes, µs: what `/proc/uptime` says.
    pub boottime_us: i64,
    /// Since the boot, by a clock that no setting and no rate moves, µs.
    pub steady_us: i64,
    /// µs a tick, 10,000 as a rule.
    pub tick: i64,
    /// In units of 2^-16 parts of a million.
    pub frequency: i64,
    /// What became of the services that keep it right.
    pub said: Vec<String>,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub enum Ask {
    /// Renews the lease of everything in force.
    Renew,
    /// Asked first: whether the host is ours, and what is worth knowing about that.
    Hello,
    /// Asked before anything is built: which of these the host does not have.
    Means {
        /// What acts will need.
        needed: Vec<Means>,
    },
    /// By what this host can be spoken to.
    Addresses,
    /// Asked last: undoes everything and lets the host's lock go.
    Release,
    /// Starts a process in a session of its own, as a child of the host's init.
    Start {
        /// How.
        start: Start,
        /// How long it must live to count as started, ms.
        settle_ms: u64,
    },
    /// The state of the process in a pidfile.
    State {
        /// The file.
        pidfile: String,
    },
    /// SIGKILL to the process in a pidfile; started again when healed.
    Kill {
        /// The fault's id.
        fault: String,
        /// The file.
        pidfile: String,
        /// How it is started again.
        restart: Option<Start>,
    },
    /// SIGSTOP; SIGCONT when healed.
    Pause {
        /// The fault's id.
        fault: String,
        /// The file.
        pidfile: String,
    },
    /// SIGSTOP and SIGCONT in turn until healed.
    Slow {
        /// The fault's id.
        fault: String,
        /// The file.
        pidfile: String,
        /// Share of each tenth of a second in which it is stopped.
        stopped_percent: u32,
    },
    /// Ends a process otherwise than by one kill, as planned; it runs again when healed.
    Live {
        /// The fault's id.
        fault: String,
        /// Its pidfile, and how it is started again.
        start: Start,
        /// What is done.
        plan: Plan,
    },
    /// Of what the system gets of its host.
    Press {
        /// What.
        about: PressAsk,
    },
    /// What has become of a process so far.
    LifeOf {
        /// The fault's id.
        fault: String,
    },
    /// Drops packets from these addresses until healed.
    Drop {
        /// The fault's id.
        fault: String,
        /// Whose packets.
        from: Vec<IpAddr>,
    },
    /// Drops what clients send to these ports until healed.
    DropClients {
        /// The fault's id.
        fault: String,
        /// Where clients are.
        from: Vec<IpAddr>,
        /// The system's ports: nothing else is dropped.
        ports: Vec<u16>,
    },
    /// Asked before servers are started, for clock faults: each gets a clock that this file moves.
    FakeClock {
        /// The file.
        file: String,
    },
    /// Moves the clock of this host's servers until healed.
    SetClock {
        /// The fault's id.
        fault: String,
        /// Names the server's process.
        pidfile: String,
        /// How.
        change: ClockChange,
    },
    /// Moves the clock of the host itself until healed.
    SetHostClock {
        /// The fault's id.
        fault: String,
        /// How.
        change: ClockChange,
    },
    /// What the host's clock says, beside what nobody can set.
    HostClock,
    /// Shapes packets from peers until healed: see [`crate::shape`].
    Shape {
        /// The fault's id.
        fault: String,
        /// Whose packets, and how.
        peers: Vec<PeerShape>,
        /// What chance is drawn from.
        seed: u64,
    },
    /// Sends a share of the packets to these addresses twice until healed.
    Duplicate {
        /// The fault's id.
        fault: String,
        /// Where to.
        to: Vec<IpAddr>,
        /// Parts of a million.
        share: u32,
    },
    /// Captures the packets of an interface into files that take so many bytes at most.
    Capture {
        /// An address of the interface.
        address: IpAddr,
        /// Bytes.
        bound: u64,
    },
    /// Ends that; the files stay until `pcap` is healed.
    EndCapture,
    /// How a fault's shaper is, and what it has done.
    Shaped {
        /// The fault's id.
        fault: String,
    },
    /// Sends echo requests and measures what comes back. Others are answered meanwhile.
    Ping {
        /// Where to.
        targets: Vec<IpAddr>,
        /// How many, and when.
        plan: PingPlan,
    },
    /// Of a data folder's disk.
    Disk {
        /// What.
        about: DiskAsk,
    },
    /// Undoes a fault.
    Heal {
        /// Its id.
        fault: String,
    },
    /// Undoes everything.
    HealAll,
    /// Stops the process in a pidfile for good: SIGTERM, then SIGKILL.
    Stop {
        /// The file.
        pidfile: String,
        /// How long it may take to obey, ms.
        grace_ms: u64,
    },
    /// `GET` of a plain http address on this host or its network, or `POST` of nothing to it.
    HttpGet {
        /// Whether it is `POST`.
        #[serde(default)]
        post: bool,
        /// Where.
        address: SocketAddr,
        /// The path.
        path: String,
        /// How long it may take, ms.
        timeout_ms: u64,
    },
    /// Whether TCP connections to these addresses can be made.
    Reach {
        /// Where to.
        targets: Vec<SocketAddr>,
        /// How long it may take, ms.
        timeout_ms: u64,
    },
    /// What the kernel says of this host's TCP connections with these addresses.
    Sockets {
        /// The other ends.
        peers: Vec<IpAddr>,
    },
    /// The last lines of a file.
    Tail {
        /// The file.
        path: String,
        /// How many.
        lines: usize,
    },
}

/// The state of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProcessState {
    /// No such process.
    Absent,
    /// Dead and not yet reaped: as good as absent.
    Zombie,
    /// Stopped by a signal.
    Stopped,
    /// Anything else.
    Running,
}

impl ProcessState {
    /// A word for evidence.
    pub fn as_str(self) -> &'static str {
        match self {
            ProcessState::Absent => "absent",
            ProcessState::Zombie => "zombie",
            ProcessState::Stopped => "stopped",
            ProcessState::Running => "running",
        }
    }
}

/// What comes back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    /// Done.
    Done,
    /// The host is ours.
    Welcome {
        /// A dead agent's lock was taken over, in words.
        note: Option<String>,
        /// The timer outside of the agent, or why there is none, in words.
        #[serde(default)]
        timer: Option<String>,
    },
    /// By what the host can be spoken to.
    Addresses {
        /// Its interfaces.
        interfaces: Vec<Interface>,
        /// The address that SSH came by, if that is known.
        control: Option<IpAddr>,
    },
    /// What the host does not have.
    Means {
        /// Nothing, if it has all.
        lacking: Vec<Lack>,
    },
    /// A process.
    Process {
        /// Which, if there is one.
        process: Option<ProcessId>,
        /// How it is.
        state: ProcessState,
    },
    /// A process tree is limited, by this mechanism.
    Limited {
        /// `cgroup v1` or `cgroup v2`.
        mechanism: String,
    },
    /// A control group.
    Cgroup {
        /// Which, and what has become of its processes.
        seen: Seen,
    },
    /// Processor time of a process tree.
    ProcessorTimes {
        /// How long it has run, ns.
        ran_ns: u64,
        /// How long it has waited for a processor, ns.
        waited_ns: u64,
    },
    /// What has become of a process.
    Life {
        /// So far.
        story: Box<Story>,
    },
    /// Packets are dropped, by this mechanism.
    Dropping {
        /// `nf_tables` or `iptables`.
        mechanism: String,
    },
    /// Packets are shaped, by this mechanism.
    Shaping {
        /// `NFQUEUE` or `TEE`.
        mechanism: String,
    },
    /// Packets were captured.
    Captured {
        /// How many.
        captured: Captured,
        /// Where they are.
        files: Vec<String>,
    },
    /// A fault's shaper.
    Shaped {
        /// What it has done, if it runs.
        counters: Option<Counters>,
        /// Why it does not.
        ended: Option<String>,
    },
    /// Per target, what came back, or what went wrong.
    Pinged {
        /// In the order asked.
        outcomes: Vec<Result<Pings, String>>,
    },
    /// What came of a question about a disk.
    Disk {
        /// In words.
        said: String,
        /// Pages lost, or operations that met a trouble.
        count: u64,
        /// How long a probe's sync took, ms.
        sync_ms: u64,
    },
    /// A host's clock.
    HostClock {
        /// What it says.
        clock: HostClock,
    },
    /// What was undone, in words.
    Healed {
        /// One line each.
        undone: Vec<String>,
    },
    /// What an HTTP server said.
    Http {
        /// Its status code.
        status: u16,
        /// The body.
        body: String,
    },
    /// Per target: `connected`, `refused`, `timeout` or another error.
    Reached {
        /// In the order asked.
        outcomes: Vec<String>,
    },
    /// What the kernel says of connections.
    Sockets {
        /// How many there are, and which wait for a retransmission.
        sockets: Sockets,
    },
    /// Text.
    Text {
        /// The text.
        text: String,
    },
}
