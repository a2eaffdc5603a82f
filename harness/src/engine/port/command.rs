//! Acts that are commands of the system's own, and the one that begins and ends with them: a node
//! that is replaced by an empty one.

use std::time::Instant;

use agent::proto::{Answer, Ask};
use history::{Evidence, FAILOVERS_WAITED, FaultResult};
use nemesis::{Act, ActReport};
use systems::{Replacing, SystemError};

use super::{HostPort, evidence};

/// What was seen, and what could not be told.
#[derive(Default)]
struct Seen {
    evidence: Vec<Evidence>,
    errors: Vec<String>,
}

impl Seen {
    fn add(&mut self, told: Result<Vec<Evidence>, SystemError>) {
        match told {
            Ok(mut probes) => self.evidence.append(&mut probes),
            Err(error) => self.errors.push(error.what),
        }
    }

    fn report(self, mechanism: &str, started: Instant) -> ActReport {
        let error = (!self.errors.is_empty()).then(|| self.errors.join("; "));
        let result = match error {
            Some(_) => FaultResult::Indeterminate,
            None => ActReport::judge(&self.evidence),
        };
        let took = started.elapsed().as_nanos() as i64;
        let mechanism = mechanism.to_owned();
        ActReport {
            mechanism,
            result,
            evidence: self.evidence,
            took,
            error,
            ..ActReport::default()
        }
    }
}

impl HostPort {
    /// Gives a command for each of these nodes.
    pub(super) fn by_command(
        &self,
        nodes: &[usize],
        command: &dyn Fn(usize) -> Result<Vec<Evidence>, SystemError>,
    ) -> ActReport {
        let started = Instant::now();
        let mut seen = Seen::default();
        nodes.iter().for_each(|node| seen.add(self.acts.part(|| command(*node))));
        seen.report("command", started)
    }

    /// Withholds the approval that failovers need, or gives it. That it is withheld is no effect
    /// yet: one that no failover waited for has shown nothing, and how many did is told when it is
    /// given.
    pub(super) fn approval(&self, withheld: bool) -> ActReport {
        let started = Instant::now();
        let mut seen = Seen::default();
        let told = self.acts.part(|| self.system.withhold_approval(withheld)).map(|waited| {
            let (probe, expected, observed, holds) = match withheld {
                true => ("approval of failovers", "withheld", "withheld".to_owned(), true),
                false => (FAILOVERS_WAITED, "1 or more", waited.to_string(), 0 < waited),
            };
            vec![Evidence {
                probe: probe.to_owned(),
                expected: expected.to_owned(),
                observed,
                holds,
            }]
        });
        seen.add(told);
        seen.report("operator", started)
    }

    /// Has the others forget these nodes, kills them and takes their data. The agent journals that
    /// a node is to be started again, nothing more: should splitbrain die in between, an empty
    /// server waits there for whoever builds the cluster next.
    pub(super) fn replace(&self, id: &str, nodes: &[usize]) -> ActReport {
        let started = Instant::now();
        let mut seen = Seen::default();
        let replacing = match self.replaceable(&mut seen) {
            Some(replacing) => replacing,
            None => return seen.report("command", started),
        };
        let mut gone = Vec::new();
        for node in nodes {
            let told = self.acts.part(|| replacing.leave(*node));
            // Who is still counted on must not forget what it knew, its votes above all.
            if told.as_ref().is_ok_and(|probes| probes.iter().all(|probe| probe.holds)) {
                gone.push(*node);
            }
            seen.add(told);
        }
        let act = Act::Replace { nodes: gone };
        for (node, answer) in self.ask_all(self.asks(id, &act)) {
            match answer {
                Ok(Answer::Process { process, state }) => {
                    let pid = process.map_or(0, |process| process.pid);
                    let probe = format!("{} process {pid}", self.name(node));
                    seen.evidence.push(evidence::of_process(probe, &act, state));
                    seen.add(self.acts.part(|| replacing.empty(node)));
                }
                Ok(other) => seen.errors.push(format!("unexpected answer {other:?}")),
                Err(error) => seen.errors.push(error),
            }
        }
        seen.report("command, signal", started)
    }

    /// Has them filled from the others, started, and made members again.
    pub(super) fn bring_back(&self, id: &str, nodes: &[usize]) -> ActReport {
        let started = Instant::now();
        let mut seen = Seen::default();
        let replacing = match self.replaceable(&mut seen) {
            Some(replacing) => replacing,
            None => return seen.report("command", started),
        };
        for (node, running) in nodes.iter().zip(self.running(nodes)) {
            // A server that was never killed has its data.
            if !running.holds {
                seen.add(self.acts.part(|| replacing.refill(*node)));
            }
        }
        let heal = |node: &usize| (*node, Ask::Heal { fault: id.to_owned() });
        let answers = self.ask_all(nodes.iter().map(heal).collect());
        seen.errors.extend(answers.into_iter().filter_map(|(_, answer)| answer.err()));
        seen.evidence.extend(self.running(nodes));
        nodes.iter().for_each(|node| seen.add(self.acts.part(|| replacing.join(*node))));
        seen.report("command, agent", started)
    }

    fn replaceable(&self, seen: &mut Seen) -> Option<&dyn Replacing> {
        let replacing = self.system.replacing();
        if replacing.is_none() {
            seen.errors.push("this system cannot replace a node".to_owned());
        }
        replacing
    }
}
