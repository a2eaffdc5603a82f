//! Whom each session believes to lead each shard.

use super::{News, Step, View};

/// Starts from the system's documented first leaders (shard `s` on node `s mod n`) and changes
/// by what nodes tell the session, and by what whoever keeps the beliefs sets.
pub struct Beliefs {
    /// By session, then by shard; grown when first asked.
    leaders: Vec<Vec<usize>>,
}

impl Beliefs {
    /// For this many sessions.
    pub fn new(sessions: usize) -> Beliefs {
        Beliefs { leaders: vec![Vec::new(); sessions] }
    }

    fn of(&mut self, session: usize, view: &View) -> &mut Vec<usize> {
        let leaders = &mut self.leaders[session];
        if leaders.is_empty() {
            leaders.extend((0..view.shards as usize).map(|shard| shard % view.nodes));
        }
        leaders
    }

    /// The leader of `shard` as `session` believes.
    pub fn leader(&mut self, session: usize, shard: u32, view: &View) -> usize {
        self.of(session, view)[shard as usize]
    }

    /// Makes `session` believe that a node leads `shard`.
    pub fn set(&mut self, session: usize, shard: u32, node: usize, view: &View) {
        self.of(session, view)[shard as usize] = node;
    }

    /// Takes in what a leader request taught. News of a node that is no longer believed in
    /// changes nothing.
    pub fn learn(&mut self, session: usize, step: &Step, news: News, view: &View) {
        if !step.leader {
            return;
        }
        let nodes = view.nodes;
        let belief = &mut self.of(session, view)[step.shard as usize];
        match news {
            News::Served { .. } => *belief = step.node,
            News::Aborted | News::Behind => {}
            News::NotLeader { hint: Some(hint) } if hint != step.node && *belief == step.node => {
                *belief = hint;
            }
            News::NotLeader { .. } | News::Unreachable if *belief == step.node => {
                *belief = (step.node + 1) % nodes;
            }
            News::NotLeader { .. } | News::Unreachable => {}
        }
    }
}
