//! Faults: injected when due, healed when over, each phase recorded.

use std::collections::BTreeSet;

use history::{Evidence, FaultEvent, FaultPhase, FaultResult};
use nemesis::{Act, ActReport, Beside, Fault, PlannedFault, Resolved, clash};

use super::{Core, Output};

/// How long until a fault that cannot be made now is tried again, ns.
const RETRY_NS: u64 = 25_000_000;

/// A fault of the schedule and where in its life it is.
pub(super) struct FaultState {
    pub(super) planned: PlannedFault,
    targets: Vec<String>,
    act: Option<Act>,
    /// The others that were in force when its probes began.
    beside: Vec<Beside>,
    /// When it was injected, ns.
    since: u64,
    /// When the port was last asked to make or undo it.
    begun: u64,
    pub(super) life: Life,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// To be injected at this moment.
    Due(u64),
    /// The port is at it.
    Injecting,
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
        let (targets, beside) = (Vec::new(), Vec::new());
        FaultState { planned, targets, act: None, beside, since: 0, begun: 0, life }
    }

    pub(super) fn wake_at(&self) -> Option<u64> {
        match self.life {
            Life::Due(at) | Life::Active(at) => Some(at),
            Life::Injecting | Life::Healing | Life::Over => None,
        }
    }

    /// Writes down when the act was done: between these moments, and never before the port was
    /// asked or after it has reported.
    fn acted(&self, event: &mut FaultEvent, when: Option<(u64, u64)>, now: u64) {
        let (asked, answered) = when.unwrap_or((self.begun, now));
        let answered = answered.clamp(self.begun, now);
        event.asked = Some(asked.clamp(self.begun, answered) as i64);
        event.answered = Some(answered as i64);
    }

    pub(super) fn active_label(&self) -> Option<String> {
        match self.life {
            Life::Injecting | Life::Active(_) | Life::Healing => {
                let label = format!("{} {}", self.planned.fault.name(), self.targets.join(","));
                Some(label.trim_end().to_owned())
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
        if self.hold_faults() {
            return;
        }
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
        let resolved = resolved
            .map_err(|error| error.to_string())
            .and_then(|resolved| self.check_now(place, &resolved).map(|()| resolved));
        let fault = &mut self.faults[place];
        match resolved {
            Ok(resolved) => {
                fault.targets = resolved.targets;
                (fault.life, fault.since, fault.begun) = (Life::Injecting, self.now, self.now);
                let mut event = fault.planned.event(self.now, FaultPhase::Injected);
                event.targets = fault.targets.clone();
                out.push(Output::RecordFault(event));
                let id = fault.planned.id.clone();
                fault.act = Some(resolved.act.clone());
                if resolved.act == Act::Nothing {
                    let report = self.quiet(place);
                    return self.on_acted(&id, None, report, out);
                }
                let beside = self.beside(place);
                self.faults[place].beside = beside.clone();
                out.push(Output::Inject { id, act: resolved.act, beside });
            }
            Err(_) if self.now + RETRY_NS < fault.planned.end() => {
                fault.life = Life::Due(self.now + RETRY_NS);
            }
            Err(why) => self.skip(place, &why, out),
        }
    }

    /// Whether a fault may be made now, beside those that are in force.
    fn check_now(&self, place: usize, resolved: &Resolved) -> Result<(), String> {
        let planned = &self.faults[place].planned;
        for other in self.in_force(place) {
            let Some(act) = &other.act else { continue };
            let pair = ((planned.fault, &resolved.act), (other.planned.fault, act));
            if let Some(clash) = clash::of_acts(pair.0, pair.1) {
                let (id, targets) = (&other.planned.id, other.targets.join(", "));
                let what = format!("{id} ({} of {targets})", other.planned.fault.name());
                return Err(format!("{what} is in force: {clash}"));
            }
        }
        let at_once = self.in_force(place).count() + 1;
        if let Some(max) = self.max_faults.filter(|max| *max < at_once) {
            return Err(format!("it would make {at_once} faults at once: max_faults = {max}"));
        }
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
            None => Ok(()),
        }
    }

    /// The other faults that are being made, in force or being undone.
    fn in_force(&self, place: usize) -> impl Iterator<Item = &FaultState> {
        let others = self.faults.iter().enumerate().filter(move |(other, _)| *other != place);
        others.map(|(_, fault)| fault).filter(|fault| fault.active_label().is_some())
    }

    /// The other faults in force, with what was done for each.
    fn beside(&self, place: usize) -> Vec<Beside> {
        let of = |fault: &FaultState| {
            Some(Beside { id: fault.planned.id.clone(), act: fault.act.clone()? })
        };
        self.in_force(place).filter_map(of).collect()
    }

    /// A report as it is to be told beside the faults that were in force at any time of its act.
    fn told(&self, place: usize, report: ActReport) -> ActReport {
        let fault = &self.faults[place];
        let Some(act) = &fault.act else { return report };
        let since = self.beside(place).into_iter();
        let late: Vec<Beside> = since.filter(|other| !fault.beside.contains(other)).collect();
        let all = [&fault.beside[..], &late].concat();
        report.beside_late(&late, self.cluster.names()).beside(act, &all)
    }

    /// What there is to say of nothing: that nothing else is in force.
    fn quiet(&self, place: usize) -> ActReport {
        let others: Vec<String> =
            self.in_force(place).filter_map(FaultState::active_label).collect();
        let observed = if others.is_empty() { "none".to_owned() } else { others.join("; ") };
        let evidence = vec![Evidence {
            probe: "faults in force".to_owned(),
            expected: "none".to_owned(),
            observed,
            holds: others.is_empty(),
        }];
        let (mechanism, result) = ("none".to_owned(), ActReport::judge(&evidence));
        ActReport { mechanism, result, evidence, ..ActReport::default() }
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
        (fault.life, fault.begun) = (Life::Healing, self.now);
        let act = fault.act.clone().expect("a fault in force was injected with an act");
        let id = fault.planned.id.clone();
        if act == Act::Nothing {
            let report = self.quiet(place);
            return self.on_undone(&id, None, report, out);
        }
        let beside = self.beside(place);
        self.faults[place].beside = beside.clone();
        out.push(Output::Undo { id, act, beside });
    }

    pub(super) fn on_acted(
        &mut self,
        id: &str,
        when: Option<(u64, u64)>,
        report: ActReport,
        out: &mut Vec<Output>,
    ) {
        let Some(place) = self.faults.iter().position(|fault| fault.planned.id == id) else {
            return;
        };
        if self.faults[place].life != Life::Injecting {
            return;
        }
        let report = self.told(place, report);
        let fault = &mut self.faults[place];
        let over = fault.planned.fault.over_at_once();
        let until = if over { self.now } else { fault.since + fault.planned.duration };
        fault.life = Life::Active(until);
        let targets = &fault.targets;
        let mut event = fault.planned.report(self.now, FaultPhase::Evidenced, targets, report);
        fault.acted(&mut event, when, self.now);
        if event.result != Some(FaultResult::Installed) {
            let hidden = event.not_provable();
            let part =
                event.in_part().map(|missed| format!("only a part of it was seen: {missed}"));
            let why = event.error.clone().or(hidden).or(part);
            let why = why.unwrap_or_else(|| "its probes saw no effect".into());
            self.notes.push(format!("fault {id} had no proven effect: {why}"));
        }
        out.push(Output::RecordFault(event));
    }

    /// A fault that stays in force ends the run: nothing that comes after it would mean anything.
    pub(super) fn on_unhealed(&mut self, id: &str, by_hand: Vec<String>) {
        let fault = self.faults.iter().find(|fault| fault.planned.id == id);
        let Some(fault) = fault.filter(|_| !by_hand.is_empty()) else {
            return;
        };
        let name = fault.planned.fault.name();
        let what = format!("fault {id} ({name} of {})", fault.targets.join(", "));
        self.unhealed.extend(by_hand.into_iter().map(|line| (what.clone(), line)));
        self.stopped = true;
    }

    pub(super) fn on_undone(
        &mut self,
        id: &str,
        when: Option<(u64, u64)>,
        report: ActReport,
        out: &mut Vec<Output>,
    ) {
        let Some(place) = self.faults.iter().position(|fault| fault.planned.id == id) else {
            return;
        };
        if self.faults[place].life != Life::Healing {
            return;
        }
        let report = self.told(place, report);
        let fault = &mut self.faults[place];
        fault.life = Life::Over;
        // What a fault does that is over at once shows after it: for as long as it was planned.
        let brief = fault.planned.fault.over_at_once();
        let watched = if brief { fault.since + fault.planned.duration } else { self.now };
        if fault.planned.fault != Fault::Nothing {
            self.calmed.fault_over(watched.max(self.now));
        }
        if let Some(error) = &report.error {
            self.notes.push(format!("fault {id} was not healed: {error}"));
        }
        let targets = &fault.targets;
        let mut event = fault.planned.report(self.now, FaultPhase::Healed, targets, report);
        fault.acted(&mut event, when, self.now);
        if let Some(what) = event.not_seen_healed() {
            self.notes.push(format!("fault {id} was undone, and not seen to be healed: {what}"));
        }
        if event.was_met() == Some(false) {
            self.notes.push(format!("fault {id} had no proven effect: nothing met it"));
        }
        out.push(Output::RecordFault(event));
    }
}
