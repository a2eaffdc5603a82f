//! Servers with clocks of their own: what a test with clock faults needs, and how far a server's
//! clock is from ours.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use agent::proto::Ask;
use history::TelemetryEvent;
use nemesis::clock::ClockChange;
use nemesis::{Family, Fault, Parameters};
use systems::postgres::spec::Failover;
use systems::{Nodes, System};

use crate::config::{LabSpec, SystemKind, TestSpec};
use crate::error::UserError;

/// What moves the clock of a host's servers; every user may read it.
pub const FILE: &str = "/run/splitbrain-clock/time";
/// How long an agent may take to prepare it.
const LIMIT: Duration = Duration::from_secs(5);
/// What telemetry calls a server's offset.
pub const DETAIL: &str = "clock_offset_ms";

/// Whether a test moves clocks.
pub fn moved(spec: &TestSpec) -> bool {
    let family = |name: &str| Fault::by_name(name).map(Fault::family);
    spec.all_faults().iter().any(|fault| family(&fault.fault) == Some(Family::Clock))
}

/// Refuses a clock fault that the test's lab or system has no means for, or that nobody could see.
pub fn check(spec: &TestSpec, fault: Fault, parameters: &Parameters) -> Result<(), UserError> {
    let Some(change) = ClockChange::of(fault, parameters) else {
        return Ok(());
    };
    let refuse = |why: &str, hint: &str| {
        let what = format!("{} is refused: {why}", fault.name());
        Err(UserError::usage(what).at("fault").hint(hint))
    };
    if let Some(why) = change.unseen() {
        return refuse(&why, "splitbrain list faults shows the defaults");
    }
    match spec.lab {
        LabSpec::Sim => refuse(
            "the simulated store reads no clock of the day",
            "--lab local moves the clocks of its nodes",
        ),
        LabSpec::Hosts(_) => refuse(
            "on hosts of your own the clock belongs to all that runs there, and setting it is not \
             made yet",
            "--lab local moves the clocks of servers alone, by libfaketime",
        ),
        _ if spec.system == SystemKind::Postgres && spec.postgres.failover == Failover::Patroni => {
            refuse(
                "Patroni starts its server with an environment of its own",
                "failover = \"operator\" or \"none\" has servers whose clocks can be moved",
            )
        }
        _ => Ok(()),
    }
}

/// Asked before the system is put there: from then on its servers have clocks of their own.
pub fn prepare(nodes: &Nodes) -> Result<(), UserError> {
    let ask = |node, _: &cluster::SshHost| {
        nodes.ask(node, Ask::FakeClock { file: FILE.to_owned() }, LIMIT).map(drop)
    };
    nodes.each(ask).map(drop).map_err(|error| {
        UserError::environment(error.what)
            .hint("clock faults need it on every host: apt-get install libfaketime")
    })
}

/// Our own clock, which no fault moves and nobody sets meanwhile; and what servers' clocks were
/// before a fault.
pub struct ClockWatch {
    started: Instant,
    started_us: i64,
    before: Mutex<BTreeMap<usize, i64>>,
}

impl ClockWatch {
    /// Begins now.
    pub fn start() -> ClockWatch {
        // tidy: allow(clock) servers' times of day are held against it; the run goes by Instant
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let started_us = since.as_micros() as i64;
        ClockWatch { started: Instant::now(), started_us, before: Mutex::default() }
    }

    /// Our time, µs since 1970.
    pub fn now_us(&self) -> i64 {
        self.started_us + self.started.elapsed().as_micros() as i64
    }

    /// How far ahead of ours a server's clock is, µs: half its answer's way is taken off.
    pub fn offset_us(&self, system: &dyn System, node: usize) -> Result<i64, String> {
        let sent = self.now_us();
        let told = system.wall_clock(node).map_err(|error| error.what)?;
        Ok(told - (sent + self.now_us()) / 2)
    }

    /// Remembers how far ahead a server's clock was before a fault.
    pub fn remember(&self, node: usize, offset_us: i64) {
        self.before.lock().unwrap_or_else(|p| p.into_inner()).insert(node, offset_us);
    }

    /// What was remembered; ours, if nothing was.
    pub fn before(&self, node: usize) -> i64 {
        self.before.lock().unwrap_or_else(|p| p.into_inner()).get(&node).copied().unwrap_or(0)
    }

    /// Adds to a sample how far ahead the server's clock is, if the node says it.
    pub fn add_to(&self, system: &dyn System, node: usize, sample: &mut TelemetryEvent) {
        if sample.alive
            && let Ok(offset) = self.offset_us(system, node)
        {
            sample.details.insert(DETAIL.to_owned(), (offset / 1_000).into());
        }
    }
}
