//! What a PostgreSQL cluster is set to. Field names are those of the file and of `--set`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::versions::Version;

/// When a commit is acknowledged, as far as standbys go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Replication {
    /// `synchronous_standby_names` is empty.
    Async,
    /// `FIRST k (...)`: the first k standbys in the order of their names.
    First,
    /// `ANY k (...)`: any k standbys.
    Any,
}

/// How changes get to the followers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplicationKind {
    /// Streaming of the log to standbys.
    Streaming,
    /// A publication and subscriptions.
    Logical,
    /// Triggers that write a table of changes, which followers read.
    Trigger,
}

/// `synchronous_commit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SynchronousCommit {
    /// Not even the local flush is waited for.
    Off,
    /// The local flush.
    Local,
    /// The standby's operating system has it.
    RemoteWrite,
    /// The standby has flushed it.
    On,
    /// The standby shows it.
    RemoteApply,
}

/// `default_transaction_isolation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// READ COMMITTED.
    ReadCommitted,
    /// REPEATABLE READ: snapshot isolation.
    RepeatableRead,
    /// SERIALIZABLE.
    Serializable,
}

/// Who replaces a dead leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failover {
    /// Nobody.
    None,
    /// splitbrain, as a runbook would have it.
    Operator,
    /// Patroni, with etcd.
    Patroni,
}

/// How Patroni speaks to etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EtcdApi {
    /// The old protocol, which etcd 3.4 serves when told to: Patroni's section `etcd`.
    V2,
    /// The new one: Patroni's section `etcd3`. Before 3.0.3 a former leader could overwrite another
    /// one's lock with it (github.com/patroni/patroni/pull/2689).
    V3,
}

/// How soon the servers notice that the other end is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Timeouts {
    /// The server's own defaults: what most clusters have.
    Server,
    /// Seconds instead of a minute, for short tests.
    Lab,
}

impl Timeouts {
    /// The settings that differ from the server's defaults.
    pub fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Timeouts::Server => &[],
            Timeouts::Lab => &[
                ("wal_sender_timeout", "4s"),
                ("wal_receiver_timeout", "2s"),
                ("wal_receiver_status_interval", "1s"),
                ("wal_retrieve_retry_interval", "200ms"),
            ],
        }
    }
}

/// Whom the operator promotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Candidate {
    /// The standby that has received most.
    MostAdvanced,
    /// The one that has received least: wrong on purpose.
    LeastAdvanced,
}

/// See the module's doc.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PostgresSpec {
    /// `async`, `first` or `any`.
    pub replication: Replication,
    /// `streaming`, `logical` or `trigger`.
    pub replication_kind: ReplicationKind,
    /// Standbys that must confirm, with `first` and `any`.
    pub k: usize,
    /// `off`, `local`, `remote_write`, `on` or `remote_apply`.
    pub synchronous_commit: SynchronousCommit,
    /// `read-committed`, `repeatable-read` or `serializable`.
    pub isolation: Isolation,
    /// `none`, `operator` or `patroni`.
    pub failover: Failover,
    /// `most-advanced` or `least-advanced`.
    pub candidate: Candidate,
    /// Whether the operator ends the old leader before it promotes another.
    pub fence: bool,
    /// How long a leader must be gone before the operator replaces it, ms. Patroni has its `ttl`.
    pub detect_ms: u64,
    /// Patroni's `ttl`, s: how long a leader's lock lasts. Patroni's documentation asks for 20 at
    /// least; version 3.0 takes less, later ones raise it.
    pub patroni_ttl_s: u64,
    /// Patroni's `loop_wait`, s.
    pub patroni_loop_wait_s: u64,
    /// Patroni's `retry_timeout`, s.
    pub patroni_retry_timeout_s: u64,
    /// How Patroni speaks to etcd: `v2` or `v3`.
    pub patroni_etcd: EtcdApi,
    /// Patroni's `maximum_lag_on_failover`, bytes.
    pub patroni_maximum_lag_bytes: u64,
    /// `server` or `lab`.
    pub timeouts: Timeouts,
    /// Standby to `recovery_min_apply_delay`, ms.
    pub apply_delay_ms: BTreeMap<String, u64>,
    /// Physical replication slots, one a standby.
    pub slots: bool,
    /// `fsync`.
    pub fsync: bool,
    /// `full_page_writes`.
    pub full_page_writes: bool,
    /// `wal_log_hints`.
    pub wal_log_hints: bool,
    /// The server's version: `17`, or `"17.10"`. Without it the newest of the host's packages.
    pub version: Option<Version>,
    /// Node to its version, where a mix is wanted.
    pub versions: BTreeMap<String, Version>,
    /// The path of the program `postgres` on the hosts; its other programs are beside it.
    pub binary: Option<String>,
    /// Where the server listens.
    pub port: u16,
    /// Followers less than so many ms behind are healthy, up to the second value they lag, beyond
    /// they are far behind.
    pub lag_grades_ms: [u64; 2],
}

impl Default for PostgresSpec {
    fn default() -> PostgresSpec {
        PostgresSpec {
            replication: Replication::Async,
            replication_kind: ReplicationKind::Streaming,
            k: 1,
            synchronous_commit: SynchronousCommit::On,
            isolation: Isolation::ReadCommitted,
            failover: Failover::None,
            candidate: Candidate::MostAdvanced,
            fence: true,
            detect_ms: 1_000,
            patroni_ttl_s: 20,
            patroni_loop_wait_s: 1,
            patroni_retry_timeout_s: 3,
            patroni_etcd: EtcdApi::V2,
            patroni_maximum_lag_bytes: 1 << 20,
            timeouts: Timeouts::Server,
            apply_delay_ms: BTreeMap::new(),
            slots: true,
            fsync: true,
            full_page_writes: true,
            wal_log_hints: true,
            version: None,
            versions: BTreeMap::new(),
            binary: None,
            port: 5432,
            lag_grades_ms: [1_000, 5_000],
        }
    }
}

impl PostgresSpec {
    /// What is wrong with it for these nodes: the field, and what was expected.
    pub fn check(&self, nodes: &[String]) -> Result<(), (&'static str, String)> {
        let standbys = nodes.len().saturating_sub(1);
        if self.replication != Replication::Async && !(1..=standbys).contains(&self.k) {
            let what = format!("{} of {standbys} standbys cannot confirm a commit", self.k);
            return Err(("postgres.k", what));
        }
        if let Some(unknown) = self.apply_delay_ms.keys().find(|name| !nodes.contains(name)) {
            let what = format!("there is no node {unknown}: nodes are {}", nodes.join(", "));
            return Err(("postgres.apply_delay_ms", what));
        }
        if let Some(unknown) = self.versions.keys().find(|name| !nodes.contains(name)) {
            let what = format!("there is no node {unknown}: nodes are {}", nodes.join(", "));
            return Err(("postgres.versions", what));
        }
        if self.failover == Failover::Patroni && nodes.len() < 3 {
            return Err(("postgres.failover", "Patroni with etcd wants 3 hosts".to_owned()));
        }
        let busy = self.patroni_loop_wait_s + 2 * self.patroni_retry_timeout_s;
        if self.failover == Failover::Patroni && self.patroni_ttl_s < busy.max(3) {
            let what = format!(
                "{} s: Patroni wants ttl >= loop_wait + 2 * retry_timeout, which is {busy} s here",
                self.patroni_ttl_s
            );
            return Err(("postgres.patroni_ttl_s", what));
        }
        if self.replication_kind != ReplicationKind::Streaming {
            self.check_independent()?;
        }
        if self.lag_grades_ms[1] < self.lag_grades_ms[0] {
            return Err(("postgres.lag_grades_ms", "two thresholds, the lower first".to_owned()));
        }
        Ok(())
    }

    /// What followers that are servers of their own cannot do.
    fn check_independent(&self) -> Result<(), (&'static str, String)> {
        let refuse = |field, what: &str| Err((field, what.to_owned()));
        if self.failover != Failover::None {
            let what = "a follower of logical or trigger replication is not promoted here: \
                        failover = \"none\"";
            return refuse("postgres.failover", what);
        }
        if self.replication != Replication::Async {
            let what = "logical and trigger replication are asynchronous here";
            return refuse("postgres.replication", what);
        }
        if !self.apply_delay_ms.is_empty() {
            let what = "only a streaming standby can be told to apply late";
            return refuse("postgres.apply_delay_ms", what);
        }
        Ok(())
    }

    /// What is wrong with a client policy for it.
    pub fn check_policy(&self, policy: &str) -> Result<(), String> {
        if self.replication_kind != ReplicationKind::Streaming && policy == "position-token" {
            let what = "a follower of logical or trigger replication has no position in the \
                        leader's log that a token could be compared with";
            return Err(what.to_owned());
        }
        Ok(())
    }

    /// The version that a node is to have, if it matters.
    pub fn version_of(&self, name: &str) -> Option<&str> {
        let version = self.versions.get(name).or(self.version.as_ref());
        version.map(|version| version.0.as_str())
    }

    /// `synchronous_standby_names`.
    pub fn standby_names(&self, nodes: &[String]) -> String {
        let quoted: Vec<String> = nodes.iter().map(|name| format!("\"{name}\"")).collect();
        match self.replication {
            Replication::Async => String::new(),
            Replication::First => format!("FIRST {} ({})", self.k, quoted.join(", ")),
            Replication::Any => format!("ANY {} ({})", self.k, quoted.join(", ")),
        }
    }
}

impl SynchronousCommit {
    /// The value of the configuration file.
    pub fn as_str(self) -> &'static str {
        match self {
            SynchronousCommit::Off => "off",
            SynchronousCommit::Local => "local",
            SynchronousCommit::RemoteWrite => "remote_write",
            SynchronousCommit::On => "on",
            SynchronousCommit::RemoteApply => "remote_apply",
        }
    }
}

impl Isolation {
    /// The value of the configuration file.
    pub fn as_sql(self) -> &'static str {
        match self {
            Isolation::ReadCommitted => "read committed",
            Isolation::RepeatableRead => "repeatable read",
            Isolation::Serializable => "serializable",
        }
    }

    /// The isolation that a hot standby gives instead: it has no SERIALIZABLE (error 0A000), and
    /// its documentation says to use REPEATABLE READ there.
    pub fn on_standby(self) -> Isolation {
        match self {
            Isolation::Serializable => Isolation::RepeatableRead,
            isolation => isolation,
        }
    }

    /// Start-up options of a connection. That on a leader is set once the node is known to lead.
    pub fn options(self) -> String {
        // A space within an option is written with a backslash.
        let value = |isolation: Isolation| isolation.as_sql().replace(' ', "\\ ");
        format!(
            "-c default_transaction_isolation={} -c splitbrain.leader_isolation={}",
            value(self.on_standby()),
            value(self)
        )
    }

    /// Whether all reads of a transaction share one moment.
    pub fn reads(self) -> &'static str {
        match self {
            Isolation::ReadCommitted => "ordered",
            Isolation::RepeatableRead | Isolation::Serializable => "atomic",
        }
    }

    /// The level of Adya's and Elle's lattice that it promises.
    pub fn model(self) -> &'static str {
        match self {
            Isolation::ReadCommitted => "read-committed",
            Isolation::RepeatableRead => "snapshot-isolation",
            Isolation::Serializable => "serializable",
        }
    }
}
