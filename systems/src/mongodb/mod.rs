//! MongoDB, a replica set, built over SSH and spoken to through the official driver.
//!
//! Read next: [`spec`] (settings), [`provision`] and [`replica_set`] (how it gets there),
//! [`client`], [`documents`] and [`errors`] (what is asked, and what the answers mean),
//! [`promises`].

pub mod attached;
mod changed;
pub mod client;
pub mod connect;
pub mod documents;
pub mod elections;
pub mod errors;
pub mod membership;
pub mod promises;
pub mod promote;
pub mod provision;
mod replaced;
pub mod replica_set;
pub mod rollback;
pub mod routed;
pub mod sample;
pub mod seat;
pub mod spec;
pub mod step_down;

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use ::mongodb::Client as Driver;
use agent::proto::{Answer, Ask, Start};
use history::{Evidence, SystemInfo, TelemetryEvent};
use tokio::runtime::Runtime;

use crate::changing::Changing;
use crate::client::{Client, Model};
use crate::promises::settings;
use crate::replacing::Replacing;
use crate::system::{DiskLayout, LogFile, Nodes, System, SystemError};
use client::MongoClient;
use connect::{Login, direct};
use provision::{LOG, PIDFILE, ROLLBACK, Server};
pub use spec::MongoSpec;
use step_down::Member;

/// Parts of paths of MongoDB's log, and of what it is applied to.
const DISK_LOG: [&str; 1] = ["/journal/"];
const DISK_DATA: [&str; 1] = [".wt"];

/// See the module's doc.
pub struct MongoSystem {
    nodes: Arc<Nodes>,
    spec: MongoSpec,
    /// What members know each other by, and we them.
    key: String,
    password: String,
    servers: OnceLock<Vec<Server>>,
    /// One a member, over the control network; made when it is first asked.
    control: Vec<OnceLock<Driver>>,
    packed: AtomicBool,
    /// Parameters of the next start, by node, `NAME=VALUE`.
    changed: Mutex<BTreeMap<usize, Vec<String>>>,
    runtime: Arc<Runtime>,
}

/// 256 bits that nobody can guess, in characters that a key file may have.
fn fresh_secret() -> Result<String, SystemError> {
    let mut bytes = [0; 32];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|error| SystemError::new(format!("/dev/urandom: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A line of the server's log, which is JSON, as a person reads it.
fn log_line(line: &str) -> String {
    let Ok(parts) = serde_json::from_str::<serde_json::Value>(line) else {
        return line.to_owned();
    };
    let text = |name: &str| parts[name].as_str().unwrap_or("").to_owned();
    let error = ["error", "reason"].iter().find_map(|name| match &parts["attr"][*name] {
        serde_json::Value::Null => None,
        serde_json::Value::String(error) => Some(format!(": {error}")),
        error => Some(format!(": {error}")),
    });
    format!("{} {} {}{}", text("s"), text("c"), text("msg"), error.unwrap_or_default())
}

impl MongoSystem {
    /// MongoDB on these nodes.
    pub fn new(nodes: Arc<Nodes>, spec: MongoSpec) -> Result<MongoSystem, SystemError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| SystemError::new(format!("no runtime: {error}")))?;
        Ok(MongoSystem {
            control: nodes.names.iter().map(|_| OnceLock::new()).collect(),
            nodes,
            spec,
            key: fresh_secret()?,
            password: fresh_secret()?,
            servers: OnceLock::new(),
            packed: AtomicBool::new(false),
            changed: Mutex::default(),
            runtime: Arc::new(runtime),
        })
    }

    fn server(&self, node: usize) -> &Server {
        &self.servers.get().expect("a replica set is brought up before it is used")[node]
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        (0..self.nodes.count()).map(|node| self.address(node)).collect()
    }

    /// The driver to a member over the control network, as the members' own user.
    fn control(&self, node: usize) -> Result<&Driver, SystemError> {
        if let Some(driver) = self.control[node].get() {
            return Ok(driver);
        }
        let _within = self.runtime.enter();
        let address: Option<IpAddr> = self.nodes.control(node).parse().ok();
        let address = address.unwrap_or_else(|| self.nodes.data(node));
        let login = Login::internal(&self.key);
        let made = direct(&SocketAddr::new(address, self.spec.port).into(), &login, false);
        let driver = made.map_err(|error| SystemError::new(errors::describe(&error)))?;
        Ok(self.control[node].get_or_init(|| driver))
    }

    /// Every member's name and the driver to it.
    fn members(&self) -> Result<Vec<Member<'_>>, SystemError> {
        let names = self.nodes.names.iter().enumerate();
        names.map(|(node, name)| Ok(Member { name, driver: self.control(node)? })).collect()
    }

    fn launch(&self, node: usize) -> Result<(), SystemError> {
        let ask = Ask::Start { start: provision::start(self.server(node)), settle_ms: 50 };
        let started = self.nodes.ask(node, ask, Duration::from_secs(5));
        started.map(drop).map_err(|error| self.with_log(node, error.what))
    }

    /// An error of a member, with the end of its log.
    fn with_log(&self, node: usize, what: impl Into<String>) -> SystemError {
        let ask = Ask::Tail { path: LOG.to_owned(), lines: 5 };
        let lines: Vec<String> = match self.nodes.ask(node, ask, Duration::from_secs(1)) {
            Ok(Answer::Text { text }) => text.lines().map(log_line).collect(),
            _ => vec!["(no log)".to_owned()],
        };
        let name = &self.nodes.names[node];
        SystemError::new(format!(
            "host {name}: {}; its log ends: {}",
            what.into(),
            lines.join("; ")
        ))
    }

    /// Whom to make leader first: of those with the highest priority the first.
    fn preferred(&self) -> usize {
        let priority = |node: &usize| self.spec.priority(&self.nodes.names[*node]);
        let data = self.spec.data_members(self.nodes.count());
        (0..data).rev().max_by_key(priority).unwrap_or(0)
    }

    /// Makes a serving replica set of servers that were started.
    fn unite(&self) -> Result<(), SystemError> {
        let count = self.nodes.count();
        let drivers: Vec<&Driver> =
            (0..count).map(|node| self.control(node)).collect::<Result<_, _>>()?;
        let config = replica_set::configuration(&self.spec, &self.nodes.names, &self.addresses());
        let member = |(node, what): (usize, String)| self.with_log(node, what);
        self.runtime.block_on(async {
            replica_set::wait_until_up(&drivers).await.map_err(member)?;
            let first = replica_set::initiate(drivers[0], config).await;
            first.map_err(|what| self.with_log(0, what))?;
            let leader =
                replica_set::wait_for_leader(&drivers, self.preferred()).await.map_err(member)?;
            // A delayed member is late with this too.
            let members = self.spec.data_members(count) - self.spec.delayed_s.len();
            let furnished = replica_set::furnish(drivers[leader], &self.password, members).await;
            furnished.map_err(|what| self.with_log(leader, what))
        })
    }
}

impl System for MongoSystem {
    fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    fn bring_up(&self) -> Result<(), SystemError> {
        let nodes = &self.nodes;
        self.take_down();
        let given = self.spec.binary.as_deref();
        let servers = nodes.each(|node, _| provision::find_server(nodes, node, given))?;
        provision::check_mix(&nodes.names, &servers)?;
        // A second bring-up finds the same.
        let _ = self.servers.set(servers);
        nodes.each(|node, _| {
            provision::prepare(nodes, node, &self.spec, &self.key)?;
            self.launch(node)
        })?;
        self.unite()
    }

    fn take_down(&self) {
        crate::ended::stop_all(&self.nodes, PIDFILE);
    }

    fn start(&self, node: usize) -> Start {
        let mut start = provision::start(self.server(node));
        let changed = self.changed.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        for set in changed.get(&node).into_iter().flatten() {
            start.argv.extend(["--setParameter".to_owned(), set.clone()]);
        }
        start
    }

    fn address(&self, node: usize) -> SocketAddr {
        SocketAddr::new(self.nodes.data(node), self.spec.port)
    }

    fn disk(&self, _: usize) -> Option<DiskLayout> {
        Some(DiskLayout::built(provision::FOLDER, &DISK_LOG, &DISK_DATA))
    }

    fn logs(&self) -> Vec<LogFile> {
        let mut logs = vec![provision::log()];
        if self.packed.load(Ordering::Relaxed) {
            logs.push(LogFile { path: ROLLBACK.to_owned(), name: "rollback.tar.gz" });
        }
        logs
    }

    fn sample(&self, node: usize, clock: &dyn Fn() -> i64) -> TelemetryEvent {
        let names = &self.nodes.names;
        match self.control(node) {
            Ok(driver) => {
                let numbers = 0_i32..;
                let members = numbers.zip(names.iter().cloned()).collect();
                let sampled = sample::sample(driver, &names[node], &members, clock, &|_| {});
                self.runtime.block_on(sampled)
            }
            Err(error) => crate::system::silent(&names[node], clock(), clock(), error.what),
        }
    }

    fn wall_clock(&self, node: usize) -> Result<i64, SystemError> {
        let told = self.runtime.block_on(sample::wall_clock(self.control(node)?));
        told.map_err(SystemError::new)
    }

    fn cluster_time(&self, node: usize) -> Result<Option<i64>, SystemError> {
        let told = self.runtime.block_on(sample::cluster_time(self.control(node)?));
        told.map_err(SystemError::new)
    }

    fn client(&self, model: Model) -> Arc<dyn Client> {
        let login = Login::sessions(&self.password);
        let members = self.addresses().into_iter().map(Into::into).collect();
        Arc::new(MongoClient::new(members, login, client::DATABASE, self.spec.clone(), model))
    }

    fn info(&self, policy: &str) -> SystemInfo {
        let promised = promises::promises(&self.spec, policy);
        SystemInfo {
            name: "mongodb".to_owned(),
            settings: settings(&self.spec),
            reads: self.spec.atomicity().1.to_owned(),
            promises: promised.made,
            not_promised: promised.not_made,
        }
    }

    fn versions(&self) -> BTreeMap<String, String> {
        let servers = self.servers.get().into_iter().flatten();
        let said = servers.map(|one| format!("MongoDB {}, {}", one.version, one.binary));
        self.nodes.names.iter().cloned().zip(said).collect()
    }

    fn facts(&self) -> BTreeMap<String, String> {
        let version = self.servers.get().map(|servers| servers[0].version.clone());
        BTreeMap::from([
            ("server".to_owned(), version.unwrap_or_default()),
            ("driver".to_owned(), "the crate mongodb".to_owned()),
        ])
    }

    fn step_down(&self, node: usize, seconds: u32) -> Result<Vec<Evidence>, SystemError> {
        let members = self.members()?;
        let limit = step_down::elect_limit(self.spec.election_timeout_ms);
        self.runtime.block_on(step_down::step_down(&members, node, seconds, limit))
    }

    fn stand_again(&self, node: usize) -> Result<Vec<Evidence>, SystemError> {
        let members = self.members()?;
        self.runtime.block_on(step_down::stand_again(&members[node]))
    }

    fn promote(&self, node: usize) -> Result<Vec<Evidence>, SystemError> {
        let limit = step_down::elect_limit(self.spec.election_timeout_ms);
        let driver = self.control(node)?;
        promote::step_up(self, &self.runtime, driver, node, limit)
    }

    fn remove_member(&self, node: usize) -> Result<Vec<Evidence>, SystemError> {
        let members = self.members()?;
        self.runtime.block_on(membership::remove(&members, node))
    }

    fn add_member(&self, node: usize) -> Result<Vec<Evidence>, SystemError> {
        let members = self.members()?;
        let config = replica_set::configuration(&self.spec, &self.nodes.names, &self.addresses());
        let entry = config.get_array("members").ok().and_then(|all| all[node].as_document());
        let entry = entry.cloned().unwrap_or_default();
        self.runtime.block_on(membership::add(&members, node, entry))
    }

    fn changing(&self) -> Option<&dyn Changing> {
        Some(self)
    }

    fn replacing(&self) -> Option<&dyn Replacing> {
        Some(self)
    }

    fn after_run(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for (node, name) in self.nodes.names.iter().enumerate() {
            if let Ok(driver) = self.control(node) {
                let won = self.runtime.block_on(elections::won(driver));
                notes.extend(elections::sentence(name, &won));
            }
        }
        let mut files = 0;
        for (node, name) in self.nodes.names.iter().enumerate() {
            match rollback::count(&self.nodes, node) {
                Ok(aside) => {
                    files += aside.files;
                    notes.extend(aside.sentence(name));
                }
                Err(error) => notes.push(format!("{name}: rollback files: {error}")),
            }
        }
        self.packed.store(0 < files, Ordering::Relaxed);
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_told_without_its_wrapping() {
        let line = r#"{"t":{"$date":"x"},"s":"E","c":"NETWORK","ctx":"m",
            "msg":"Failed to set up listener","attr":{"error":"Address already in use"}}"#;
        assert_eq!(log_line(line), "E NETWORK Failed to set up listener: Address already in use");
        assert_eq!(log_line("Aborted"), "Aborted");
    }
}
