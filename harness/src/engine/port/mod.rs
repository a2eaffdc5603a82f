//! Carries faults out on hosts, through their agents, and gathers evidence.
//!
//! [`asks`] says an act to the agents, [`evidence`] probes what came of it, [`command`] asks the
//! system itself, [`lives`] and [`clocks`] do both for acts that take their time, [`rolling`] for
//! one that goes from node to node, [`shaping`] for links, whose measures [`measured`] holds
//! against what was asked for. [`peers`] are the addresses that all of them are about.
//! [`latencies`] are no fault: they are there all through a run.

mod acts;
mod asks;
mod by_hand;
mod changed;
mod clocks;
mod cluster_time;
mod command;
mod disk;
mod evidence;
mod host_clocks;
mod latencies;
mod limits;
mod lives;
mod load;
mod measured;
pub mod peers;
pub mod read_load;
pub(crate) mod rolling;
mod shaping;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use agent::proto::{Answer, Ask};
use history::{Evidence, FaultResult, Unprovable};
use nemesis::beside::UNREACHABLE;
use nemesis::{Act, ActReport, Beside};
use systems::{Model, System, leadership};

use super::clocks::ClockWatch;

pub use acts::Acts;

/// How long an agent may take: longer than it waits for a server's own start command.
const LIMIT: Duration = Duration::from_secs(10);

/// A probe, with the faults in force that keep it from telling.
pub(crate) type Probed = (Evidence, Vec<String>);

/// Those that can tell, and those that cannot.
pub(crate) fn sorted(probes: Vec<Probed>) -> (Vec<Evidence>, Vec<Unprovable>) {
    let (told, hidden): (Vec<Probed>, Vec<Probed>) =
        probes.into_iter().partition(|(_, hiding)| hiding.is_empty());
    let hidden = hidden.into_iter().map(|(probe, hiding)| probe.unprovable(&hiding));
    (told.into_iter().map(|(probe, _)| probe).collect(), hidden.collect())
}

/// See the module's doc.
#[derive(Clone)]
pub struct HostPort {
    /// Whose nodes it acts on.
    pub system: Arc<dyn System>,
    /// What servers' clocks are held against.
    pub clocks: Arc<ClockWatch>,
    /// By what each node is spoken to.
    pub peers: Arc<peers::Peers>,
    /// How links were before they were shaped.
    pub baselines: shaping::Baselines,
    /// What the keys of the test's workload hold.
    pub model: Model,
    /// Those who read for a fault.
    pub readers: read_load::Readers,
    /// Which process each fault has stopped on each node.
    pub stopped: Arc<Mutex<BTreeMap<(String, usize), i32>>>,
    /// When the act that it is at was done.
    pub acts: Acts,
}

impl HostPort {
    /// Carries an act out on all its nodes at once, then probes; what the faults `beside` it do
    /// proves nothing of this one.
    pub fn inject(&self, id: &str, act: &Act, beside: &[Beside]) -> ActReport {
        if let Act::Remove { nodes } = act {
            return self.by_command(nodes, &|node| self.system.remove_member(node));
        }
        if let Act::Replace { nodes } = act {
            return self.replace(id, nodes);
        }
        if let Act::StepDown { nodes, seconds } = act {
            return self.by_command(nodes, &|node| self.system.step_down(node, *seconds));
        }
        if let Act::Promote { nodes } = act {
            return self.by_command(nodes, &|node| self.system.promote(node));
        }
        if *act == Act::WithholdApproval {
            return self.approval(true);
        }
        if let Act::Live { nodes, life, set } = act {
            return self.live(id, nodes, *life, set.as_deref());
        }
        if let Act::Clock { nodes, change } = act {
            return self.move_clocks(id, nodes, *change);
        }
        if let Act::Shape { links, shape, seed } = act {
            return self.shape(id, links, (*shape, *seed), beside);
        }
        if let Act::Disk { nodes, what } = act {
            return self.inject_disk(id, nodes, what);
        }
        if let Act::ReadLoad { nodes, clients } = act {
            return self.read_load(id, nodes, *clients);
        }
        if let Act::Load { nodes, cores } = act {
            return self.load(id, nodes, *cores);
        }
        if let Act::Limit { nodes, limit } = act {
            return self.limit(id, nodes, *limit);
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
                    self.remember_process(id, node, pid);
                    let probe = format!("{} process {pid}", self.name(node));
                    evidence.push(evidence::of_process(probe, act, state));
                }
                Ok(other) => errors.push(format!("unexpected answer {other:?}")),
                Err(error) => errors.push(error),
            }
        }
        let (mut probed, unprovable) = sorted(self.cut_off(act, beside));
        evidence.append(&mut probed);
        let error = (!errors.is_empty()).then(|| errors.join("; "));
        let result = match error {
            Some(_) => FaultResult::Indeterminate,
            None => ActReport::judge(&evidence),
        };
        ActReport { mechanism, result, evidence, unprovable, took, error }
    }

    /// Undoes an act on all its nodes at once, then probes. What cannot be undone by the agents is
    /// undone over SSH; what neither can is told as what a person would type, a line each.
    pub fn undo(&self, id: &str, act: &Act, beside: &[Beside]) -> (ActReport, Vec<String>) {
        let mut report = self.undo_by_agents(id, act, beside);
        let typed = self.heal_otherwise(id, act, &mut report);
        self.see_cluster_time(act, &mut report);
        (report, typed)
    }

    fn undo_by_agents(&self, id: &str, act: &Act, beside: &[Beside]) -> ActReport {
        if let Act::Remove { nodes } = act {
            return self.by_command(nodes, &|node| self.system.add_member(node));
        }
        if let Act::Replace { nodes } = act {
            return self.bring_back(id, nodes);
        }
        if let Act::StepDown { nodes, .. } = act {
            return self.by_command(nodes, &|node| self.system.stand_again(node));
        }
        if let Act::Promote { nodes } = act {
            return self.by_command(&nodes[..1], &|_| Ok(leadership::led(&*self.system, LIMIT)));
        }
        if *act == Act::WithholdApproval {
            return self.approval(false);
        }
        if let Act::ReadLoad { nodes, .. } = act {
            return self.end_read_load(id, nodes);
        }
        if let Act::Live { nodes, life, .. } = act {
            return self.revive(id, nodes, *life);
        }
        if let Act::Clock { nodes, change } = act {
            return self.right_clocks(id, nodes, *change);
        }
        if let Act::Shape { links, shape, .. } = act {
            return self.unshape(id, links, *shape, beside);
        }
        if let Act::Disk { nodes, what } = act {
            return self.undo_disk(id, nodes, what);
        }
        if let Act::Limit { nodes, limit } = act {
            return self.unlimit(id, nodes, *limit);
        }
        let started = Instant::now();
        let heal = |node| (node, Ask::Heal { fault: id.to_owned() });
        let answers = self.ask_all(act.nodes().into_iter().map(heal).collect());
        let took = started.elapsed().as_nanos() as i64;
        let errors: Vec<String> = answers.into_iter().filter_map(|(_, a)| a.err()).collect();
        let probes = match act {
            Act::Drop { links } => self.reachability(links, "reachable", beside),
            Act::CutClients { nodes } => self.clients_reach(nodes, "reachable", beside),
            _ => self.running(&act.nodes()).into_iter().map(|e| (e, Vec::new())).collect(),
        };
        let (evidence, unprovable) = sorted(probes);
        let mechanism = "agent".to_owned();
        let error = (!errors.is_empty()).then(|| errors.join("; "));
        let result = ActReport::judge(&evidence);
        ActReport { mechanism, result, evidence, unprovable, took, error }
    }

    /// What can be reached after an act that drops packets; nothing after others.
    fn cut_off(&self, act: &Act, beside: &[Beside]) -> Vec<Probed> {
        match act {
            Act::Drop { links } => self.reachability(links, UNREACHABLE, beside),
            Act::CutClients { nodes } => {
                let mut probes = self.clients_reach(nodes, UNREACHABLE, beside);
                probes.extend(self.peers_reach(nodes, beside));
                probes
            }
            _ => Vec::new(),
        }
    }

    fn name(&self, node: usize) -> &str {
        &self.system.nodes().names[node]
    }

    fn ask_all(&self, asks: Vec<(usize, Ask)>) -> Vec<(usize, Result<Answer, String>)> {
        let places: Vec<usize> = (0..asks.len()).collect();
        let ask = |place: usize| self.ask_one(asks[place].0, asks[place].1.clone());
        let answers = self.at_once(&places, &ask).into_iter();
        answers.map(|(place, answer)| (asks[place].0, answer)).collect()
    }

    fn ask_one(&self, node: usize, ask: Ask) -> Result<Answer, String> {
        // The gate has refused faults on nodes without one.
        let agent = self.system.nodes().agents.get(node);
        let agent = agent.ok_or("there is no agent: it is an endpoint")?;
        match acts::changes(&ask) {
            true => self.acts.part(|| agent.ask_text(ask, LIMIT)),
            false => agent.ask_text(ask, LIMIT),
        }
    }

    /// Does something for all of these nodes at once.
    fn at_once<R: Send>(
        &self,
        nodes: &[usize],
        act: &(dyn Fn(usize) -> Result<R, String> + Sync),
    ) -> Vec<(usize, Result<R, String>)> {
        thread::scope(|scope| {
            let threads = nodes.iter().map(|node| (*node, scope.spawn(move || act(*node))));
            let threads: Vec<_> = threads.collect();
            let join = |(node, thread): (usize, thread::ScopedJoinHandle<'_, _>)| {
                let failed = |_| Err("asking the agent panicked".to_owned());
                (node, thread.join().unwrap_or_else(failed))
            };
            threads.into_iter().map(join).collect()
        })
    }
}
