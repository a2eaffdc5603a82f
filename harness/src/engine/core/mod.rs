//! The runner's core: sans-IO, so that hosts and the simulator drive the same code.
//!
//! `step(now, input) -> outputs`. No clock, socket, thread or file is in here. The driver carries
//! outputs out in their order: a record is accepted before the request after it is sent.
//!
//! Read next: [`ops`] (operations), [`faults`] (the nemesis), [`phases`] (what comes when),
//! [`calm`] (waiting for what the coverage gate asks for).

mod calm;
mod faults;
mod ops;
mod phases;

use std::collections::{BTreeMap, BTreeSet};

use history::{Event, FaultEvent, Key, Role, TelemetryEvent};
use nemesis::{Act, ActReport, Beside, ClusterView, PlannedFault, Regions};
use rand_chacha::ChaCha8Rng;
use systems::{StepReply, StepRequest};
use workloads::rng::{Stream, stream};
use workloads::{Generator, Policy, View};

pub use calm::Calm;
use calm::Calmed;
use faults::FaultState;
use ops::Session;
pub use phases::Phase;

/// What a core is built from.
pub struct CoreConfig {
    /// The nodes' names, in order; elsewhere nodes are their numbers.
    pub nodes: Vec<String>,
    /// What region each is in.
    pub regions: Regions,
    /// What a client knows of the cluster.
    pub view: View,
    /// The run's seed.
    pub seed: u64,
    /// Logical users.
    pub sessions: usize,
    /// Deadline of an operation, ns.
    pub op_timeout_ns: u64,
    /// Longest wait for convergence, and for final reads, ns each.
    pub recovery_ns: u64,
    /// The schedule.
    pub schedule: Vec<PlannedFault>,
    /// How many nodes may be hurt at once; `None` is no limit.
    pub max_hurt: Option<usize>,
    /// How many faults may be in force at once; `None` is no limit.
    pub max_faults: Option<usize>,
    /// How long the main phase lasts, and what it waits for.
    pub calm: Calm,
    /// The main phase's operations, limited in rate.
    pub generator: Box<dyn Generator>,
    /// Where sessions send them.
    pub policy: Box<dyn Policy>,
    /// Whether to wait for convergence and take final reads; off for measuring the runner itself.
    pub final_reads: bool,
}

/// What the world tells the core.
#[derive(Debug)]
pub enum Input {
    /// Time has come, or the run starts.
    Wake,
    /// A request was answered, or its deadline has passed.
    Reply {
        /// The session that sent it.
        session: usize,
        /// The operation it belonged to.
        op: u64,
        /// What came of it.
        reply: StepReply,
    },
    /// A node was sampled.
    Telemetry(TelemetryEvent),
    /// A fault was carried out, or could not be.
    Acted {
        /// Its id.
        id: String,
        /// When it was asked for and when it was known to be done; `None` is now.
        when: Option<(u64, u64)>,
        /// What was done and seen.
        report: ActReport,
    },
    /// A fault was undone, or could not be.
    Undone {
        /// Its id.
        id: String,
        /// When it was asked for and when it was known to be done; `None` is now.
        when: Option<(u64, u64)>,
        /// What was done and seen.
        report: ActReport,
        /// What a person would type to undo what is left of it, a line each.
        by_hand: Vec<String>,
    },
    /// The user wants the run to end: heal, read, finish.
    Stop,
}

/// What the core wants done, in order.
#[derive(Debug)]
pub enum Output {
    /// A line of the history.
    Record(Event),
    /// A line of the fault stream.
    RecordFault(FaultEvent),
    /// A line of the telemetry.
    RecordTelemetry(TelemetryEvent),
    /// Send a request.
    Send {
        /// Who sends it.
        session: usize,
        /// The operation it belongs to, to be handed back.
        op: u64,
        /// To which node.
        node: usize,
        /// What.
        request: StepRequest,
        /// Give up at this moment, ns since the run's start.
        deadline: u64,
    },
    /// Carry a fault out.
    Inject {
        /// Its id, to be handed back.
        id: String,
        /// What.
        act: Act,
        /// The other faults in force: what they do proves nothing of this one.
        beside: Vec<Beside>,
    },
    /// Undo a fault.
    Undo {
        /// Its id, to be handed back.
        id: String,
        /// What was done.
        act: Act,
        /// The other faults in force: what they do stays done.
        beside: Vec<Beside>,
    },
}

/// Counts for the progress line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Operations that happened.
    pub ok: u64,
    /// Operations that certainly did not.
    pub fail: u64,
    /// Operations nobody knows of.
    pub info: u64,
}

/// See the module's doc.
pub struct Core {
    nodes: Vec<String>,
    view: View,
    op_timeout_ns: u64,
    recovery_ns: u64,
    final_reads: bool,
    generator: Box<dyn Generator>,
    policy: Box<dyn Policy>,
    selector_rng: ChaCha8Rng,
    sessions: Vec<Session>,
    /// Sessions with nothing in flight, oldest first.
    free: Vec<usize>,
    faults: Vec<FaultState>,
    max_hurt: Option<usize>,
    max_faults: Option<usize>,
    cluster: ClusterView,
    /// By shard, the latest term that anybody was seen to lead in.
    terms: BTreeMap<u32, u64>,
    /// Per node, when its latest sample was asked for.
    sampled: Vec<i64>,
    phase: Phase,
    calmed: Calmed,
    stopped: bool,
    keys: BTreeSet<Key>,
    counts: Counts,
    now: u64,
    next_index: u64,
    next_process: i64,
    next_op: u64,
    /// When the generator wants to be asked again; `None` means at the next completion.
    generator_wake: Option<u64>,
    notes: Vec<String>,
    /// Faults that stay in force, each with what a person would type.
    unhealed: Vec<(String, String)>,
}

impl Core {
    /// A core before its first step.
    pub fn new(config: CoreConfig) -> Core {
        assert!(0 < config.sessions, "a run without sessions does nothing");
        let nodes = config.nodes.len();
        Core {
            cluster: ClusterView::new(&config.nodes).with_regions(config.regions),
            terms: BTreeMap::new(),
            sampled: vec![i64::MIN; nodes],
            nodes: config.nodes,
            max_hurt: config.max_hurt,
            max_faults: config.max_faults,
            view: config.view,
            op_timeout_ns: config.op_timeout_ns,
            recovery_ns: config.recovery_ns,
            final_reads: config.final_reads,
            generator: config.generator,
            policy: config.policy,
            selector_rng: stream(config.seed, Stream::Selector),
            sessions: (0..config.sessions).map(Session::new).collect(),
            free: (0..config.sessions).collect(),
            faults: config.schedule.into_iter().map(FaultState::new).collect(),
            phase: Phase::Start,
            calmed: Calmed::new(config.calm),
            stopped: false,
            keys: BTreeSet::new(),
            counts: Counts::default(),
            now: 0,
            next_index: 0,
            next_process: config.sessions as i64,
            next_op: 0,
            generator_wake: Some(0),
            notes: Vec::new(),
            unhealed: Vec::new(),
        }
    }

    /// Takes in what happened at `now` (ns since the run's start) and appends what is to be done.
    pub fn step(&mut self, now: u64, input: Input, out: &mut Vec<Output>) {
        // The record's time never decreases, whatever a driver's clock does.
        self.now = self.now.max(now);
        self.view.now = self.now;
        match input {
            Input::Wake => {}
            Input::Reply { session, op, reply } => self.on_reply(session, op, reply, out),
            Input::Telemetry(event) => self.on_telemetry(event, out),
            Input::Acted { id, when, report } => self.on_acted(&id, when, report, out),
            Input::Undone { id, when, report, by_hand } => {
                self.on_undone(&id, when, report, out);
                self.on_unhealed(&id, by_hand);
            }
            Input::Stop => self.stopped = true,
        }
        self.advance(out);
    }

    /// When the core wants to be woken at the latest, ns since the run's start.
    pub fn next_wake(&self) -> Option<u64> {
        let held = self.calmed.held_until();
        let faults = self.faults.iter().filter_map(FaultState::wake_at);
        let faults = faults.map(|at| at.max(held.unwrap_or(0)));
        let faults = faults.filter(|_| self.phase.is_main());
        let ends = self.generator_wake.into_iter().chain(self.phase.deadline());
        faults.chain(ends).chain(self.end_wake()).min()
    }

    /// Whether everything has been done.
    pub fn finished(&self) -> bool {
        self.phase == Phase::Finished
    }

    /// Where in the run it is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Faults in force, for the progress line.
    pub fn active_faults(&self) -> Vec<String> {
        self.faults.iter().filter_map(FaultState::active_label).collect()
    }

    /// How often a shard was seen to get another leader.
    pub fn leader_changes(&self) -> u64 {
        self.cluster.leader_changes()
    }

    /// Remarks for people: what was skipped, what did not converge.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Faults that could not be undone, each with a line that a person would type.
    pub fn unhealed(&self) -> impl Iterator<Item = (&str, &str)> {
        self.unhealed.iter().map(|(fault, line)| (fault.as_str(), line.as_str()))
    }

    fn on_telemetry(&mut self, event: TelemetryEvent, out: &mut Vec<Output>) {
        if let Some(node) = self.nodes.iter().position(|name| *name == event.node) {
            self.sampled[node] = self.sampled[node].max(event.sent);
            self.tell_policy(node, &event);
        }
        self.cluster.learn(&event);
        out.push(Output::RecordTelemetry(event));
    }

    /// Tells the policy of a leader in a later term than anybody before, if clients can ask it.
    fn tell_policy(&mut self, node: usize, event: &TelemetryEvent) {
        let leads = |shard: &&history::ShardTelemetry| shard.role == Role::Leader;
        for replica in event.shards.iter().filter(leads).filter(|_| event.alive) {
            let known = self.terms.get(&replica.shard);
            if node < self.view.nodes && known.is_none_or(|term| *term < replica.term) {
                self.terms.insert(replica.shard, replica.term);
                self.policy.led(replica.shard, node, &self.view);
            }
        }
    }

    fn in_flight(&self) -> usize {
        self.sessions.len() - self.free.len()
    }
}
