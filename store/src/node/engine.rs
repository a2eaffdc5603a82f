//! The thread that owns the core and the log.
//!
//! It takes inputs in batches, so that one sync of the disk serves all writes of a batch.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::peers::Peers;
use super::wal::Wal;
use super::{NodeConfig, NodeError};
use crate::config::CoreConfig;
use crate::core::{Command, Core, Input, Output};
use crate::wire::{Envelope, NodeStatus, TxnReply, TxnRequest};

/// Inputs taken in one batch.
const BATCH: usize = 512;

/// What handlers ask of the core's thread.
pub enum Ask {
    /// A client's transaction.
    Txn(TxnRequest, oneshot::Sender<TxnReply>),
    /// Messages of another node.
    Peer(Vec<Envelope>),
    /// What the node says of itself.
    Status(oneshot::Sender<NodeStatus>),
    /// What whoever looks after the cluster asks of it.
    Command(Command),
    /// What the node is set to.
    Config(oneshot::Sender<CoreConfig>),
}

/// Starts the thread. It ends when every sender of asks is gone.
pub fn start(config: &NodeConfig, peers: Peers) -> Result<Sender<Ask>, NodeError> {
    let (wal, records) = Wal::open(&config.data_dir, config.fsync)?;
    let core = Core::new(config.core.clone(), &records, 0);
    let (sender, receiver) = channel();
    let mut engine = Engine {
        core,
        wal,
        peers,
        replies: BTreeMap::new(),
        next_id: 0,
        started: Instant::now(),
        dirty: None,
    };
    let name = "store-core".to_owned();
    let spawned = thread::Builder::new().name(name).spawn(move || engine.run(&receiver));
    let path = config.data_dir.clone();
    spawned.map_err(|source| NodeError::Log { path, source })?;
    Ok(sender)
}

struct Engine {
    core: Core,
    wal: Wal,
    peers: Peers,
    replies: BTreeMap<u64, oneshot::Sender<TxnReply>>,
    next_id: u64,
    started: Instant,
    /// The number of the last record handed to the log and not synced yet.
    dirty: Option<u64>,
}

impl Engine {
    fn run(&mut self, asks: &Receiver<Ask>) {
        loop {
            let wait = self.core.next_tick().saturating_sub(self.now());
            let first = match asks.recv_timeout(Duration::from_nanos(wait)) {
                Ok(ask) => Some(ask),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            match first {
                Some(ask) => self.take(ask),
                None => self.step(Input::Tick),
            }
            for _ in 1..BATCH {
                match asks.try_recv() {
                    Ok(ask) => self.take(ask),
                    Err(_) => break,
                }
            }
            // A step after a sync may persist more; it ends because only messages start work.
            while let Some(number) = self.dirty.take() {
                if let Err(error) = self.wal.sync() {
                    // A node that cannot keep its promises must not make any.
                    say::errln!("{error}");
                    std::process::abort();
                }
                self.step(Input::Synced(number));
            }
        }
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    fn take(&mut self, ask: Ask) {
        match ask {
            Ask::Txn(txn, reply) => {
                let id = self.next_id;
                self.next_id += 1;
                self.replies.insert(id, reply);
                self.step(Input::Request { id, txn });
            }
            Ask::Peer(envelopes) => {
                for envelope in envelopes {
                    self.step(Input::Message(envelope));
                }
            }
            Ask::Command(command) => self.step(Input::Command(command)),
            Ask::Config(reply) => drop(reply.send(self.core.config().clone())),
            // The asker may have gone away; that is its own affair.
            Ask::Status(reply) => drop(reply.send(self.core.status())),
        }
    }

    fn step(&mut self, input: Input) {
        let mut out = Vec::new();
        let now = self.now();
        self.core.step(now, input, &mut out);
        for output in out {
            match output {
                Output::Persist { number, record } => {
                    self.wal.push(&record);
                    self.dirty = Some(number);
                }
                Output::Send { to, envelope } => self.peers.send(to, envelope),
                Output::Reply { id, reply } => {
                    if let Some(sender) = self.replies.remove(&id) {
                        drop(sender.send(reply));
                    }
                }
            }
        }
    }
}
