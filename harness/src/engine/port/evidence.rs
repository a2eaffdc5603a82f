//! Probes of what an act did, and of its undoing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use agent::proto::{Answer, Ask, ProcessState};
use history::Evidence;
use nemesis::{Act, Beside, beside};

use super::peers::is_answer;
use super::{HostPort, Probed};

/// How long a probe waits for an answer that should not come, ms.
const PROBE_MS: u64 = 150;

impl HostPort {
    /// Tries every link, all nodes at once; each with the faults that keep it from telling.
    pub(super) fn reachability(
        &self,
        links: &[nemesis::Link],
        expected: &str,
        others: &[Beside],
    ) -> Vec<Probed> {
        let mut by_node: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for link in links {
            by_node.entry(link.at).or_default().push(link.from);
        }
        // A packet that is only late is not lost.
        let later = links.iter().map(|link| beside::later_ms(others, link.at, link.from)).max();
        let timeout_ms = PROBE_MS + self.peers.patience_ms() + later.unwrap_or(0);
        let targets = |node: usize, to: usize| self.peers.probed(node, to, self.system.address(to));
        let asks = by_node.iter().map(|(node, to)| {
            let targets = to.iter().flat_map(|to| targets(*node, *to)).collect();
            (*node, Ask::Reach { targets, timeout_ms })
        });
        let answers = self.ask_all(asks.collect());
        let mut evidence = Vec::new();
        for (node, answer) in answers {
            let mut outcomes = match answer {
                Ok(Answer::Reached { outcomes }) => Ok(outcomes.into_iter()),
                Ok(other) => Err(format!("unexpected answer {other:?}")),
                Err(error) => Err(error),
            };
            for to in &by_node[&node] {
                let tried = targets(node, *to);
                let outcomes: Vec<String> = match &mut outcomes {
                    Ok(outcomes) => outcomes.by_ref().take(tried.len()).collect(),
                    Err(error) => vec![error.clone(); tried.len()],
                };
                let probe = format!("{} -> {}", self.name(node), self.name(*to));
                let seen = of_addresses(probe, expected, &tried, &outcomes);
                let mut hiding = Vec::new();
                if beside::is_silence(&seen) {
                    hiding = beside::cutting(others, node, *to);
                    hiding.extend(beside::losing(others, node, *to));
                }
                evidence.push((seen, hiding));
            }
        }
        evidence
    }

    /// Tries to connect as clients do, from here.
    pub(super) fn clients_reach(
        &self,
        nodes: &[usize],
        expected: &str,
        others: &[Beside],
    ) -> Vec<Probed> {
        let tried: Vec<_> = nodes.iter().map(|node| self.system.address(*node)).collect();
        let outcomes = agent::probe::reach(&tried, Duration::from_millis(PROBE_MS));
        let each = nodes.iter().zip(tried.iter().zip(outcomes));
        let each = each.map(|(node, (address, outcome))| {
            let probe = format!("clients -> {}", self.name(*node));
            let seen = of_addresses(probe, expected, &[*address], &[outcome]);
            let silent = beside::is_silence(&seen);
            let hiding = silent.then(|| beside::cutting_clients(others, *node));
            (seen, hiding.unwrap_or_default())
        });
        each.collect()
    }

    /// Whether the others still reach these nodes.
    pub(super) fn peers_reach(&self, nodes: &[usize], others: &[Beside]) -> Vec<Probed> {
        let all = 0..self.system.nodes().agents.len();
        let link = |at: usize| nodes.iter().map(move |from| nemesis::Link { at, from: *from });
        let links: Vec<_> = all.flat_map(link).filter(|link| link.at != link.from).collect();
        self.reachability(&links, "reachable", others)
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

/// Whether a node can be reached, by all its addresses or by none.
fn of_addresses(
    probe: String,
    expected: &str,
    tried: &[SocketAddr],
    outcomes: &[String],
) -> Evidence {
    let as_expected = |outcome: &String| match expected {
        "reachable" => is_answer(outcome),
        _ => outcome == "timeout",
    };
    let holds = tried.len() == outcomes.len() && outcomes.iter().all(as_expected);
    let observed = match outcomes {
        [one] => one.clone(),
        [first, rest @ ..] if rest.iter().all(|other| other == first) => {
            format!("{first}, by each of {} addresses", outcomes.len())
        }
        _ => {
            let each = tried.iter().zip(outcomes);
            let each = each.map(|(address, outcome)| format!("{} {outcome}", address.ip()));
            each.collect::<Vec<_>>().join(", ")
        }
    };
    Evidence { probe, expected: expected.to_owned(), observed, holds }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_open_address_is_enough_for_a_partition_to_be_none() {
        let tried = ["10.0.0.1:1", "[fd00::1]:1"].map(|text| text.parse().unwrap());
        let seen = |expected: &str, outcomes: [&str; 2]| {
            of_addresses("a -> b".to_owned(), expected, &tried, &outcomes.map(str::to_owned))
        };
        let cut = seen("unreachable", ["timeout", "timeout"]);
        assert!(cut.holds);
        assert_eq!(cut.observed, "timeout, by each of 2 addresses");
        let open = seen("unreachable", ["timeout", "refused"]);
        assert!(!open.holds);
        assert_eq!(open.observed, "10.0.0.1 timeout, fd00::1 refused");
        assert!(seen("reachable", ["connected", "refused"]).holds);
        assert!(!seen("reachable", ["connected", "timeout"]).holds);
    }
}
