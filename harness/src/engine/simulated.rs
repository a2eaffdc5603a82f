//! The driver for the simulator: the same core, on virtual time, with the store's simulated world.

mod commands;
mod lives;

use std::collections::{BTreeMap, BTreeSet};

use history::{Evidence, TelemetryEvent};
use nemesis::{Act, ActReport, Beside, beside, clash};
use store::core::Command;
use store::sim::World;
use store::wire::TxnRequest;
use systems::StepReply;
use systems::bundled::translate;

use super::canary::Canary;
use super::core::{Core, Input, Output};
use super::plan;
use super::port::{Probed, sorted};
use super::recorder::{Line, Recorder};
use super::{EngineEnd, Progress};
use crate::config::TestSpec;
use crate::error::UserError;
use crate::run_folder::RunFolder;
use crate::run_info;
use commands::Commands;
use lives::Lives;

/// Virtual time after which a run is given up, ns: something waits for what never comes.
const LIMIT: u64 = 3_600_000_000_000;

/// Runs a test in the simulator.
pub fn run(
    spec: &TestSpec,
    folder: &RunFolder,
    progress: &dyn Progress,
) -> Result<EngineEnd, UserError> {
    let names = plan::node_names(spec.hosts);
    let schedule = plan::plan_faults(spec, &names)?;
    plan::check_plan(spec, &schedule)?;
    let settings = plan::store_settings(spec, &names);
    let system = systems::bundled::store_info(&settings, &spec.workload.policy);
    let canary = Canary::of(spec);
    let facts = canary.iter().map(|canary| ("canary".to_owned(), canary.fact())).collect();
    let info = run_info::build(spec, folder, &names, facts, system);
    folder.write("run.json", &run_info::to_json(&info)?)?;
    progress.begins(&info);
    let plan = crate::config::to_toml(&super::package::fixed(spec, &schedule));
    folder.write("plan.toml", plan.as_bytes())?;
    let disk = |error: std::io::Error| {
        UserError::environment(format!("the run cannot be recorded: {error}"))
    };
    let recorder = Recorder::create(&folder.path).map_err(disk)?;
    let core = plan::core_config(spec, &names, schedule, store::shard_of)?;
    let mut simulation = Simulation {
        core: Core::new(core),
        world: World::new(plan::store_config(spec, &names), spec.seed),
        names,
        recorder: &recorder,
        now: 0,
        requests: BTreeMap::new(),
        deadlines: BTreeSet::new(),
        next_request: 0,
        sample_every: plan::ns(spec.sample_ms),
        next_sample: 0,
        canary: canary.as_deref(),
        lives: Lives::default(),
        commands: Commands::default(),
        clients_cut: BTreeMap::new(),
    };
    let ended = simulation.run().map_err(disk);
    let mut notes = simulation.core.notes().to_vec();
    let counters = simulation.world.counters();
    notes.push(format!(
        "simulated: {} messages, {} delivered out of send order, {} dropped, {} leader changes",
        counters.sent,
        counters.reordered,
        counters.dropped,
        simulation.core.leader_changes()
    ));
    notes.extend(canary.as_ref().map(|canary| canary.note()));
    recorder.finish().map_err(disk)?;
    ended?;
    Ok(EngineEnd { interrupted: false, notes, error: None })
}

struct Simulation<'a> {
    core: Core,
    world: World,
    names: Vec<String>,
    recorder: &'a Recorder,
    now: u64,
    /// Requests under way: whose they are, by the world's number.
    requests: BTreeMap<u64, (usize, u64)>,
    /// When each is given up.
    deadlines: BTreeSet<(u64, u64)>,
    next_request: u64,
    sample_every: u64,
    next_sample: u64,
    canary: Option<&'a Canary>,
    lives: Lives,
    commands: Commands,
    /// By how many faults clients are cut from each node.
    clients_cut: BTreeMap<usize, u32>,
}

impl Simulation<'_> {
    fn run(&mut self) -> std::io::Result<()> {
        let mut out = Vec::new();
        self.core.step(0, Input::Wake, &mut out);
        while !self.core.finished() && self.now < LIMIT {
            self.carry_out(&mut out)?;
            let moments = [
                self.core.next_wake(),
                self.world.next_event_at(),
                self.deadlines.first().map(|(at, _)| *at),
                Some(self.next_sample),
                self.lives.next_at(),
                self.commands.next_at(),
            ];
            let next = moments.into_iter().flatten().min().unwrap_or(LIMIT);
            self.now = self.now.max(next);
            // One fixed order at a moment: the world, processes that are killed or started,
            // commands, deadlines, samples, the core's own wake.
            self.world.advance_to(self.now);
            self.turn_lives(&mut out);
            self.turn_commands(&mut out);
            for (id, outcome) in self.world.take_replies() {
                self.answer(id, translate(outcome, &self.names), &mut out);
            }
            while let Some((at, id)) = self.deadlines.first().copied() {
                if self.now < at {
                    break;
                }
                self.answer(id, StepReply::unknown("no answer in time"), &mut out);
            }
            if self.next_sample <= self.now {
                self.sample(&mut out);
                self.next_sample = self.now + self.sample_every;
            }
            self.core.step(self.now, Input::Wake, &mut out);
        }
        self.carry_out(&mut out)
    }

    /// Answers a request that is still open; a late answer finds none.
    fn answer(&mut self, id: u64, reply: StepReply, out: &mut Vec<Output>) {
        self.deadlines.retain(|(_, open)| *open != id);
        if let Some((session, op)) = self.requests.remove(&id) {
            self.core.step(self.now, Input::Reply { session, op, reply }, out);
        }
    }

    fn sample(&mut self, out: &mut Vec<Output>) {
        for event in self.samples() {
            self.core.step(self.now, Input::Telemetry(event), out);
        }
    }

    fn samples(&self) -> Vec<TelemetryEvent> {
        let sample = |node: usize| {
            let status = self.world.status(node);
            TelemetryEvent {
                sent: self.now as i64,
                received: self.now as i64,
                node: self.names[node].clone(),
                alive: status.is_some(),
                error: status.is_none().then(|| self.world.process(node).to_owned()),
                details: BTreeMap::new(),
                shards: status.map(|status| status.shards).unwrap_or_default(),
            }
        };
        (0..self.names.len()).map(sample).collect()
    }

    fn carry_out(&mut self, out: &mut Vec<Output>) -> std::io::Result<()> {
        // Reports of acts are inputs, and may bring more to carry out.
        let mut queue: std::collections::VecDeque<Output> = out.drain(..).collect();
        while let Some(output) = queue.pop_front() {
            let mut more = Vec::new();
            match output {
                Output::Record(event) => self.recorder.record(Line::Event(event))?,
                Output::RecordFault(event) => self.recorder.record(Line::Fault(event))?,
                Output::RecordTelemetry(event) => self.recorder.record(Line::Telemetry(event))?,
                Output::Send { session, op, node, request, deadline } => {
                    if let Some(reply) = self.canary.and_then(|canary| canary.lie(&request)) {
                        self.core.step(self.now, Input::Reply { session, op, reply }, &mut more);
                        queue.extend(more);
                        continue;
                    }
                    let id = self.next_request;
                    self.next_request += 1;
                    self.requests.insert(id, (session, op));
                    self.deadlines.insert((deadline, id));
                    let txn = TxnRequest { ops: request.mops, leader: request.leader };
                    // What is dropped on its way is answered by nobody.
                    if !self.is_cut_off(node) {
                        self.world.submit(node, id, txn);
                    }
                }
                Output::Inject { id, act, beside } => {
                    let report = match &act {
                        Act::Live { nodes, life, .. } => self.live(&id, nodes, *life),
                        Act::StepDown { nodes, seconds } => {
                            let hold = u64::from(*seconds) * 1_000_000_000;
                            self.tell(&id, nodes, Command::StandDown(hold))
                        }
                        Act::Promote { nodes } => self.tell(&id, nodes, Command::Lead),
                        _ => Some(self.act(&act, true, &beside)),
                    };
                    if let Some(report) = report {
                        self.core.step(
                            self.now,
                            Input::Acted { id, when: None, report },
                            &mut more,
                        );
                    }
                }
                Output::Undo { id, act, beside } => {
                    let report = match &act {
                        Act::Live { nodes, .. } => self.revive(&id, nodes),
                        _ => self.act(&act, false, &beside),
                    };
                    let undone = Input::Undone { id, when: None, report, by_hand: Vec::new() };
                    self.core.step(self.now, undone, &mut more);
                }
            }
            queue.extend(more);
        }
        Ok(())
    }

    fn act(&mut self, act: &Act, inject: bool, beside: &[Beside]) -> ActReport {
        match act {
            Act::Kill { nodes } => nodes.iter().for_each(|node| match inject {
                true => self.world.kill(*node),
                false => self.world.start(*node),
            }),
            Act::Pause { nodes } => nodes.iter().for_each(|node| match inject {
                true => self.world.pause(*node),
                false => self.world.resume(*node),
            }),
            Act::Slow { nodes, stopped_percent } => nodes.iter().for_each(|node| match inject {
                true => self.world.slow(*node, *stopped_percent),
                false => self.world.resume(*node),
            }),
            Act::Drop { links } => links.iter().for_each(|link| match inject {
                true => self.world.cut(link.at, link.from),
                false => self.world.restore(link.at, link.from),
            }),
            Act::CutClients { nodes } => nodes.iter().for_each(|node| {
                let faults = self.clients_cut.entry(*node).or_default();
                *faults = if inject { *faults + 1 } else { faults.saturating_sub(1) };
            }),
            // The store has no such command, clock or disk, and a test that wants one is refused;
            // lives and commands have turns of their own.
            Act::Nothing
            | Act::StepDown { .. }
            | Act::Promote { .. }
            | Act::WithholdApproval
            | Act::Remove { .. }
            | Act::Replace { .. }
            | Act::Live { .. }
            | Act::Load { .. }
            | Act::ReadLoad { .. }
            | Act::Limit { .. }
            | Act::Clock { .. }
            | Act::Disk { .. }
            | Act::Shape { .. } => {}
        }
        let (evidence, unprovable) = sorted(self.evidence(act, inject, beside));
        let result = ActReport::judge(&evidence);
        let mechanism = "simulated".to_owned();
        ActReport { mechanism, result, evidence, unprovable, ..ActReport::default() }
    }

    fn is_cut_off(&self, node: usize) -> bool {
        self.clients_cut.get(&node).is_some_and(|faults| *faults != 0)
    }

    /// Looks at the world, as probes do on hosts; each with the faults that keep it from telling.
    fn evidence(&self, act: &Act, inject: bool, others: &[Beside]) -> Vec<Probed> {
        let evidence = |probe: String, expected: &str, observed: &str| Evidence {
            probe,
            expected: expected.to_owned(),
            observed: observed.to_owned(),
            holds: expected == observed,
        };
        if let Act::Drop { links } = act {
            let expected = if inject { "unreachable" } else { "reachable" };
            let link = |link: &nemesis::Link| {
                let cut = self.world.is_cut(link.at, link.from);
                let seen = if cut { "unreachable" } else { "reachable" };
                let probe = format!("{} -> {}", self.names[link.from], self.names[link.at]);
                let cutting = |other: &&Beside| clash::dropped(&other.act).contains(link);
                let ids = others.iter().filter(cutting).map(|other| other.id.clone());
                let seen = evidence(probe, expected, seen);
                let ids = if beside::is_silence(&seen) { ids.collect() } else { Vec::new() };
                (seen, ids)
            };
            return links.iter().map(link).collect();
        }
        if let Act::CutClients { nodes } = act {
            let node = |node: &usize| {
                let seen = if self.is_cut_off(*node) { "unreachable" } else { "reachable" };
                let probe = format!("clients -> {}", self.names[*node]);
                let evidence =
                    evidence(probe, if inject { "unreachable" } else { "reachable" }, seen);
                let silent = beside::is_silence(&evidence);
                let hiding = silent.then(|| beside::cutting_clients(others, *node));
                (evidence, hiding.unwrap_or_default())
            };
            return nodes.iter().map(node).collect();
        }
        if let Act::StepDown { .. } | Act::Promote { .. } = act {
            return self.led().into_iter().map(|probe| (probe, Vec::new())).collect();
        }
        if matches!(
            act,
            Act::Nothing
                | Act::WithholdApproval
                | Act::Remove { .. }
                | Act::Replace { .. }
                | Act::Clock { .. }
                | Act::Load { .. }
                | Act::ReadLoad { .. }
                | Act::Limit { .. }
                | Act::Disk { .. }
                | Act::Shape { .. }
        ) {
            return Vec::new();
        }
        let expected = match (act, inject) {
            (_, false) => "running",
            (Act::Kill { .. }, true) => "absent",
            _ => "stopped",
        };
        let process = |node: &usize| {
            let probe = format!("{} process", self.names[*node]);
            (evidence(probe, expected, self.world.process(*node)), Vec::new())
        };
        act.nodes().iter().map(process).collect()
    }
}
