//! Acts that end a process otherwise than by one kill, on virtual time. The store obeys within no
//! time at all.

use std::collections::BTreeMap;

use history::Evidence;
use nemesis::ActReport;
use nemesis::life::{Life, Rolling};

use super::Simulation;
use crate::engine::core::{Input, Output};
use crate::engine::port::rolling::of_rejoin;
use crate::engine::rejoin::Rejoin;

const MS: u64 = 1_000_000;
/// How often it is looked whether a node is back, ns.
const LOOK: u64 = 5 * MS;

/// What is to happen to processes.
#[derive(Default)]
pub(super) struct Lives {
    due: BTreeMap<(u64, u64), Turn>,
    sequence: u64,
    /// How often each fault has killed so far.
    kills: BTreeMap<String, u32>,
}

struct Turn {
    id: String,
    nodes: Vec<usize>,
    life: Life,
    roll: Roll,
}

/// Where a rolling restart is.
#[derive(Clone, Default)]
struct Roll {
    /// The node that is under way.
    place: usize,
    /// Since when it is waited for; not restarted yet, if nothing.
    since: Option<u64>,
    rejoin: Rejoin,
    evidence: Vec<Evidence>,
}

impl Lives {
    /// When something happens next, ns.
    pub(super) fn next_at(&self) -> Option<u64> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    fn push(&mut self, at: u64, turn: Turn) {
        self.sequence += 1;
        self.due.insert((at, self.sequence), turn);
    }
}

impl Simulation<'_> {
    /// Begins a life; gives its report, if it has come to pass at once.
    pub(super) fn live(&mut self, id: &str, nodes: &[usize], life: Life) -> Option<ActReport> {
        let (id, roll) = (id.to_owned(), Roll::default());
        if let Life::Rolling(_) = life {
            self.lives.push(self.now, Turn { id, nodes: nodes.to_vec(), life, roll });
            return None;
        }
        for node in nodes {
            match life {
                Life::Stop { .. } | Life::Restart { .. } => self.world.stop(*node),
                _ => self.world.kill(*node),
            }
            if !matches!(life, Life::Stop { .. }) {
                self.world.start(*node);
            }
        }
        let after_ms = match life {
            Life::Stop { .. } => return Some(self.life_report(nodes, "absent", Vec::new())),
            Life::Restart { .. } => return Some(self.life_report(nodes, "running", Vec::new())),
            Life::CrashLoop { period_ms } => period_ms,
            Life::KillInStart { after_ms } => after_ms,
            Life::Rolling(_) => 0,
        };
        self.lives.kills.insert(id.clone(), 1);
        let turn = Turn { id, nodes: nodes.to_vec(), life, roll };
        self.lives.push(self.now + after_ms * MS, turn);
        None
    }

    /// Lets what is due happen.
    pub(super) fn turn_lives(&mut self, out: &mut Vec<Output>) {
        while let Some(entry) = self.lives.due.first_entry().filter(|e| e.key().0 <= self.now) {
            let turn = entry.remove();
            if let Life::Rolling(rolling) = turn.life {
                self.roll(turn, rolling, out);
                continue;
            }
            let kills = self.lives.kills.get(&turn.id).map_or(1, |kills| kills + 1);
            self.lives.kills.insert(turn.id.clone(), kills);
            turn.nodes.iter().for_each(|node| self.world.kill(*node));
            let mut expected = "absent";
            if let Life::CrashLoop { period_ms } = turn.life {
                turn.nodes.iter().for_each(|node| self.world.start(*node));
                expected = "running";
                let (id, nodes, life) = (turn.id.clone(), turn.nodes.clone(), turn.life);
                let again = Turn { id, nodes, life, roll: Roll::default() };
                self.lives.push(self.now + period_ms * MS, again);
            }
            if kills == 2 {
                let report = self.life_report(&turn.nodes, expected, vec![of_kills(kills)]);
                self.core.step(self.now, Input::Acted { id: turn.id, when: None, report }, out);
            }
        }
    }

    /// Restarts a node, or looks whether it is back: then the next comes, if there is one.
    fn roll(&mut self, mut turn: Turn, rolling: Rolling, out: &mut Vec<Output>) {
        let node = turn.nodes[turn.roll.place];
        let Some(since) = turn.roll.since else {
            self.world.stop(node);
            self.world.start(node);
            (turn.roll.since, turn.roll.rejoin) = (Some(self.now), Rejoin::default());
            return self.lives.push(self.now + LOOK, turn);
        };
        let missing = turn.roll.rejoin.look(node, &self.samples()).err();
        let took_ms = (self.now - since) / MS;
        if missing.is_some() && took_ms < rolling.rejoin_ms {
            return self.lives.push(self.now + LOOK, turn);
        }
        let back = missing.is_none();
        let (limit, took) = (rolling.rejoin_ms.into(), took_ms.into());
        turn.roll.evidence.push(of_rejoin(&self.names[node], limit, took, missing));
        turn.roll.place += 1;
        if back && turn.roll.place < turn.nodes.len() {
            turn.roll.since = None;
            return self.lives.push(self.now + rolling.gap_ms * MS, turn);
        }
        let report = self.life_report(&turn.nodes, "running", turn.roll.evidence);
        self.core.step(self.now, Input::Acted { id: turn.id, when: None, report }, out);
    }

    /// Lets every node's process live again.
    pub(super) fn revive(&mut self, id: &str, nodes: &[usize]) -> ActReport {
        self.lives.due.retain(|_, turn| turn.id != id);
        nodes.iter().for_each(|node| self.world.start(*node));
        let kills = self.lives.kills.remove(id).map(of_kills);
        self.life_report(nodes, "running", kills.into_iter().collect())
    }

    fn life_report(&self, nodes: &[usize], expected: &str, more: Vec<Evidence>) -> ActReport {
        let process = |node: &usize| {
            let observed = self.world.process(*node);
            Evidence {
                probe: format!("{} process", self.names[*node]),
                expected: expected.to_owned(),
                observed: observed.to_owned(),
                holds: expected == observed,
            }
        };
        let evidence: Vec<Evidence> = nodes.iter().map(process).chain(more).collect();
        let result = ActReport::judge(&evidence);
        let mechanism = "simulated".to_owned();
        ActReport { mechanism, result, evidence, ..ActReport::default() }
    }
}

fn of_kills(kills: u32) -> Evidence {
    Evidence {
        probe: "killed again".to_owned(),
        expected: "kills 2 or more".to_owned(),
        observed: format!("kills {kills}"),
        holds: 2 <= kills,
    }
}
