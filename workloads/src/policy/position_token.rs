//! Reads carry a token: the position of all that the session wrote and saw.
//!
//! A follower answers only from a state that holds the token. The token is learned from writes
//! *and* from reads: learned from writes alone it would show a session its own writes and still let
//! time run backward between two followers.

use history::MicroOp;

use super::any_follower::AnyFollower;
use super::leader::Leader;
use super::{News, Plan, Policy, Step, View, has_write};

/// What is known of a session's past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    /// Everything it wrote and saw is at or before this position.
    At(u64),
    /// A write may have happened at a position that nobody told: only the leader surely has it.
    Unknown,
}

/// See the module's doc.
pub struct PositionToken {
    leader: Leader,
    others: AnyFollower,
    tokens: Vec<Token>,
}

impl PositionToken {
    /// For this many sessions; the seed draws the followers.
    pub fn new(sessions: usize, seed: u64) -> PositionToken {
        PositionToken {
            leader: Leader::new(sessions),
            others: AnyFollower::new(sessions, seed),
            tokens: vec![Token::At(0); sessions],
        }
    }
}

impl Policy for PositionToken {
    fn decide(&mut self, session: usize, txn: &[MicroOp], view: &View) -> Plan {
        match self.tokens[session] {
            Token::At(token) if !has_write(txn) => {
                let mut plan = self.others.decide(session, txn, view);
                for step in &mut plan.steps {
                    step.token = Some(token);
                }
                Plan { target: "position-token", ..plan }
            }
            _ => self.leader.decide(session, txn, view),
        }
    }

    fn learn(&mut self, session: usize, step: &Step, news: News, view: &View) {
        match (news, self.tokens[session]) {
            (News::Served { token: Some(new) }, Token::At(old)) => {
                self.tokens[session] = Token::At(old.max(new));
            }
            // What the leader has served is before the position that it names afterwards.
            (News::Served { token: Some(new) }, Token::Unknown) if step.leader => {
                self.tokens[session] = Token::At(new);
            }
            (News::Served { token: None }, _) => self.tokens[session] = Token::Unknown,
            _ => {}
        }
        self.leader.learn(session, step, news, view);
        self.others.learn(session, step, news, view);
    }

    fn redirect(&mut self, session: usize, step: &Step, view: &View) -> Option<usize> {
        // Behind, refused or gone: the leader has every position.
        self.leader.redirect(session, step, view)
    }

    fn wants_tokens(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use history::Key;

    use super::*;

    const VIEW: View = View { nodes: 3, shards: 1, shard_of: |_: &Key, _| 0, now: 0 };

    #[test]
    fn a_token_grows_with_writes_and_reads_and_is_carried_by_reads() {
        let mut policy = PositionToken::new(1, 7);
        let write = policy.decide(0, &[MicroOp::write(1, 1)], &VIEW).steps[0].clone();
        assert!(write.leader);
        policy.learn(0, &write, News::Served { token: Some(90) }, &VIEW);
        let read = policy.decide(0, &[MicroOp::read(1)], &VIEW).steps[0].clone();
        assert_eq!((read.leader, read.token), (false, Some(90)));
        policy.learn(0, &read, News::Served { token: Some(120) }, &VIEW);
        policy.learn(0, &read, News::Served { token: Some(100) }, &VIEW);
        assert_eq!(policy.decide(0, &[MicroOp::read(1)], &VIEW).steps[0].token, Some(120));
        assert_eq!(policy.redirect(0, &read, &VIEW), Some(0), "the leader has it for sure");
    }

    #[test]
    fn a_write_without_a_position_sends_reads_to_the_leader() {
        let mut policy = PositionToken::new(1, 7);
        let write = policy.decide(0, &[MicroOp::write(1, 1)], &VIEW).steps[0].clone();
        policy.learn(0, &write, News::Served { token: None }, &VIEW);
        assert!(policy.decide(0, &[MicroOp::read(1)], &VIEW).steps[0].leader);
        policy.learn(0, &write, News::Served { token: Some(7) }, &VIEW);
        assert!(!policy.decide(0, &[MicroOp::read(1)], &VIEW).steps[0].leader);
    }
}
