//! A test, fully resolved: what a TOML file and flags come to. What the engine runs from.
//!
//! Durations are whole milliseconds, rates operations a second. Everything here is written to
//! `run.json`, so that a run can be repeated from its folder.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use systems::mongodb::MongoSpec;
use systems::postgres::PostgresSpec;

use super::canary::CanarySpec;
use super::package::PackageSpec;
use super::regions::RegionsSpec;
use super::stay::StaySpec;

/// Where hosts come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LabSpec {
    /// Namespaced hosts on this machine.
    Local,
    /// A kept lab (`splitbrain lab up`), by id.
    Kept(String),
    /// An inventory file of machines reachable by SSH.
    Hosts(String),
    /// The simulator.
    Sim,
}

/// How the store's leader waits for followers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplicationSpec {
    /// Acknowledge after the leader's own disk.
    Async,
    /// Acknowledge after `k` followers have it on disk.
    Sync {
        /// Followers that must have it; the leader is not counted.
        k: usize,
    },
}

/// How the store replaces a leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailoverSpec {
    /// Never.
    None,
    /// By a majority's vote.
    Vote,
    /// By a follower's own timeout.
    Timeout,
}

/// A system under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SystemKind {
    /// The bundled store.
    Store,
    /// PostgreSQL.
    Postgres,
    /// MongoDB.
    Mongodb,
}

impl SystemKind {
    /// All, in the order in which lists show them.
    pub const ALL: [SystemKind; 3] = [SystemKind::Store, SystemKind::Postgres, SystemKind::Mongodb];

    /// Its name in files and flags.
    pub fn name(self) -> &'static str {
        match self {
            SystemKind::Store => "store",
            SystemKind::Postgres => "postgres",
            SystemKind::Mongodb => "mongodb",
        }
    }

    /// One sentence for lists.
    pub fn summary(self) -> &'static str {
        match self {
            SystemKind::Store => "the bundled replicated store",
            SystemKind::Postgres => "PostgreSQL 15 or later, a leader and streaming standbys",
            SystemKind::Mongodb => "MongoDB 6 or later, a replica set",
        }
    }

    /// The one called `name`.
    pub fn by_name(name: &str) -> Option<SystemKind> {
        SystemKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// The bundled store's settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreSpec {
    /// How acknowledgement waits.
    pub replication: ReplicationSpec,
    /// How a leader is replaced.
    pub failover: FailoverSpec,
    /// Independent logs.
    pub shards: u32,
    /// Whether reads see only committed entries.
    pub committed_reads: bool,
    /// Whether the log is synced before it counts as written.
    pub fsync: bool,
    /// Heartbeat period, ms.
    pub heartbeat_ms: u64,
    /// Shortest election timeout, ms; the longest is twice this.
    pub election_timeout_ms: u64,
    /// How often an asynchronous leader ships its log, ms.
    pub ship_ms: u64,
}

/// The workload's settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadSpec {
    /// `ledger`, `profile`, `conversation` or `mixed`.
    pub name: String,
    /// Logical users.
    pub sessions: usize,
    /// Operations a second over all sessions; 0 is as fast as they go.
    pub rate: u64,
    /// The client policy's name.
    pub policy: String,
    /// How many sessions of the policy `leader` stay with a deposed leader.
    #[serde(default)]
    pub stay: StaySpec,
    /// Deadline of one operation, ms.
    pub op_timeout_ms: u64,
}

/// A fault, before it is placed on the timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultSpec {
    /// Its name in the catalogue: `kill`, `halves`.
    pub fault: String,
    /// `leader`, `a-follower`, `one`, `n3`, ...
    pub selector: String,
    /// When, ms after the run's start; `None` lets the seed choose.
    pub start_ms: Option<u64>,
    /// How long, ms; `None` lets the seed choose.
    pub duration_ms: Option<u64>,
    /// How often, spread over the fault phase.
    pub count: u32,
    /// The shard a role selector speaks of.
    pub shard: u32,
    /// Whether the verdict needs it to have had an effect; `None`: the first of each family.
    pub required: Option<bool>,
    /// What it is told besides, as it is written; what is absent has its default.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
}

/// What the coverage gate asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoverageSpec {
    /// ok operations of each kind before the first fault and after the last heal.
    pub ok_outside_min: u64,
    /// Attempts of each kind during each fault.
    pub attempts_during_min: u64,
}

/// A test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestSpec {
    /// Names the folder under `runs/`.
    pub name: String,
    /// Everything random is drawn from it.
    pub seed: u64,
    /// Where hosts come from.
    pub lab: LabSpec,
    /// How many hosts, 3 to 9.
    pub hosts: usize,
    /// The system under test.
    pub system: SystemKind,
    /// Settings of the bundled store.
    pub store: StoreSpec,
    /// Settings of PostgreSQL.
    pub postgres: PostgresSpec,
    /// Settings of MongoDB.
    pub mongodb: MongoSpec,
    /// What is done to it.
    pub workload: WorkloadSpec,
    /// What is broken.
    pub faults: Vec<FaultSpec>,
    /// What is broken besides, when the seed says.
    #[serde(default)]
    pub package: Option<PackageSpec>,
    /// Length of the main phase, ms: calm, faults, calm.
    pub duration_ms: u64,
    /// Longest wait for convergence after healing, and for the operations that the coverage gate
    /// asks for before the first fault and after the last, ms each.
    pub recovery_ms: u64,
    /// Telemetry sampling period, ms.
    pub sample_ms: u64,
    /// Longest time that faults may be in force in all, ms; on hosts alone.
    pub max_duration_ms: Option<u64>,
    /// What a verdict needs.
    pub coverage: CoverageSpec,
    /// What the client does wrong on purpose.
    pub canary: Option<CanarySpec>,
    /// Packets are captured, in files of so many bytes a node at most.
    #[serde(default)]
    pub pcap_bytes: Option<u64>,
    /// Regions of nodes, and how far apart they are.
    #[serde(default)]
    pub regions: RegionsSpec,
}

impl TestSpec {
    /// How many of so many nodes clients can ask for data: the first ones.
    pub fn data_nodes(&self, count: usize) -> usize {
        match self.system {
            SystemKind::Mongodb => self.mongodb.data_members(count),
            SystemKind::Store | SystemKind::Postgres => count,
        }
    }

    /// Every fault that may come of the test, by its schedule or by its package.
    pub fn all_faults(&self) -> Vec<FaultSpec> {
        // An entry that cannot be read was refused when the test was.
        let package = self.package.as_ref().and_then(|package| package.entries().ok());
        self.faults.iter().cloned().chain(package.into_iter().flatten().flatten()).collect()
    }

    /// Independent logs of the system.
    pub fn shards(&self) -> u32 {
        match self.system {
            SystemKind::Store => self.store.shards,
            SystemKind::Postgres | SystemKind::Mongodb => 1,
        }
    }
}

impl Default for TestSpec {
    fn default() -> TestSpec {
        TestSpec {
            name: "run".to_owned(),
            seed: 1,
            lab: LabSpec::Local,
            hosts: 3,
            system: SystemKind::Store,
            postgres: PostgresSpec::default(),
            mongodb: MongoSpec::default(),
            store: StoreSpec {
                replication: ReplicationSpec::Async,
                failover: FailoverSpec::Vote,
                shards: 1,
                committed_reads: false,
                fsync: true,
                heartbeat_ms: 50,
                election_timeout_ms: 300,
                ship_ms: 50,
            },
            workload: WorkloadSpec {
                name: "ledger".to_owned(),
                sessions: 20,
                rate: 400,
                policy: "leader".to_owned(),
                stay: StaySpec::default(),
                op_timeout_ms: 1_000,
            },
            faults: Vec::new(),
            package: None,
            duration_ms: 8_000,
            recovery_ms: 10_000,
            sample_ms: 100,
            max_duration_ms: None,
            coverage: CoverageSpec { ok_outside_min: 50, attempts_during_min: 20 },
            canary: None,
            pcap_bytes: None,
            regions: RegionsSpec::default(),
        }
    }
}
