//! Commands of the store's own, followed on virtual time until they have come about, as on hosts.

use std::collections::BTreeMap;

use history::Evidence;
use nemesis::ActReport;
use store::core::Command;
use systems::leadership::{self, Awaited, Leaders};

use super::Simulation;
use crate::engine::core::{Input, Output};

const MS: u64 = 1_000_000;
/// How often it is looked who leads, ns.
const LOOK: u64 = 5 * MS;
/// How long an election may take after a command, ns; one that is lost is repeated.
const LIMIT: u64 = 10_000 * MS;
/// How long after a node was asked to stand for election it is asked again, ns.
const ASK_AGAIN: u64 = 400 * MS;

/// Commands that are under way.
#[derive(Default)]
pub(super) struct Commands {
    due: BTreeMap<(u64, u64), Turn>,
    sequence: u64,
}

struct Turn {
    id: String,
    command: Command,
    /// Whom it is still given, one after the other.
    nodes: Vec<usize>,
    /// What is waited for of the first of them.
    wait: Option<Wait>,
    evidence: Vec<Evidence>,
}

struct Wait {
    awaited: Awaited,
    since: u64,
    asked: u64,
}

impl Commands {
    /// When something is looked at next, ns.
    pub(super) fn next_at(&self) -> Option<u64> {
        self.due.keys().next().map(|(at, _)| *at)
    }
}

impl Simulation<'_> {
    /// Gives a command; gives its report, if all that comes of it is there at once.
    pub(super) fn tell(
        &mut self,
        id: &str,
        nodes: &[usize],
        command: Command,
    ) -> Option<ActReport> {
        let (id, nodes) = (id.to_owned(), nodes.to_vec());
        self.follow(Turn { id, command, nodes, wait: None, evidence: Vec::new() })
    }

    /// Looks at what is due.
    pub(super) fn turn_commands(&mut self, out: &mut Vec<Output>) {
        while let Some(entry) = self.commands.due.first_entry().filter(|e| e.key().0 <= self.now) {
            let turn = entry.remove();
            let id = turn.id.clone();
            if let Some(report) = self.follow(turn) {
                self.core.step(self.now, Input::Acted { id, when: None, report }, out);
            }
        }
    }

    /// Follows a command until it has come about at all its nodes: then there is its report.
    fn follow(&mut self, mut turn: Turn) -> Option<ActReport> {
        while let Some(node) = turn.nodes.first().copied() {
            let mut wait = turn.wait.take().unwrap_or_else(|| self.begin(node, turn.command));
            let now = self.leaders();
            let waited = self.now - wait.since;
            if wait.awaited.is_open() && !wait.awaited.held(&now) && waited < LIMIT {
                if turn.command == Command::Lead && ASK_AGAIN <= self.now - wait.asked {
                    self.world.command(node, turn.command);
                    wait.asked = self.now;
                }
                turn.wait = Some(wait);
                self.commands.sequence += 1;
                let key = (self.now + LOOK, self.commands.sequence);
                self.commands.due.insert(key, turn);
                return None;
            }
            turn.evidence.extend(wait.awaited.evidence(&self.names, &now, waited / MS));
            turn.nodes.remove(0);
        }
        let (result, mechanism) = (ActReport::judge(&turn.evidence), "simulated".to_owned());
        Some(ActReport { mechanism, result, evidence: turn.evidence, ..ActReport::default() })
    }

    /// Commands a node, if there is anything that it could change.
    fn begin(&mut self, node: usize, command: Command) -> Wait {
        let before = self.leaders();
        let awaited = match command {
            Command::Lead => Awaited::promotion(node, before),
            Command::StandDown(_) => Awaited::succession(node, before),
        };
        if awaited.is_open() {
            self.world.command(node, command);
        }
        Wait { awaited, since: self.now, asked: self.now }
    }

    fn leaders(&self) -> Leaders {
        leadership::of(self.samples().iter().map(Some))
    }

    /// That somebody leads, once a command is over.
    pub(super) fn led(&self) -> Vec<Evidence> {
        vec![leadership::somebody(&self.names, &self.leaders())]
    }
}
