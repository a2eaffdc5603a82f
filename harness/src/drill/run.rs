//! The rounds of a drill: inject, hold, heal, wait until every node serves again.

use std::fs::File;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use history::{FaultEvent, FaultPhase, FaultResult};
use nemesis::fault::ALL;
use nemesis::{ActReport, ClusterView, Fault, Parameters, PlannedFault, Selector};
use rand_chacha::ChaCha8Rng;
use workloads::rng::{Stream, stream};

use super::ground::Ground;
use super::plan::{DrillPlan, Stage};
use super::table::{Round, Row, Table};
use crate::config::TestSpec;
use crate::engine::StopFlag;
use crate::engine::port::HostPort;
use crate::error::UserError;
use crate::run_folder::RunFolder;

/// How long a fault is in force after it was probed: the load must have met it.
const HOLD: Duration = Duration::from_millis(500);
/// How long a cluster may take until all of it serves.
const SERVING: Duration = Duration::from_secs(20);

/// See the module's doc.
pub struct Drill<'a> {
    plan: &'a DrillPlan,
    folder: &'a RunFolder,
    stop: &'a StopFlag,
    faults: File,
    rng: ChaCha8Rng,
    started: Instant,
    made: u32,
    grounds: u32,
}

impl Drill<'_> {
    /// A drill that keeps its records in this folder.
    pub fn new<'a>(
        plan: &'a DrillPlan,
        seed: u64,
        folder: &'a RunFolder,
        stop: &'a StopFlag,
    ) -> Result<Drill<'a>, UserError> {
        let faults = File::create_new(folder.file("faults.jsonl")).map_err(|e| disk(&e))?;
        let (rng, started) = (stream(seed, Stream::Selector), Instant::now());
        Ok(Drill { plan, folder, stop, faults, rng, started, made: 0, grounds: 0 })
    }

    /// Makes every fault; the error is what ended it early, after the rows that are there.
    pub fn run(mut self, table: &mut Table) -> Result<(), UserError> {
        for (fault, why) in &self.plan.refused {
            table.rows.push(Row {
                fault: fault.name().to_owned(),
                rounds: Vec::new(),
                refused: Some(why.clone()),
            });
        }
        let plan = self.plan;
        let ended = plan.stages.iter().try_for_each(|stage| self.stage(stage, table));
        table.rows.sort_by_key(|row| ALL.iter().position(|fault| fault.name() == row.fault));
        ended
    }

    fn stage(&mut self, stage: &Stage, table: &mut Table) -> Result<(), UserError> {
        let mut ground = None;
        for fault in &stage.faults {
            let mut row = Row { fault: fault.name().to_owned(), rounds: Vec::new(), refused: None };
            let made = self.rounds(stage, *fault, &mut ground, &mut row);
            if !row.rounds.is_empty() {
                say::errln!("{}", row.line());
            }
            table.rows.push(row);
            made?;
            if self.stop.stopped() {
                break;
            }
        }
        Ok(())
    }

    fn rounds(
        &mut self,
        stage: &Stage,
        fault: Fault,
        ground: &mut Option<Ground>,
        row: &mut Row,
    ) -> Result<(), UserError> {
        for _ in 0..self.plan.rounds {
            if self.stop.stopped() {
                break;
            }
            let view = self.ready(&stage.spec, ground)?;
            let Some(on) = ground else { break };
            let round = self.round(fault, on, &view)?;
            // Nobody knows what a cluster is worth whose data was damaged, or that is not whole.
            if !round.healed || damages(fault) {
                *ground = None;
            }
            row.rounds.push(round);
        }
        Ok(())
    }

    /// A cluster that serves: the one that is there, else another.
    fn ready(
        &mut self,
        spec: &TestSpec,
        ground: &mut Option<Ground>,
    ) -> Result<ClusterView, UserError> {
        if let Some(there) = ground
            && let Ok((_, view)) = there.serving(Instant::now(), SERVING)
        {
            return Ok(view);
        }
        // The one before is down, and its agents have let go of the hosts, before the next.
        *ground = None;
        self.grounds += 1;
        let folder = self.folder.file("load").join(self.grounds.to_string());
        let run = format!("{}-{}", self.folder.id(), self.grounds);
        let bring = || Ground::bring(spec, &run, &folder);
        let fresh = ground.insert(self.stop.while_bringing(bring)?);
        match fresh.serving(Instant::now(), SERVING) {
            Ok((_, view)) => Ok(view),
            Err(why) => Err(UserError::environment(format!("the system does not serve: {why}"))),
        }
    }

    fn round(
        &mut self,
        fault: Fault,
        ground: &Ground,
        view: &ClusterView,
    ) -> Result<Round, UserError> {
        self.made += 1;
        let selector = Selector::parse(fault.default_selector(), ground.names())
            .map_err(|error| UserError::environment(error.to_string()))?;
        let planned = PlannedFault {
            id: format!("f{}", self.made),
            fault,
            selector,
            shard: 0,
            start: self.now(),
            duration: HOLD.as_nanos() as u64,
            required: true,
            parameters: Parameters::defaults(fault),
        };
        self.record(&planned.event(planned.start, FaultPhase::Planned))?;
        let resolved = planned
            .resolve(view, &mut self.rng)
            .map_err(|error| UserError::environment(error.to_string()))?;
        let targets = resolved.targets;
        let injected = FaultEvent {
            targets: targets.clone(),
            ..planned.event(self.now(), FaultPhase::Injected)
        };
        self.record(&injected)?;
        let port = ground.port.timed();
        let report = port.inject(&planned.id, &resolved.act, &[]);
        let seen = planned.report(self.now(), FaultPhase::Evidenced, &targets, report.clone());
        self.record(&self.timed(seen, &port))?;
        if !fault.over_at_once() {
            thread::sleep(HOLD);
        }
        let since = Instant::now();
        let port = ground.port.timed();
        let (undone, typed) = port.undo(&planned.id, &resolved.act, &[]);
        let healed = planned.report(self.now(), FaultPhase::Healed, &targets, undone.clone());
        self.record(&self.timed(healed, &port))?;
        let serving = ground.serving(since, SERVING);
        let mut round = summed_up(fault, targets, report, undone, serving.map(|(took, _)| took));
        round.errors.extend(typed.into_iter().map(|line| format!("by hand: {line}")));
        Ok(round)
    }

    /// With the moments around what was done to hosts.
    fn timed(&self, mut event: FaultEvent, port: &HostPort) -> FaultEvent {
        let ns = |at: Instant| at.saturating_duration_since(self.started).as_nanos() as i64;
        (event.asked, event.answered) = port.acted().map(|(from, to)| (ns(from), ns(to))).unzip();
        event
    }

    fn record(&mut self, event: &FaultEvent) -> Result<(), UserError> {
        let mut line = serde_json::to_vec(event).map_err(|error| disk(&error))?;
        line.push(b'\n');
        self.faults.write_all(&line).map_err(|error| disk(&error))
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }
}

fn summed_up(
    fault: Fault,
    targets: Vec<String>,
    report: ActReport,
    undone: ActReport,
    serving: Result<Duration, String>,
) -> Round {
    let mut errors: Vec<String> = report.error.into_iter().chain(undone.error).collect();
    let serving_ms = serving.as_ref().ok().map(|took| took.as_secs_f64() * 1e3);
    if let Err(why) = serving {
        errors.push(format!("not serving again within {} s: {why}", SERVING.as_secs()));
    }
    let missed = undone.evidence.iter().filter(|probe| !probe.holds);
    let missed =
        missed.map(|probe| format!("{}: {}, not {}", probe.probe, probe.observed, probe.expected));
    errors.extend(missed);
    // Damage is meant to stay; what is undone of such a fault is the process.
    let back = serving_ms.is_some() || damages(fault);
    Round {
        targets,
        mechanism: report.mechanism,
        proven: report.result == FaultResult::Installed,
        inject_ms: ms(report.took),
        evidence: report.evidence,
        healed: undone.result == FaultResult::Installed && back,
        heal_ms: ms(undone.took),
        healing: undone.evidence,
        serving_ms,
        errors,
    }
}

/// Whether it takes from the system's data what healing does not give back.
fn damages(fault: Fault) -> bool {
    matches!(fault, Fault::LoseUnsynced | Fault::TornTail | Fault::BitFlip)
}

fn ms(ns: i64) -> f64 {
    ns as f64 / 1e6
}

fn disk(error: &dyn std::fmt::Display) -> UserError {
    UserError::environment(format!("the drill cannot be recorded: {error}"))
}
