//! What the harness asks of a replica set that exists.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use agent::life::Graceful;
use agent::proto::Start;
use history::{Evidence, SystemInfo, TelemetryEvent};

use super::{Attached, MEANT, Up};
use crate::client::{Client, Model};
use crate::mongodb::client::MongoClient;
use crate::mongodb::connect::Peer;
use crate::mongodb::step_down::{self, Member};
use crate::mongodb::{DISK_DATA, DISK_LOG, elections, promote, sample};
use crate::promises::settings;
use crate::service::{self, Server};
use crate::system::{DiskLayout, LogFile, Nodes, System, SystemError, silent};

impl Attached {
    /// Every node as it is reached, and as the set calls it.
    fn known_peers(&self, up: &Up) -> Vec<Peer> {
        let each = self.peers.iter().zip(&up.set.nodes);
        let known = each.map(|(peer, facts)| {
            let me = facts.hello.me.clone();
            Peer { known_as: me.unwrap_or_else(|| peer.known_as.clone()), ..peer.clone() }
        });
        known.collect()
    }

    fn members(&self) -> Result<Vec<Member<'_>>, SystemError> {
        let names = self.nodes.names.iter().enumerate();
        names.map(|(node, name)| Ok(Member { name, driver: self.driver(node)? })).collect()
    }
}

impl System for Attached {
    fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    fn bring_up(&self) -> Result<(), SystemError> {
        self.runtime.block_on(self.come_up())
    }

    fn take_down(&self) {
        let mut made = self.made();
        let Some(up) = self.up.get().filter(|_| *made) else {
            return;
        };
        // Once: what cannot be removed now is left to `heal`, and said.
        *made = false;
        if let Err(why) = self.runtime.block_on(self.go_down(up)) {
            say::errln!(
                "the database {} is left: {why}\n\
                 help: splitbrain heal --hosts-file INVENTORY --remove-databases",
                self.owner.database
            );
        }
    }

    fn start(&self, node: usize) -> Start {
        Server::Mongodb.start(&self.services[node])
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
        let name = &self.nodes.names[node];
        let quiet = |why: String| silent(name, clock(), clock(), why);
        if self.login.refusals.held(node) {
            return quiet("it refused the log-in, and is left alone for a while".to_owned());
        }
        let heed = |error: &_| self.login.heed(node, error);
        match self.driver(node) {
            Ok(driver) => {
                let names = self.names_by_id();
                let sampled = sample::sample(driver, name, &names, clock, &heed);
                self.runtime.block_on(sampled)
            }
            Err(error) => quiet(error.what),
        }
    }

    fn wall_clock(&self, node: usize) -> Result<i64, SystemError> {
        let told = self.runtime.block_on(sample::wall_clock(self.driver(node)?));
        told.map_err(SystemError::new)
    }

    fn cluster_time(&self, node: usize) -> Result<Option<i64>, SystemError> {
        let told = self.runtime.block_on(sample::cluster_time(self.driver(node)?));
        told.map_err(SystemError::new)
    }

    fn client(&self, model: Model) -> Arc<dyn Client> {
        let peers = match self.up.get() {
            Some(up) => self.known_peers(up),
            None => self.peers.clone(),
        };
        let (login, spec) = (self.login.clone(), self.spec.clone());
        Arc::new(MongoClient::new(peers, login, &self.owner.database, spec, model))
    }

    fn info(&self, policy: &str) -> SystemInfo {
        let mut settings = settings(&self.spec);
        settings.retain(|name, _| MEANT.contains(&name.as_str()));
        let set = self.up.get().map(|up| &up.set);
        settings.extend(set.map(|set| set.nodes[0].settings()).unwrap_or_default());
        settings.insert("attached".to_owned(), true.into());
        settings.insert("database".to_owned(), self.owner.database.clone().into());
        let promised = match set {
            Some(set) => super::promises::promises(&self.spec, policy, set.journaled()),
            None => Default::default(),
        };
        SystemInfo {
            name: "mongodb".to_owned(),
            settings,
            reads: self.spec.atomicity().1.to_owned(),
            promises: promised.made,
            not_promised: promised.not_made,
        }
    }

    fn versions(&self) -> BTreeMap<String, String> {
        let nodes = self.up.get().map(|up| &up.set.nodes).into_iter().flatten();
        let said = nodes.map(|node| format!("MongoDB {}", node.version));
        self.nodes.names.iter().cloned().zip(said).collect()
    }

    fn facts(&self) -> BTreeMap<String, String> {
        let version = self.up.get().map(|up| up.set.nodes[0].version.clone());
        BTreeMap::from([
            ("server".to_owned(), version.unwrap_or_default()),
            ("driver".to_owned(), "the crate mongodb".to_owned()),
        ])
    }

    fn step_down(&self, node: usize, seconds: u32) -> Result<Vec<Evidence>, SystemError> {
        let members = self.members()?;
        let timeout = self.up.get().map(|up| up.set.nodes[0].config.election_timeout_ms);
        let limit = step_down::elect_limit(timeout.unwrap_or_default());
        self.runtime.block_on(step_down::step_down(&members, node, seconds, limit))
    }

    fn promote(&self, node: usize) -> Result<Vec<Evidence>, SystemError> {
        let timeout = self.up.get().map(|up| up.set.nodes[0].config.election_timeout_ms);
        let limit = step_down::elect_limit(timeout.unwrap_or_default());
        promote::step_up(self, &self.runtime, self.driver(node)?, node, limit)
    }

    fn stand_again(&self, node: usize) -> Result<Vec<Evidence>, SystemError> {
        let members = self.members()?;
        self.runtime.block_on(step_down::stand_again(&members[node]))
    }

    fn synchronous(&self) -> Option<bool> {
        self.up.get().map(|up| up.set.synchronous())
    }

    fn after_run(&self) -> Vec<String> {
        let Some(up) = self.up.get() else {
            return Vec::new();
        };
        let mut notes = Vec::new();
        for (node, name) in self.nodes.names.iter().enumerate() {
            let now = self.runtime.block_on(elections::won(&up.lines[node].driver));
            notes.extend(elections::sentence(name, &elections::since(&up.won[node], &now)));
        }
        notes
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // Whatever way a run ended.
        self.take_down();
    }
}
