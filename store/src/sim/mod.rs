//! The simulated world: many cores, a network that delays, reorders and drops, disks that lose
//! what was not synced, on virtual time.
//!
//! A heap on virtual nanoseconds with a seeded tie-break; no clock, no thread, no async. The same
//! seed and the same calls give the same events.
//!
//! Read next: [`network`].

mod network;

use std::collections::BTreeMap;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::client::Outcome;
use crate::config::CoreConfig;
use crate::core::{Command, Core, Input, Output, Record};
use crate::wire::{Envelope, NodeStatus, TxnRequest};

pub use network::{Counters, Network};

/// Longest a sync of the disk takes, ns.
const SYNC_MAX: u64 = 800_000;
/// Length of one turn of a slowed node, ns.
const SLOW_PERIOD: u64 = 100_000_000;

/// What happens at a moment.
#[derive(Clone, Debug)]
enum Event {
    Deliver { to: usize, number: u64, envelope: Envelope },
    Request { to: usize, id: u64, txn: TxnRequest },
    Reply { id: u64, outcome: Outcome },
    Synced { node: usize, life: u64, number: u64 },
    Tick { node: usize, life: u64 },
    SlowTurn { node: usize, turn: u64 },
}

/// A node: its core while it lives, its disk always.
struct Node {
    core: Option<Core>,
    /// Grows with every start, so that what was meant for an earlier life is known.
    life: u64,
    disk: Vec<Record>,
    unsynced: Vec<(u64, Record)>,
    paused: bool,
    /// Inputs that wait for a paused node, as its kernel would keep them.
    backlog: Vec<Input>,
    tick_at: u64,
    /// Requests it has not answered: simulation's id by the core's.
    open: BTreeMap<u64, u64>,
    /// When slowed: how long it is stopped in each period, and which turn is due.
    slow: Option<(u64, u64)>,
}

/// See the module's doc.
pub struct World {
    config: CoreConfig,
    nodes: Vec<Node>,
    heap: BTreeMap<(u64, u64, u64), Event>,
    sequence: u64,
    now: u64,
    rng: ChaCha8Rng,
    network: Network,
    replies: Vec<(u64, Outcome)>,
    next_request: u64,
}

impl World {
    /// All nodes of `config`, fresh, at time 0.
    pub fn new(config: CoreConfig, seed: u64) -> World {
        let node = || Node {
            core: None,
            life: 0,
            disk: Vec::new(),
            unsynced: Vec::new(),
            paused: false,
            backlog: Vec::new(),
            tick_at: u64::MAX,
            open: BTreeMap::new(),
            slow: None,
        };
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(6);
        let mut world = World {
            nodes: config.names.iter().map(|_| node()).collect(),
            config,
            heap: BTreeMap::new(),
            sequence: 0,
            now: 0,
            rng,
            network: Network::default(),
            replies: Vec::new(),
            next_request: 0,
        };
        for node in 0..world.nodes.len() {
            world.start(node);
        }
        world
    }

    /// When something happens next, ns.
    pub fn next_event_at(&self) -> Option<u64> {
        self.heap.keys().next().map(|(at, _, _)| *at)
    }

    /// Lets everything happen up to and at `until`.
    pub fn advance_to(&mut self, until: u64) {
        while let Some(entry) = self.heap.first_entry() {
            let at = entry.key().0;
            if until < at {
                break;
            }
            let event = entry.remove();
            self.now = self.now.max(at);
            self.happen(event);
        }
        self.now = self.now.max(until);
    }

    /// Sends a client's transaction to a node; the answer comes with `id`.
    pub fn submit(&mut self, node: usize, id: u64, txn: TxnRequest) {
        let delay = self.network.delay(&mut self.rng);
        self.push(self.now + delay, Event::Request { to: node, id, txn });
    }

    /// Gives a node a command; one that is dead does not hear it.
    pub fn command(&mut self, node: usize, command: Command) {
        self.step(node, Input::Command(command));
    }

    /// Answers that have arrived, in order.
    pub fn take_replies(&mut self) -> Vec<(u64, Outcome)> {
        std::mem::take(&mut self.replies)
    }

    /// What a node says of itself; `None` while it is dead or stopped.
    pub fn status(&self, node: usize) -> Option<NodeStatus> {
        let node = &self.nodes[node];
        node.core.as_ref().filter(|_| !node.paused).map(Core::status)
    }

    /// A node's log of a shard, live or from its disk.
    pub fn core(&self, node: usize) -> Option<&Core> {
        self.nodes[node].core.as_ref()
    }

    /// What the network has done so far.
    pub fn counters(&self) -> Counters {
        self.network.counters
    }

    /// Ends a node at once: unsynced records are lost, open requests break.
    pub fn kill(&mut self, node: usize) {
        let delay = self.network.delay(&mut self.rng);
        let dead = &mut self.nodes[node];
        dead.core = None;
        dead.unsynced.clear();
        dead.backlog.clear();
        dead.paused = false;
        dead.slow = None;
        let open: Vec<u64> = std::mem::take(&mut dead.open).into_values().collect();
        for id in open {
            let outcome = Outcome::Unknown("connection closed before message completed".into());
            self.push(self.now + delay, Event::Reply { id, outcome });
        }
    }

    /// Ends a node in good order: what it has written is synced, open requests break.
    pub fn stop(&mut self, node: usize) {
        let ending = &mut self.nodes[node];
        let written = std::mem::take(&mut ending.unsynced);
        ending.disk.extend(written.into_iter().map(|(_, record)| record));
        self.kill(node);
    }

    /// Starts a node with what its disk has, unless it lives.
    pub fn start(&mut self, node: usize) {
        if self.nodes[node].core.is_some() {
            return;
        }
        let config = CoreConfig { node, ..self.config.clone() };
        let starting = &mut self.nodes[node];
        starting.life += 1;
        starting.core = Some(Core::new(config, &starting.disk, self.now));
        starting.tick_at = u64::MAX;
        self.step(node, Input::Tick);
    }

    /// Stops a node; what is sent to it waits.
    pub fn pause(&mut self, node: usize) {
        self.nodes[node].paused = true;
    }

    /// Lets a node go on, at full speed.
    pub fn resume(&mut self, node: usize) {
        self.nodes[node].slow = None;
        self.go_on(node);
    }

    /// Stops a node for this share of every tenth of a second.
    pub fn slow(&mut self, node: usize, stopped_percent: u32) {
        let stopped = SLOW_PERIOD * u64::from(stopped_percent.min(100)) / 100;
        let turn = self.sequence;
        self.nodes[node].slow = Some((stopped, turn));
        self.pause(node);
        self.push(self.now + stopped, Event::SlowTurn { node, turn });
    }

    /// Drops what arrives at one node from another, until restored as often as cut.
    pub fn cut(&mut self, at: usize, from: usize) {
        self.network.cut(at, from);
    }

    /// Takes one cut back.
    pub fn restore(&mut self, at: usize, from: usize) {
        self.network.restore(at, from);
    }

    /// Whether messages of one node are dropped at another.
    pub fn is_cut(&self, at: usize, from: usize) -> bool {
        self.network.is_cut(at, from)
    }

    /// Whether a node's process exists, and whether it is stopped.
    pub fn process(&self, node: usize) -> &'static str {
        match (&self.nodes[node].core, self.nodes[node].paused) {
            (None, _) => "absent",
            (Some(_), true) => "stopped",
            (Some(_), false) => "running",
        }
    }

    fn push(&mut self, at: u64, event: Event) {
        let tie = self.rng.random();
        self.sequence += 1;
        self.heap.insert((at, tie, self.sequence), event);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver { to, number, envelope } => {
                if self.network.deliver(to, envelope.from, number) {
                    self.step(to, Input::Message(envelope));
                }
            }
            Event::Request { to, id, txn } => self.request(to, id, txn),
            Event::Reply { id, outcome } => self.replies.push((id, outcome)),
            Event::Synced { node, life, number } => self.synced(node, life, number),
            Event::Tick { node, life } => {
                if self.nodes[node].life == life && self.nodes[node].tick_at <= self.now {
                    self.nodes[node].tick_at = u64::MAX;
                    self.step(node, Input::Tick);
                }
            }
            Event::SlowTurn { node, turn } => self.slow_turn(node, turn),
        }
    }

    fn slow_turn(&mut self, node: usize, turn: u64) {
        let Some((stopped, current)) = self.nodes[node].slow else { return };
        if current != turn {
            return;
        }
        let next = if self.nodes[node].paused {
            self.go_on(node);
            SLOW_PERIOD - stopped
        } else {
            self.pause(node);
            stopped
        };
        self.push(self.now + next.max(1_000_000), Event::SlowTurn { node, turn });
    }

    fn go_on(&mut self, node: usize) {
        self.nodes[node].paused = false;
        for input in std::mem::take(&mut self.nodes[node].backlog) {
            self.step(node, input);
        }
        self.step(node, Input::Tick);
    }

    fn request(&mut self, to: usize, id: u64, txn: TxnRequest) {
        if self.nodes[to].core.is_none() {
            let delay = self.network.delay(&mut self.rng);
            let outcome = Outcome::NotSent("connection refused".to_owned());
            return self.push(self.now + delay, Event::Reply { id, outcome });
        }
        let number = self.next_request;
        self.next_request += 1;
        self.nodes[to].open.insert(number, id);
        self.step(to, Input::Request { id: number, txn });
    }

    fn synced(&mut self, node: usize, life: u64, number: u64) {
        let disk = &mut self.nodes[node];
        if disk.life != life || disk.core.is_none() {
            return;
        }
        let split = disk.unsynced.partition_point(|(pending, _)| *pending <= number);
        disk.disk.extend(disk.unsynced.drain(..split).map(|(_, record)| record));
        self.step(node, Input::Synced(number));
    }

    fn step(&mut self, node: usize, input: Input) {
        let acting = &mut self.nodes[node];
        if acting.paused {
            // A tick is not something that waits; the clock will say so again.
            if !matches!(input, Input::Tick) && acting.core.is_some() {
                acting.backlog.push(input);
            }
            return;
        }
        let Some(core) = &mut acting.core else { return };
        let mut out = Vec::new();
        core.step(self.now, input, &mut out);
        let (life, due) = (acting.life, core.next_tick());
        let mut persisted = None;
        for output in out {
            match output {
                Output::Persist { number, record } => {
                    self.nodes[node].unsynced.push((number, record));
                    persisted = Some(number);
                }
                Output::Send { to, envelope } => {
                    let number = self.network.sent();
                    let delay = self.network.delay(&mut self.rng);
                    self.push(self.now + delay, Event::Deliver { to, number, envelope });
                }
                Output::Reply { id, reply } => {
                    if let Some(id) = self.nodes[node].open.remove(&id) {
                        let delay = self.network.delay(&mut self.rng);
                        let outcome = Outcome::Answered(reply);
                        self.push(self.now + delay, Event::Reply { id, outcome });
                    }
                }
            }
        }
        if let Some(number) = persisted {
            let delay = self.rng.random_range(20_000..SYNC_MAX);
            self.push(self.now + delay, Event::Synced { node, life, number });
        }
        if due < self.nodes[node].tick_at {
            self.nodes[node].tick_at = due;
            self.push(due.max(self.now + 1), Event::Tick { node, life });
        }
    }
}
