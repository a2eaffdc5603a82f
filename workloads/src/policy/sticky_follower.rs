//! Reads of a session go to one follower, chosen by the session; writes go to the leader.

use history::MicroOp;

use super::any_follower::{follower_step, leader_of};
use super::leader::Leader;
use super::{News, Plan, Policy, Step, View, has_write};

/// Sticks until its follower is unreachable or has become the leader.
pub struct StickyFollower {
    leader: Leader,
    /// Moves a session on to its next follower when one cannot be reached.
    moved: Vec<usize>,
}

impl StickyFollower {
    /// For this many sessions.
    pub fn new(sessions: usize) -> StickyFollower {
        StickyFollower { leader: Leader::new(sessions), moved: vec![0; sessions] }
    }

    fn follower(&mut self, session: usize, shard: u32, view: &View) -> usize {
        let not = leader_of(&mut self.leader, session, shard, view);
        let others = view.nodes.saturating_sub(1).max(1);
        (not + 1 + (session + self.moved[session]) % others) % view.nodes
    }
}

impl Policy for StickyFollower {
    fn decide(&mut self, session: usize, txn: &[MicroOp], view: &View) -> Plan {
        if has_write(txn) {
            return self.leader.decide(session, txn, view);
        }
        let shard = txn.first().map_or(0, |mop| (view.shard_of)(mop.key(), view.shards));
        let node = self.follower(session, shard, view);
        Plan { target: "sticky-follower", steps: vec![follower_step(txn, node, view)] }
    }

    fn learn(&mut self, session: usize, step: &Step, news: News, view: &View) {
        if !step.leader && news == News::Unreachable {
            self.moved[session] += 1;
        }
        self.leader.learn(session, step, news, view);
    }

    fn redirect(&mut self, session: usize, step: &Step, view: &View) -> Option<usize> {
        if step.leader {
            return self.leader.redirect(session, step, view);
        }
        Some(self.follower(session, step.shard, view))
    }
}
