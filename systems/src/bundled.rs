//! The bundled store as a system under test: put on hosts, started, sampled, asked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::proto::{Answer, Ask, Start};
use cluster::{Exec, Host, HostError, SshHost, shell_quote};
use history::{Evidence, Key, Role, SystemInfo, TelemetryEvent};
use store::client::{Outcome, StoreClient};
use store::config::CoreConfig;
use store::node::NodeConfig;
use store::wire::{NodeStatus, TxnReply, TxnRequest};

use crate::changing::Changing;
use crate::client::{Capabilities, Client, Model, ReplyFuture, StepReply, StepRequest};
use crate::leadership;
use crate::system::{DiskLayout, LogFile, Nodes, Steps, System, SystemError, emptied, silent};

/// Where every node listens.
const PORT: u16 = 7000;
/// Where a node keeps its configuration and log on its host.
const FOLDER: &str = "/var/lib/splitbrain-store";
/// Where a node's output goes.
const LOG: &str = "/var/log/splitbrain-store.log";
/// Where a node's process is named.
const PIDFILE: &str = "/run/splitbrain/store.pid";

/// How long a cluster may take to have its leaders.
const LEADERS_LIMIT: Duration = Duration::from_secs(15);
/// Settings that a node may be restarted with that others do not share.
pub const CHANGEABLE: [&str; 3] = ["heartbeat_ms", "election_timeout_ms", "ship_ms"];
/// How long an election may take after a command; one that is lost is repeated.
const ELECT_LIMIT: Duration = Duration::from_secs(10);
/// How long a started node must live to count as started, ms.
const SETTLE_MS: u64 = 60;

/// See the module's doc.
pub struct StoreSystem {
    nodes: Arc<Nodes>,
    settings: StoreSettings,
    addresses: Vec<SocketAddr>,
    binary: Vec<u8>,
    /// Where that is on every host. To name it takes as long as to read it.
    program: String,
}

/// What a store is set to.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// Settings shared by all nodes; `node` is set for each.
    pub core: CoreConfig,
    /// Whether nodes sync their logs.
    pub fsync: bool,
    /// The settings as they are recorded.
    pub recorded: BTreeMap<String, serde_json::Value>,
}

impl StoreSystem {
    /// The store on these nodes, with this node binary.
    pub fn new(nodes: Arc<Nodes>, settings: StoreSettings, binary: Vec<u8>) -> StoreSystem {
        let addresses = nodes.hosts.iter().map(|host| SocketAddr::new(host.data_address(), PORT));
        let program = program(&binary);
        StoreSystem { addresses: addresses.collect(), nodes, settings, binary, program }
    }

    /// Puts binary and configuration on a host, with an empty log.
    fn provision(&self, node: usize, host: &SshHost) -> Result<(), HostError> {
        let there = host.exec(Exec::shell(prepare_line(&self.program)))?;
        if there.text().trim() != self.binary.len().to_string() {
            host.upload(&self.binary, &self.program, 0o755)?;
        }
        let config = NodeConfig {
            core: CoreConfig { node, ..self.settings.core.clone() },
            listen: self.addresses[node],
            peers: self.addresses.clone(),
            data_dir: PathBuf::from(FOLDER).join("data"),
            fsync: self.settings.fsync,
        };
        let text = serde_json::to_vec_pretty(&config).map_err(|error| HostError::Local {
            host: host.name().to_owned(),
            why: error.to_string(),
        })?;
        host.upload(&text, &format!("{FOLDER}/node.json"), 0o644)
    }

    /// What a node says of itself.
    fn status(&self, node: usize) -> Result<NodeStatus, String> {
        serde_json::from_str(&self.get(node, "/status")?).map_err(|error| error.to_string())
    }

    fn get(&self, node: usize, path: &str) -> Result<String, String> {
        let ask = Ask::HttpGet {
            post: false,
            address: self.addresses[node],
            path: path.to_owned(),
            timeout_ms: 300,
        };
        match self.nodes.agents[node].ask_text(ask, Duration::from_secs(1))? {
            Answer::Http { status: 200, body } => Ok(body),
            other => Err(format!("GET {path}: {other:?}")),
        }
    }

    /// Gives a node a command.
    fn command(&self, node: usize, path: &str) -> Result<(), SystemError> {
        let ask = Ask::HttpGet {
            post: true,
            address: self.addresses[node],
            path: path.to_owned(),
            timeout_ms: 1_000,
        };
        match self.nodes.ask(node, ask, Duration::from_secs(2))? {
            Answer::Http { status: 200, .. } => Ok(()),
            other => Err(SystemError::new(format!("POST {path}: {other:?}"))),
        }
    }

    fn wait_for_leaders(&self) -> Result<(), SystemError> {
        let started = Instant::now();
        loop {
            let samples = self.nodes.each(|node, _| Ok(self.sample(node, &|| 0)))?;
            let led = |shard: u32| {
                samples
                    .iter()
                    .flat_map(|sample| &sample.shards)
                    .any(|replica| replica.shard == shard && replica.role == Role::Leader)
            };
            let alive = samples.iter().all(|sample| sample.alive);
            if alive && (0..self.settings.core.shards).all(led) {
                return Ok(());
            }
            if LEADERS_LIMIT < started.elapsed() {
                let quiet = samples.iter().position(|sample| !sample.alive);
                return Err(SystemError::new(match quiet {
                    Some(node) => format!(
                        "{} does not answer: {}; its log ends: {}",
                        samples[node].node,
                        samples[node].error.clone().unwrap_or_default(),
                        self.nodes.tail(node, LOG)
                    ),
                    None => "the cluster has no leader".to_owned(),
                }));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Changing for StoreSystem {
    fn change(&self, node: usize, name: &str, value: &str) -> Result<(), SystemError> {
        let host = &self.nodes.hosts[node];
        let path = format!("{FOLDER}/node.json");
        let refused = |why: String| SystemError::new(format!("{name}: {why}"));
        let text = host.download(&path)?;
        let mut config: serde_json::Value =
            serde_json::from_slice(&text).map_err(|error| refused(error.to_string()))?;
        let value = value.parse::<u64>().map_err(|error| refused(error.to_string()))?;
        config["core"][name] = value.into();
        let text = serde_json::to_vec_pretty(&config).map_err(|e| refused(e.to_string()))?;
        Ok(host.upload(&text, &path, 0o644)?)
    }

    fn says(&self, node: usize, name: &str) -> Result<String, SystemError> {
        let body = self.get(node, "/config").map_err(SystemError::new)?;
        let config: serde_json::Value =
            serde_json::from_str(&body).map_err(|error| SystemError::new(error.to_string()))?;
        Ok(config[name].to_string())
    }
}

impl System for StoreSystem {
    fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    fn bring_up(&self) -> Result<(), SystemError> {
        self.take_down();
        self.nodes.each(|node, host| Ok(self.provision(node, host)?))?;
        self.nodes.each(|node, _| {
            let ask = Ask::Start { start: self.start(node), settle_ms: SETTLE_MS };
            self.nodes.ask(node, ask, Duration::from_secs(5))
        })?;
        self.wait_for_leaders()
    }

    fn take_down(&self) {
        crate::ended::stop_all(&self.nodes, PIDFILE);
    }

    fn start(&self, _node: usize) -> Start {
        start_with(&self.program)
    }

    fn address(&self, node: usize) -> SocketAddr {
        self.addresses[node]
    }

    fn logs(&self) -> Vec<LogFile> {
        vec![log()]
    }

    fn disk(&self, _: usize) -> Option<DiskLayout> {
        // All that a node keeps is its log.
        let log = &["/data/wal"];
        Some(DiskLayout::built(FOLDER, log, log))
    }

    fn sample(&self, node: usize, clock: &dyn Fn() -> i64) -> TelemetryEvent {
        let sent = clock();
        let status = self.status(node);
        let received = clock();
        let name = self.settings.core.names[node].clone();
        match status {
            Ok(status) => TelemetryEvent {
                sent,
                received,
                node: name,
                alive: true,
                shards: status.shards,
                error: None,
                details: BTreeMap::new(),
            },
            Err(error) => silent(&name, sent, received, error),
        }
    }

    fn changing(&self) -> Option<&dyn Changing> {
        Some(self)
    }

    fn step_down(&self, node: usize, seconds: u32) -> Result<Vec<Evidence>, SystemError> {
        let before = leadership::now(self);
        self.command(node, &format!("/stand-down/{}", u64::from(seconds) * 1_000))?;
        Ok(leadership::succeeded(self, node, &before, ELECT_LIMIT))
    }

    fn stand_again(&self, _node: usize) -> Result<Vec<Evidence>, SystemError> {
        // Whoever was elected since leads; the node stands again when that one is gone.
        Ok(leadership::led(self, ELECT_LIMIT))
    }

    fn promote(&self, node: usize) -> Result<Vec<Evidence>, SystemError> {
        leadership::stood(self, node, ELECT_LIMIT, &|| self.command(node, "/lead"))
    }

    fn wall_clock(&self, node: usize) -> Result<i64, SystemError> {
        let status = self.status(node).map_err(SystemError::new)?;
        status.wall_us.ok_or_else(|| SystemError::new("the node does not say what time it is"))
    }

    fn client(&self, _model: Model) -> Arc<dyn Client> {
        Arc::new(BundledClient {
            http: StoreClient::new(None),
            addresses: self.addresses.clone(),
            names: self.settings.core.names.clone(),
            shards: self.settings.core.shards,
        })
    }

    /// The program's name holds what is in it.
    fn versions(&self) -> BTreeMap<String, String> {
        let said = format!("splitbrain-store {}, {}", env!("CARGO_PKG_VERSION"), self.program);
        self.nodes.names.iter().map(|name| (name.clone(), said.clone())).collect()
    }

    fn info(&self, policy: &str) -> SystemInfo {
        store_info(&self.settings, policy)
    }
}

/// The record of a store, on hosts or simulated.
pub fn store_info(settings: &StoreSettings, policy: &str) -> SystemInfo {
    let promised = store::promises::promises(&settings.core, policy, settings.fsync);
    SystemInfo {
        name: "store".to_owned(),
        settings: settings.recorded.clone(),
        reads: reads_mode(settings.core.shards).to_owned(),
        promises: promised.made,
        not_promised: promised.not_made,
    }
}

/// Empties a node's folder, and says how large its program is if that is there.
fn prepare_line(program: &str) -> String {
    let (program, folder) = (shell_quote(program), shell_quote(FOLDER));
    format!("{} && rm -f {LOG}; stat -c %s {program} 2>/dev/null", emptied(&folder))
}

fn start_with(program: &str) -> Start {
    let config = format!("{FOLDER}/node.json");
    Start {
        argv: vec![program.to_owned(), "--config".to_owned(), config],
        log: LOG.to_owned(),
        pidfile: PIDFILE.to_owned(),
        preload: true,
        ..Start::default()
    }
}

/// What is done on hosts. Where the program's name has a hash of its content, `HASH` stands for it.
pub fn steps(names: &[String]) -> Steps {
    let program = "/run/splitbrain/store-HASH";
    let of = |name: &String| {
        [
            format!("{name}: {}", prepare_line(program)),
            format!("{name}: write {program}, if it is not there"),
            format!("{name}: write {FOLDER}/node.json"),
            format!("{name}: start: {}", start_with(program).argv.join(" ")),
        ]
    };
    let mut steps = Steps { build: names.iter().flat_map(of).collect(), ..Steps::default() };
    steps.ended(names, &[log()], &[PIDFILE]);
    steps
}

fn log() -> LogFile {
    LogFile { path: LOG.to_owned(), name: "store.log" }
}

/// `atomic` or `ordered`: with one shard a request is answered from one state of one node; over
/// several, a transaction may be made of several requests.
pub fn reads_mode(shards: u32) -> &'static str {
    if shards == 1 { "atomic" } else { "ordered" }
}

/// What a client of a store with so many shards can express.
pub fn capabilities(shards: u32) -> Capabilities {
    Capabilities {
        micro_ops: &["r", "w", "append", "cas"],
        atomic: "shard",
        reads: reads_mode(shards),
    }
}

fn program(binary: &[u8]) -> String {
    // The name changes with the content, so that an old upload is never run.
    let hash = binary.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("/run/splitbrain/store-{hash:016x}")
}

/// Requests to the store, translated.
pub struct BundledClient {
    http: StoreClient,
    addresses: Vec<SocketAddr>,
    names: Vec<String>,
    shards: u32,
}

impl Client for BundledClient {
    fn capabilities(&self) -> Capabilities {
        capabilities(self.shards)
    }

    fn apply(&self, node: usize, request: StepRequest, deadline: Duration) -> ReplyFuture<'_> {
        Box::pin(async move {
            let request = TxnRequest { ops: request.mops, leader: request.leader };
            let outcome = self.http.txn(self.addresses[node], &request, deadline).await;
            translate(outcome, &self.names)
        })
    }

    fn shard_of(&self) -> fn(&Key, u32) -> u32 {
        store::shard_of
    }
}

/// The store's answer in the harness's words. Shared with the simulator.
pub fn translate(outcome: Outcome, names: &[String]) -> StepReply {
    match outcome {
        Outcome::Answered(TxnReply::Ok { ops, position }) => {
            let position = position.iter().map(|(shard, at)| (shard.to_string(), (*at).into()));
            let position = serde_json::Value::Object(position.collect());
            StepReply::Ok { mops: ops, position: Some(position), token: None }
        }
        Outcome::Answered(TxnReply::Refused { reason, leader }) => {
            let leader = leader.and_then(|leader| names.iter().position(|name| *name == leader));
            StepReply::Refused { reason, leader }
        }
        Outcome::Answered(TxnReply::Unknown { reason }) | Outcome::Unknown(reason) => {
            StepReply::unknown(reason)
        }
        Outcome::NotSent(reason) => StepReply::NotSent { reason },
    }
}
