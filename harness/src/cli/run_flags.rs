//! Flags of `run`, and the test that they come to.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;

use super::RunsDir;
use super::validate::{Sources, in_file, validate, validate_plans};
use crate::config::{
    LabSpec, PolicyFile, RegionsSpec, SystemKind, TestFile, TestSpec, join_parameters, parse_fault,
    unknown_system,
};
use crate::error::UserError;

/// See the module's doc. Flags win over the file, the file over defaults.
#[derive(Clone, Debug, Default, PartialEq, Args)]
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
    /// Longest wait for convergence, and for enough operations before and after the faults: 10s,
    /// or longer where the longest cut of the network is: about as long as it, and 6 s more
    #[arg(long, value_name = "DURATION")]
    pub recovery: Option<String>,
    /// Deadline of one operation: 1s
    #[arg(long, value_name = "DURATION")]
    pub op_timeout: Option<String>,
    /// A fault, several times: FAULT[:WHOM][/SHARD][@START][+DURATION][xCOUNT][,PARAM=VALUE], or
    /// leader-kill
    #[arg(long = "fault", visible_alias = "faults", value_name = "FAULT", value_delimiter = ',')]
    pub faults: Vec<String>,
    /// Nodes of a region, several times: eu=n1+n2; on hosts the inventory may say it
    #[arg(long = "region", value_name = "REGION=NODES")]
    pub regions: Vec<String>,
    /// Round trips all through the run, several times: profile (1 ms within a region, 10 to 50
    /// near, 100 to 300 far), or eu/us=80ms
    #[arg(long, value_name = "LATENCY")]
    pub latency: Vec<String>,
    /// Capture packets of every node, in files of at most this size a node [default: 16MiB]
    #[arg(
        long,
        value_name = "SIZE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "16MiB"
    )]
    pub pcap: Option<String>,
    /// On hosts: undo everything and end after this long, whatever happens: 10m
    #[arg(long, value_name = "DURATION")]
    pub max_duration: Option<String>,
    /// Print what would be done to which host and when, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print the test file that repeats the seed's plan, and do nothing
    #[arg(long, conflicts_with = "dry_run")]
    pub plan: bool,
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
        let mut sources = Sources::of(self);
        let mut recovery = self.says_recovery();
        if let Some(path) = &self.config {
            let (file, lines) = TestFile::load(path)?;
            file.apply(&mut spec).map_err(|error| in_file(error, &lines))?;
            recovery |= file.recovery.is_some();
            sources.file = Some((file.faults.map_or(0, |faults| faults.len()), lines));
        }
        if let Some(name) = &self.system {
            spec.system = SystemKind::by_name(name).ok_or_else(|| unknown_system(name))?;
        }
        if let Some(path) = &self.hosts_file {
            // It is written to the run's records, and to the command that repeats it.
            let path = path.to_str().ok_or_else(|| {
                UserError::usage("the path is not valid UTF-8").at("--hosts-file")
            })?;
            self.attach(path, &mut spec)?;
        }
        self.as_file(spec.system)?.apply(&mut spec).map_err(|error| match &error.place {
            Some(place) if place.starts_with("faults[") => error.at("faults"),
            _ => error,
        })?;
        for text in &self.set {
            crate::config::apply_setting(text, &mut spec)?;
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
        if !recovery {
            spec.recovery_ms = crate::timeouts::recovery_ms(&spec);
        }
        validate(&spec).map_err(|error| sources.point(error))?;
        crate::gate::check(&spec)?;
        validate_plans(&spec, &self.seeds(&spec)?).map_err(|error| sources.point(error))?;
        Ok(spec)
    }

    /// Whether a flag says how long replicas are waited for.
    fn says_recovery(&self) -> bool {
        let named = |set: &String| set.split('=').next().is_some_and(|n| n.trim() == "recovery");
        self.recovery.is_some() || self.set.iter().any(named)
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
            policy: self.policy.clone().map(PolicyFile::Name),
            sessions: self.sessions,
            rate: self.rate,
            op_timeout: self.op_timeout.clone(),
            duration: self.time_limit.clone(),
            recovery: self.recovery.clone(),
            pcap: self.pcap.clone(),
            regions: self.regions()?,
            latency: (!self.latency.is_empty()).then(|| self.latency.clone()),
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

    fn regions(&self) -> Result<Option<BTreeMap<String, Vec<String>>>, UserError> {
        let members: Result<BTreeMap<_, _>, _> =
            self.regions.iter().map(|text| RegionsSpec::member(text)).collect();
        Ok(Some(members?).filter(|members| !members.is_empty()))
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

/// A fault written by us.
pub fn fault(text: &str) -> crate::config::FaultSpec {
    parse_fault(text).expect("the harness's own faults are well-formed")
}
