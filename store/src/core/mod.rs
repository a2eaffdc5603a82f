//! The sans-IO core of a node: a replica of every shard, and what clients wait for.
//!
//! `step(now, input) -> outputs`. Times are ns. Every message and reply is held back until all
//! that was handed out to be persisted before it is known to be on disk, so no promise is ever
//! made on the strength of a write that a crash could take back.
//!
//! The protocol is Raft's where the configuration asks for it (vote, synchronous to a majority):
//! log matching, election restriction, commit only through an entry of the own term (Ongaro and
//! Ousterhout, USENIX ATC 2014, sections 5.2 to 5.4), with a preliminary vote (Ongaro's thesis,
//! section 9.6) so that a follower that comes back does not depose a healthy leader.
//!
//! Read next: [`replica`], [`elect`], [`replicate`], [`request`].

mod elect;
mod replica;
mod replicate;
mod request;
mod table;

use std::collections::VecDeque;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

use crate::config::CoreConfig;
use crate::wire::{Entry, Envelope, NodeStatus, TxnReply, TxnRequest};

use replica::Replica;
use request::Waiting;
pub use table::Table;

/// What a node keeps on disk, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "r", rename_all = "lowercase")]
pub enum Record {
    /// The shard's term and vote.
    Term {
        /// The shard.
        shard: u32,
        /// Its term.
        term: u64,
        /// Whom this node voted for in it.
        voted: Option<usize>,
    },
    /// A new entry at the end of the shard's log.
    Entry {
        /// The shard.
        shard: u32,
        /// The entry.
        entry: Entry,
    },
    /// Entries from `from` on were cut off; they stay in the file, so nothing is lost for good.
    Cut {
        /// The shard.
        shard: u32,
        /// First entry cut off.
        from: u64,
    },
}

/// A command, for all shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Lead, though another may: by vote it stands for election at once, by time-out it takes the
    /// leadership.
    Lead,
    /// Lead no more, and do not stand again for so long, ns.
    StandDown(u64),
}

/// What happens to a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A message of another node.
    Message(Envelope),
    /// A client's transaction, with a number to answer to.
    Request {
        /// The number.
        id: u64,
        /// The transaction.
        txn: TxnRequest,
    },
    /// Everything handed out up to this number is on disk.
    Synced(u64),
    /// What whoever looks after the cluster asks of the node.
    Command(Command),
    /// Time has come.
    Tick,
}

/// What a node wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Write this down; say [`Input::Synced`] with the number when it is on disk.
    Persist {
        /// The number; grows by one each time.
        number: u64,
        /// What.
        record: Record,
    },
    /// Send a message.
    Send {
        /// To this node.
        to: usize,
        /// The message.
        envelope: Envelope,
    },
    /// Answer a client.
    Reply {
        /// The request's number.
        id: u64,
        /// The answer.
        reply: TxnReply,
    },
}

/// See the module's doc.
pub struct Core {
    config: CoreConfig,
    replicas: Vec<Replica>,
    waiting: Vec<Waiting>,
    rng: ChaCha8Rng,
    now: u64,
    persisted: u64,
    synced: u64,
    /// Outputs with the number that must be on disk before they may go out.
    held: VecDeque<(u64, Output)>,
    out: Vec<Output>,
}

impl Core {
    /// A node that starts with what its disk has, at `now`.
    pub fn new(config: CoreConfig, disk: &[Record], now: u64) -> Core {
        let seed = config.seed.wrapping_mul(1_000_003).wrapping_add(config.node as u64);
        let replicas = (0..config.shards).map(|shard| Replica::recover(shard, disk)).collect();
        let mut core = Core {
            rng: ChaCha8Rng::seed_from_u64(seed),
            config,
            replicas,
            waiting: Vec::new(),
            now,
            persisted: 0,
            synced: 0,
            held: VecDeque::new(),
            out: Vec::new(),
        };
        for place in 0..core.replicas.len() {
            core.start(place);
        }
        core
    }

    /// Takes in what happens at `now` and appends what is to be done.
    pub fn step(&mut self, now: u64, input: Input, out: &mut Vec<Output>) {
        self.now = self.now.max(now);
        match input {
            Input::Message(envelope) => self.on_message(envelope),
            Input::Request { id, txn } => self.on_request(id, txn),
            Input::Command(command) => self.obey(command),
            Input::Synced(number) => self.synced = self.synced.max(number),
            Input::Tick => {}
        }
        for place in 0..self.replicas.len() {
            self.tick(place);
        }
        self.answer_waiting();
        while self.held.front().is_some_and(|(number, _)| *number <= self.synced) {
            let released = self.held.pop_front().map(|(_, output)| output);
            self.out.extend(released);
        }
        out.append(&mut self.out);
    }

    /// What it is set to.
    pub fn config(&self) -> &CoreConfig {
        &self.config
    }

    /// When [`Input::Tick`] is due at the latest, ns.
    pub fn next_tick(&self) -> u64 {
        let replicas = self.replicas.iter().map(|replica| replica.due);
        let waiting = self.waiting.iter().map(|waiting| waiting.deadline);
        replicas.chain(waiting).min().unwrap_or(u64::MAX)
    }

    /// What the node says of itself.
    pub fn status(&self) -> NodeStatus {
        NodeStatus {
            node: self.config.names[self.config.node].clone(),
            shards: self.replicas.iter().map(|replica| replica.telemetry(&self.config)).collect(),
            wall_us: None,
        }
    }

    /// The log of a shard, for tests and for the simulator's checks.
    pub fn log(&self, shard: u32) -> &[Entry] {
        &self.replicas[shard as usize].log
    }

    fn on_message(&mut self, envelope: Envelope) {
        if self.replicas.len() <= envelope.shard as usize
            || self.config.names.len() <= envelope.from
        {
            // A node with another configuration; nothing it says can be meant for this one.
            return;
        }
        self.receive(envelope);
    }

    fn persist(&mut self, record: Record) {
        self.persisted += 1;
        self.out.push(Output::Persist { number: self.persisted, record });
    }

    /// Hands an output out once all that was persisted before it is on disk.
    fn emit(&mut self, output: Output) {
        if self.persisted <= self.synced {
            self.out.push(output);
        } else {
            self.held.push_back((self.persisted, output));
        }
    }

    fn peers(&self) -> Vec<usize> {
        (0..self.config.names.len()).filter(|node| *node != self.config.node).collect()
    }
}

/// ms to ns.
fn ns(ms: u64) -> u64 {
    ms * 1_000_000
}
