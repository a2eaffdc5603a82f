//! Reads and writes go to the leader.

use history::MicroOp;

use super::beliefs::Beliefs;
use super::{News, Plan, Policy, Step, View, leader_steps};

/// See the module's doc.
pub struct Leader {
    beliefs: Beliefs,
}

impl Leader {
    /// For this many sessions.
    pub fn new(sessions: usize) -> Leader {
        Leader { beliefs: Beliefs::new(sessions) }
    }
}

impl Policy for Leader {
    fn decide(&mut self, session: usize, txn: &[MicroOp], view: &View) -> Plan {
        let leaders: Vec<usize> =
            (0..view.shards).map(|shard| self.beliefs.leader(session, shard, view)).collect();
        let steps = leader_steps(txn, view, |shard| leaders[shard as usize]);
        Plan { target: "leader", steps }
    }

    fn learn(&mut self, session: usize, step: &Step, news: News, view: &View) {
        self.beliefs.learn(session, step, news, view);
    }

    fn redirect(&mut self, session: usize, step: &Step, view: &View) -> Option<usize> {
        Some(self.beliefs.leader(session, step.shard, view))
    }
}
