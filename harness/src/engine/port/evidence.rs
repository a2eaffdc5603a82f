//! Probes of what an act did, and of its undoing.

use std::collections::BTreeMap;

use agent::proto::{Answer, Ask, ProcessState};
use history::Evidence;
use nemesis::Act;

use super::HostPort;

/// How long a probe waits for an answer that should not come, ms.
const PROBE_MS: u64 = 150;

impl HostPort {
    /// Tries every link, all nodes at once.
    pub(super) fn reachability(&self, links: &[nemesis::Link], expected: &str) -> Vec<Evidence> {
        let mut by_node: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for link in links {
            by_node.entry(link.at).or_default().push(link.from);
        }
        let asks = by_node.iter().map(|(node, to)| {
            let targets = to.iter().map(|to| self.system.address(*to)).collect();
            (*node, Ask::Reach { targets, timeout_ms: PROBE_MS })
        });
        let answers = self.ask_all(asks.collect());
        let mut evidence = Vec::new();
        for (node, answer) in answers {
            let to = &by_node[&node];
            let outcomes = match answer {
                Ok(Answer::Reached { outcomes }) => outcomes,
                Ok(other) => vec![format!("unexpected answer {other:?}"); to.len()],
                Err(error) => vec![error; to.len()],
            };
            for (to, outcome) in to.iter().zip(outcomes) {
                let reached = matches!(outcome.as_str(), "connected" | "refused");
                let holds = match expected {
                    "reachable" => reached,
                    _ => outcome == "timeout",
                };
                evidence.push(Evidence {
                    probe: format!("{} -> {}", self.name(node), self.name(*to)),
                    expected: expected.to_owned(),
                    observed: outcome,
                    holds,
                });
            }
        }
        evidence
    }

    pub(super) fn running(&self, nodes: &[usize]) -> Vec<Evidence> {
        let ask = |node: &usize| (*node, Ask::State { pidfile: self.system.start(*node).pidfile });
        let answers = self.ask_all(nodes.iter().map(ask).collect());
        let evidence = answers.into_iter().map(|(node, answer)| {
            let observed = match answer {
                Ok(Answer::Process { state, .. }) => state.as_str().to_owned(),
                Ok(other) => format!("{other:?}"),
                Err(error) => error,
            };
            Evidence {
                probe: format!("{} process", self.name(node)),
                expected: "running".to_owned(),
                holds: observed == "running",
                observed,
            }
        });
        evidence.collect()
    }
}

/// What the process table must show after an act.
pub(super) fn of_process(probe: String, act: &Act, state: ProcessState) -> Evidence {
    let (expected, holds) = match act {
        Act::Kill { .. } | Act::Replace { .. } => {
            ("absent", matches!(state, ProcessState::Absent | ProcessState::Zombie))
        }
        _ => ("stopped", state == ProcessState::Stopped),
    };
    let observed = state.as_str().to_owned();
    Evidence { probe, expected: expected.to_owned(), observed, holds }
}
