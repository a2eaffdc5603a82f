//! Clocks that a test moves, of servers or of hosts: what it needs for that, and how far a server's
//! clock is from ours.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use agent::process;
use agent::proto::{Answer, Ask, HostClock};
use history::TelemetryEvent;
use nemesis::clock::ClockChange;
use nemesis::{Family, Fault, Parameters};
use systems::postgres::spec::Failover;
use systems::{Nodes, System, SystemError};

use crate::config::{LabSpec, SystemKind, TestSpec};
use crate::error::UserError;

/// What moves the clock of a host's servers; every user may read it.
pub const FILE: &str = "/run/splitbrain-clock/time";
/// How long an agent may take to prepare it.
const LIMIT: Duration = Duration::from_secs(5);
/// What telemetry calls a server's offset.
pub const DETAIL: &str = "clock_offset_ms";

/// How fast a kernel lets the clock of a host go, in thousandths.
const RATES: RangeInclusive<u32> = 900..=1_100;

/// Whether a test moves clocks.
pub fn moved(spec: &TestSpec) -> bool {
    let family = |name: &str| Fault::by_name(name).map(Fault::family);
    spec.all_faults().iter().any(|fault| family(&fault.fault) == Some(Family::Clock))
}

/// Whether a test moves the clocks of hosts themselves, with all that runs there: on hosts of one's
/// own no server is started with a clock of its own.
pub fn of_hosts(spec: &TestSpec) -> bool {
    matches!(spec.lab, LabSpec::Hosts(_)) && moved(spec)
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
        LabSpec::Hosts(_) => match change {
            ClockChange::Drift { rate } if !RATES.contains(&rate) => refuse(
                "the clock of a host of your own goes at x0.9 to x1.1 (adjtimex)",
                "rate=x1.1; --lab local moves the clocks of servers alone, at any rate",
            ),
            _ => Ok(()),
        },
        _ if spec.system == SystemKind::Postgres && spec.postgres.failover == Failover::Patroni => {
            refuse(
                "Patroni starts its server with an environment of its own",
                "failover = \"operator\" or \"none\" has servers whose clocks can be moved",
            )
        }
        _ => Ok(()),
    }
}

/// Asked before the system is put there: from then on its servers have clocks of their own, unless
/// it is the hosts' clocks that are moved.
pub fn prepare(spec: &TestSpec, nodes: &Nodes) -> Result<(), UserError> {
    if !moved(spec) || of_hosts(spec) {
        return Ok(());
    }
    let ask = |node, _: &cluster::SshHost| {
        nodes.ask(node, Ask::FakeClock { file: FILE.to_owned() }, LIMIT).map(drop)
    };
    nodes.each(ask).map(drop).map_err(|error| {
        UserError::environment(error.what)
            .hint("clock faults need it on every host: apt-get install libfaketime")
    })
}

/// Refuses to move the clock of a host that is no machine of its own, or that is ours: whoever
/// shares it would be moved too.
pub fn own_each(spec: &TestSpec, nodes: &Nodes) -> Result<(), UserError> {
    if !of_hosts(spec) {
        return Ok(());
    }
    let boots = nodes.each(|node, _| match nodes.ask(node, Ask::HostClock, LIMIT)? {
        Answer::HostClock { clock } => Ok((nodes.names[node].clone(), clock.boot)),
        other => Err(SystemError::new(format!("unexpected answer {other:?}"))),
    })?;
    match shared(&boots, &process::boot_id()) {
        None => Ok(()),
        Some((what, hint)) => Err(UserError::usage(what).at("hosts").hint(hint)),
    }
}

/// Which of these hosts, by the names of their boots, have no clock of their own.
fn shared(boots: &[(String, String)], ours: &str) -> Option<(String, &'static str)> {
    for (place, (name, boot)) in boots.iter().enumerate() {
        let others = boots[place + 1..].iter().filter(|(_, other)| other == boot);
        let others: Vec<&str> = others.map(|(name, _)| name.as_str()).collect();
        if !others.is_empty() {
            let what = format!(
                "a clock fault is refused: {name} and {} are one machine, with one clock",
                others.join(", ")
            );
            return Some((what, "--lab local gives each server a clock of its own"));
        }
    }
    let (name, _) = boots.iter().find(|(_, boot)| boot == ours)?;
    let what = format!(
        "a clock fault is refused: {name} is the machine that splitbrain itself runs on, by whose \
         clock all is measured"
    );
    Some((what, "run splitbrain on a machine that is none of the hosts"))
}

/// A moment of a host's clock that is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    /// Before a fault.
    Before,
    /// When it began to drift.
    Drifting,
}

/// Our own clock, which no fault moves and nobody sets meanwhile; and what servers' clocks were
/// before a fault.
pub struct ClockWatch {
    started: Instant,
    started_us: i64,
    before: Mutex<BTreeMap<usize, i64>>,
    cluster_before: Mutex<BTreeMap<usize, i64>>,
    hosts: Option<Mutex<BTreeMap<(usize, When), HostClock>>>,
}

impl ClockWatch {
    /// Begins now; for a test that moves the clocks of hosts, or of servers alone.
    pub fn start(hosts: bool) -> ClockWatch {
        // tidy: allow(clock) servers' times of day are held against it; the run goes by Instant
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let started_us = since.as_micros() as i64;
        let hosts = hosts.then(Mutex::default);
        let (before, cluster_before) = (Mutex::default(), Mutex::default());
        ClockWatch { started: Instant::now(), started_us, before, cluster_before, hosts }
    }

    /// Whether it is the clocks of hosts that are moved.
    pub fn of_hosts(&self) -> bool {
        self.hosts.is_some()
    }

    /// Remembers what a host's clock was.
    pub fn remember_host(&self, node: usize, when: When, clock: HostClock) {
        if let Some(hosts) = &self.hosts {
            hosts.lock().unwrap_or_else(|p| p.into_inner()).insert((node, when), clock);
        }
    }

    /// What was remembered.
    pub fn host_at(&self, node: usize, when: When) -> Option<HostClock> {
        self.hosts.as_ref()?.lock().unwrap_or_else(|p| p.into_inner()).get(&(node, when)).cloned()
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

    /// How far ahead of ours the time is that the cluster keeps, by a node, µs.
    pub fn cluster_ahead_us(
        &self,
        system: &dyn System,
        node: usize,
    ) -> Result<Option<i64>, String> {
        let told = system.cluster_time(node).map_err(|error| error.what)?;
        Ok(told.map(|at| at - self.now_us()))
    }

    /// Remembers how far ahead that was before the first fault that moved it.
    pub fn remember_cluster(&self, node: usize, ahead_us: i64) {
        let mut before = self.cluster_before.lock().unwrap_or_else(|p| p.into_inner());
        before.entry(node).or_insert(ahead_us);
    }

    /// What was remembered; not ahead, if nothing was.
    pub fn cluster_before(&self, node: usize) -> i64 {
        let before = self.cluster_before.lock().unwrap_or_else(|p| p.into_inner());
        before.get(&node).copied().unwrap_or(0)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_no_clock_of_its_own_is_named() {
        let boots = |boots: [&str; 3]| {
            let names = ["a", "b", "c"].iter().zip(boots);
            names.map(|(name, boot)| ((*name).to_owned(), boot.to_owned())).collect::<Vec<_>>()
        };
        let said = |of| shared(&boots(of), "ours").map(|(what, _)| what).unwrap_or_default();
        assert_eq!(said(["1", "2", "3"]), "");
        assert!(said(["1", "2", "2"]).contains("b and c are one machine"));
        assert!(said(["ours", "ours", "ours"]).contains("a and b, c are one machine"));
        assert!(said(["1", "ours", "3"]).contains("b is the machine that splitbrain itself"));
    }
}
