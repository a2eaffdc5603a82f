//! A PostgreSQL cluster that exists: nothing is built, nothing of others is touched.
//!
//! It is reached with the logins it was given; who leads is found by asking; what is promised is
//! what the servers themselves say ([`facts`], [`promises`]). All that a run writes lives in a
//! schema of its own ([`schema`]), removed at the end.
//!
//! Read next: [`login`] (from an inventory to connections), [`facts`], [`schema`].

pub mod facts;
pub mod login;
mod operator;
pub mod promises;
pub mod schema;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use agent::life::Graceful;
use agent::proto::Start;
use cluster::inventory::{Attach, Places, Service};
use history::{SystemInfo, TelemetryEvent};
use tokio::runtime::Runtime;

use super::client::{PostgresClient, once};
use super::connection::{Connection, Login, Refused};
use super::errors::describe;
use super::sample::{STATUS, Sampler};
use super::spec::{Failover, Isolation, PostgresSpec};
use super::{DISK_DATA, DISK_LOG};
use crate::client::{Client, Model};
use crate::operator::Operator;
use crate::owned::{Left, Remains};
use crate::service::{self, HOLD, Server};
use crate::system::{DiskLayout, LogFile, Nodes, System, SystemError};
use facts::{Cluster, Facts};
use operator::Promoter;
use schema::Owner;

/// How long a node may take to answer for the first time.
const FIRST_ANSWER: Duration = Duration::from_secs(10);
/// How long the followers may take to show the schema.
const FOLLOW_LIMIT: Duration = Duration::from_secs(30);

/// See the module's doc.
pub struct Attached {
    nodes: Arc<Nodes>,
    addresses: Vec<SocketAddr>,
    services: Vec<Service>,
    login: Login,
    spec: PostgresSpec,
    /// `failover = "none"` was declared.
    never_replaced: bool,
    leader: Option<String>,
    owner: Owner,
    /// Whether packets between nodes are to be dropped.
    partitions: bool,
    /// Whether the schema may be there.
    made: Mutex<bool>,
    cluster: OnceLock<Cluster>,
    sampler: Sampler,
    notes: Arc<Mutex<Vec<String>>>,
    runtime: Arc<Runtime>,
}

/// Settings that mean something here; all others describe a cluster that splitbrain builds.
pub const MEANT: [&str; 6] =
    ["isolation", "failover", "candidate", "fence", "detect_ms", "lag_grades_ms"];

impl Attached {
    /// The cluster of an inventory, for one run. Reads the password; connects to nothing yet.
    pub fn new(
        nodes: Arc<Nodes>,
        attach: &Attach,
        places: &Places,
        spec: PostgresSpec,
        run: &str,
    ) -> Result<Attached, SystemError> {
        let login::Logins { addresses, login } = login::logins(attach, places)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| SystemError::new(format!("no runtime: {error}")))?;
        let count = nodes.count();
        let addresses: Vec<SocketAddr> = addresses.into_iter().take(count).collect();
        let names = nodes.names.clone();
        let grades = spec.lag_grades_ms;
        let sampler = Sampler::new(names, addresses.clone(), login.clone(), grades, STATUS);
        Ok(Attached {
            nodes,
            addresses,
            services: attach.nodes.iter().map(|node| node.service.clone()).collect(),
            login,
            spec,
            never_replaced: attach.failover.as_deref() == Some("none"),
            leader: attach.leader.clone(),
            owner: Owner::of_run(run),
            partitions: false,
            made: Mutex::new(false),
            cluster: OnceLock::new(),
            sampler,
            notes: Arc::default(),
            runtime: Arc::new(runtime),
        })
    }

    /// Whether packets between nodes are to be dropped: then replication must go by the addresses
    /// that are known.
    pub fn partitioned(mut self, partitions: bool) -> Attached {
        self.partitions = partitions;
        self
    }

    /// The schema of this run.
    pub fn schema(&self) -> &str {
        &self.owner.schema
    }

    /// Whether an acknowledged write is on another node, as far as the servers say. `None` before
    /// they were asked.
    pub fn synchronous(&self) -> Option<bool> {
        self.cluster.get().map(|cluster| cluster.leader().synchronous())
    }

    fn named(&self, node: usize, error: impl std::fmt::Display) -> String {
        format!("node {} ({}): {error}", self.nodes.names[node], self.addresses[node])
    }

    /// One connection, with patience for all but a refusal of user or password.
    async fn connect(&self, node: usize) -> Result<Connection, SystemError> {
        let until = Instant::now() + FIRST_ANSWER;
        loop {
            let error = match Connection::open(self.addresses[node], &self.login).await {
                Ok(connection) => return Ok(connection),
                Err(Refused::Error(error)) => error,
                Err(Refused::Silent) => {
                    if until <= Instant::now() {
                        let limit = FIRST_ANSWER.as_secs();
                        let why = format!("no connection within {limit} s");
                        return Err(SystemError::new(self.named(node, why)));
                    }
                    continue;
                }
            };
            let said = SystemError::new(self.named(node, describe(&error)));
            let code = error.code().map_or("", |code| code.code());
            if code.starts_with("28") {
                let hint = "user or password were refused: nothing else was tried, on no node";
                return Err(said.hint(hint));
            }
            if !code.is_empty() && !code.starts_with("57P") && !code.starts_with("53") {
                return Err(said);
            }
            if code.is_empty() && tls_failed(&describe(&error)) {
                return Err(said.hint("see sslmode, ca, client_cert and uri in the inventory"));
            }
            if until <= Instant::now() {
                return Err(said);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Asks every node, one after the other: the first refusal ends it.
    fn ask_all(&self) -> Result<Vec<Facts>, SystemError> {
        let mut all = Vec::new();
        for node in 0..self.nodes.count() {
            let asked = self.runtime.block_on(async {
                let connection = self.connect(node).await?;
                let facts = facts::ask(&connection).await;
                facts.map_err(|error| SystemError::new(self.named(node, describe(&error))))
            });
            all.push(asked?);
        }
        Ok(all)
    }

    /// A partition drops packets by the nodes' addresses: replication that comes from another
    /// address would go on, and nobody would know that the fault had no effect.
    fn check_paths(&self, leader: usize) -> Result<(), SystemError> {
        let rows = self.runtime.block_on(async {
            let connection = self.connect(leader).await?;
            let sql = "SELECT host(client_addr), application_name FROM pg_stat_replication \
                       WHERE client_addr IS NOT NULL";
            let rows = connection.client.query_typed(sql, &[]).await;
            rows.map_err(|error| SystemError::new(self.named(leader, describe(&error))))
        })?;
        for row in rows {
            let (from, name): (String, String) = (row.get(0), row.get(1));
            if !self.addresses.iter().any(|address| address.ip().to_string() == from) {
                let what = format!("the follower {name} replicates from {from}, no node's address");
                return Err(SystemError::new(self.named(leader, what)).hint(
                    "a partition would not cut it: write data_address, or the host of its uri, as \
                     the address that replication uses, and list every follower",
                ));
            }
        }
        Ok(())
    }

    /// What an operator of a run that was killed has left: servers would never be started again.
    fn forget_holds(&self) -> Result<(), SystemError> {
        let line = format!("rm -f {}", HOLD);
        let limit = Duration::from_secs(5);
        let each = |node, _: &_| self.nodes.shell(node, "tidying up", line.clone(), limit);
        self.nodes.each(each).map(drop)
    }

    fn run_sql(&self, node: usize, sql: &str) -> Result<(), String> {
        self.runtime.block_on(once(self.addresses[node], &self.login, sql))
    }

    /// Waits until every follower shows the schema.
    fn wait_for_followers(&self, leader: usize) -> Result<(), SystemError> {
        let until = Instant::now() + FOLLOW_LIMIT;
        let sql = self.owner.there();
        for node in (0..self.nodes.count()).filter(|node| *node != leader) {
            while let Err(error) = self.run_sql(node, &sql) {
                if until <= Instant::now() {
                    let limit = FOLLOW_LIMIT.as_secs();
                    let why = format!("does not show what the leader wrote within {limit} s");
                    return Err(SystemError::new(self.named(node, format!("{why}: {error}"))));
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        Ok(())
    }

    /// The nodes that lead now: one, if all is well.
    fn leaders_now(&self) -> Vec<usize> {
        let leads = |node: &usize| {
            let opened = Connection::open(self.addresses[*node], &self.login);
            self.runtime.block_on(opened).is_ok_and(|connection| connection.leads)
        };
        (0..self.nodes.count()).filter(leads).collect()
    }
}

impl Remains for Attached {
    fn thing(&self) -> &'static str {
        "schema"
    }

    fn left(&self) -> Result<Vec<Left>, SystemError> {
        let facts = self.ask_all()?;
        let cluster = Cluster::of(facts, &self.nodes.names, self.leader.as_deref())?;
        self.runtime.block_on(async {
            let connection = self.connect(cluster.leader_node).await?;
            let rows = connection.client.query_typed(schema::LEFT, &[]).await;
            let rows = rows.map_err(|error| {
                SystemError::new(self.named(cluster.leader_node, describe(&error)))
            })?;
            Ok(rows.iter().map(|row| Left { name: row.get(0), mark: row.get(1) }).collect())
        })
    }

    fn remove(&self, left: &Left) -> Result<(), SystemError> {
        let leader = self.leaders_now().first().copied();
        let leader = leader.ok_or_else(|| SystemError::new("no node leads: nothing removed"))?;
        let removed = self.run_sql(leader, &schema::removal(&left.name));
        removed.map_err(|error| SystemError::new(self.named(leader, error)))
    }
}

fn tls_failed(text: &str) -> bool {
    ["TLS", "SSL", "certificate", "ssl"].iter().any(|word| text.contains(word))
}

impl System for Attached {
    fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    fn bring_up(&self) -> Result<(), SystemError> {
        let facts = self.ask_all()?;
        let cluster = Cluster::of(facts, &self.nodes.names, self.leader.as_deref())?;
        let promote = self.spec.failover == Failover::Operator;
        cluster.check(&self.nodes.names, &self.login, promote)?;
        let leader = cluster.leader_node;
        if self.partitions {
            self.check_paths(leader)?;
        }
        self.forget_holds()?;
        let _ = self.cluster.set(cluster);
        *self.made.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = true;
        self.run_sql(leader, &self.owner.creation()).map_err(|error| {
            SystemError::new(self.named(leader, format!("making {}: {error}", self.schema())))
        })?;
        self.wait_for_followers(leader)
    }

    fn take_down(&self) {
        let mut made = self.made.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if !*made {
            return;
        }
        let sql = schema::removal(self.schema());
        let mut why = "no node leads".to_owned();
        // Sessions that have just ended may still hold locks for a moment.
        for _ in 0..3 {
            // After a failover without a fence there may be two, each with a schema.
            let leaders = self.leaders_now();
            let removed = |leader: &usize| {
                self.run_sql(*leader, &sql).map_err(|error| self.named(*leader, error))
            };
            match leaders.iter().map(removed).collect::<Result<Vec<()>, String>>() {
                Ok(done) if !done.is_empty() => {
                    *made = false;
                    break;
                }
                Ok(_) => {}
                Err(error) => why = error,
            }
        }
        if self.spec.failover == Failover::Operator {
            let _ = self.forget_holds();
        }
        if !*made {
            return;
        }
        say::errln!(
            "the schema {} is left: {why}\n\
             help: splitbrain heal --hosts-file INVENTORY --remove-schemas",
            self.schema()
        );
    }

    fn start(&self, node: usize) -> Start {
        Server::Postgres.start(&self.services[node])
    }

    fn graceful(&self, node: usize) -> Graceful {
        service::graceful(&self.services[node])
    }

    fn address(&self, node: usize) -> SocketAddr {
        self.addresses[node]
    }

    fn disk(&self, node: usize) -> Option<DiskLayout> {
        // A node without SSH has no service.
        let folder = self.services[node].data_dir.clone()?;
        Some(DiskLayout { folder, log: &DISK_LOG, data: &DISK_DATA, served: true })
    }

    /// None: what the servers of others log is theirs, and is copied into no run's folder.
    fn logs(&self) -> Vec<LogFile> {
        Vec::new()
    }

    fn sample(&self, node: usize, clock: &dyn Fn() -> i64) -> TelemetryEvent {
        self.runtime.block_on(self.sampler.sample(node, clock))
    }

    fn wall_clock(&self, node: usize) -> Result<i64, SystemError> {
        self.runtime.block_on(self.sampler.wall_clock(node)).map_err(SystemError::new)
    }

    fn client(&self, model: Model) -> Arc<dyn Client> {
        let isolation = self.isolation();
        let options = format!(
            "-c search_path={} -c default_transaction_isolation={}",
            self.schema(),
            // A space within an option is written with a backslash.
            isolation.as_sql().replace(' ', "\\ ")
        );
        let login = Login { options, ..self.login.clone() };
        Arc::new(PostgresClient::new(self.addresses.clone(), login, isolation, model))
    }

    fn info(&self, policy: &str) -> SystemInfo {
        let promised = match self.cluster.get() {
            Some(cluster) => {
                let promised = promises::Asked {
                    facts: cluster.leader(),
                    spec: &self.spec,
                    isolation: self.isolation(),
                    followers: self.nodes.count() - 1,
                    never_replaced: self.never_replaced && self.spec.failover != Failover::Operator,
                };
                promised.promises(policy)
            }
            None => Default::default(),
        };
        let settings = self.cluster.get().map(|cluster| cluster.leader().settings());
        let mut settings = settings.unwrap_or_default();
        let failover = match (self.spec.failover, self.never_replaced) {
            (Failover::Operator, _) => "operator",
            (_, true) => "none",
            (_, false) => "unknown",
        };
        settings.insert("failover".to_owned(), failover.into());
        settings.insert("attached".to_owned(), true.into());
        settings.insert("schema".to_owned(), self.schema().into());
        settings.insert("isolation".to_owned(), self.isolation().as_sql().into());
        SystemInfo {
            name: "postgres".to_owned(),
            settings,
            reads: self.isolation().reads().to_owned(),
            promises: promised.made,
            not_promised: promised.not_made,
        }
    }

    fn versions(&self) -> BTreeMap<String, String> {
        let nodes = self.cluster.get().map(|cluster| &cluster.nodes).into_iter().flatten();
        let said = nodes.map(|node| format!("PostgreSQL {}", node.version));
        self.nodes.names.iter().cloned().zip(said).collect()
    }

    fn facts(&self) -> BTreeMap<String, String> {
        let version = self.cluster.get().map(|cluster| cluster.leader().version.clone());
        BTreeMap::from([("server".to_owned(), version.unwrap_or_default())])
    }

    fn operator(&self) -> Option<Box<dyn Operator>> {
        let leader = self.cluster.get()?.leader_node;
        if self.spec.failover != Failover::Operator {
            return None;
        }
        Some(Box::new(Promoter {
            nodes: Arc::clone(&self.nodes),
            addresses: self.addresses.clone(),
            services: self.services.clone(),
            login: self.login.clone(),
            spec: self.spec.clone(),
            runtime: Arc::clone(&self.runtime),
            notes: Arc::clone(&self.notes),
            leader,
            gone_since: None,
            done: false,
        }))
    }

    fn after_run(&self) -> Vec<String> {
        self.notes.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    fn synchronous(&self) -> Option<bool> {
        Attached::synchronous(self)
    }
}

impl Attached {
    /// The one that was asked for, if it is not the default; else the server's own.
    fn isolation(&self) -> Isolation {
        match (self.spec.isolation, self.cluster.get()) {
            (Isolation::ReadCommitted, Some(cluster)) => cluster.leader().isolation,
            (asked, _) => asked,
        }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // Whatever way a run ended.
        self.take_down();
    }
}
