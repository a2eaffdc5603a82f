//! Client policies: which node a session asks.
//!
//! Pure: a session knows what nodes told it. The policy `leader` alone is told besides whom the run
//! sees lead in a later term ([`Policy::led`]), and moves most sessions there; the others go on
//! talking to a deposed leader until somebody refuses them, or split brain would never be seen.

mod any_follower;
mod beliefs;
mod driver;
mod leader;
mod leader_after_write;
mod own_from_leader;
mod position_token;
mod sticky_follower;

use std::ops::Range;

use history::{Key, MicroOp};

use any_follower::AnyFollower;
use driver::Driver;
use leader::Leader;
use leader_after_write::LeaderAfterWrite;
use own_from_leader::OwnFromLeader;
use position_token::PositionToken;
use sticky_follower::StickyFollower;

/// What is fixed about the cluster, as a client knows it.
#[derive(Clone, Copy)]
pub struct View {
    /// How many nodes there are; they are named by number.
    pub nodes: usize,
    /// How many independent logs.
    pub shards: u32,
    /// Which shard a key lives on.
    pub shard_of: fn(&Key, u32) -> u32,
    /// Now, ns since the run's start.
    pub now: u64,
}

/// One request of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The shard of its micro-operations; of the first, where the node serves them all.
    pub shard: u32,
    /// The node asked.
    pub node: usize,
    /// Which micro-operations of the transaction.
    pub mops: Range<usize>,
    /// Whether the node must believe itself leader of the shard.
    pub leader: bool,
    /// The node must have applied at least this position.
    pub token: Option<u64>,
}

/// The target of a request to a leader that the run knows to be deposed, by a session that stays.
pub const STAYED: &str = history::STAYED;

/// What a policy decides for a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What it aims at, for the record.
    pub target: &'static str,
    /// Requests, in order.
    pub steps: Vec<Step>,
}

/// What a request taught its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The node served it.
    Served {
        /// The position that the answer carried, if one was wanted and known.
        token: Option<u64>,
    },
    /// The node certainly did not do it, for a reason that has nothing to do with which node it is.
    Aborted,
    /// The node has not applied the position that it was asked for.
    Behind,
    /// The node is not leader; it may know who is.
    NotLeader {
        /// Whom it named.
        hint: Option<usize>,
    },
    /// The node refused the connection or did not answer.
    Unreachable,
}

/// See the module's doc.
pub trait Policy: Send {
    /// Where `session` sends `txn`.
    fn decide(&mut self, session: usize, txn: &[MicroOp], view: &View) -> Plan;

    /// Told what came of a step.
    fn learn(&mut self, session: usize, step: &Step, news: News, view: &View);

    /// Told that a node was seen to lead a shard, in a later term than anybody before.
    fn led(&mut self, _shard: u32, _node: usize, _view: &View) {}

    /// Whether answers shall carry positions.
    fn wants_tokens(&self) -> bool {
        false
    }

    /// Whether the system's own driver chooses the node, and steps name none.
    fn routed_by_driver(&self) -> bool {
        false
    }

    /// Where to send a step again after it was refused (certainly not done); `None` gives up.
    fn redirect(&mut self, session: usize, step: &Step, view: &View) -> Option<usize>;
}

/// Names of all policies, with a sentence for lists.
pub const NAMES: [(&str, &str); 7] = [
    (
        "leader",
        "reads and writes go to the leader; of the sessions policy.stay (25%) stay with a deposed \
         one until it refuses them",
    ),
    ("any-follower", "reads go to any follower, drawn anew each time"),
    ("sticky-follower", "reads of a session go to one follower, chosen by the session"),
    (
        "own-from-leader",
        "a session reads what it wrote from the leader, the rest from any follower",
    ),
    ("leader-after-write", "a session reads from the leader for 1 s after a write"),
    (
        "position-token",
        "reads carry the position of what the session wrote and saw; a follower that is behind \
         waits 100 ms for it, then the leader is asked",
    ),
    (
        "driver",
        "the system's own driver chooses the node, by mongodb.read_preference (MongoDB alone)",
    ),
];

/// The policy called `name` for `sessions` sessions, of which `stay` stay with a deposed leader.
pub fn by_name(name: &str, sessions: usize, stay: usize, seed: u64) -> Option<Box<dyn Policy>> {
    Some(match name {
        "leader" => Box::new(Leader::moving(sessions, stay)),
        "any-follower" => Box::new(AnyFollower::new(sessions, seed)),
        "sticky-follower" => Box::new(StickyFollower::new(sessions)),
        "own-from-leader" => Box::new(OwnFromLeader::new(sessions, seed)),
        "leader-after-write" => Box::new(LeaderAfterWrite::new(sessions, seed)),
        "position-token" => Box::new(PositionToken::new(sessions, seed)),
        "driver" => Box::new(Driver),
        _ => return None,
    })
}

/// Splits a transaction into one leader request per run of micro-operations of one shard.
fn leader_steps(txn: &[MicroOp], view: &View, leader: impl Fn(u32) -> usize) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (place, mop) in txn.iter().enumerate() {
        let shard = (view.shard_of)(mop.key(), view.shards);
        match steps.last_mut() {
            Some(step) if step.shard == shard => step.mops.end = place + 1,
            _ => steps.push(Step {
                shard,
                node: leader(shard),
                mops: place..place + 1,
                leader: true,
                token: None,
            }),
        }
    }
    steps
}

fn has_write(txn: &[MicroOp]) -> bool {
    txn.iter().any(|mop| !mop.is_read())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard_of(key: &Key, shards: u32) -> u32 {
        match key {
            Key::Int(key) => key.rem_euclid(i64::from(shards)) as u32,
            Key::Str(_) => 0,
        }
    }

    const VIEW: View = View { nodes: 3, shards: 2, shard_of, now: 0 };

    #[test]
    fn a_leader_policy_splits_by_shard_and_follows_refusals() {
        let mut policy = by_name("leader", 1, 1, 1).unwrap();
        let txn = [MicroOp::read(1), MicroOp::read(2), MicroOp::read(4)];
        let plan = policy.decide(0, &txn, &VIEW);
        let parts: Vec<_> = plan.steps.iter().map(|s| (s.shard, s.node, s.mops.clone())).collect();
        assert_eq!(parts, [(1, 1, 0..1), (0, 0, 1..3)]);

        let step = &plan.steps[0];
        policy.learn(0, step, News::NotLeader { hint: Some(2) }, &VIEW);
        assert_eq!(policy.redirect(0, step, &VIEW), Some(2));
        policy.learn(0, step, News::Unreachable, &VIEW);
        assert_eq!(policy.decide(0, &txn, &VIEW).steps[0].node, 2, "news of node 1 is old news");
    }

    #[test]
    fn followers_are_asked_for_reads_and_the_leader_for_writes() {
        for name in ["any-follower", "sticky-follower"] {
            let mut policy = by_name(name, 4, 1, 9).unwrap();
            for session in 0..4 {
                for _ in 0..20 {
                    let plan = policy.decide(session, &[MicroOp::read(0)], &VIEW);
                    assert_ne!(plan.steps[0].node, 0, "{name}: node 0 leads shard 0");
                    assert!(!plan.steps[0].leader);
                    let plan = policy.decide(session, &[MicroOp::append(0, 1)], &VIEW);
                    assert_eq!((plan.steps[0].node, plan.steps[0].leader), (0, true));
                }
            }
        }
    }

    #[test]
    fn own_keys_are_read_from_the_leader_once_written() {
        let mut policy = by_name("own-from-leader", 2, 1, 3).unwrap();
        policy.decide(1, &[MicroOp::write(6, 1)], &VIEW);
        assert!(policy.decide(1, &[MicroOp::read(6)], &VIEW).steps[0].leader);
        assert!(!policy.decide(0, &[MicroOp::read(6)], &VIEW).steps[0].leader);
    }
}
