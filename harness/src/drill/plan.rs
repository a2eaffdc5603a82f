//! Which faults a drill has, which it cannot have and why, and the clusters that they need.

use nemesis::fault::ALL;
use nemesis::{Family, Fault};

use crate::cli::RunFlags;
use crate::config::{LabSpec, SystemKind, TestSpec, parse_fault};
use crate::engine::plan::{node_names, plan_faults};
use crate::error::UserError;

/// A cluster is under load for as long as its drill lasts.
const TIME_LIMIT: &str = "24h";
/// Enough that every node has something to do.
const RATE: u64 = 200;
const SESSIONS: usize = 10;

/// Faults that share a cluster.
#[derive(Clone, Debug)]
pub struct Stage {
    /// What is brought up, with all that these faults need.
    pub spec: TestSpec,
    /// Which.
    pub faults: Vec<Fault>,
}

/// See the module's doc.
#[derive(Clone, Debug)]
pub struct DrillPlan {
    /// One after another.
    pub stages: Vec<Stage>,
    /// What this system on this lab cannot have, with the reason.
    pub refused: Vec<(Fault, String)>,
    /// How often each is made.
    pub rounds: u32,
}

/// What a drill is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The system.
    pub system: SystemKind,
    /// How many hosts.
    pub hosts: usize,
    /// `local`, or the name of a kept lab.
    pub lab: String,
    /// Everything random is drawn from it.
    pub seed: u64,
    /// These faults alone; none means all.
    pub only: Vec<String>,
    /// How often each is made.
    pub rounds: u32,
}

impl DrillPlan {
    /// Plans it. A fault that was asked for by name and cannot be had is an error.
    pub fn of(wanted: &Wanted) -> Result<DrillPlan, UserError> {
        if !(1..=1_000).contains(&wanted.rounds) {
            return Err(UserError::usage("a fault is made 1 to 1000 times").at("--rounds"));
        }
        let calm = spec(wanted, &[])?;
        if calm.lab == LabSpec::Sim {
            let what = "a drill is refused in the simulator: it measures what acts on hosts take";
            return Err(UserError::usage(what).at("--lab").hint("--lab local, or a kept lab"));
        }
        let named = wanted.only.iter().map(|name| named(name)).collect::<Result<Vec<_>, _>>()?;
        let mut refused = Vec::new();
        let mut stages: [Vec<Fault>; 4] = Default::default();
        let asked = |fault: &Fault| named.is_empty() || named.contains(fault);
        for fault in ALL.into_iter().filter(asked) {
            match possible(wanted, fault) {
                Ok(()) => stages[ground(fault)].push(fault),
                Err(error) if named.is_empty() => refused.push((fault, error.what)),
                Err(error) => return Err(error.at("--only")),
            }
        }
        let stages = stages.into_iter().filter(|faults| !faults.is_empty()).map(|faults| {
            let spec = spec(wanted, &faults)?;
            Ok(Stage { spec, faults })
        });
        let stages = stages.collect::<Result<Vec<_>, UserError>>()?;
        Ok(DrillPlan { stages, refused, rounds: wanted.rounds })
    }
}

/// A fault by its own name.
fn named(name: &str) -> Result<Fault, UserError> {
    let plain = parse_fault(name).map_err(|error| error.at("--only"))?;
    Fault::by_name(&plain.fault).filter(|fault| fault.name() == name).ok_or_else(|| {
        UserError::usage(format!("\"{name}\" is more than a fault's name"))
            .at("--only")
            .hint(format!("a drill makes faults in their default form: {}", plain.fault))
    })
}

fn possible(wanted: &Wanted, fault: Fault) -> Result<(), UserError> {
    if fault == Fault::Nothing {
        return Err(UserError::usage("nothing is refused: it does nothing that could be proven"));
    }
    spec(wanted, &[fault]).map(drop)
}

/// Servers with clocks of their own, or with a layer under their data, are clusters of their own:
/// no other fault shall be measured through either.
fn ground(fault: Fault) -> usize {
    match fault.family() {
        Family::Clock => 1,
        // What syncs has nothing that could be lost.
        Family::Disk if fault == Fault::LoseUnsynced => 3,
        Family::Disk => 2,
        _ => 0,
    }
}

fn spec(wanted: &Wanted, faults: &[Fault]) -> Result<TestSpec, UserError> {
    let store = wanted.system == SystemKind::Store;
    let unsynced = store && faults.contains(&Fault::LoseUnsynced);
    let flags = RunFlags {
        name: Some("drill".to_owned()),
        system: Some(wanted.system.name().to_owned()),
        hosts: Some(wanted.hosts),
        lab: Some(wanted.lab.clone()),
        seed: Some(wanted.seed),
        // Followers have something to do at every write, and who died is followed by a vote.
        replication: store.then(|| "sync".to_owned()),
        set: if unsynced { vec!["store.fsync=false".to_owned()] } else { Vec::new() },
        rate: Some(RATE),
        sessions: Some(SESSIONS),
        time_limit: Some(TIME_LIMIT.to_owned()),
        faults: faults.iter().map(|fault| fault.name().to_owned()).collect(),
        regions: regions(wanted.hosts),
        ..RunFlags::default()
    };
    let spec = flags.spec()?;
    plan_faults(&spec, &crate::gate::names(&spec)?)?;
    Ok(spec)
}

/// Two regions, so that faults of regions have what they need: the smaller half, and the rest.
fn regions(hosts: usize) -> Vec<String> {
    let names = node_names(hosts);
    let (near, far) = names.split_at(hosts / 2);
    vec![format!("near={}", near.join("+")), format!("far={}", far.join("+"))]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(system: SystemKind, only: &[&str]) -> Wanted {
        let only = only.iter().map(|name| (*name).to_owned()).collect();
        Wanted { system, hosts: 5, lab: "local".to_owned(), seed: 1, only, rounds: 2 }
    }

    #[test]
    fn every_fault_is_planned_or_refused_with_the_reason() {
        for system in SystemKind::ALL {
            let plan = DrillPlan::of(&wanted(system, &[])).unwrap();
            let planned = plan.stages.iter().map(|stage| stage.faults.len()).sum::<usize>();
            assert_eq!(planned + plan.refused.len(), ALL.len(), "{}", system.name());
            let refused: Vec<&str> = plan.refused.iter().map(|(fault, _)| fault.name()).collect();
            let expected: &[&str] = match system {
                SystemKind::Mongodb => &["approval-withheld", "nothing"],
                SystemKind::Postgres => {
                    &["step-down", "promote", "approval-withheld", "remove", "nothing"]
                }
                SystemKind::Store => &["approval-withheld", "remove", "replace", "nothing"],
            };
            assert_eq!(refused, expected, "{}", system.name());
        }
    }

    #[test]
    fn what_was_asked_for_by_name_is_made_or_an_error() {
        let store = SystemKind::Store;
        let plan = DrillPlan::of(&wanted(store, &["slow-sync", "halves"])).unwrap();
        assert_eq!(plan.stages.len(), 2);
        assert_eq!(plan.stages[0].faults, [Fault::Halves]);
        let error = |names: &[&str]| DrillPlan::of(&wanted(store, names)).unwrap_err();
        assert!(error(&["remove"]).what.contains("no command takes a member out"));
        assert!(error(&["halfs"]).hint.unwrap().contains("did you mean halves?"));
        assert!(error(&["kill:n2"]).what.contains("more than a fault's name"));
    }
}
