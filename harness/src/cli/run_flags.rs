//! Flags of `run`, and the test that they come to.

use std::path::PathBuf;

use clap::Args;
use nemesis::{Fault, Selector};
use workloads::{policy, workload};

use super::RunsDir;
use crate::config::{
    LabSpec, SystemKind, TestFile, TestSpec, duration_text, join_parameters, parse_fault,
    unknown_system,
};
use crate::engine::plan;
use crate::error::UserError;
use crate::names::nearest;

/// Longest name of a run, bytes.
const NAME_MAX: usize = 100;

/// See the module's doc. Flags win over the file, the file over defaults.
#[derive(Clone, Debug, Default, Args)]
pub struct RunFlags {
    /// TOML test file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Names the run's folder
    #[arg(long)]
    pub name: Option<String>,
    /// Everything random is drawn from it
    #[arg(long)]
    pub seed: Option<u64>,
    /// Several seeds, one run each: 1..10
    #[arg(long, value_name = "A..B", conflicts_with = "seed")]
    pub seeds: Option<String>,
    /// So many seeds from --seed on
    #[arg(long, conflicts_with = "seeds")]
    pub count: Option<u64>,
    /// Stop at the first violation
    #[arg(long)]
    pub until_found: bool,
    /// Start no further run after this long: 10m
    #[arg(long, value_name = "DURATION")]
    pub time_budget: Option<String>,
    /// Where hosts come from: local, sim, or the name of a kept lab
    #[arg(long, value_name = "LAB")]
    pub lab: Option<String>,
    /// Inventory of machines reachable by SSH
    #[arg(long, value_name = "FILE", conflicts_with = "lab")]
    pub hosts_file: Option<PathBuf>,
    /// How many hosts, 3 to 9
    #[arg(long)]
    pub hosts: Option<usize>,
    /// System under test: store, postgres or mongodb
    #[arg(long)]
    pub system: Option<String>,
    /// Any setting of the test file: postgres.synchronous_commit=remote_apply
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// async, sync (a majority) or sync:K; of PostgreSQL async, first:K or any:K
    #[arg(long)]
    pub replication: Option<String>,
    /// none, vote or timeout; of PostgreSQL none, operator or patroni
    #[arg(long)]
    pub failover: Option<String>,
    /// Independent logs
    #[arg(long)]
    pub shards: Option<u32>,
    /// local or committed
    #[arg(long)]
    pub read: Option<String>,
    /// What sessions do: ledger, append, bank ... as splitbrain list workloads says
    #[arg(long)]
    pub workload: Option<String>,
    /// leader, any-follower, sticky-follower, own-from-leader, leader-after-write, position-token
    #[arg(long)]
    pub policy: Option<String>,
    /// Logical users
    #[arg(long)]
    pub sessions: Option<usize>,
    /// Operations a second; 0 is no limit
    #[arg(long)]
    pub rate: Option<u64>,
    /// Length of the main phase: 8s
    #[arg(long, value_name = "DURATION")]
    pub time_limit: Option<String>,
    /// Longest wait for convergence: 10s
    #[arg(long, value_name = "DURATION")]
    pub recovery: Option<String>,
    /// Deadline of one operation: 1s
    #[arg(long, value_name = "DURATION")]
    pub op_timeout: Option<String>,
    /// A fault, several times: FAULT[:WHOM][/SHARD][@START][+DURATION][xCOUNT][,PARAM=VALUE], or
    /// leader-kill
    #[arg(long = "fault", visible_alias = "faults", value_name = "FAULT", value_delimiter = ',')]
    pub faults: Vec<String>,
    /// On hosts: undo everything and end after this long, whatever happens: 10m
    #[arg(long, value_name = "DURATION")]
    pub max_duration: Option<String>,
    /// Print what would be done to which host and when, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Lie on purpose, so that the lie is found: drop-writes, or drop-writes:1/200
    #[arg(long, value_name = "CANARY")]
    pub canary: Option<String>,
    /// One line of JSON at the end on standard output
    #[arg(long)]
    pub json: bool,
    /// Where runs are kept
    #[command(flatten)]
    pub runs: RunsDir,
}

impl Default for RunsDir {
    fn default() -> RunsDir {
        RunsDir { runs_dir: PathBuf::from("runs") }
    }
}

impl RunFlags {
    /// The test that file and flags come to, checked.
    pub fn spec(&self) -> Result<TestSpec, UserError> {
        let mut spec = TestSpec::default();
        if let Some(path) = &self.config {
            let file = TestFile::load(path)?;
            file.apply(&mut spec).map_err(|error| {
                let field = error.place.clone().unwrap_or_default();
                error.at(format!("{}: {field}", path.display()))
            })?;
        }
        if let Some(name) = &self.system {
            spec.system = SystemKind::by_name(name).ok_or_else(|| unknown_system(name))?;
        }
        if let Some(path) = &self.hosts_file {
            self.attach(&path.display().to_string(), &mut spec)?;
        }
        self.as_file(spec.system)?.apply(&mut spec)?;
        for text in &self.set {
            let file = crate::config::setting(text)?;
            file.apply(&mut spec).map_err(|error| {
                let field = error.place.clone().unwrap_or_default();
                error.at(format!("--set {text}: {field}"))
            })?;
        }
        spec.lab = match (&self.hosts_file, self.lab.as_deref()) {
            (Some(path), _) => LabSpec::Hosts(path.display().to_string()),
            (None, None | Some("local")) => LabSpec::Local,
            (None, Some("sim")) => LabSpec::Sim,
            (None, Some(id)) => LabSpec::Kept(id.to_owned()),
        };
        if let LabSpec::Hosts(path) = &spec.lab {
            let inventory = crate::gate::load(path)?;
            let there = inventory.names().len();
            // A cluster that exists has the size that it has, whatever a test file was written for.
            let file = self.config.is_some() && inventory.attach.is_none();
            let asked = self.hosts.is_some() || file;
            spec.hosts = if asked { spec.hosts } else { there };
        }
        if let Some(text) = &self.max_duration {
            spec.max_duration_ms = Some(crate::config::duration("--max-duration", text)?);
            if !matches!(spec.lab, LabSpec::Hosts(_)) {
                let what = "the lab is not gated: --max-duration is for --hosts-file";
                return Err(UserError::usage(what).at("--max-duration"));
            }
        }
        validate(&spec)?;
        crate::gate::check(&spec)?;
        Ok(spec)
    }

    /// An inventory with `[attach]` says which system it is.
    fn attach(&self, path: &str, spec: &mut TestSpec) -> Result<(), UserError> {
        let inventory = crate::gate::load(path)?;
        let Some(attach) = &inventory.attach else {
            return Ok(());
        };
        let there = crate::gate::attached::system(&inventory, attach)?;
        if self.system.is_some() && spec.system != there {
            let (asked, there) = (spec.system.name(), there.name());
            let what = format!("--system {asked}, but {there} runs on these hosts already");
            return Err(UserError::usage(what).at(inventory.places.at("attach.system")));
        }
        spec.system = there;
        Ok(())
    }

    fn as_file(&self, system: SystemKind) -> Result<TestFile, UserError> {
        let mut file = TestFile {
            name: self.name.clone(),
            seed: self.seed,
            hosts: self.hosts,
            system: self.system.clone(),
            workload: self.workload.clone(),
            policy: self.policy.clone(),
            sessions: self.sessions,
            rate: self.rate,
            op_timeout: self.op_timeout.clone(),
            duration: self.time_limit.clone(),
            recovery: self.recovery.clone(),
            faults: (!self.faults.is_empty()).then(|| join_parameters(&self.faults)),
            canary: self.canary.as_deref().map(crate::config::parse_canary).transpose()?,
            ..TestFile::default()
        };
        if system != SystemKind::Store {
            self.system_table(system, &mut file)?;
            return Ok(file);
        }
        let mut store = crate::config::StoreFile {
            failover: self.failover.clone(),
            shards: self.shards,
            read: self.read.clone(),
            ..Default::default()
        };
        if let Some(replication) = &self.replication {
            let (kind, k) = match replication.split_once(':') {
                Some((kind, k)) => (kind, Some(k)),
                None => (replication.as_str(), None),
            };
            store.replication = Some(kind.to_owned());
            store.k = match k {
                Some(k) => Some(k.parse().map_err(|_| {
                    UserError::usage(format!("\"{replication}\" is not async, sync or sync:K"))
                        .at("--replication")
                })?),
                None => None,
            };
        }
        file.store = Some(store);
        Ok(file)
    }

    /// The flags that every system has in a form of its own.
    fn system_table(&self, system: SystemKind, file: &mut TestFile) -> Result<(), UserError> {
        if system == SystemKind::Mongodb {
            return self.not_of_mongodb();
        }
        let mut table = toml::Table::new();
        let mut set = |name: &str, value: toml::Value| table.insert(name.to_owned(), value);
        if let Some(replication) = &self.replication {
            let (kind, k) = match replication.split_once(':') {
                Some((kind, k)) => (kind, Some(k)),
                None => (replication.as_str(), None),
            };
            set("replication", kind.into());
            if let Some(k) = k {
                let k = k.parse::<i64>().map_err(|_| {
                    UserError::usage(format!("\"{replication}\" is not async, first:K or any:K"))
                        .at("--replication")
                })?;
                set("k", k.into());
            }
        }
        if let Some(failover) = &self.failover {
            set("failover", failover.as_str().into());
        }
        for (flag, given) in [("--shards", self.shards.is_some()), ("--read", self.read.is_some())]
        {
            if given {
                let what = format!("{flag} is a setting of the store, not of {}", system.name());
                return Err(UserError::usage(what).at(flag).hint("see --set"));
            }
        }
        if !table.is_empty() {
            file.postgres = Some(table);
        }
        Ok(())
    }

    /// MongoDB's settings have names of its own.
    fn not_of_mongodb(&self) -> Result<(), UserError> {
        let flags = [
            ("--replication", self.replication.is_some(), "--set mongodb.write_concern=majority"),
            ("--failover", self.failover.is_some(), "its members elect their leader by themselves"),
            ("--shards", self.shards.is_some(), "a replica set is one log"),
            ("--read", self.read.is_some(), "--set mongodb.read_concern=majority"),
        ];
        match flags.into_iter().find(|(_, given, _)| *given) {
            None => Ok(()),
            Some((flag, _, instead)) => {
                let what = format!("{flag} is no setting of mongodb");
                Err(UserError::usage(what).at(flag).hint(instead))
            }
        }
    }

    /// The seeds to run.
    pub fn seeds(&self, spec: &TestSpec) -> Result<Vec<u64>, UserError> {
        if let Some(text) = &self.seeds {
            let parse = || {
                let (from, to) = text.split_once("..")?;
                Some((from.parse::<u64>().ok()?, to.parse::<u64>().ok()?))
            };
            let (from, to) = parse()
                .filter(|(from, to)| from <= to && to - from < 1_000_000)
                .ok_or_else(|| {
                    UserError::usage(format!("\"{text}\" is not a range such as 1..10"))
                        .at("--seeds")
                })?;
            return Ok((from..=to).collect());
        }
        let count = self.count.unwrap_or(1);
        if count == 0 {
            return Err(UserError::usage("0 runs show nothing").at("--count"));
        }
        Ok((spec.seed..spec.seed.saturating_add(count)).collect())
    }
}

/// Everything that can be said before anything runs.
fn validate(spec: &TestSpec) -> Result<(), UserError> {
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
    let limits = [
        ("--shards", u64::from(spec.shards()), 1, 64),
        ("--sessions", spec.workload.sessions as u64, 1, 10_000),
        ("--time-limit", spec.duration_ms, 500, 24 * 3_600_000),
        ("--op-timeout", spec.workload.op_timeout_ms, 10, 600_000),
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
    let workloads: Vec<&str> = workload::all().iter().map(|workload| workload.name).collect();
    known("workload", &spec.workload.name, &workloads)?;
    check_policy(spec, attached)?;
    let workload = plan::workload_of(spec)?;
    plan::check_needs(workload, &plan::capabilities(spec), spec.shards())?;
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    let named = (1..=NAME_MAX).contains(&spec.name.len()) && spec.name.chars().all(plain);
    if !named || spec.name.starts_with('.') {
        let what = "a name is one word of letters, digits, - and _";
        let hint = format!("at most {NAME_MAX} of them: it names a folder");
        return Err(UserError::usage(what).at("--name").hint(hint));
    }
    validate_faults(spec)
}

fn check_policy(spec: &TestSpec, attached: bool) -> Result<(), UserError> {
    known("policy", &spec.workload.policy, &policy::NAMES.map(|(name, _)| name))?;
    if spec.workload.policy == "driver" && (spec.system != SystemKind::Mongodb || attached) {
        let what = "the policy driver is for a MongoDB that splitbrain builds";
        let hint = "no other client chooses nodes by itself";
        return Err(UserError::usage(what).at("--policy").hint(hint));
    }
    Ok(())
}

fn validate_faults(spec: &TestSpec) -> Result<(), UserError> {
    let names = crate::gate::names(spec)?;
    for fault in &spec.faults {
        let least = Fault::by_name(&fault.fault).map_or(0, Fault::least_nodes);
        if names.len() < least {
            let what = format!("{} needs {least} nodes, not {}", fault.fault, names.len());
            return Err(UserError::usage(what).at("fault").hint(format!("--hosts {least}")));
        }
        Selector::parse(&fault.selector, &names).map_err(|error| {
            let hint = format!("nodes are {}", names.join(", "));
            UserError::usage(error.to_string()).at("--fault").hint(hint)
        })?;
        if let Some(kind) = Fault::by_name(&fault.fault) {
            plan::check_fault(spec, kind)?;
        }
        if spec.shards() <= fault.shard {
            let what = format!("there is no shard {}: they count from 0", fault.shard);
            return Err(UserError::usage(what).at("fault"));
        }
        if fault.start_ms.is_some_and(|start| spec.duration_ms <= start) {
            let what = format!("{} would start after the run's end", fault.fault);
            return Err(UserError::usage(what)
                .at("fault")
                .hint(format!("the main phase lasts {} ms: see --time-limit", spec.duration_ms)));
        }
        if !(1..=1_000).contains(&fault.count) {
            return Err(UserError::usage("a fault comes 1 to 1000 times").at("fault"));
        }
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

/// A fault written by us.
pub fn fault(text: &str) -> crate::config::FaultSpec {
    parse_fault(text).expect("the harness's own faults are well-formed")
}
