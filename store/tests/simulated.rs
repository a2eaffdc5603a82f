//! Many seeds of random kills and cuts in the simulated world: what a majority that votes
//! acknowledged is never lost, replicas agree, no term has two leaders; and asynchronous
//! replication is seen to lose, or these tests could not fail.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

use std::collections::{BTreeMap, BTreeSet};

use history::{MicroOp, Role};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use splitbrain_store::client::Outcome;
use splitbrain_store::config::{CoreConfig, Failover, Replication};
use splitbrain_store::core::Command;
use splitbrain_store::sim::World;
use splitbrain_store::wire::{TxnReply, TxnRequest};

const MS: u64 = 1_000_000;
const STEP: u64 = 5 * MS;
const FAULTY: u64 = 3_000 * MS;
const HEALED: u64 = 4_000 * MS;

fn config(nodes: usize, replication: Replication, failover: Failover, seed: u64) -> CoreConfig {
    CoreConfig {
        node: 0,
        names: (1..=nodes).map(|n| format!("n{n}")).collect(),
        shards: 1,
        replication,
        failover,
        committed_reads: true,
        heartbeat_ms: 50,
        election_timeout_ms: 300,
        ship_ms: 50,
        wait_ms: 500,
        seed,
    }
}

#[derive(Debug, Default)]
struct Ran {
    acknowledged: BTreeSet<i64>,
    lost: Vec<i64>,
    diverged: bool,
    two_leaders: bool,
    role_changes: u64,
    trace: u64,
}

struct Run {
    world: World,
    rng: ChaCha8Rng,
    nodes: usize,
    leaders: BTreeMap<u64, String>,
    ran: Ran,
    next: i64,
    sent: BTreeMap<u64, i64>,
}

impl Run {
    fn note(&mut self) {
        for node in 0..self.nodes {
            let Some(status) = self.world.status(node) else { continue };
            for shard in status.shards.iter().filter(|shard| shard.role == Role::Leader) {
                let known =
                    self.leaders.entry(shard.term).or_insert_with(|| status.node.clone()).clone();
                self.ran.two_leaders |= known != status.node;
            }
        }
        self.ran.role_changes = self.leaders.len() as u64;
        for (id, outcome) in self.world.take_replies() {
            let ok = matches!(outcome, Outcome::Answered(TxnReply::Ok { .. }));
            if let Some(value) = self.sent.remove(&id).filter(|_| ok) {
                self.ran.acknowledged.insert(value);
            }
        }
    }

    fn write(&mut self) {
        let (value, node) = (self.next, self.rng.random_range(0..self.nodes));
        self.next += 1;
        let ops = vec![MicroOp::append(0, value)];
        self.sent.insert(value as u64, value);
        self.world.submit(node, value as u64, TxnRequest { ops, leader: true });
    }

    fn fault(&mut self) {
        let node = self.rng.random_range(0..self.nodes);
        let other = (node + self.rng.random_range(1..self.nodes)) % self.nodes;
        match self.rng.random_range(0..8) {
            0 => self.world.kill(node),
            1 | 2 => self.world.start(node),
            3 => self.world.cut(node, other),
            4 if self.world.is_cut(node, other) => self.world.restore(node, other),
            5 => self.world.pause(node),
            6 => self.world.command(node, Command::Lead),
            7 => self.world.command(node, Command::StandDown(500 * MS)),
            _ => self.world.resume(node),
        }
    }

    fn heal(&mut self) {
        for node in 0..self.nodes {
            for other in 0..self.nodes {
                while self.world.is_cut(node, other) {
                    self.world.restore(node, other);
                }
            }
            self.world.resume(node);
            self.world.start(node);
        }
    }

    fn judge(&mut self) {
        let logs: Vec<_> =
            (0..self.nodes).filter_map(|n| self.world.core(n).map(|core| core.log(0))).collect();
        self.ran.diverged = logs.windows(2).any(|pair| pair[0] != pair[1]);
        let kept: BTreeSet<i64> = logs[0]
            .iter()
            .flat_map(|entry| &entry.ops)
            .filter_map(|op| match op {
                MicroOp::Append { value, .. } => Some(*value),
                _ => None,
            })
            .collect();
        self.ran.lost = self.ran.acknowledged.difference(&kept).copied().collect();
        self.ran.trace = self.world.counters().sent << 20 | kept.len() as u64;
    }
}

fn run(config: CoreConfig, seed: u64) -> Ran {
    let nodes = config.names.len();
    let mut run = Run {
        world: World::new(config, seed),
        rng: ChaCha8Rng::seed_from_u64(seed ^ 0xfa17),
        nodes,
        leaders: BTreeMap::new(),
        ran: Ran::default(),
        next: 1,
        sent: BTreeMap::new(),
    };
    let mut now = 0;
    while now < FAULTY {
        now += STEP;
        run.world.advance_to(now);
        run.note();
        run.write();
        if run.rng.random_ratio(1, 12) {
            run.fault();
        }
    }
    run.heal();
    while now < FAULTY + HEALED {
        now += STEP;
        run.world.advance_to(now);
        run.note();
    }
    run.judge();
    run.ran
}

#[test]
fn what_a_majority_acknowledged_is_never_lost() {
    let (mut acknowledged, mut changes) = (0, 0);
    for seed in 0..1_500 {
        let nodes = if seed % 2 == 0 { 3 } else { 5 };
        let sync = Replication::Sync { k: nodes / 2 };
        let ran = run(config(nodes, sync, Failover::Vote, seed), seed);
        assert_eq!(ran.lost, [0; 0], "seed {seed}");
        assert!(!ran.two_leaders, "seed {seed}: one term, two leaders");
        assert!(!ran.diverged, "seed {seed}: logs differ after healing");
        acknowledged += ran.acknowledged.len();
        changes += ran.role_changes;
    }
    assert!(40_000 < acknowledged, "only {acknowledged} writes were acknowledged");
    assert!(3_000 < changes, "only {changes} leaderships");
}

#[test]
fn an_asynchronous_leader_is_seen_to_lose() {
    let lossy = (0..40).filter(|seed| {
        let ran = run(config(3, Replication::Async, Failover::Vote, *seed), *seed);
        assert!(!ran.two_leaders && !ran.diverged, "seed {seed}: {ran:?}");
        !ran.lost.is_empty()
    });
    let lossy = lossy.count();
    assert!(8 < lossy, "only {lossy} of 40 seeds lost anything");
}

#[test]
fn without_failover_nothing_is_lost_and_nobody_else_leads() {
    for seed in 0..40 {
        let ran = run(config(3, Replication::Async, Failover::None, seed), seed);
        assert_eq!(ran.lost, [0; 0], "seed {seed}");
        assert!(!ran.diverged && !ran.two_leaders, "seed {seed}");
    }
}

#[test]
fn timeouts_converge_to_one_log() {
    for seed in 0..40 {
        let ran = run(config(3, Replication::Async, Failover::Timeout, seed), seed);
        assert!(!ran.diverged && !ran.two_leaders, "seed {seed}");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let trace = |seed| run(config(3, Replication::Async, Failover::Vote, seed), seed).trace;
    assert_eq!(trace(5), trace(5));
    assert_ne!(trace(5), trace(6));
}
