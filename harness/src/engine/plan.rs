//! From a test's specification to a core: schedule, generator, policy, the store's settings.

use std::collections::BTreeMap;

use history::Key;
use nemesis::selector::NAMES;
use nemesis::{Family, Fault, FaultRequest, PlannedFault, Selector, Timeline, schedule};
use store::config::{CoreConfig as StoreConfig, Failover, Replication};
use systems::postgres::spec::ReplicationKind;
use systems::{Capabilities, Model, StoreSettings};
use workloads::generator::Stagger;
use workloads::rng::{Stream, stream};
use workloads::workload::Settings;
use workloads::{View, Workload, policy, workload};

use super::core::{Calm, CoreConfig};
use super::package::package_of;
use crate::config::{
    FailoverSpec, FaultSpec, LabSpec, ReplicationSpec, SystemKind, TestSpec, parameters_of,
};
use crate::error::UserError;
use crate::names::nearest;

/// ms to ns.
pub fn ns(ms: u64) -> u64 {
    ms * 1_000_000
}

/// The nodes' names.
pub fn node_names(hosts: usize) -> Vec<String> {
    (1..=hosts).map(|number| format!("n{number}")).collect()
}

/// The workload that a test names.
pub fn workload_of(spec: &TestSpec) -> Result<&'static Workload, UserError> {
    workload::by_name(&spec.workload.name)
        .ok_or_else(|| UserError::usage(format!("unknown workload {}", spec.workload.name)))
}

/// What its workload is set to.
pub fn settings(spec: &TestSpec) -> Settings {
    Settings { sessions: spec.workload.sessions, shards: spec.shards(), seed: spec.seed }
}

/// Refuses a fault that the test's system, or its lab, has no means for.
pub fn check_fault(spec: &TestSpec, fault: Fault) -> Result<(), UserError> {
    let presses = [Fault::Load, Fault::ReadLoad, Fault::CpuLimit, Fault::MemoryLimit];
    if presses.contains(&fault) && spec.lab == LabSpec::Sim {
        let what =
            format!("{} is refused: a simulated node shares no processor or memory", fault.name());
        return Err(UserError::usage(what).at("fault").hint("slow makes one fall behind there"));
    }
    let shaped = nemesis::Shape::of(fault, &nemesis::Parameters::defaults(fault)).is_some();
    if shaped && spec.lab == LabSpec::Sim {
        let what = format!(
            "{} is refused: the simulator's network carries messages, not packets",
            fault.name()
        );
        return Err(UserError::usage(what).at("fault").hint(
            "--lab local shapes packets; the simulator delays and reorders messages as it is, and \
             has isolate, one-way and slow",
        ));
    }
    if fault.family() == Family::Disk && spec.lab == LabSpec::Sim {
        let what = format!("{} is refused: simulated nodes have no disk", fault.name());
        let hint = "without --lab sim it goes to the disks of namespaced hosts on this machine";
        return Err(UserError::usage(what).at("fault").hint(hint));
    }
    let attached = crate::gate::inventory(spec)?.is_some_and(|i| i.attach.is_some());
    if fault.family() == Family::Membership && attached {
        let what = format!("{} is refused: who belongs to it is not ours to say", fault.name());
        let hint = "it needs a system that splitbrain builds: leave [attach] out";
        return Err(UserError::usage(what).at("fault").hint(hint));
    }
    commands(spec, fault, attached)
}

/// Refuses a fault that is a command of another system's.
fn commands(spec: &TestSpec, fault: Fault, attached: bool) -> Result<(), UserError> {
    let (system, name) = (spec.system.name(), fault.name());
    let (why, hint) = match (fault, spec.system) {
        (Fault::Remove, SystemKind::Postgres | SystemKind::Store) => (
            format!("no command takes a member out of {system}"),
            "with --system mongodb it is replSetReconfig; kill and isolate take a node from any \
             system",
        ),
        (Fault::StepDown, SystemKind::Postgres) => (
            format!("no command asks a leader of {system} to stand down"),
            "promote makes another the leader, with postgres.failover=operator; leader-kill and \
             leader-alone take the leader from any system",
        ),
        (Fault::StepDown | Fault::Promote, SystemKind::Store)
            if spec.store.failover == FailoverSpec::None =>
        {
            ("nobody but the first leader ever leads".to_owned(), "--failover vote, or timeout")
        }
        (Fault::Promote | Fault::ApprovalWithheld, SystemKind::Postgres)
            if spec.postgres.failover != systems::postgres::spec::Failover::Operator =>
        {
            ("there is no operator to be told".to_owned(), "--failover operator")
        }
        (Fault::Promote | Fault::ApprovalWithheld, SystemKind::Postgres) if attached => (
            "the operator of a cluster that exists replaces a dead leader once, and that is all"
                .to_owned(),
            "leave [attach] out",
        ),
        (Fault::ApprovalWithheld, SystemKind::Store | SystemKind::Mongodb) => (
            format!("leaders of {system} are elected, and nobody is asked for approval"),
            "with --system postgres --failover operator it is the operator's",
        ),
        (Fault::Replace, SystemKind::Store) => (
            "a node of the store that forgets its votes breaks what a majority has promised"
                .to_owned(),
            "postgres and mongodb can replace a node; lose-unsynced takes what was not synced",
        ),
        (Fault::Replace, SystemKind::Postgres)
            if spec.postgres.replication_kind != ReplicationKind::Streaming
                || spec.postgres.failover == systems::postgres::spec::Failover::Patroni =>
        {
            (
                "only a streaming standby that splitbrain looks after can be copied anew"
                    .to_owned(),
                "leave out postgres.replication_kind and failover = \"patroni\"",
            )
        }
        _ => return Ok(()),
    };
    Err(UserError::usage(format!("{name} is refused: {why}")).at("fault").hint(hint))
}

/// The faults of a test, placed on its timeline by its seed.
pub fn plan_faults(spec: &TestSpec, names: &[String]) -> Result<Vec<PlannedFault>, UserError> {
    let requests = spec.faults.iter().map(|fault| request(spec, fault, names));
    let requests = requests.collect::<Result<Vec<_>, _>>()?;
    let timeline = Timeline::of(ns(spec.duration_ms));
    let mut rng = stream(spec.seed, Stream::Schedule);
    let mut planned = schedule(&requests, timeline, &mut rng);
    if let Some(package) = &spec.package {
        let listed = planned.len();
        package_of(spec, package, names)?.draw(&requests, &mut planned, &mut rng);
        if planned.len() == listed {
            let what = format!("the package has no room for a single fault (seed {})", spec.seed);
            let hint = "faults have 11 parts in 20 of the test's duration: a shorter \
                        package.lasts, or a longer --time-limit";
            return Err(UserError::usage(what).at("package").hint(hint));
        }
    }
    Ok(planned)
}

/// A fault as a schedule takes it, if the test has means for it.
pub(crate) fn request(
    spec: &TestSpec,
    fault: &FaultSpec,
    names: &[String],
) -> Result<FaultRequest, UserError> {
    let kind = Fault::by_name(&fault.fault)
        .ok_or_else(|| UserError::usage(format!("unknown fault {}", fault.fault)).at("kind"))?;
    let least = kind.least_nodes();
    if names.len() < least {
        let what = format!("{} needs {least} nodes, not {}", fault.fault, names.len());
        return Err(UserError::usage(what).at("kind").hint(format!("--hosts {least}")));
    }
    check_fault(spec, kind)?;
    let parameters = parameters_of(kind, &fault.parameters)?;
    super::clocks::check(spec, kind, &parameters)?;
    super::changes::check(spec, kind, parameters.text("set"))?;
    if spec.shards() <= fault.shard {
        let what = format!("there is no shard {}: they count from 0", fault.shard);
        return Err(UserError::usage(what).at("shard"));
    }
    let selector = selector(&fault.selector, names)?;
    super::regions::check_fault(spec, kind, &selector)?;
    Ok(FaultRequest {
        fault: kind,
        selector,
        shard: fault.shard,
        start: fault.start_ms.map(ns),
        duration: fault.duration_ms.map(ns),
        count: fault.count,
        required: fault.required,
        parameters,
    })
}

/// Whom a fault hits; a name that is neither a role's nor a node's is told with the near one.
fn selector(text: &str, names: &[String]) -> Result<Selector, UserError> {
    Selector::parse(text, names).map_err(|error| {
        let words: Vec<&str> = NAMES.into_iter().chain(names.iter().map(String::as_str)).collect();
        let near = nearest(text, &words);
        let near = near.map_or(String::new(), |near| format!("did you mean {near}? "));
        let hint = format!("{near}nodes are {}", names.join(", "));
        UserError::usage(error.to_string()).at("target").hint(hint)
    })
}

/// Refuses a plan with faults that cannot be in force at once, or that goes past the run's end.
/// An error's place is the number of the fault in the test: `fault[1]`.
pub fn check_plan(spec: &TestSpec, planned: &[PlannedFault]) -> Result<(), UserError> {
    let of = |fault: &PlannedFault| {
        let same = |given: &FaultSpec| {
            given.fault == fault.fault.name()
                && given.selector == fault.selector.to_string()
                && given.start_ms.is_none_or(|start| ns(start) <= fault.start)
        };
        let place = spec.faults.iter().rposition(same);
        place.map_or("package".to_owned(), |place| format!("fault[{place}]"))
    };
    for (place, later) in planned.iter().enumerate() {
        if ns(spec.duration_ms) < later.end() {
            let what = format!("{} goes past the run's end at {}", span(later), of_ms(spec));
            let hint = "a longer duration (--time-limit), an earlier start or a shorter fault";
            return Err(UserError::usage(what).at(of(later)).hint(hint));
        }
        for earlier in &planned[..place] {
            let Some(clash) = nemesis::clash::certain(earlier, later) else {
                continue;
            };
            let what = format!(
                "{} overlaps {} with seed {}: {clash}",
                span(later),
                span(earlier),
                spec.seed
            );
            let hint = "give them times that do not overlap, or other nodes";
            return Err(UserError::usage(what).at(of(later)).hint(hint));
        }
    }
    Ok(())
}

fn of_ms(spec: &TestSpec) -> String {
    crate::config::duration_text(spec.duration_ms)
}

/// A planned fault with its times.
fn span(fault: &PlannedFault) -> String {
    let ms = |ns: u64| crate::config::duration_text(ns / 1_000_000);
    let (name, whom) = (fault.fault.name(), &fault.selector);
    format!("{name} of {whom} from {} to {}", ms(fault.start), ms(fault.end()))
}

/// The store's settings, as its nodes want them.
pub fn store_config(spec: &TestSpec, names: &[String]) -> StoreConfig {
    StoreConfig {
        node: 0,
        names: names.to_vec(),
        shards: spec.store.shards,
        replication: match spec.store.replication {
            ReplicationSpec::Async => Replication::Async,
            ReplicationSpec::Sync { k } => Replication::Sync { k },
        },
        failover: match spec.store.failover {
            FailoverSpec::None => Failover::None,
            FailoverSpec::Vote => Failover::Vote,
            FailoverSpec::Timeout => Failover::Timeout,
        },
        committed_reads: spec.store.committed_reads,
        heartbeat_ms: spec.store.heartbeat_ms,
        election_timeout_ms: spec.store.election_timeout_ms,
        ship_ms: spec.store.ship_ms,
        wait_ms: spec.workload.op_timeout_ms * 4 / 5,
        seed: spec.seed,
    }
}

/// The store's settings with all that is recorded of them.
pub fn store_settings(spec: &TestSpec, names: &[String]) -> StoreSettings {
    StoreSettings {
        core: store_config(spec, names),
        fsync: spec.store.fsync,
        recorded: systems::promises::settings(&spec.store),
    }
}

/// What the keys of a test's workload hold.
pub fn model(spec: &TestSpec) -> Result<Model, UserError> {
    Ok(Model::of(workload_of(spec)?.needs.micro_ops))
}

/// The core of a run.
pub fn core_config(
    spec: &TestSpec,
    names: &[String],
    schedule: Vec<PlannedFault>,
    shard_of: fn(&Key, u32) -> u32,
) -> Result<CoreConfig, UserError> {
    let workload = workload_of(spec)?;
    let settings = settings(spec);
    let generator = (workload.generator)(&settings);
    let pace = stream(spec.seed, Stream::Pace);
    let generator = Stagger::new(generator, spec.workload.rate, pace);
    let stay = spec.workload.stay.sessions(settings.sessions);
    let policy = policy::by_name(&spec.workload.policy, settings.sessions, stay, spec.seed)
        .ok_or_else(|| UserError::usage(format!("unknown policy {}", spec.workload.policy)))?;
    Ok(CoreConfig {
        nodes: names.to_vec(),
        regions: super::regions::numbered(spec, names)?,
        view: View { nodes: spec.data_nodes(names.len()), shards: spec.shards(), shard_of, now: 0 },
        seed: spec.seed,
        sessions: settings.sessions,
        op_timeout_ns: ns(spec.workload.op_timeout_ms),
        recovery_ns: ns(spec.recovery_ms),
        schedule,
        max_hurt: crate::gate::hurt_limit(spec)?,
        max_faults: spec.package.as_ref().map(|package| package.max_faults),
        calm: Calm {
            ok_min: spec.coverage.ok_outside_min,
            end: Some(ns(spec.duration_ms)),
            limit_ns: ns(spec.recovery_ms),
        },
        generator: Box::new(generator),
        policy,
        final_reads: true,
    })
}

/// What a client of the test's system can express: known before there is one.
pub fn capabilities(spec: &TestSpec) -> Capabilities {
    match spec.system {
        SystemKind::Store => systems::bundled::capabilities(spec.store.shards),
        SystemKind::Postgres => systems::postgres::client::capabilities(spec.postgres.isolation),
        SystemKind::Mongodb => systems::mongodb::client::capabilities(&spec.mongodb),
    }
}

/// How much is atomic together, as a number that grows.
fn reach(atomic: &str, shards: u32) -> usize {
    match atomic {
        "operation" => 0,
        "key" => 1,
        // A system with one shard has all keys on it.
        "shard" if 1 < shards => 2,
        _ => 3,
    }
}

/// Refuses a workload that asks for what the client cannot express, or for more at once than is
/// atomic, saying what is missing. `shards` is how many independent logs the system has.
pub fn check_needs(
    workload: &Workload,
    capabilities: &Capabilities,
    shards: u32,
) -> Result<(), UserError> {
    let has = |need: &&&str| capabilities.micro_ops.contains(*need);
    let missing: Vec<&str> =
        workload.needs.micro_ops.iter().filter(|need| !has(need)).copied().collect();
    if !missing.is_empty() {
        let what = format!("the workload {} needs {}", workload.name, missing.join(", "));
        let hint = format!("this client has {}", capabilities.micro_ops.join(", "));
        return Err(UserError::usage(what).at("workload").hint(hint));
    }
    let (need, atomic) = (workload.needs.atomic_over, capabilities.atomic);
    if reach(need, shards) <= reach(atomic, shards) {
        return Ok(());
    }
    let over = |what: &str| match what {
        "everything" => "everything".to_owned(),
        what => format!("one {what}"),
    };
    let what = format!(
        "the workload {} needs transactions that are atomic over {}",
        workload.name,
        over(need)
    );
    let hint = match atomic {
        "shard" => format!("with {shards} shards they are atomic over one shard: --shards 1"),
        "key" => "this client's are atomic over one key; with MongoDB's transactions over all: \
                  --set mongodb.transactions=true"
            .to_owned(),
        atomic => format!("this client's are atomic over {}", over(atomic)),
    };
    Err(UserError::usage(what).at("workload").hint(hint))
}

/// Names of keys for people.
pub fn labels(spec: &TestSpec) -> BTreeMap<String, String> {
    workload::by_name(&spec.workload.name)
        .map(|workload| (workload.labels)(&settings(spec)))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_that_cannot_be_expressed_is_refused_with_what_is_missing() {
        let workload = workload::by_name("profile").unwrap();
        let able = Capabilities { micro_ops: &["r", "w"], atomic: "key", reads: "atomic" };
        assert_eq!(check_needs(workload, &able, 4), Ok(()));
        let unable = Capabilities { micro_ops: &["r", "append"], ..able };
        let error = check_needs(workload, &unable, 1).unwrap_err();
        assert_eq!(error.what, "the workload profile needs w");
    }

    #[test]
    fn a_workload_is_refused_whose_transactions_would_be_torn() {
        let every = &["r", "w", "append", "cas", "add", "rem", "inc"];
        let able = |atomic| Capabilities { micro_ops: every, atomic, reads: "atomic" };
        for name in ["append", "register", "bank"] {
            let workload = workload::by_name(name).unwrap();
            assert_eq!(check_needs(workload, &able("everything"), 4), Ok(()));
            assert_eq!(check_needs(workload, &able("shard"), 1), Ok(()));
            for (atomic, shards) in [("shard", 2), ("key", 1), ("operation", 1)] {
                let error = check_needs(workload, &able(atomic), shards).unwrap_err();
                assert!(error.what.ends_with("atomic over everything"), "{}", error.what);
            }
        }
        for name in ["set", "counter", "ledger"] {
            let workload = workload::by_name(name).unwrap();
            assert_eq!(check_needs(workload, &able("key"), 4), Ok(()));
            assert!(check_needs(workload, &able("operation"), 1).is_err());
        }
        let mixed = workload::by_name("mixed").unwrap();
        assert_eq!(check_needs(mixed, &able("shard"), 2), Ok(()));
        assert!(check_needs(mixed, &able("key"), 2).is_err());
    }

    #[test]
    fn every_workload_finds_the_tables_it_wants() {
        let models = [
            ("append", Model::List),
            ("register", Model::Register),
            ("bank", Model::Counter),
            ("set", Model::Set),
            ("counter", Model::Counter),
        ];
        for (name, model) in models {
            assert_eq!(Model::of(workload::by_name(name).unwrap().needs.micro_ops), model);
        }
    }
}
