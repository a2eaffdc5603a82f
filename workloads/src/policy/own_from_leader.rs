//! A session reads what it wrote from the leader, everything else from any follower.

use std::collections::BTreeSet;

use history::{Key, MicroOp};

use super::any_follower::AnyFollower;
use super::leader::Leader;
use super::{News, Plan, Policy, Step, View};

/// The notes' remedy "read your own profile from the leader".
pub struct OwnFromLeader {
    leader: Leader,
    others: AnyFollower,
    written: Vec<BTreeSet<Key>>,
}

impl OwnFromLeader {
    /// For this many sessions; the seed draws the followers.
    pub fn new(sessions: usize, seed: u64) -> OwnFromLeader {
        OwnFromLeader {
            leader: Leader::new(sessions),
            others: AnyFollower::new(sessions, seed),
            written: vec![BTreeSet::new(); sessions],
        }
    }
}

impl Policy for OwnFromLeader {
    fn decide(&mut self, session: usize, txn: &[MicroOp], view: &View) -> Plan {
        let written = &mut self.written[session];
        let mut own = false;
        for mop in txn {
            if !mop.is_read() {
                written.insert(mop.key().clone());
            }
            own |= written.contains(mop.key());
        }
        if own {
            let plan = self.leader.decide(session, txn, view);
            return Plan { target: "own-from-leader", ..plan };
        }
        self.others.decide(session, txn, view)
    }

    fn learn(&mut self, session: usize, step: &Step, news: News, view: &View) {
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
