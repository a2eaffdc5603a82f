//! Everything that can be said of a test before anything runs, and where what is wrong was written.

use workloads::{policy, workload};

use super::RunFlags;
use crate::config::{FaultSpec, LabSpec, Lines, StaySpec, SystemKind, TestSpec, duration_text};
use crate::engine::{captures, changes, plan, regions};
use crate::error::UserError;
use crate::names::nearest;

/// Longest name of a run, bytes.
const NAME_MAX: usize = 100;

/// How many seeds' plans are looked at before anything runs; those of more are looked at in turn.
const PLANS_MAX: usize = 10_000;

/// Where a test's settings come from.
pub struct Sources<'a> {
    flags: &'a RunFlags,
    /// How many faults of the file are text, and where its fields are.
    pub file: Option<(usize, Lines)>,
}

/// An error of a test file's field, with its line.
pub fn in_file(error: UserError, lines: &Lines) -> UserError {
    match &error.place {
        Some(field) => error.clone().at(lines.place(field)),
        None => error,
    }
}

impl Sources<'_> {
    /// Of flags alone.
    pub fn of(flags: &RunFlags) -> Sources<'_> {
        Sources { flags, file: None }
    }

    /// An error of the resolved test, at the flag or the line that it was written in.
    pub fn point(&self, error: UserError) -> UserError {
        let Some(place) = error.place.clone() else {
            return error;
        };
        if place.starts_with("fault[") {
            return self.point_at_fault(error, &place);
        }
        let Some((_, lines)) = &self.file else {
            return error;
        };
        let flags = self.flags;
        let (field, by_flag) = match place.trim_start_matches("--") {
            "hosts" => ("hosts", flags.hosts.is_some()),
            "replication" if lines.has("store.k") => ("store.k", flags.replication.is_some()),
            "replication" => ("store.replication", flags.replication.is_some()),
            "shards" => ("store.shards", flags.shards.is_some()),
            "sessions" => ("sessions", flags.sessions.is_some()),
            "time-limit" => ("duration", flags.time_limit.is_some()),
            "op-timeout" => ("op_timeout", flags.op_timeout.is_some()),
            "workload" => ("workload", flags.workload.is_some()),
            "policy" => ("policy", flags.policy.is_some()),
            "name" => ("name", flags.name.is_some()),
            other => (other, false),
        };
        let by_set = flags.set.iter().any(|set| set.split('=').next() == Some(field));
        if by_flag || by_set || !lines.has(field) { error } else { error.at(lines.place(field)) }
    }

    fn point_at_fault(&self, error: UserError, place: &str) -> UserError {
        let Some((texts, lines)) = self.file.as_ref().filter(|_| self.flags.faults.is_empty())
        else {
            return error.at("--fault");
        };
        let read = || {
            let (number, key) = place.strip_prefix("fault[")?.split_once(']')?;
            Some((number.parse::<usize>().ok()?, key))
        };
        match read() {
            Some((number, _)) if number < *texts => {
                error.at(lines.place(&format!("faults[{number}]")))
            }
            Some((number, key)) => {
                error.at(lines.place(&format!("fault[{}]{key}", number - texts)))
            }
            None => error,
        }
    }
}

/// Everything that can be said before anything runs.
pub fn validate(spec: &TestSpec) -> Result<(), UserError> {
    let attached = crate::gate::inventory(spec)?.is_some_and(|i| i.attach.is_some());
    let least = if attached { 1 } else { 3 };
    if !(least..=9).contains(&spec.hosts) {
        let what = format!("a cluster has 3 to 9 hosts, not {}", spec.hosts);
        return Err(UserError::usage(what).at("hosts"));
    }
    if spec.system == SystemKind::Postgres {
        let names = crate::gate::names(spec)?;
        let check = spec.postgres.check(&names);
        check.map_err(|(field, what)| UserError::usage(what).at(field))?;
        let policy = spec.postgres.check_policy(&spec.workload.policy);
        policy.map_err(|what| UserError::usage(what).at("--policy"))?;
        if spec.lab == LabSpec::Sim {
            let hint = "the simulator runs the bundled store alone: leave --lab sim out";
            return Err(UserError::usage("PostgreSQL runs on hosts").at("--lab").hint(hint));
        }
    }
    if spec.system == SystemKind::Mongodb {
        let names = crate::gate::names(spec)?;
        let check = spec.mongodb.check(&names);
        let check = check.and_then(|()| spec.mongodb.check_policy(&spec.workload.policy));
        check.map_err(|(field, what)| UserError::usage(what).at(field))?;
        if spec.lab == LabSpec::Sim {
            let hint = "the simulator runs the bundled store alone: leave --lab sim out";
            return Err(UserError::usage("MongoDB runs on hosts").at("--lab").hint(hint));
        }
    }
    if spec.system == SystemKind::Store
        && let crate::config::ReplicationSpec::Sync { k } = spec.store.replication
        && !(1..spec.hosts).contains(&k)
    {
        let what = format!("{k} followers of {} hosts cannot confirm a write", spec.hosts);
        let hint = format!("k is 1 to {}: the leader is not counted", spec.hosts - 1);
        return Err(UserError::usage(what).at("replication").hint(hint));
    }
    within_limits(spec)?;
    ships_in_time(spec)?;
    let workloads: Vec<&str> = workload::all().iter().map(|workload| workload.name).collect();
    known("workload", &spec.workload.name, &workloads)?;
    check_policy(spec, attached)?;
    let workload = plan::workload_of(spec)?;
    plan::check_needs(workload, &plan::capabilities(spec), spec.shards())?;
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    let named = (1..=NAME_MAX).contains(&spec.name.len()) && spec.name.chars().all(plain);
    if !named || spec.name.starts_with(['.', '-']) {
        let what =
            "a name is one word of letters, digits, - and _ that begins with none of - and .";
        let hint = format!("at most {NAME_MAX} of them: it names a folder");
        return Err(UserError::usage(what).at("--name").hint(hint));
    }
    validate_faults(spec)
}

fn within_limits(spec: &TestSpec) -> Result<(), UserError> {
    let (store, (shortest, longest)) = (&spec.store, changes::TIMES_MS);
    let limits = [
        ("--shards", u64::from(spec.shards()), 1, 64),
        ("--sessions", spec.workload.sessions as u64, 1, 10_000),
        ("--time-limit", spec.duration_ms, 500, 24 * 3_600_000),
        ("--op-timeout", spec.workload.op_timeout_ms, 10, 600_000),
        ("store.heartbeat_ms", store.heartbeat_ms, shortest, longest),
        ("store.election_timeout_ms", store.election_timeout_ms, shortest, longest),
        ("store.ship_ms", store.ship_ms, shortest, longest),
    ];
    for (field, value, least, most) in limits {
        if !(least..=most).contains(&value) {
            let what = match field.strip_prefix("--") {
                Some("time-limit" | "op-timeout") => format!(
                    "{} is not between {} and {}",
                    duration_text(value),
                    duration_text(least),
                    duration_text(most)
                ),
                _ => format!("{value} is not between {least} and {most}"),
            };
            return Err(UserError::usage(what).at(field));
        }
    }
    Ok(())
}

/// A leader ships with each heartbeat at the latest, so a longer time would be none.
fn ships_in_time(spec: &TestSpec) -> Result<(), UserError> {
    let (ship, beat) = (spec.store.ship_ms, spec.store.heartbeat_ms);
    if spec.system != SystemKind::Store || ship <= beat {
        return Ok(());
    }
    let what = format!("{ship} is above heartbeat_ms, which is {beat}: each heartbeat ships too");
    let hint = format!("--set store.heartbeat_ms={ship}, and a longer store.election_timeout_ms");
    Err(UserError::usage(what).at("store.ship_ms").hint(hint))
}

fn check_policy(spec: &TestSpec, attached: bool) -> Result<(), UserError> {
    known("policy", &spec.workload.policy, &policy::NAMES.map(|(name, _)| name))?;
    if spec.workload.policy == "driver" && (spec.system != SystemKind::Mongodb || attached) {
        let what = "the policy driver is for a MongoDB that splitbrain builds";
        let hint = "no other client chooses nodes by itself";
        return Err(UserError::usage(what).at("--policy").hint(hint));
    }
    if spec.workload.policy != "leader" && spec.workload.stay != StaySpec::default() {
        let what = format!("policy.stay means nothing with --policy {}", spec.workload.policy);
        return Err(UserError::usage(what).at("policy.stay").hint("it is of --policy leader"));
    }
    Ok(())
}

fn validate_faults(spec: &TestSpec) -> Result<(), UserError> {
    let names = crate::gate::names(spec)?;
    regions::check(spec, &names)?;
    captures::check(spec)?;
    for (place, fault) in spec.faults.iter().enumerate() {
        validate_fault(spec, fault, &names).map_err(|error| {
            let key = error.place.as_deref().filter(|key| FAULT_KEYS.contains(key));
            let key = key.map_or(String::new(), |key| format!(".{key}"));
            error.at(format!("fault[{place}]{key}"))
        })?;
    }
    Ok(())
}

/// Keys of a fault that what is wrong with the whole test may point at.
const FAULT_KEYS: [&str; 5] = ["kind", "target", "shard", "at", "count"];

fn validate_fault(spec: &TestSpec, fault: &FaultSpec, names: &[String]) -> Result<(), UserError> {
    plan::request(spec, fault, names)?;
    if fault.start_ms.is_some_and(|start| spec.duration_ms <= start) {
        let what = format!("{} would start after the run's end", fault.fault);
        let hint = format!("the main phase lasts {} ms: see --time-limit", spec.duration_ms);
        return Err(UserError::usage(what).at("at").hint(hint));
    }
    if !(1..=1_000).contains(&fault.count) {
        return Err(UserError::usage("a fault comes 1 to 1000 times").at("count"));
    }
    Ok(())
}

/// Refuses a plan that cannot be, of any of these seeds.
pub fn validate_plans(spec: &TestSpec, seeds: &[u64]) -> Result<(), UserError> {
    let names = crate::gate::names(spec)?;
    // Without faults that the seed places, all plans are one; packages never clash.
    let drawn = |fault: &FaultSpec| fault.start_ms.is_none() || fault.duration_ms.is_none();
    let count = if spec.faults.iter().any(drawn) { PLANS_MAX } else { 1 };
    for seed in seeds.iter().take(count) {
        let spec = TestSpec { seed: *seed, ..spec.clone() };
        plan::check_plan(&spec, &plan::plan_faults(&spec, &names)?)?;
    }
    Ok(())
}

fn known(field: &str, name: &str, names: &[&str]) -> Result<(), UserError> {
    if names.contains(&name) {
        return Ok(());
    }
    let near = nearest(name, names);
    let near = near.map_or(String::new(), |near| format!("did you mean {near}? "));
    Err(UserError::usage(format!("unknown {field} \"{name}\""))
        .at(format!("--{field}"))
        .hint(format!("{near}valid are {}", names.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stores_times_are_bounded() {
        let checked = |set: &dyn Fn(&mut TestSpec)| {
            let mut spec = TestSpec::default();
            set(&mut spec);
            within_limits(&spec).map_err(|error| (error.place.unwrap_or_default(), error.what))
        };
        assert_eq!(checked(&|_| {}), Ok(()));
        assert_eq!(checked(&|spec| spec.store.heartbeat_ms = 1), Ok(()));
        let wrong = |place: &str, value: u64| {
            Err((place.to_owned(), format!("{value} is not between 1 and 600000")))
        };
        let (none, much) = (0, u64::MAX / 1_000_000 + 1);
        for value in [none, much] {
            let told = checked(&|spec| spec.store.heartbeat_ms = value);
            assert_eq!(told, wrong("store.heartbeat_ms", value));
            let told = checked(&|spec| spec.store.election_timeout_ms = value);
            assert_eq!(told, wrong("store.election_timeout_ms", value));
            let told = checked(&|spec| spec.store.ship_ms = value);
            assert_eq!(told, wrong("store.ship_ms", value));
        }
    }

    #[test]
    fn a_time_to_ship_that_would_be_capped_is_refused() {
        let mut spec = TestSpec::default();
        assert_eq!(ships_in_time(&spec), Ok(()));
        spec.store.ship_ms = spec.store.heartbeat_ms + 1;
        let error = ships_in_time(&spec).unwrap_err();
        assert_eq!(error.place.as_deref(), Some("store.ship_ms"));
        assert!(error.hint.unwrap().contains("--set store.heartbeat_ms=51"));
        spec.store.heartbeat_ms = spec.store.ship_ms;
        assert_eq!(ships_in_time(&spec), Ok(()));
    }
}
