//! The TOML test file. Everything is optional; what is absent keeps its default.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::canary::CanaryFile;
use super::fault_table::{fault_table, read_table};
use super::fault_text::{duration_text, parse_duration, parse_fault};
use super::lines::{Lines, spoken};
use super::package::{PackageFile, PackageSpec};
use super::spec::{
    CoverageSpec, FailoverSpec, ReplicationSpec, StoreSpec, SystemKind, TestSpec, WorkloadSpec,
};
use super::stay::PolicyFile;
use crate::engine::captures;
use crate::error::UserError;

/// A test file as it is written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestFile {
    /// Names the run's folder.
    pub name: Option<String>,
    /// Everything random is drawn from it.
    pub seed: Option<u64>,
    /// 3 to 9.
    pub hosts: Option<usize>,
    /// The system under test: `store`, `postgres` or `mongodb`.
    pub system: Option<String>,
    /// What is done.
    pub workload: Option<String>,
    /// Which node is asked, and how many sessions stay with a deposed leader.
    pub policy: Option<PolicyFile>,
    /// Logical users.
    pub sessions: Option<usize>,
    /// Operations a second; 0 is no limit.
    pub rate: Option<u64>,
    /// Deadline of an operation, a duration.
    pub op_timeout: Option<String>,
    /// Length of the main phase, a duration.
    pub duration: Option<String>,
    /// Longest wait for convergence, and for enough operations before and after the faults.
    pub recovery: Option<String>,
    /// Faults as text.
    pub faults: Option<Vec<String>>,
    /// Faults as tables; they come after those that are text.
    pub fault: Option<Vec<toml::Table>>,
    /// Faults that are drawn from the seed.
    pub package: Option<PackageFile>,
    /// Packets are captured, in files of this size a node at most: `16MiB`.
    pub pcap: Option<String>,
    /// Round trips between regions all through the run: `profile`, or `eu/us=80ms`.
    pub latency: Option<Vec<String>>,
    /// Names of nodes by region.
    pub regions: Option<BTreeMap<String, Vec<String>>>,
    /// The store's settings.
    pub store: Option<StoreFile>,
    /// PostgreSQL's settings; those of [`systems::postgres::PostgresSpec`].
    pub postgres: Option<toml::Table>,
    /// MongoDB's settings; those of [`systems::mongodb::MongoSpec`].
    pub mongodb: Option<toml::Table>,
    /// What the coverage gate asks for.
    pub coverage: Option<CoverageFile>,
    /// What the client does wrong on purpose.
    pub canary: Option<CanaryFile>,
}

/// `[store]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreFile {
    /// `async` or `sync`.
    pub replication: Option<String>,
    /// Followers that must have a write; without it, as many as make a majority.
    pub k: Option<usize>,
    /// `none`, `vote` or `timeout`.
    pub failover: Option<String>,
    /// Independent logs.
    pub shards: Option<u32>,
    /// `local` or `committed`.
    pub read: Option<String>,
    /// Whether logs are synced.
    pub fsync: Option<bool>,
    /// ms.
    pub heartbeat_ms: Option<u64>,
    /// ms.
    pub election_timeout_ms: Option<u64>,
    /// ms.
    pub ship_ms: Option<u64>,
}

/// `[coverage]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoverageFile {
    /// ok operations of each kind before the first fault and after the last heal.
    pub ok_outside_min: Option<u64>,
    /// Attempts of each kind during each fault.
    pub attempts_during_min: Option<u64>,
}

impl TestFile {
    /// Reads a file, and where its fields are; an error points at its line.
    pub fn load(path: &Path) -> Result<(TestFile, Lines), UserError> {
        let place = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| UserError::usage(error.to_string()).at(place.clone()))?;
        let lines = Lines::of(&place, &text);
        match toml::from_str(&text) {
            Ok(file) => Ok((file, lines)),
            Err(error) => Err(lines.wrong(&text, &error)),
        }
    }

    /// Puts what the file says over `spec`.
    pub fn apply(&self, spec: &mut TestSpec) -> Result<(), UserError> {
        let set = |to: &mut String, from: &Option<String>| {
            if let Some(from) = from {
                from.clone_into(to);
            }
        };
        set(&mut spec.name, &self.name);
        set(&mut spec.workload.name, &self.workload);
        if let Some(policy) = &self.policy {
            policy.apply(&mut spec.workload.policy, &mut spec.workload.stay)?;
        }
        spec.seed = self.seed.unwrap_or(spec.seed);
        spec.hosts = self.hosts.unwrap_or(spec.hosts);
        spec.workload.sessions = self.sessions.unwrap_or(spec.workload.sessions);
        spec.workload.rate = self.rate.unwrap_or(spec.workload.rate);
        if let Some(name) = &self.system {
            spec.system = SystemKind::by_name(name).ok_or_else(|| unknown_system(name))?;
        }
        let durations = [
            ("op_timeout", &self.op_timeout, &mut spec.workload.op_timeout_ms),
            ("duration", &self.duration, &mut spec.duration_ms),
            ("recovery", &self.recovery, &mut spec.recovery_ms),
        ];
        for (field, text, to) in durations {
            if let Some(text) = text {
                *to = duration(field, text)?;
            }
        }
        self.apply_faults(spec)?;
        if let Some(package) = &self.package {
            package.apply(spec)?;
        }
        if let Some(coverage) = &self.coverage {
            let to = &mut spec.coverage;
            to.ok_outside_min = coverage.ok_outside_min.unwrap_or(to.ok_outside_min);
            to.attempts_during_min = coverage.attempts_during_min.unwrap_or(to.attempts_during_min);
        }
        if let Some(canary) = &self.canary {
            canary.apply(spec)?;
        }
        if let Some(regions) = &self.regions {
            spec.regions.members.extend(regions.clone());
        }
        if let Some(size) = &self.pcap {
            spec.pcap_bytes = Some(captures::size(size)?);
        }
        if let Some(latency) = &self.latency {
            spec.regions.latency.clone_from(latency);
        }
        if let Some(table) = &self.postgres {
            overlay("postgres", &mut spec.postgres, table)?;
        }
        if let Some(table) = &self.mongodb {
            overlay("mongodb", &mut spec.mongodb, table)?;
        }
        match &self.store {
            Some(store) => store.apply(spec),
            None => Ok(()),
        }
    }
}

impl TestFile {
    fn apply_faults(&self, spec: &mut TestSpec) -> Result<(), UserError> {
        if self.faults.is_none() && self.fault.is_none() {
            return Ok(());
        }
        let mut faults = Vec::new();
        for (place, text) in self.faults.iter().flatten().enumerate() {
            let fault = parse_fault(text);
            faults.push(fault.map_err(|error| error.at(format!("faults[{place}]")))?);
        }
        for (place, table) in self.fault.iter().flatten().enumerate() {
            let fault = read_table(table).map_err(|error| {
                let key = error.place.as_ref().map_or(String::new(), |key| format!(".{key}"));
                error.at(format!("fault[{place}]{key}"))
            });
            faults.push(fault?);
        }
        spec.faults = faults;
        Ok(())
    }
}

impl StoreFile {
    fn apply(&self, spec: &mut TestSpec) -> Result<(), UserError> {
        let majority = spec.hosts / 2;
        let store = &mut spec.store;
        store.replication = match (self.replication.as_deref(), self.k) {
            (Some("async"), None) => ReplicationSpec::Async,
            (Some("async"), Some(_)) => {
                return Err(
                    UserError::usage("k means nothing with replication = \"async\"").at("store.k")
                );
            }
            (Some("sync"), k) => ReplicationSpec::Sync { k: k.unwrap_or(majority) },
            (None, Some(k)) => ReplicationSpec::Sync { k },
            (None, None) => store.replication,
            (Some(other), _) => return Err(one_of("store.replication", other, "async, sync")),
        };
        store.failover = match self.failover.as_deref() {
            None => store.failover,
            Some("none") => FailoverSpec::None,
            Some("vote") => FailoverSpec::Vote,
            Some("timeout") => FailoverSpec::Timeout,
            Some(other) => return Err(one_of("store.failover", other, "none, vote, timeout")),
        };
        store.committed_reads = match self.read.as_deref() {
            None => store.committed_reads,
            Some("local") => false,
            Some("committed") => true,
            Some(other) => return Err(one_of("store.read", other, "local, committed")),
        };
        store.shards = self.shards.unwrap_or(store.shards);
        store.fsync = self.fsync.unwrap_or(store.fsync);
        store.heartbeat_ms = self.heartbeat_ms.unwrap_or(store.heartbeat_ms);
        store.election_timeout_ms = self.election_timeout_ms.unwrap_or(store.election_timeout_ms);
        store.ship_ms = self.ship_ms.unwrap_or(store.ship_ms);
        Ok(())
    }
}

/// A system that there is not.
pub fn unknown_system(name: &str) -> UserError {
    let names: Vec<&str> = SystemKind::ALL.iter().map(|kind| kind.name()).collect();
    let near = crate::names::nearest(name, &names);
    let near = near.map_or(String::new(), |near| format!("did you mean {near}? "));
    UserError::usage(format!("unknown system \"{name}\""))
        .at("system")
        .hint(format!("{near}systems are {}", names.join(", ")))
}

/// Puts what a table says over settings; a field that is not there is named.
fn overlay<T: Serialize + serde::de::DeserializeOwned>(
    at: &str,
    settings: &mut T,
    table: &toml::Table,
) -> Result<(), UserError> {
    let fail = |error: String| UserError::usage(error).at(at);
    let all = toml::Table::try_from(&*settings).map_err(|error| fail(error.to_string()))?;
    let mut over = all.clone();
    for (name, value) in table {
        put(&mut over, name, value);
    }
    let read = |table: toml::Table| table.try_into::<T>();
    match read(over) {
        Ok(read) => *settings = read,
        Err(error) => {
            // Each field is tried alone, to say which one it is.
            let wrong = table.iter().find_map(|(name, value)| {
                let mut one = all.clone();
                put(&mut one, name, value);
                read(one).err().map(|error| (name, error))
            });
            let (place, error) = match wrong {
                Some((name, error)) => (format!("{at}.{name}"), error),
                None => (at.to_owned(), error),
            };
            return Err(spoken(&error).at(place));
        }
    }
    Ok(())
}

/// One field's value over what is there.
fn put(all: &mut toml::Table, name: &str, value: &toml::Value) {
    match (all.get_mut(name), value) {
        // One node's entry leaves the others' as they are.
        (Some(toml::Value::Table(known)), toml::Value::Table(more)) => known.extend(more.clone()),
        _ => drop(all.insert(name.to_owned(), value.clone())),
    }
}

/// A `--set NAME=VALUE`: a line of the file, whose quotes may be left out.
pub fn setting(text: &str) -> Result<TestFile, UserError> {
    let fail = |why: String| UserError::usage(why).at(format!("--set {text}"));
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| fail("expected NAME=VALUE, such as postgres.k=2".to_owned()))?;
    let plain: Result<TestFile, _> = toml::from_str(&format!("{name} = {value}"));
    match plain {
        Ok(file) => Ok(file),
        Err(error) => {
            let quoted = toml::Value::String(value.to_owned());
            toml::from_str(&format!("{name} = {quoted}"))
                .map_err(|_| fail(error.message().trim().to_owned()))
        }
    }
}

/// Puts a `--set NAME=VALUE` over a test. A value that looks like a number and is none, such as a
/// version, is a text.
pub fn apply_setting(text: &str, spec: &mut TestSpec) -> Result<(), UserError> {
    let mut plain = spec.clone();
    let Err(error) = setting(text)?.apply(&mut plain) else {
        *spec = plain;
        return Ok(());
    };
    let quoted = text.split_once('=').and_then(|(name, value)| {
        let value = toml::Value::String(value.to_owned());
        toml::from_str::<TestFile>(&format!("{name} = {value}")).ok()
    });
    let mut with = spec.clone();
    match quoted.map(|file| file.apply(&mut with)) {
        Some(Ok(())) => {
            *spec = with;
            Ok(())
        }
        _ => {
            let field = error.place.clone().unwrap_or_default();
            Err(error.at(format!("--set {text}: {field}")))
        }
    }
}

/// A duration in a field.
pub fn duration(field: &str, text: &str) -> Result<u64, UserError> {
    parse_duration(text).ok_or_else(|| {
        UserError::usage(format!("\"{text}\" is not a duration such as 8s or 500ms")).at(field)
    })
}

fn one_of(field: &str, given: &str, valid: &str) -> UserError {
    let near = crate::names::nearest(given, &valid.split(", ").collect::<Vec<_>>());
    let near = near.map_or(String::new(), |near| format!("did you mean {near}? "));
    let said = UserError::usage(format!("unknown value \"{given}\"")).at(field);
    said.hint(format!("{near}one of {valid}"))
}

/// The file that comes to this test, as text.
pub fn to_toml(spec: &TestSpec) -> String {
    // Plain tables of plain values always have a text.
    toml::to_string(&file_of(spec, false)).unwrap_or_default()
}

/// The file that comes to this test; `whole`: with the tables of systems that it is not about,
/// though they are as they are by default.
pub(super) fn file_of(spec: &TestSpec, whole: bool) -> TestFile {
    // Every field is named, so that a new one cannot be forgotten here. Where hosts come from and
    // how long they may be hurt are flags alone, and nobody sets how often telemetry is taken.
    let TestSpec {
        name,
        seed,
        lab: _,
        hosts,
        system,
        store,
        postgres,
        mongodb,
        workload,
        faults,
        package,
        duration_ms,
        recovery_ms,
        sample_ms: _,
        max_duration_ms: _,
        coverage,
        canary,
        pcap_bytes,
        regions,
    } = spec;
    let WorkloadSpec { name: workload, sessions, rate, policy, stay, op_timeout_ms } = workload;
    let CoverageSpec { ok_outside_min, attempts_during_min } = coverage;
    let default = TestSpec::default();
    let told = |kind: SystemKind, changed: bool| whole || *system == kind || changed;
    TestFile {
        name: Some(name.clone()),
        seed: Some(*seed),
        hosts: Some(*hosts),
        system: Some(system.name().to_owned()),
        postgres: told(SystemKind::Postgres, *postgres != default.postgres)
            .then(|| toml::Table::try_from(postgres).unwrap_or_default()),
        mongodb: told(SystemKind::Mongodb, *mongodb != default.mongodb)
            .then(|| toml::Table::try_from(mongodb).unwrap_or_default()),
        workload: Some(workload.clone()),
        policy: Some(PolicyFile::of(policy, *stay)),
        sessions: Some(*sessions),
        rate: Some(*rate),
        op_timeout: Some(duration_text(*op_timeout_ms)),
        duration: Some(duration_text(*duration_ms)),
        recovery: Some(duration_text(*recovery_ms)),
        faults: None,
        fault: (!faults.is_empty()).then(|| faults.iter().map(fault_table).collect()),
        package: package.as_ref().map(PackageSpec::file),
        store: told(SystemKind::Store, *store != default.store).then(|| store_file(store)),
        coverage: Some(CoverageFile {
            ok_outside_min: Some(*ok_outside_min),
            attempts_during_min: Some(*attempts_during_min),
        }),
        canary: canary.map(|canary| canary.file()),
        pcap: pcap_bytes.map(captures::size_text),
        latency: (!regions.latency.is_empty()).then(|| regions.latency.clone()),
        regions: (!regions.is_empty()).then(|| regions.members.clone()),
    }
}

fn store_file(store: &StoreSpec) -> StoreFile {
    let StoreSpec {
        replication,
        failover,
        shards,
        committed_reads,
        fsync,
        heartbeat_ms,
        election_timeout_ms,
        ship_ms,
    } = store;
    let (replication, k) = match replication {
        ReplicationSpec::Async => ("async", None),
        ReplicationSpec::Sync { k } => ("sync", Some(*k)),
    };
    let failover = match failover {
        FailoverSpec::None => "none",
        FailoverSpec::Vote => "vote",
        FailoverSpec::Timeout => "timeout",
    };
    let read = if *committed_reads { "committed" } else { "local" };
    StoreFile {
        replication: Some(replication.to_owned()),
        k,
        failover: Some(failover.to_owned()),
        shards: Some(*shards),
        read: Some(read.to_owned()),
        fsync: Some(*fsync),
        heartbeat_ms: Some(*heartbeat_ms),
        election_timeout_ms: Some(*election_timeout_ms),
        ship_ms: Some(*ship_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_on_the_command_line_is_the_text_that_was_typed() {
        for (typed, meant) in [("17", "17"), ("17.10", "17.10"), ("\"17.10\"", "17.10")] {
            let mut spec = TestSpec::default();
            apply_setting(&format!("postgres.version={typed}"), &mut spec).unwrap();
            assert_eq!(spec.postgres.version_of("n1"), Some(meant), "{typed}");
        }
        let mut spec = TestSpec::default();
        apply_setting("postgres.versions.n2=18.4", &mut spec).unwrap();
        assert_eq!(spec.postgres.version_of("n2"), Some("18.4"));
        assert_eq!(spec.postgres.version_of("n1"), None);
        let error = apply_setting("postgres.k=many", &mut spec).unwrap_err();
        assert!(error.place.unwrap().ends_with("postgres.k"));
    }

    #[test]
    fn a_test_reads_back_from_its_own_text() {
        let mut spec = TestSpec { seed: 9, hosts: 5, ..TestSpec::default() };
        spec.store.replication = ReplicationSpec::Sync { k: 2 };
        spec.faults = vec![parse_fault("kill:leader@3s+2s").unwrap()];
        let faults = vec!["network".to_owned(), "slow,stopped=50%".to_owned()];
        spec.package = Some(PackageSpec { faults, max_faults: 2, ..PackageSpec::default() });
        spec.regions.members = [("eu".to_owned(), vec!["n1".to_owned()])].into();
        spec.regions.latency = vec!["profile".to_owned()];
        let file: TestFile = toml::from_str(&to_toml(&spec)).unwrap();
        let mut read = TestSpec::default();
        file.apply(&mut read).unwrap();
        assert_eq!(read, spec);
    }
}
