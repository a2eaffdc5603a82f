//! The exercise: a cluster with an archive, users at work, everything deleted, noticed some time
//! later, and brought back on the archive's host.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cluster::{AgentLink, SshHost, agent_link};
use history::{
    Evidence, FaultEvent, FaultPhase, FaultResult, Key, MicroOp, Observed, TelemetryEvent,
};
use systems::postgres::PostgresSystem;
use systems::postgres::recovery::{Accident, Archive, Steps};
use systems::{Client, Deed, Model, Nodes, Operator, StepReply, StepRequest, System, SystemError};

use super::reckoning::{Reckoning, Restored, reckon};
use crate::config::TestSpec;
use crate::engine::host::{Driver, hosts_of};
use crate::engine::recorder::Recorder;
use crate::engine::{Progress, StopFlag, plan};
use crate::error::UserError;
use crate::exit::Exit;
use crate::judge::Records;
use crate::run_folder::RunFolder;
use crate::run_info;

/// Longest wait for the restored server's first acknowledged write.
const FIRST_WRITE: Duration = Duration::from_secs(10);
/// Deadline of a read or write on the restored server.
const ONE: Duration = Duration::from_secs(2);

/// What is done when.
pub struct Exercise {
    /// The test that runs meanwhile; it ends when the accident is noticed.
    pub spec: TestSpec,
    /// When everything is deleted, ms after the run's start.
    pub delete_at_ms: u64,
    /// What a person types to have it again.
    pub command: String,
}

/// What came of it. Times are ns since the run's start.
pub struct Outcome {
    /// What was deleted.
    pub accident: Accident,
    /// From when to when the deleting transaction was under way.
    pub deleted: (i64, i64),
    /// When the way back was begun.
    pub began: i64,
    /// When the restored server had acknowledged a write.
    pub wrote: i64,
    /// How long each step took.
    pub steps: Steps,
    /// What was counted.
    pub counted: Reckoning,
    /// Remarks of the run.
    pub notes: Vec<String>,
}

impl Outcome {
    /// From the decision to go back to the first acknowledged write, ns.
    pub fn rto(&self) -> i64 {
        self.wrote - self.began
    }

    /// From the accident to the last acknowledged write: what was written in it is lost, ns.
    pub fn rpo(&self) -> i64 {
        (self.counted.last - self.deleted.1).max(0)
    }
}

/// Somebody who forgets the WHERE, once.
struct Clumsy {
    system: Arc<PostgresSystem>,
    at_ns: i64,
    done: Arc<Mutex<Option<Deleted>>>,
}

type Deleted = (Result<Accident, SystemError>, (i64, i64));

impl Operator for Clumsy {
    fn turn(&mut self, clock: &dyn Fn() -> i64, _: &[Option<TelemetryEvent>]) -> Vec<Deed> {
        let mut done = self.done.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if clock() < self.at_ns || done.is_some() {
            return Vec::new();
        }
        let from = clock();
        let accident = self.system.delete_everything(0);
        *done = Some((accident, (from, clock())));
        Vec::new()
    }
}

impl Exercise {
    /// Carries it out into a run's folder. The lab has one host more than the cluster.
    pub fn run(
        &self,
        folder: &RunFolder,
        stop: &StopFlag,
        progress: &dyn Progress,
    ) -> Result<Outcome, UserError> {
        let (cluster, spare) = connect(&self.spec, &folder.id())?;
        let system = Arc::new(PostgresSystem::new(cluster, self.spec.postgres.clone())?);
        if let Err(error) = system.bring_up() {
            system.take_down();
            return Err(error.into());
        }
        let archive = system.archive_on(spare);
        let done = match &archive {
            Ok(archive) => self.on(&system, archive, folder, stop, progress),
            Err(error) => Err(error.clone().into()),
        };
        // Logs are fetched whatever became of it.
        fetch_logs(&system, folder);
        system.take_down();
        if let Ok(archive) = &archive {
            fetch_logs(archive.restored(), folder);
            archive.end();
        }
        done
    }

    fn on(
        &self,
        system: &Arc<PostgresSystem>,
        archive: &Archive,
        folder: &RunFolder,
        stop: &StopFlag,
        progress: &dyn Progress,
    ) -> Result<Outcome, UserError> {
        let started = Instant::now();
        let done = Arc::default();
        let clumsy = Clumsy {
            system: Arc::clone(system),
            at_ns: self.delete_at_ms as i64 * 1_000_000,
            done: Arc::clone(&done),
        };
        let end = self.driver(system, clumsy, folder, started)?.drive(stop, progress)?;
        let deleted = done.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        if end.interrupted {
            let what = "interrupted: nothing was restored";
            return Err(UserError { exit: Exit::Interrupted, ..UserError::environment(what) });
        }
        let Some((accident, deleted)) = deleted else {
            return Err(UserError::environment("the run ended before the accident was over"));
        };
        let accident = accident?;
        let now = || started.elapsed().as_nanos() as i64;
        let began = now();
        let steps = archive.restore(system, &accident)?;
        let restored: Arc<dyn Client> = archive.restored().client(Model::List);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| UserError::environment(error.to_string()))?;
        runtime.block_on(first_write(&*restored))?;
        let wrote = now();
        let records = Records::of_run(folder)?;
        let found = runtime.block_on(read_all(&*restored, &records.history.keys))?;
        let counted = reckon(&records.history, &found, deleted);
        let outcome = Outcome { accident, deleted, began, wrote, steps, counted, notes: end.notes };
        outcome.record(folder, system.nodes())?;
        Ok(outcome)
    }

    fn driver(
        &self,
        system: &Arc<PostgresSystem>,
        clumsy: Clumsy,
        folder: &RunFolder,
        started: Instant,
    ) -> Result<Driver, UserError> {
        let names = &system.nodes().names;
        let mut info = system.info(&self.spec.workload.policy);
        // The accident is no broken promise of the system's: it did as it was told.
        let why = "nothing: replicas carry an accident on, only a backup brings back what it took";
        for (checker, _) in std::mem::take(&mut info.promises) {
            info.not_promised.insert(checker, why.to_owned());
        }
        let mut info = run_info::build(&self.spec, folder, names, system.facts(), info);
        info.command.clone_from(&self.command);
        info.servers = system.versions();
        folder.write("run.json", &run_info::to_json(&info)?)?;
        let client: Arc<dyn Client> = system.client(Model::List);
        let core = plan::core_config(&self.spec, names, Vec::new(), client.shard_of())?;
        let recorder = Recorder::create(&folder.path).map_err(|error| {
            UserError::environment(error.to_string()).at(folder.path.display().to_string())
        })?;
        let sampled = Arc::clone(system);
        Ok(Driver {
            core,
            client,
            recorder,
            port: None,
            sampler: Some(Arc::new(move |node| {
                sampled.sample(node, &|| started.elapsed().as_nanos() as i64)
            })),
            operator: Some(Box::new(clumsy)),
            sample_every: Duration::from_millis(self.spec.sample_ms),
            started,
        })
    }
}

/// Copies the logs of a system's hosts into the run's folder, as far as they can be had.
fn fetch_logs(system: &PostgresSystem, folder: &RunFolder) {
    let nodes = system.nodes();
    for (name, host) in nodes.names.iter().zip(&nodes.hosts) {
        let path = folder.file("logs").join(name);
        for file in system.logs() {
            let written = cluster::Host::download(&**host, &file.path)
                .map_err(|error| error.to_string())
                .and_then(|bytes| {
                    std::fs::create_dir_all(&path)
                        .and_then(|()| std::fs::write(path.join(file.name), bytes))
                        .map_err(|error| error.to_string())
                });
            if let Err(error) = written {
                say::errln!("warning: {} of {name}: {error}", file.name);
            }
        }
    }
}

/// Sessions and agents: the cluster's hosts, and the one after them.
fn connect(spec: &TestSpec, run: &str) -> Result<(Arc<Nodes>, Arc<Nodes>), UserError> {
    let fail = |error: cluster::HostError| UserError::environment(error.to_string());
    let folder = run.replace('/', "-");
    let mut nodes = Nodes { names: Vec::new(), hosts: Vec::new(), agents: Vec::new() };
    let mut spare = Nodes { names: Vec::new(), hosts: Vec::new(), agents: Vec::new() };
    for address in hosts_of(&TestSpec { hosts: spec.hosts + 1, ..spec.clone() })? {
        let to = if nodes.count() < spec.hosts { &mut nodes } else { &mut spare };
        let host = Arc::new(SshHost::connect(address).map_err(fail)?);
        let agent = AgentLink::start(&host, &folder, agent_link::LEASE).map_err(fail)?;
        to.names.push(cluster::Host::name(&*host).to_owned());
        to.hosts.push(host);
        to.agents.push(Arc::new(agent));
    }
    Ok((Arc::new(nodes), Arc::new(spare)))
}

fn request(mop: MicroOp) -> StepRequest {
    let leader = !mop.is_read();
    let (token, wants_token, routed) = (None, false, false);
    StepRequest { mops: vec![mop], leader, session: 0, token, wants_token, routed }
}

/// Writes until a write is acknowledged.
async fn first_write(restored: &dyn Client) -> Result<(), UserError> {
    let until = Instant::now() + FIRST_WRITE;
    loop {
        let write = request(MicroOp::append("restored", 1));
        let reply = restored.apply(0, write, ONE).await;
        match reply {
            StepReply::Ok { .. } => return Ok(()),
            reply if until < Instant::now() => {
                let what = format!("the restored server takes no write: {reply:?}");
                return Err(UserError::environment(what));
            }
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn read_all(restored: &dyn Client, keys: &[Key]) -> Result<Restored, UserError> {
    let mut found = Restored::new();
    for key in keys {
        let reply = restored.apply(0, request(MicroOp::read(key.clone())), ONE).await;
        let StepReply::Ok { mops, .. } = reply else {
            let what = format!("key {key} cannot be read from the restored server: {reply:?}");
            return Err(UserError::environment(what));
        };
        let values = match mops.into_iter().next() {
            Some(MicroOp::Read { value: Some(Observed::List(values)), .. }) => values,
            _ => Vec::new(),
        };
        found.insert(key.clone(), values.into_iter().collect::<BTreeSet<i64>>());
    }
    Ok(found)
}

impl Outcome {
    /// Adds accident and recovery to the fault stream.
    fn record(&self, folder: &RunFolder, nodes: &Nodes) -> Result<(), UserError> {
        let counted = &self.counted;
        let event = |id: &str, fault: &str, time: i64, phase: FaultPhase, duration: i64| {
            let parameters = BTreeMap::from([("xid".to_owned(), self.accident.xid.clone().into())]);
            FaultEvent {
                time,
                id: id.to_owned(),
                phase,
                family: "operator".to_owned(),
                fault: fault.to_owned(),
                selector: nodes.names[0].clone(),
                targets: vec![nodes.names[0].clone()],
                duration,
                required: false,
                parameters,
                mechanism: Some("sql".to_owned()),
                result: None,
                evidence: Vec::new(),
                unprovable: Vec::new(),
                took: None,
                asked: None,
                answered: None,
                error: None,
            }
        };
        let proof = |probe: &str, expected: u64, observed: u64| Evidence {
            probe: probe.to_owned(),
            expected: expected.to_string(),
            observed: observed.to_string(),
            holds: expected == observed,
        };
        let probed = |mut event: FaultEvent, evidence: Evidence| {
            event.result =
                Some(if evidence.holds { FaultResult::Installed } else { FaultResult::NoEffect });
            event.evidence = vec![evidence];
            event
        };
        let left = proof("earlier writes that any node still shows", 0, counted.before_left);
        let back =
            proof("earlier writes on the restored server", counted.before, counted.before_back);
        let (from, to) = self.deleted;
        let events = [
            event("d1", "delete", from, FaultPhase::Injected, to - from),
            probed(event("d1", "delete", to, FaultPhase::Evidenced, to - from), left),
            event("r1", "restore", self.began, FaultPhase::Injected, self.rto()),
            probed(event("r1", "restore", self.wrote, FaultPhase::Evidenced, self.rto()), back),
        ];
        let path = folder.file("faults.jsonl");
        let fail = |error: std::io::Error| {
            UserError::environment(error.to_string()).at(path.display().to_string())
        };
        let mut file = File::options().append(true).open(&path).map_err(fail)?;
        for event in &events {
            let mut line = serde_json::to_vec(event).unwrap_or_default();
            line.push(b'\n');
            file.write_all(&line).map_err(fail)?;
        }
        Ok(())
    }
}
