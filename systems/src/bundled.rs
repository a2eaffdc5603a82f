//! The bundled store as a system under test: put on hosts, started, sampled, asked.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agent::proto::{Answer, Ask, Start};
use cluster::{AgentLink, Exec, Host, HostError, SshHost, shell_quote};
use history::{Key, TelemetryEvent};
use store::client::{Outcome, StoreClient};
use store::config::{CoreConfig, Failover};
use store::node::NodeConfig;
use store::wire::{NodeStatus, TxnReply, TxnRequest};

use crate::client::{Capabilities, Client, ReplyFuture, StepReply, StepRequest};

/// Where every node listens.
const PORT: u16 = 7000;
/// Where a node keeps its configuration and log on its host.
const FOLDER: &str = "/var/lib/splitbrain-store";
/// Where a node's output goes.
const LOG: &str = "/var/log/splitbrain-store.log";
/// Where a node's process is named.
const PIDFILE: &str = "/run/splitbrain/store.pid";

/// See the module's doc.
#[derive(Clone, Debug)]
pub struct StoreSystem {
    /// Settings shared by all nodes; `node` is set for each.
    pub core: CoreConfig,
    /// Whether nodes sync their logs.
    pub fsync: bool,
    /// Where each node listens, by number.
    pub addresses: Vec<SocketAddr>,
}

impl StoreSystem {
    /// The store on hosts with these data addresses.
    pub fn new(core: CoreConfig, fsync: bool, hosts: &[Arc<SshHost>]) -> StoreSystem {
        let addresses = hosts.iter().map(|host| SocketAddr::new(host.data_address(), PORT));
        StoreSystem { core, fsync, addresses: addresses.collect() }
    }

    /// Puts binary and configuration on a host, with an empty log.
    pub fn provision(&self, node: usize, host: &SshHost, binary: &[u8]) -> Result<(), HostError> {
        let program = program(binary);
        let (quoted, folder) = (shell_quote(&program), shell_quote(FOLDER));
        let there = host.exec(Exec::shell(format!(
            "mkdir -p {folder} && rm -rf {folder}/data {LOG}; stat -c %s {quoted} 2>/dev/null"
        )))?;
        if there.text().trim() != binary.len().to_string() {
            host.upload(binary, &program, 0o755)?;
        }
        let config = NodeConfig {
            core: CoreConfig { node, ..self.core.clone() },
            listen: self.addresses[node],
            peers: self.addresses.clone(),
            data_dir: PathBuf::from(FOLDER).join("data"),
            fsync: self.fsync,
        };
        let text = serde_json::to_vec_pretty(&config).map_err(|error| HostError::Local {
            host: host.name().to_owned(),
            why: error.to_string(),
        })?;
        host.upload(&text, &format!("{FOLDER}/node.json"), 0o644)
    }

    /// How a node is started on its host.
    pub fn start_command(&self, binary: &[u8]) -> Start {
        let config = format!("{FOLDER}/node.json");
        Start {
            argv: vec![program(binary), "--config".to_owned(), config],
            log: LOG.to_owned(),
            pidfile: PIDFILE.to_owned(),
        }
    }

    /// Where a node's process is named on its host.
    pub fn pidfile(&self) -> &'static str {
        PIDFILE
    }

    /// Where a node's output goes on its host.
    pub fn log(&self) -> &'static str {
        LOG
    }

    /// Asks a node, on its own host, how it is. `clock` gives ns since the run's start.
    pub fn sample(
        &self,
        node: usize,
        agent: &AgentLink,
        clock: impl Fn() -> i64,
    ) -> TelemetryEvent {
        let sent = clock();
        let ask = Ask::HttpGet {
            address: self.addresses[node],
            path: "/status".to_owned(),
            timeout_ms: 300,
        };
        let answer = agent.ask_text(ask, Duration::from_secs(1));
        let status = answer.and_then(|answer| match answer {
            Answer::Http { status: 200, body } => {
                serde_json::from_str::<NodeStatus>(&body).map_err(|error| error.to_string())
            }
            other => Err(format!("not a status: {other:?}")),
        });
        let received = clock();
        let name = self.core.names[node].clone();
        match status {
            Ok(status) => TelemetryEvent {
                sent,
                received,
                node: name,
                alive: true,
                shards: status.shards,
                error: None,
            },
            Err(error) => TelemetryEvent {
                sent,
                received,
                node: name,
                alive: false,
                shards: Vec::new(),
                error: Some(error),
            },
        }
    }

    /// A client of all nodes.
    pub fn client(&self) -> BundledClient {
        BundledClient {
            http: StoreClient::new(None),
            addresses: self.addresses.clone(),
            names: self.core.names.clone(),
            shards: self.core.shards,
        }
    }

    /// Whether leaders are ever replaced.
    pub fn fails_over(&self) -> bool {
        self.core.failover != Failover::None
    }
}

/// `atomic` or `ordered`: with one shard a request is answered from one state of one node; over
/// several, a transaction may be made of several requests.
pub fn reads_mode(shards: u32) -> &'static str {
    if shards == 1 { "atomic" } else { "ordered" }
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
        Capabilities {
            micro_ops: &["r", "w", "append", "cas"],
            atomic: "shard",
            reads: reads_mode(self.shards),
        }
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
            StepReply::Ok { mops: ops, position: Some(position) }
        }
        Outcome::Answered(TxnReply::Refused { reason, leader }) => {
            let leader = leader.and_then(|leader| names.iter().position(|name| *name == leader));
            StepReply::Refused { reason, leader }
        }
        Outcome::Answered(TxnReply::Unknown { reason }) | Outcome::Unknown(reason) => {
            StepReply::Unknown { reason }
        }
        Outcome::NotSent(reason) => StepReply::NotSent { reason },
    }
}
