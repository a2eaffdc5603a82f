//! A MongoDB replica set that exists: nothing is built, nothing of others is touched.
//!
//! It is reached with the login it was given; who leads is found by asking; what is promised is
//! what sessions ask for, as far as the set keeps it ([`facts`], [`promises`]). All that a run
//! writes lives in a database of its own ([`database`]), removed at the end.
//!
//! Read next: [`login`] (from an inventory to connections), [`ask`], [`facts`], [`database`].

pub mod ask;
pub mod database;
pub mod facts;
pub mod login;
pub mod promises;
mod system;

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use ::mongodb::Client as Driver;
use ::mongodb::bson::doc;
use ::mongodb::error::Error;
use cluster::inventory::{Attach, Places, Service};
use tokio::runtime::Runtime;

use super::connect::{Login, Peer};
use super::elections;
use super::errors::describe;
use super::spec::MongoSpec;
use crate::owned::{Left, Remains};
use crate::system::{Nodes, SystemError};
use ask::{Asked, FIRST_ANSWER, Line, PAUSE};
use database::Owner;
use facts::{Hello, Set};

/// How long the other members may take to show the database.
const FOLLOW_LIMIT: Duration = Duration::from_secs(30);
/// How long is waited for a primary when all is over: longer than an election, by default.
const LAST_LEADER: Duration = Duration::from_secs(20);

/// See the module's doc.
pub struct Attached {
    nodes: Arc<Nodes>,
    addresses: Vec<SocketAddr>,
    /// Each as it is reached; whom the set knows it as is learned later.
    peers: Vec<Peer>,
    services: Vec<Service>,
    login: Login,
    /// The set's name, if it was said.
    set: Option<String>,
    spec: MongoSpec,
    leader: Option<String>,
    owner: Owner,
    /// What is to be done to the set.
    plans: Plans,
    /// Whether the database may be there.
    made: Mutex<bool>,
    up: OnceLock<Up>,
    runtime: Arc<Runtime>,
}

/// What a test is going to do, so that it can be refused before anything is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plans {
    /// Packets between nodes are dropped: then members must know each other by the addresses that
    /// are known here.
    pub partitions: bool,
    /// A primary is asked to stand down.
    pub step_down: bool,
}

/// What is known once all have been asked.
struct Up {
    set: Set,
    lines: Vec<Line>,
    /// Elections that each has won since it was started.
    won: Vec<Vec<(String, i64)>>,
}

/// Settings that mean something here; all others describe a set that splitbrain builds.
pub const MEANT: [&str; 9] = [
    "write_concern",
    "journal",
    "wtimeout_ms",
    "read_concern",
    "causal",
    "transactions",
    "retryable_writes",
    "retryable_reads",
    "read_preference",
];

impl Attached {
    /// The set of an inventory, for one run. Reads the password; connects to nothing yet.
    pub fn new(
        nodes: Arc<Nodes>,
        attach: &Attach,
        places: &Places,
        spec: MongoSpec,
        run: &str,
    ) -> Result<Attached, SystemError> {
        let login::Logins { hosts, addresses, login, set } = login::logins(attach, places)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| SystemError::new(format!("no runtime: {error}")))?;
        let peer = |(host, port): (String, u16)| {
            let known_as = format!("{host}:{port}");
            Peer { host, port, known_as }
        };
        let count = nodes.count();
        Ok(Attached {
            nodes,
            addresses: addresses.into_iter().take(count).collect(),
            peers: hosts.into_iter().take(count).map(peer).collect(),
            services: attach.nodes.iter().map(|node| node.service.clone()).collect(),
            login,
            set,
            spec,
            leader: attach.leader.clone(),
            owner: Owner::of_run(run),
            plans: Plans::default(),
            made: Mutex::new(false),
            up: OnceLock::new(),
            runtime: Arc::new(runtime),
        })
    }

    /// What is to be done to it.
    pub fn planned(mut self, plans: Plans) -> Attached {
        self.plans = plans;
        self
    }

    fn made(&self) -> MutexGuard<'_, bool> {
        self.made.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn asked(&self, node: usize) -> Asked<'_> {
        let peer = &self.peers[node];
        let named = format!("node {} ({}:{})", self.nodes.names[node], peer.host, peer.port);
        Asked { named, peer, login: &self.login }
    }

    /// Asks every node, one after the other: the first refusal ends it.
    async fn ask_all(&self) -> Result<(Set, Vec<Line>), SystemError> {
        let names = &self.nodes.names;
        let mut hellos = Vec::new();
        for (node, name) in names.iter().enumerate() {
            let hello = self.asked(node).hello().await?;
            hello.check(name, self.set.as_deref())?;
            hellos.push(hello);
        }
        let (mut all, mut lines) = (Vec::new(), Vec::new());
        for (node, hello) in hellos.into_iter().enumerate() {
            let (facts, line) = self.asked(node).facts(hello).await?;
            all.push(facts);
            lines.push(line);
        }
        Ok((Set::of(all, names)?, lines))
    }

    /// The node that leads now.
    async fn leader_now(&self, lines: &[Line]) -> Result<usize, SystemError> {
        let mut said = Vec::new();
        for Line { driver, .. } in lines {
            let hello = database::command(driver, "admin", doc! { "hello": 1 }).await;
            said.push(hello.ok().map(|hello| Hello::read(&hello)));
        }
        facts::leader(&said, &self.nodes.names)
    }

    /// The node that leads, once there is one.
    async fn wait_for_leader(&self, lines: &[Line], limit: Duration) -> Result<usize, SystemError> {
        let until = Instant::now() + limit;
        loop {
            match self.leader_now(lines).await {
                Ok(leader) => return Ok(leader),
                Err(error) if until <= Instant::now() => {
                    let within = limit.as_secs();
                    let what = format!("no primary within {within} s: {}", error.what);
                    return Err(SystemError { what, ..error });
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    fn check_leader(&self, leader: usize) -> Result<(), SystemError> {
        let leads = &self.nodes.names[leader];
        match &self.leader {
            Some(declared) if declared != leads => {
                let what = format!("leader = \"{declared}\" in the inventory, but {leads} leads");
                Err(SystemError::new(what))
            }
            _ => Ok(()),
        }
    }

    /// A partition drops packets by the nodes' addresses: members that know each other by other
    /// addresses, or that are no nodes, would go on talking, and nobody would know that the fault
    /// was not what it says.
    fn check_paths(&self, set: &Set) -> Result<(), SystemError> {
        let hint = "a partition would not cut it off: write data_address, or the host of its uri, \
                    as the set knows it, and list every member; arbiters cannot be listed";
        if let Some(host) = set.unlisted().first() {
            let what = format!("the member {host} is no node of the inventory");
            return Err(SystemError::new(what).hint(hint));
        }
        for (node, id) in set.ids.iter().enumerate() {
            let members = &set.nodes[node].config.members;
            let host = members.iter().find(|member| member.id == *id).map(|m| m.host.as_str());
            let host = host.unwrap_or_default();
            let found = host.to_socket_addrs();
            let wanted = self.addresses[node].ip();
            if !found.is_ok_and(|mut found| found.any(|address| address.ip() == wanted)) {
                let name = &self.nodes.names[node];
                let what = format!("node {name}: other members know it as {host}, not as {wanted}");
                return Err(SystemError::new(what).hint(hint));
            }
        }
        Ok(())
    }

    /// Asks, refuses, makes the database.
    async fn come_up(&self) -> Result<(), SystemError> {
        let (set, lines) = self.ask_all().await?;
        let leader = self.wait_for_leader(&lines, FIRST_ANSWER).await?;
        self.check_leader(leader)?;
        if self.plans.partitions {
            self.check_paths(&set)?;
        }
        if self.plans.step_down {
            self.asked(leader).may_step_down(&lines[leader]).await?;
        }
        let mut won = Vec::new();
        for line in &lines {
            won.push(elections::won(&line.driver).await);
        }
        let up = self.up.get_or_init(|| Up { set, lines, won });
        *self.made() = true;
        let made = self.owner.make(&up.lines[leader].driver).await;
        made.map_err(|error| {
            if database::is(&error, ask::UNAUTHORIZED) {
                // The mark comes first: who may not write it has made nothing.
                *self.made() = false;
            }
            let error = self.asked(leader).not_made(&error);
            SystemError { what: format!("making {}: {}", self.owner.database, error.what), ..error }
        })?;
        self.wait_for_followers(up, leader).await
    }

    /// Waits until every member shows the database; those that are late on purpose are not waited
    /// for.
    async fn wait_for_followers(&self, up: &Up, leader: usize) -> Result<(), SystemError> {
        let until = Instant::now() + FOLLOW_LIMIT;
        let prompt = |node: &usize| *node != leader && up.set.delay_s(*node) == 0;
        for node in (0..up.lines.len()).filter(prompt) {
            loop {
                let why = match self.owner.there(&up.lines[node].driver).await {
                    Ok(true) => break,
                    Ok(false) => "it is not there".to_owned(),
                    Err(error) => describe(&error),
                };
                if until <= Instant::now() {
                    let (named, limit) = (self.asked(node).named, FOLLOW_LIMIT.as_secs());
                    let what = "does not show what the primary wrote within";
                    return Err(SystemError::new(format!("{named}: {what} {limit} s: {why}")));
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    /// Removes the database, where it may be.
    async fn go_down(&self, up: &Up) -> Result<(), String> {
        let mut why = String::new();
        // Sessions that have just ended may still hold locks for a moment.
        for _ in 0..3 {
            let leader = self.wait_for_leader(&up.lines, LAST_LEADER).await;
            let leader = leader.map_err(|error| error.what)?;
            match database::remove(&up.lines[leader].driver, &self.owner.database).await {
                Ok(()) => return Ok(()),
                Err(error) => why = format!("{}: {}", self.asked(leader).named, describe(&error)),
            }
        }
        Err(why)
    }

    /// The driver to a member.
    fn driver(&self, node: usize) -> Result<&Driver, SystemError> {
        let up = self.up.get().ok_or_else(|| SystemError::new("the set has not been asked yet"))?;
        Ok(&up.lines[node].driver)
    }

    /// Members' numbers to nodes' names.
    fn names_by_id(&self) -> BTreeMap<i32, String> {
        let ids = self.up.get().map(|up| up.set.ids.clone()).unwrap_or_default();
        ids.into_iter().zip(self.nodes.names.iter().cloned()).collect()
    }

    /// Asks a fresh set of lines for the leader; for [`Remains`].
    async fn lead(&self) -> Result<(Vec<Line>, usize), SystemError> {
        let (_, lines) = self.ask_all().await?;
        let leader = self.wait_for_leader(&lines, FIRST_ANSWER).await?;
        Ok((lines, leader))
    }

    fn told<T>(&self, node: usize, result: Result<T, Error>) -> Result<T, SystemError> {
        result.map_err(|error| self.asked(node).not_made(&error))
    }
}

impl Remains for Attached {
    fn thing(&self) -> &'static str {
        "database"
    }

    fn left(&self) -> Result<Vec<Left>, SystemError> {
        self.runtime.block_on(async {
            let (lines, leader) = self.lead().await?;
            self.told(leader, database::left(&lines[leader].driver).await)
        })
    }

    fn remove(&self, left: &Left) -> Result<(), SystemError> {
        self.runtime.block_on(async {
            let (lines, leader) = self.lead().await?;
            self.told(leader, database::remove(&lines[leader].driver, &left.name).await)
        })
    }
}
