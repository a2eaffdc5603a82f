//! PostgreSQL, a leader and streaming standbys, built over SSH.
//!
//! Read next: [`spec`] (settings), [`provision`] (how it gets there), [`client`] and [`errors`]
//! (what its answers mean), [`operator`] (who replaces a dead leader), [`promises`]; [`attached`]
//! for a cluster that exists already.

pub mod attached;
pub mod building;
mod changed;
mod changes;
pub mod client;
pub mod connection;
pub mod errors;
mod logical;
pub mod lsn;
pub mod operator;
pub mod orders;
mod patroni;
pub mod promises;
pub mod provision;
pub mod recovery;
mod replaced;
pub mod sample;
pub mod spec;
pub mod sql;
pub mod tls;
pub mod versions;

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use agent::life::Graceful;
use agent::proto::{Answer, Ask, ProcessState, Start};
use history::{Evidence, Role, SystemInfo, TelemetryEvent};
use tokio::runtime::Runtime;

use crate::changing::Changing;
use crate::client::{Client, Model};
use crate::leadership;
use crate::operator::Operator;
use crate::promises::settings;
use crate::replacing::Replacing;
use crate::system::{DiskLayout, LogFile, Nodes, System, SystemError};
pub use changed::PROMISED;
use client::PostgresClient;
use connection::Login;
use operator::Runbook;
use orders::Orders;
use provision::{LOG, PIDFILE, Programs, Provision, USER};
use sample::Sampler;
pub use spec::PostgresSpec;
use spec::{Failover, Isolation, ReplicationKind};

/// How long a server may take to accept connections after it was started.
const START_LIMIT: Duration = Duration::from_secs(20);
/// How long the standbys may take to stream.
const STREAM_LIMIT: Duration = Duration::from_secs(30);
/// How long the operator may take to promote whom it is told to.
const PROMOTE_LIMIT: Duration = Duration::from_secs(20);
/// The schema that holds what a run writes.
const SCHEMA: &str = "splitbrain";

/// Parts of paths of PostgreSQL's log, and of what it is applied to.
const DISK_LOG: [&str; 1] = ["/pg_wal/"];
const DISK_DATA: [&str; 1] = ["/base/"];

/// See the module's doc.
pub struct PostgresSystem {
    cluster: Arc<Cluster>,
    sampler: Arc<Sampler>,
    runtime: Arc<Runtime>,
}

/// What the operator and the system share.
pub(crate) struct Cluster {
    pub(crate) nodes: Arc<Nodes>,
    pub(crate) spec: PostgresSpec,
    pub(crate) password: String,
    pub(crate) programs: OnceLock<Vec<Programs>>,
    pub(crate) patroni: OnceLock<String>,
    pub(crate) notes: Mutex<Vec<String>>,
    pub(crate) orders: Orders,
}

impl Cluster {
    pub(crate) fn provision(&self) -> Provision<'_> {
        Provision { nodes: &self.nodes, spec: &self.spec, password: &self.password }
    }

    pub(crate) fn programs(&self, node: usize) -> &Programs {
        &self.programs.get().expect("a cluster is brought up before it is used")[node]
    }

    pub(crate) fn data(&self, node: usize) -> SocketAddr {
        SocketAddr::new(self.nodes.data(node), self.spec.port)
    }

    pub(crate) fn control(&self, node: usize) -> SocketAddr {
        let address: Option<IpAddr> = self.nodes.control(node).parse().ok();
        SocketAddr::new(address.unwrap_or(self.nodes.data(node)), self.spec.port)
    }

    /// As superuser, outside all sessions.
    pub(crate) fn login(&self) -> Login {
        Login {
            user: USER.to_owned(),
            password: Some(self.password.clone()),
            database: "postgres".to_owned(),
            options: "-c synchronous_commit=local -c default_transaction_read_only=off".to_owned(),
            ..Login::default()
        }
    }

    /// Starts a node's server by its agent.
    pub(crate) fn start(&self, node: usize) -> Result<(), SystemError> {
        let ask = Ask::Start { start: provision::start(), settle_ms: 50 };
        // The agent quotes the last lines of the server's log.
        let started = self.nodes.ask(node, ask, Duration::from_secs(5));
        started.map(drop).map_err(|error| {
            let what = error.what.replace("/bin/sh ended", "the PostgreSQL server ended");
            SystemError::new(what.replace('\n', "; "))
        })
    }

    /// Whether somebody else listens where a server of ours is to listen.
    fn port_is_free(&self, node: usize) -> Result<(), SystemError> {
        let target = self.data(node);
        let ask = Ask::Reach { targets: vec![target], timeout_ms: 500 };
        match self.nodes.ask(node, ask, Duration::from_secs(2))? {
            Answer::Reached { outcomes } if outcomes.iter().any(|o| o == "connected") => {
                let (name, port) = (&self.nodes.names[node], self.spec.port);
                let what = format!("host {name}: port {port} is taken: something answers there");
                Err(SystemError::new(what)
                    .hint("end it, or choose another: --set postgres.port=5433"))
            }
            _ => Ok(()),
        }
    }

    /// Whether a server that was started is no more. An agent that does not answer knows nothing.
    fn ended(&self, node: usize) -> bool {
        let ask = Ask::State { pidfile: PIDFILE.to_owned() };
        matches!(
            self.nodes.ask(node, ask, Duration::from_secs(1)),
            Ok(Answer::Process { state: ProcessState::Absent | ProcessState::Zombie, .. })
        )
    }

    pub(crate) fn stop(&self, node: usize, grace_ms: u64) -> Result<(), SystemError> {
        let ask = Ask::Stop { pidfile: PIDFILE.to_owned(), grace_ms };
        self.nodes.ask(node, ask, Duration::from_secs(5)).map(drop)
    }
}

/// 128 bits that nobody can guess.
fn fresh_password() -> Result<String, SystemError> {
    let mut bytes = [0; 16];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|error| SystemError::new(format!("/dev/urandom: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl PostgresSystem {
    /// PostgreSQL on these nodes; the first is the first leader.
    pub fn new(nodes: Arc<Nodes>, spec: PostgresSpec) -> Result<PostgresSystem, SystemError> {
        PostgresSystem::with_password(nodes, spec, fresh_password()?)
    }

    fn with_password(
        nodes: Arc<Nodes>,
        spec: PostgresSpec,
        password: String,
    ) -> Result<PostgresSystem, SystemError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| SystemError::new(format!("no runtime: {error}")))?;
        let cluster = Cluster {
            nodes,
            spec,
            password,
            programs: OnceLock::new(),
            patroni: OnceLock::new(),
            notes: Mutex::default(),
            orders: Orders::default(),
        };
        let addresses = (0..cluster.nodes.count()).map(|node| cluster.control(node)).collect();
        let names = cluster.nodes.names.clone();
        let status = match cluster.spec.replication_kind {
            ReplicationKind::Streaming => sample::STATUS,
            ReplicationKind::Logical => logical::STATUS,
            ReplicationKind::Trigger => changes::STATUS,
        };
        let grades = cluster.spec.lag_grades_ms;
        let sampler = Sampler::new(names, addresses, cluster.login(), grades, status);
        Ok(PostgresSystem {
            cluster: Arc::new(cluster),
            sampler: Arc::new(sampler),
            runtime: Arc::new(runtime),
        })
    }

    /// The version of a node's server, once it is known.
    fn version_of(&self, node: usize) -> Option<versions::Version> {
        let said = self.cluster.programs.get().map(|programs| programs[node].version.as_str());
        said.and_then(versions::number).map(|number| versions::Version(number.to_owned()))
    }

    fn patroni(&self) -> bool {
        self.cluster.spec.failover == Failover::Patroni
    }

    fn triggers(&self) -> bool {
        self.cluster.spec.replication_kind == ReplicationKind::Trigger
    }

    fn sql(&self, node: usize, sql: &str) -> Result<(), String> {
        let (address, login) = (self.cluster.control(node), self.cluster.login());
        self.runtime.block_on(client::once(address, &login, sql))
    }

    /// Until the server takes connections; an error quotes its log.
    fn wait_for(&self, node: usize) -> Result<(), SystemError> {
        let started = Instant::now();
        loop {
            let error = match self.sql(node, "SELECT 1") {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let name = &self.cluster.nodes.names[node];
            // A wrong password stays wrong.
            let hopeless = error.starts_with("28") || self.cluster.ended(node);
            if hopeless || START_LIMIT < started.elapsed() {
                let log = self.cluster.nodes.tail(node, LOG);
                let what = format!("host {name}: the server takes no connection: {error}");
                return Err(SystemError::new(format!("{what}; its log ends: {log}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn schema(&self, node: usize) -> Result<(), SystemError> {
        let mut sql = format!(
            "SET synchronous_commit = local; DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; \
             CREATE SCHEMA {SCHEMA}; SET search_path = {SCHEMA}; {}",
            sql::TABLES
        );
        let streaming = self.cluster.spec.replication_kind == ReplicationKind::Streaming;
        if self.cluster.spec.slots && streaming && !self.patroni() {
            sql.push_str(&building::slots(&self.cluster.nodes.names));
        }
        self.sql(node, &sql).map_err(|error| {
            let name = &self.cluster.nodes.names[node];
            SystemError::new(format!("host {name}: making the schema: {error}"))
        })
    }

    fn wait_for_standbys(&self) -> Result<(), SystemError> {
        let started = Instant::now();
        loop {
            let samples: Vec<TelemetryEvent> =
                (0..self.cluster.nodes.count()).map(|node| self.sample(node, &|| 0)).collect();
            let leader = samples[0].shards.first().map_or(0, |replica| replica.position);
            let behind = samples[1..].iter().find(|sample| {
                let streams = sample.details.get("receiver").is_some_and(|r| r == "streaming");
                let at = sample.details.get("received").and_then(|at| at.as_u64()).unwrap_or(0);
                !(streams && leader <= at)
            });
            let Some(behind) = behind else {
                return Ok(());
            };
            if STREAM_LIMIT < started.elapsed() {
                let node = self.cluster.nodes.names.iter().position(|name| *name == behind.node);
                let log = node.map_or(String::new(), |node| self.cluster.nodes.tail(node, LOG));
                let why = behind.error.clone().unwrap_or_else(|| "it does not catch up".to_owned());
                return Err(SystemError::new(format!(
                    "standby {}: {why}; its log ends: {log}",
                    behind.node
                )));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl System for PostgresSystem {
    fn nodes(&self) -> &Nodes {
        &self.cluster.nodes
    }

    fn bring_up(&self) -> Result<(), SystemError> {
        let nodes = &self.cluster.nodes;
        self.take_down();
        let spec = &self.cluster.spec;
        let programs = nodes.each(|node, _| versions::find(nodes, node, spec))?;
        versions::check_mix(&nodes.names, &programs, spec)?;
        // A second bring-up finds the same.
        let _ = self.cluster.programs.set(programs);
        let provision = self.cluster.provision();
        nodes.each(|node, _| {
            self.cluster.port_is_free(node)?;
            provision.prepare(node, self.cluster.programs(node))
        })?;
        if self.patroni() {
            return self.bring_up_patroni();
        }
        match self.cluster.spec.replication_kind {
            ReplicationKind::Streaming => {}
            ReplicationKind::Logical => return self.bring_up_logical(),
            ReplicationKind::Trigger => return self.bring_up_triggers(),
        }
        provision.init(0, self.cluster.programs(0))?;
        self.cluster.start(0)?;
        self.wait_for(0)?;
        self.schema(0)?;
        nodes.each(|node, _| match node {
            0 => Ok(()),
            node => {
                provision.copy(node, self.cluster.programs(node), 0)?;
                self.cluster.start(node)
            }
        })?;
        for node in 1..nodes.count() {
            self.wait_for(node)?;
        }
        self.wait_for_standbys()
    }

    fn reset(&self) -> Result<bool, SystemError> {
        let leads = self.sample(0, &|| 0).shards.first().is_some_and(|r| r.role == Role::Leader);
        let streaming = self.cluster.spec.replication_kind == ReplicationKind::Streaming;
        if !leads || !streaming || self.patroni() {
            return Ok(false);
        }
        self.cluster.notes.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clear();
        self.schema(0)?;
        self.wait_for_standbys()?;
        Ok(true)
    }

    fn take_down(&self) {
        if self.triggers() {
            changes::stop_appliers(&self.cluster.nodes);
        }
        crate::ended::stop_all(&self.cluster.nodes, PIDFILE);
        if self.patroni() {
            patroni::stop_etcd(&self.cluster.nodes);
        }
    }

    fn start(&self, _node: usize) -> Start {
        if self.patroni() { patroni::start() } else { provision::start() }
    }

    /// Patroni ends its server itself.
    fn graceful(&self, _node: usize) -> Graceful {
        if self.patroni() { Graceful::Term } else { Graceful::Int }
    }

    fn address(&self, node: usize) -> SocketAddr {
        self.cluster.data(node)
    }

    fn disk(&self, _: usize) -> Option<DiskLayout> {
        Some(DiskLayout::built(provision::FOLDER, &DISK_LOG, &DISK_DATA))
    }

    fn logs(&self) -> Vec<LogFile> {
        building::logs(self.patroni(), self.triggers())
    }

    fn sample(&self, node: usize, clock: &dyn Fn() -> i64) -> TelemetryEvent {
        self.runtime.block_on(self.sampler.sample(node, clock))
    }

    fn wall_clock(&self, node: usize) -> Result<i64, SystemError> {
        self.runtime.block_on(self.sampler.wall_clock(node)).map_err(SystemError::new)
    }

    fn client(&self, model: Model) -> Arc<dyn Client> {
        let isolation = self.cluster.spec.isolation;
        let options = format!("-c search_path={SCHEMA} {}", isolation.options());
        let login = Login { options, ..self.cluster.login() };
        let count = self.cluster.nodes.count();
        let addresses = (0..count).map(|node| self.cluster.data(node)).collect();
        Arc::new(PostgresClient::new(addresses, login, isolation, model))
    }

    fn info(&self, policy: &str) -> SystemInfo {
        let spec = &self.cluster.spec;
        let standbys = self.cluster.nodes.count() - 1;
        let promised = promises::promises(spec, standbys, policy);
        SystemInfo {
            name: "postgres".to_owned(),
            settings: settings(spec),
            reads: Isolation::reads(spec.isolation).to_owned(),
            promises: promised.made,
            not_promised: promised.not_made,
        }
    }

    fn versions(&self) -> BTreeMap<String, String> {
        let programs = self.cluster.programs.get().into_iter().flatten();
        let said = programs.map(|one| format!("{}, {}/postgres", one.version, one.bin));
        self.cluster.nodes.names.iter().cloned().zip(said).collect()
    }

    fn facts(&self) -> BTreeMap<String, String> {
        let version = self.cluster.programs.get().map(|programs| programs[0].version.clone());
        let mut facts = BTreeMap::from([("server".to_owned(), version.unwrap_or_default())]);
        if let Some(found) = self.cluster.patroni.get() {
            facts.insert("failover".to_owned(), found.clone());
        }
        facts
    }

    fn promote(&self, node: usize) -> Result<Vec<Evidence>, SystemError> {
        let before = leadership::now(self);
        self.cluster.orders.promote(node);
        Ok(leadership::promoted(self, node, &before, PROMOTE_LIMIT))
    }

    fn withhold_approval(&self, withheld: bool) -> Result<u64, SystemError> {
        Ok(self.cluster.orders.withhold(withheld))
    }

    fn operator(&self) -> Option<Box<dyn Operator>> {
        match self.cluster.spec.failover {
            Failover::Operator => {
                let (runtime, sampler) = (Arc::clone(&self.runtime), Arc::clone(&self.sampler));
                Some(Box::new(Runbook::new(Arc::clone(&self.cluster), runtime, sampler)))
            }
            Failover::None | Failover::Patroni => None,
        }
    }

    fn changing(&self) -> Option<&dyn Changing> {
        Some(self)
    }

    fn replacing(&self) -> Option<&dyn Replacing> {
        let streams = self.cluster.spec.replication_kind == ReplicationKind::Streaming;
        (streams && !self.patroni()).then_some(self)
    }

    fn after_run(&self) -> Vec<String> {
        self.cluster.notes.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }
}
