//! A session reads from the leader for a while after it wrote, then from any follower again.

use history::MicroOp;

use super::any_follower::AnyFollower;
use super::leader::Leader;
use super::{News, Plan, Policy, Step, View, has_write};

/// How long after a write a session stays with the leader, ns.
const STAY_NS: u64 = 1_000_000_000;

/// The notes' remedy "for one minute after the last update, read from the leader", in short.
pub struct LeaderAfterWrite {
    leader: Leader,
    others: AnyFollower,
    /// Per session: until when it reads from the leader.
    until: Vec<u64>,
}

impl LeaderAfterWrite {
    /// For this many sessions; the seed draws the followers.
    pub fn new(sessions: usize, seed: u64) -> LeaderAfterWrite {
        LeaderAfterWrite {
            leader: Leader::new(sessions),
            others: AnyFollower::new(sessions, seed),
            until: vec![0; sessions],
        }
    }
}

impl Policy for LeaderAfterWrite {
    fn decide(&mut self, session: usize, txn: &[MicroOp], view: &View) -> Plan {
        if has_write(txn) {
            self.until[session] = view.now + STAY_NS;
        }
        if view.now < self.until[session] {
            let plan = self.leader.decide(session, txn, view);
            return Plan { target: "leader-after-write", ..plan };
        }
        self.others.decide(session, txn, view)
    }

    fn learn(&mut self, session: usize, step: &Step, news: News, view: &View) {
        // A write counts from its answer on: a slow one must not eat the time up.
        if step.leader && matches!(news, News::Served { .. }) && view.now < self.until[session] {
            self.until[session] = view.now + STAY_NS;
        }
        self.leader.learn(session, step, news, view);
        self.others.learn(session, step, news, view);
    }

    fn redirect(&mut self, session: usize, step: &Step, view: &View) -> Option<usize> {
        if step.leader {
            return self.leader.redirect(session, step, view);
        }
        self.others.redirect(session, step, view)
    }
}
