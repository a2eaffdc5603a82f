//! Reads and writes go to the leader.
//!
//! Most sessions are moved to whom the run sees lead in a later term, as by a directory or a proxy
//! that knows. Some stay where they are until a node refuses them, as applications with open
//! connections do: without them what a deposed leader acknowledges would never be seen.

use history::MicroOp;

use super::beliefs::Beliefs;
use super::{News, Plan, Policy, STAYED, Step, View, leader_steps};

/// See the module's doc.
pub struct Leader {
    beliefs: Beliefs,
    sessions: usize,
    /// The first so many sessions stay.
    stay: usize,
    /// By shard, whom the run saw to lead in the latest term.
    newest: Vec<Option<usize>>,
}

impl Leader {
    /// For this many sessions, all of which stay.
    pub fn new(sessions: usize) -> Leader {
        Leader::moving(sessions, sessions)
    }

    /// For this many sessions, of which the first `stay` stay.
    pub fn moving(sessions: usize, stay: usize) -> Leader {
        Leader { beliefs: Beliefs::new(sessions), sessions, stay, newest: Vec::new() }
    }

    /// Whether a request goes to a leader that the run knows to be deposed.
    fn is_behind(&self, step: &Step) -> bool {
        let newest = self.newest.get(step.shard as usize).copied().flatten();
        newest.is_some_and(|newest| newest != step.node)
    }
}

impl Policy for Leader {
    fn decide(&mut self, session: usize, txn: &[MicroOp], view: &View) -> Plan {
        let leaders: Vec<usize> =
            (0..view.shards).map(|shard| self.beliefs.leader(session, shard, view)).collect();
        let steps = leader_steps(txn, view, |shard| leaders[shard as usize]);
        let stayed = session < self.stay && steps.iter().any(|step| self.is_behind(step));
        Plan { target: if stayed { STAYED } else { "leader" }, steps }
    }

    fn learn(&mut self, session: usize, step: &Step, news: News, view: &View) {
        self.beliefs.learn(session, step, news, view);
    }

    fn led(&mut self, shard: u32, node: usize, view: &View) {
        self.newest.resize(view.shards as usize, None);
        let Some(newest) = self.newest.get_mut(shard as usize) else {
            return;
        };
        *newest = Some(node);
        for session in self.stay..self.sessions {
            self.beliefs.set(session, shard, node, view);
        }
    }

    fn redirect(&mut self, session: usize, step: &Step, view: &View) -> Option<usize> {
        Some(self.beliefs.leader(session, step.shard, view))
    }
}

#[cfg(test)]
mod tests {
    use history::Key;

    use super::*;

    const VIEW: View = View { nodes: 3, shards: 1, shard_of: |_: &Key, _| 0, now: 0 };

    fn asked(policy: &mut Leader, session: usize) -> (usize, &'static str) {
        let plan = policy.decide(session, &[MicroOp::append(1, 1)], &VIEW);
        (plan.steps[0].node, plan.target)
    }

    #[test]
    fn sessions_move_to_a_later_leader_and_some_stay_until_they_are_refused() {
        let mut policy = Leader::moving(4, 1);
        policy.led(0, 0, &VIEW);
        assert!((0..4).all(|session| asked(&mut policy, session) == (0, "leader")));
        policy.led(0, 2, &VIEW);
        assert_eq!(asked(&mut policy, 0), (0, STAYED), "it stays, and is marked");
        assert!((1..4).all(|session| asked(&mut policy, session) == (2, "leader")));
        // An answer keeps it where it is; a refusal ends that.
        let step = policy.decide(0, &[MicroOp::read(1)], &VIEW).steps[0].clone();
        policy.learn(0, &step, News::Served { token: None }, &VIEW);
        assert_eq!(asked(&mut policy, 0), (0, STAYED));
        policy.learn(0, &step, News::NotLeader { hint: Some(2) }, &VIEW);
        assert_eq!(asked(&mut policy, 0), (2, "leader"));
    }

    #[test]
    fn where_all_stay_nobody_moves() {
        let mut policy = Leader::new(3);
        policy.led(0, 1, &VIEW);
        assert!((0..3).all(|session| asked(&mut policy, session) == (0, STAYED)));
    }
}
