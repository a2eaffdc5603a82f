//! Acts that end a process otherwise than by one kill, on virtual time. The store obeys within no
//! time at all.

use std::collections::BTreeMap;

use history::Evidence;
use nemesis::ActReport;
use nemesis::life::Life;

use super::Simulation;
use crate::engine::core::{Input, Output};

const MS: u64 = 1_000_000;

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
        for node in nodes {
            match life {
                Life::Stop { .. } | Life::Restart { .. } => self.world.stop(*node),
                Life::CrashLoop { .. } | Life::KillInStart { .. } => self.world.kill(*node),
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
        };
        self.lives.kills.insert(id.to_owned(), 1);
        let turn = Turn { id: id.to_owned(), nodes: nodes.to_vec(), life };
        self.lives.push(self.now + after_ms * MS, turn);
        None
    }

    /// Lets what is due happen.
    pub(super) fn turn_lives(&mut self, out: &mut Vec<Output>) {
        while let Some(entry) = self.lives.due.first_entry().filter(|e| e.key().0 <= self.now) {
            let turn = entry.remove();
            let kills = self.lives.kills.get(&turn.id).map_or(1, |kills| kills + 1);
            self.lives.kills.insert(turn.id.clone(), kills);
            turn.nodes.iter().for_each(|node| self.world.kill(*node));
            let mut expected = "absent";
            if let Life::CrashLoop { period_ms } = turn.life {
                turn.nodes.iter().for_each(|node| self.world.start(*node));
                expected = "running";
                let again =
                    Turn { id: turn.id.clone(), nodes: turn.nodes.clone(), life: turn.life };
                self.lives.push(self.now + period_ms * MS, again);
            }
            if kills == 2 {
                let report = self.life_report(&turn.nodes, expected, vec![of_kills(kills)]);
                self.core.step(self.now, Input::Acted { id: turn.id, report }, out);
            }
        }
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
        ActReport { mechanism, result, evidence, took: 0, error: None }
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
