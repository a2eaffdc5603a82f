//! Carries faults out on hosts, through their agents, and gathers evidence.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use agent::proto::{Answer, Ask, ProcessState, Start};
use history::{Evidence, FaultResult};
use nemesis::{Act, ActReport};
use systems::{System, SystemError};

/// How long an agent may take: longer than it waits for a server's own start command.
const LIMIT: Duration = Duration::from_secs(10);
/// How long a probe waits for an answer that should not come, ms.
const PROBE_MS: u64 = 150;

/// See the module's doc.
#[derive(Clone)]
pub struct HostPort {
    /// Whose nodes it acts on.
    pub system: Arc<dyn System>,
}

impl HostPort {
    /// Carries an act out on all its nodes at once, then probes.
    pub fn inject(&self, id: &str, act: &Act) -> ActReport {
        if let Act::StepDown { nodes, seconds } = act {
            return self.by_command(nodes, &|node| self.system.step_down(node, *seconds));
        }
        let started = Instant::now();
        let asks = self.asks(id, act);
        let answers = self.ask_all(asks);
        let took = started.elapsed().as_nanos() as i64;
        let mut mechanism = "signal".to_owned();
        let (mut evidence, mut errors) = (Vec::new(), Vec::new());
        for (node, answer) in answers {
            match answer {
                Ok(Answer::Dropping { mechanism: by }) => mechanism = by,
                Ok(Answer::Process { process, state }) => {
                    let pid = process.map_or(0, |process| process.pid);
                    let probe = format!("{} process {pid}", self.name(node));
                    evidence.push(process_evidence(probe, act, state));
                }
                Ok(other) => errors.push(format!("unexpected answer {other:?}")),
                Err(error) => errors.push(error),
            }
        }
        if let Act::Drop { links } = act {
            evidence = self.reachability(links, "unreachable");
        }
        let error = (!errors.is_empty()).then(|| errors.join("; "));
        let result = match error {
            Some(_) => FaultResult::Indeterminate,
            None => ActReport::judge(&evidence),
        };
        ActReport { mechanism, result, evidence, took, error }
    }

    /// Undoes an act on all its nodes at once, then probes.
    pub fn undo(&self, id: &str, act: &Act) -> ActReport {
        if let Act::StepDown { nodes, .. } = act {
            return self.by_command(nodes, &|node| self.system.stand_again(node));
        }
        let started = Instant::now();
        let heal = |node| (node, Ask::Heal { fault: id.to_owned() });
        let answers = self.ask_all(act.nodes().into_iter().map(heal).collect());
        let took = started.elapsed().as_nanos() as i64;
        let errors: Vec<String> = answers.into_iter().filter_map(|(_, a)| a.err()).collect();
        let evidence = match act {
            Act::Drop { links } => self.reachability(links, "reachable"),
            _ => self.running(&act.nodes()),
        };
        let mechanism = "agent".to_owned();
        let error = (!errors.is_empty()).then(|| errors.join("; "));
        ActReport { mechanism, result: ActReport::judge(&evidence), evidence, took, error }
    }

    /// An act that is a command of the system's own.
    fn by_command(
        &self,
        nodes: &[usize],
        command: &dyn Fn(usize) -> Result<Vec<Evidence>, SystemError>,
    ) -> ActReport {
        let started = Instant::now();
        let (mut evidence, mut errors) = (Vec::new(), Vec::new());
        for node in nodes {
            match command(*node) {
                Ok(mut probes) => evidence.append(&mut probes),
                Err(error) => errors.push(error.what),
            }
        }
        let error = (!errors.is_empty()).then(|| errors.join("; "));
        let result = match error {
            Some(_) => FaultResult::Indeterminate,
            None => ActReport::judge(&evidence),
        };
        let took = started.elapsed().as_nanos() as i64;
        ActReport { mechanism: "command".to_owned(), result, evidence, took, error }
    }

    fn name(&self, node: usize) -> &str {
        &self.system.nodes().names[node]
    }

    fn asks(&self, id: &str, act: &Act) -> Vec<(usize, Ask)> {
        let fault = id.to_owned();
        let each = |nodes: &[usize], ask: &dyn Fn(Start) -> Ask| {
            nodes.iter().map(|node| (*node, ask(self.system.start(*node)))).collect::<Vec<_>>()
        };
        match act {
            Act::Kill { nodes } => each(nodes, &|start| Ask::Kill {
                fault: fault.clone(),
                pidfile: start.pidfile.clone(),
                restart: Some(start),
            }),
            Act::Pause { nodes } => {
                each(nodes, &|start| Ask::Pause { fault: fault.clone(), pidfile: start.pidfile })
            }
            Act::Slow { nodes, stopped_percent } => each(nodes, &|start| Ask::Slow {
                fault: fault.clone(),
                pidfile: start.pidfile,
                stopped_percent: *stopped_percent,
            }),
            Act::Drop { links } => {
                let mut from: BTreeMap<usize, Vec<IpAddr>> = BTreeMap::new();
                for link in links {
                    from.entry(link.at).or_default().push(self.system.address(link.from).ip());
                }
                let ask = |(node, from)| (node, Ask::Drop { fault: fault.clone(), from });
                from.into_iter().map(ask).collect()
            }
            // No agent is asked: see `by_command`.
            Act::StepDown { .. } => Vec::new(),
        }
    }

    fn ask_all(&self, asks: Vec<(usize, Ask)>) -> Vec<(usize, Result<Answer, String>)> {
        thread::scope(|scope| {
            let threads = asks.into_iter().map(|(node, ask)| {
                // The gate has refused faults on nodes without one.
                let agent = self.system.nodes().agents.get(node);
                let none = || Err("there is no agent: it is an endpoint".to_owned());
                let act = move || agent.map_or_else(none, |agent| agent.ask_text(ask, LIMIT));
                (node, scope.spawn(act))
            });
            let threads: Vec<_> = threads.collect();
            let join = |(node, thread): (usize, thread::ScopedJoinHandle<'_, _>)| {
                let failed = |_| Err("asking the agent panicked".to_owned());
                (node, thread.join().unwrap_or_else(failed))
            };
            threads.into_iter().map(join).collect()
        })
    }

    /// Tries every link, all nodes at once.
    fn reachability(&self, links: &[nemesis::Link], expected: &str) -> Vec<Evidence> {
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

    fn running(&self, nodes: &[usize]) -> Vec<Evidence> {
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

fn process_evidence(probe: String, act: &Act, state: ProcessState) -> Evidence {
    let (expected, holds) = match act {
        Act::Kill { .. } => {
            ("absent", matches!(state, ProcessState::Absent | ProcessState::Zombie))
        }
        _ => ("stopped", state == ProcessState::Stopped),
    };
    let observed = state.as_str().to_owned();
    Evidence { probe, expected: expected.to_owned(), observed, holds }
}
