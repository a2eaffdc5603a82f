//! Reads go to any follower, drawn anew each time; writes go to the leader.

use history::MicroOp;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::leader::Leader;
use super::{News, Plan, Policy, Step, View, has_write};
use crate::rng::{Stream, stream};

/// See the module's doc.
pub struct AnyFollower {
    leader: Leader,
    rng: ChaCha8Rng,
}

impl AnyFollower {
    /// For this many sessions; the seed draws the followers.
    pub fn new(sessions: usize, seed: u64) -> AnyFollower {
        AnyFollower { leader: Leader::new(sessions), rng: stream(seed, Stream::Policy) }
    }

    fn draw(&mut self, session: usize, shard: u32, view: &View) -> usize {
        let not = leader_of(&mut self.leader, session, shard, view);
        let others = view.nodes.saturating_sub(1).max(1);
        (not + 1 + self.rng.random_range(0..others)) % view.nodes
    }
}

/// The believed leader of `shard`: whom a follower policy avoids.
pub(super) fn leader_of(leader: &mut Leader, session: usize, shard: u32, view: &View) -> usize {
    let step = Step { shard, node: 0, mops: 0..0, leader: true, token: None };
    leader.redirect(session, &step, view).unwrap_or(0)
}

/// One request for a whole read-only transaction.
pub(super) fn follower_step(txn: &[MicroOp], node: usize, view: &View) -> Step {
    let shard = txn.first().map_or(0, |mop| (view.shard_of)(mop.key(), view.shards));
    Step { shard, node, mops: 0..txn.len(), leader: false, token: None }
}

impl Policy for AnyFollower {
    fn decide(&mut self, session: usize, txn: &[MicroOp], view: &View) -> Plan {
        if has_write(txn) {
            return self.leader.decide(session, txn, view);
        }
        let shard = txn.first().map_or(0, |mop| (view.shard_of)(mop.key(), view.shards));
        let node = self.draw(session, shard, view);
        Plan { target: "any-follower", steps: vec![follower_step(txn, node, view)] }
    }

    fn learn(&mut self, session: usize, step: &Step, news: News, view: &View) {
        self.leader.learn(session, step, news, view);
    }

    fn redirect(&mut self, session: usize, step: &Step, view: &View) -> Option<usize> {
        if step.leader {
            return self.leader.redirect(session, step, view);
        }
        let drawn = self.draw(session, step.shard, view);
        // With one follower left there may be nobody else to ask.
        if drawn == step.node { Some((drawn + 1) % view.nodes) } else { Some(drawn) }
    }
}
