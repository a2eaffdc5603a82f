//! Faults: injected when due, healed when over, each phase recorded.

use std::collections::BTreeSet;

use history::{FaultPhase, FaultResult};
use nemesis::{Act, ActReport, Fault, PlannedFault};

use super::{Core, Output};

/// How long until a selector that matched nothing is tried again, ns.
const RETRY_NS: u64 = 25_000_000;

/// A fault of the schedule and where in its life it is.
pub(super) struct FaultState {
    planned: PlannedFault,
    targets: Vec<String>,
    act: Option<Act>,
    life: Life,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// To be injected at this moment.
    Due(u64),
    /// The port is at it since this moment.
    Injecting(u64),
    /// In force until this moment.
    Active(u64),
    /// The port is undoing it.
    Healing,
    /// Healed, or skipped.
    Over,
}

impl FaultState {
    pub(super) fn new(planned: PlannedFault) -> FaultState {
        let life = Life::Due(planned.start);
        FaultState { planned, targets: Vec::new(), act: None, life }
    }

    pub(super) fn wake_at(&self) -> Option<u64> {
        match self.life {
            Life::Due(at) | Life::Active(at) => Some(at),
            Life::Injecting(_) | Life::Healing | Life::Over => None,
        }
    }

    pub(super) fn active_label(&self) -> Option<String> {
        match self.life {
            Life::Injecting(_) | Life::Active(_) | Life::Healing => {
                Some(format!("{} {}", self.planned.fault.name(), self.targets.join(",")))
            }
            Life::Due(_) | Life::Over => None,
        }
    }
}

impl Core {
    /// Writes the whole schedule down before anything happens.
    pub(super) fn record_schedule(&mut self, out: &mut Vec<Output>) {
        for fault in &self.faults {
            let event = fault.planned.event(fault.planned.start, FaultPhase::Planned);
            out.push(Output::RecordFault(event));
        }
    }

    /// Injects what is due and heals what is over.
    pub(super) fn run_faults(&mut self, out: &mut Vec<Output>) {
        for place in 0..self.faults.len() {
            match self.faults[place].life {
                Life::Due(at) if at <= self.now => self.inject(place, out),
                Life::Active(until) if until <= self.now => self.heal(place, out),
                _ => {}
            }
        }
    }

    /// Heals everything in force and gives up what was still to come; `true` when nothing is left.
    pub(super) fn end_faults(&mut self, out: &mut Vec<Output>) -> bool {
        for place in 0..self.faults.len() {
            match self.faults[place].life {
                Life::Due(_) => self.skip(place, "the run ended before it was due", out),
                Life::Active(_) => self.heal(place, out),
                _ => {}
            }
        }
        self.faults.iter().all(|fault| fault.life == Life::Over)
    }

    /// How many nodes would be hurt, with those that are already.
    fn hurt_with(&self, targets: &[String]) -> usize {
        let lives = |fault: &&FaultState| fault.active_label().is_some();
        let others = self.faults.iter().filter(lives).flat_map(|fault| &fault.targets);
        others.chain(targets).collect::<BTreeSet<_>>().len()
    }

    fn inject(&mut self, place: usize, out: &mut Vec<Output>) {
        let planned = &self.faults[place].planned;
        let resolved = planned.resolve(&self.cluster, &mut self.selector_rng);
        let resolved = resolved.map_err(|error| error.to_string()).and_then(|resolved| {
            let hurt = match planned.fault {
                // One at a time, whichever that is.
                Fault::RollingRestart => self.hurt_with(&[]) + 1,
                _ => self.hurt_with(&resolved.targets),
            };
            match self.max_hurt.filter(|max| *max < hurt) {
                Some(max) => Err(format!(
                    "with {} it would hurt {hurt} nodes at once: max_hurt = {max}",
                    resolved.targets.join(", ")
                )),
                None => Ok(resolved),
            }
        });
        let fault = &mut self.faults[place];
        match resolved {
            Ok(resolved) => {
                fault.targets = resolved.targets;
                fault.life = Life::Injecting(self.now);
                let mut event = fault.planned.event(self.now, FaultPhase::Injected);
                event.targets = fault.targets.clone();
                out.push(Output::RecordFault(event));
                let id = fault.planned.id.clone();
                fault.act = Some(resolved.act.clone());
                out.push(Output::Inject { id, act: resolved.act });
            }
            Err(_) if self.now + RETRY_NS < fault.planned.end() => {
                fault.life = Life::Due(self.now + RETRY_NS);
            }
            Err(why) => self.skip(place, &why, out),
        }
    }

    fn skip(&mut self, place: usize, why: &str, out: &mut Vec<Output>) {
        let fault = &mut self.faults[place];
        fault.life = Life::Over;
        let mut event = fault.planned.event(self.now, FaultPhase::Evidenced);
        event.result = Some(FaultResult::Skipped);
        event.error = Some(why.to_owned());
        out.push(Output::RecordFault(event));
        let (id, name) = (&fault.planned.id, fault.planned.fault.name());
        self.notes.push(format!("fault {id} ({name}) was skipped: {why}"));
    }

    fn heal(&mut self, place: usize, out: &mut Vec<Output>) {
        let fault = &mut self.faults[place];
        fault.life = Life::Healing;
        let act = fault.act.clone().expect("a fault in force was injected with an act");
        out.push(Output::Undo { id: fault.planned.id.clone(), act });
    }

    pub(super) fn on_acted(&mut self, id: &str, report: ActReport, out: &mut Vec<Output>) {
        let Some(fault) = self.faults.iter_mut().find(|fault| fault.planned.id == id) else {
            return;
        };
        let Life::Injecting(since) = fault.life else {
            return;
        };
        let over = fault.planned.fault.over_at_once();
        let until = if over { self.now } else { since + fault.planned.duration };
        fault.life = Life::Active(until);
        if report.result != FaultResult::Installed {
            let why = report.error.clone().unwrap_or_else(|| "its probes saw no effect".into());
            self.notes.push(format!("fault {id} had no proven effect: {why}"));
        }
        let targets = &fault.targets;
        let event = fault.planned.report(self.now, FaultPhase::Evidenced, targets, report);
        out.push(Output::RecordFault(event));
    }

    pub(super) fn on_undone(&mut self, id: &str, report: ActReport, out: &mut Vec<Output>) {
        let Some(fault) = self.faults.iter_mut().find(|fault| fault.planned.id == id) else {
            return;
        };
        if fault.life != Life::Healing {
            return;
        }
        fault.life = Life::Over;
        if let Some(error) = &report.error {
            self.notes.push(format!("fault {id} was not healed: {error}"));
        }
        let targets = &fault.targets;
        let event = fault.planned.report(self.now, FaultPhase::Healed, targets, report);
        out.push(Output::RecordFault(event));
    }
}
