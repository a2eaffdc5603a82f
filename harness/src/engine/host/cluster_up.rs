//! Brings the system up on its hosts: sessions, agents, binaries, nodes, a leader.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use cluster::agent_link::Terms;
use cluster::inventory::{Attach, Places};
use cluster::{AgentLink, CommandLog, Host, HostAddress, SshHost, lab};
use history::TelemetryEvent;
use systems::mongodb::MongoSystem;
use systems::postgres::PostgresSystem;
use systems::{Model, Nodes, StoreSystem, System, SystemError, mongodb, postgres};

use super::layers;
use super::means;
use super::prepare::{prepare, settle};
use crate::config::{LabSpec, SystemKind, TestSpec};
use crate::engine::clocks::{self, ClockWatch};
use crate::engine::port::peers::Peers;
use crate::engine::port::{Acts, HostPort};
use crate::engine::{plan, regions};
use crate::error::UserError;
use crate::run_folder::RunFolder;

/// A system that is up.
pub struct Up {
    /// The system.
    pub system: Arc<dyn System>,
    nodes: Arc<Nodes>,
    clocks: Arc<ClockWatch>,
    watched: bool,
    peers: Arc<Peers>,
    model: Model,
    since: Instant,
}

/// The hosts that a test runs on.
pub fn hosts_of(spec: &TestSpec) -> Result<Vec<HostAddress>, UserError> {
    let hosts = match &spec.lab {
        LabSpec::Hosts(path) => {
            let inventory = crate::gate::load(path)?;
            let nodes = inventory.names().len();
            if inventory.attach.is_some() && spec.hosts <= nodes {
                // Endpoints are nodes without a host.
                return Ok(inventory.hosts.into_iter().take(spec.hosts).collect());
            }
            inventory.hosts
        }
        _ => match lab::current() {
            Some(info) => info.hosts,
            None => return Err(UserError::environment("this process is in no lab")),
        },
    };
    if hosts.len() < spec.hosts {
        return Err(UserError::usage(format!(
            "the test wants {} hosts and there are {}",
            spec.hosts,
            hosts.len()
        )));
    }
    Ok(hosts.into_iter().take(spec.hosts).collect())
}

/// The store's node binary: beside this one.
pub fn store_binary() -> Result<Vec<u8>, UserError> {
    let own = lab::executable()
        .ok_or_else(|| UserError::environment("this binary's own path is not known"))?;
    let path = own.with_file_name("splitbrain-store");
    std::fs::read(&path).map_err(|error| {
        UserError::environment(format!("the store's node binary cannot be read: {error}"))
            .at(path.display().to_string())
            .hint("build it with cargo build --bins")
    })
}

impl From<SystemError> for UserError {
    fn from(error: SystemError) -> UserError {
        UserError { hint: error.hint, ..UserError::environment(error.what) }
    }
}

/// Looked at between the parts of bringing a system up, which each have their limit of time.
fn go_on() -> Result<(), SystemError> {
    match cluster::ssh::interrupted() {
        true => Err(SystemError::new("the system was being brought up")),
        false => Ok(()),
    }
}

/// Does something for every item at once; the first error counts.
fn parallel<T: Sync, R: Send>(
    items: &[T],
    act: impl Fn(&T) -> Result<R, cluster::HostError> + Sync,
) -> Result<Vec<R>, UserError> {
    thread::scope(|scope| {
        let act = &act;
        let threads: Vec<_> = items.iter().map(|item| scope.spawn(move || act(item))).collect();
        let results = threads.into_iter().map(|thread| match thread.join() {
            Ok(result) => result.map_err(|error| UserError::environment(error.to_string())),
            Err(_) => Err(UserError::environment("a thread that set up a host panicked")),
        });
        results.collect()
    })
}

/// A cluster that exists.
fn attached(
    spec: &TestSpec,
    kind: SystemKind,
    nodes: Arc<Nodes>,
    attach: &Attach,
    places: &Places,
    run: &str,
) -> Result<Arc<dyn System>, UserError> {
    let needs = crate::gate::decide::needs(spec);
    let partitions = needs.iter().any(|need| need.family == "network");
    if kind == SystemKind::Mongodb {
        let step_down = needs.iter().any(|need| need.family == "failover");
        let set =
            mongodb::attached::Attached::new(nodes, attach, places, spec.mongodb.clone(), run)?;
        return Ok(Arc::new(set.planned(mongodb::attached::Plans { partitions, step_down })));
    }
    let cluster =
        postgres::attached::Attached::new(nodes, attach, places, spec.postgres.clone(), run)?;
    Ok(Arc::new(cluster.partitioned(partitions)))
}

/// The system that a test names, on these nodes.
fn system_of(spec: &TestSpec, nodes: &Arc<Nodes>, run: &str) -> Result<Arc<dyn System>, UserError> {
    let nodes = Arc::clone(nodes);
    if let Some(inventory) = crate::gate::inventory(spec)?
        && let Some(attach) = &inventory.attach
    {
        let kind = crate::gate::attached::system(&inventory, attach)?;
        return attached(spec, kind, nodes, attach, &inventory.places, run);
    }
    Ok(match spec.system {
        SystemKind::Store => {
            let settings = plan::store_settings(spec, &nodes.names);
            Arc::new(StoreSystem::new(nodes, settings, store_binary()?))
        }
        SystemKind::Postgres => Arc::new(PostgresSystem::new(nodes, spec.postgres.clone())?),
        SystemKind::Mongodb => Arc::new(MongoSystem::new(nodes, spec.mongodb.clone())?),
    })
}

impl Up {
    /// Connects, uploads, starts, waits until it serves. What was started is ended on failure,
    /// because the agents undo and the lab goes.
    pub fn bring(spec: &TestSpec, run: &str) -> Result<Up, UserError> {
        Up::build(spec, Up::connect(spec, run, None)?, run)
    }

    /// Likewise, with all that is done on hosts written down in the run's folder.
    pub fn bring_for(spec: &TestSpec, folder: &RunFolder) -> Result<Up, UserError> {
        let path = folder.file("commands.jsonl");
        let log = CommandLog::create(&path).map_err(|error| {
            UserError::environment(error.to_string()).at(path.display().to_string())
        })?;
        let run = folder.id();
        Up::build(spec, Up::connect(spec, &run, Some(&Arc::new(log)))?, &run)
    }

    /// Connects to the hosts and starts an agent on each; `run` names their folders.
    pub fn connect(
        spec: &TestSpec,
        run: &str,
        log: Option<&Arc<CommandLog>>,
    ) -> Result<Arc<Nodes>, UserError> {
        let addresses = hosts_of(spec)?;
        let hosts = parallel(&addresses, |address| {
            let host = SshHost::connect(address.clone())?;
            if let Some(log) = log {
                host.log_to(Arc::clone(log));
            }
            Ok(Arc::new(host))
        })?;
        crate::gate::check_markers(spec, &hosts)?;
        let folder = run.replace('/', "-");
        let limit = match crate::gate::inventory(spec)? {
            Some(inventory) => Some(crate::gate::max_duration(spec, &inventory)?),
            None => None,
        };
        // In the lab a host ends with its agents.
        let timer = limit.is_some() && !crate::gate::decide::needs(spec).is_empty();
        let terms = Terms { limit, timer, ..Terms::default() };
        let agents =
            parallel(&hosts, |host| AgentLink::start_with(host, &folder, &terms).map(Arc::new))?;
        let mut names: Vec<String> = hosts.iter().map(|host| host.name().to_owned()).collect();
        if let LabSpec::Hosts(_) = spec.lab {
            names = crate::gate::names(spec)?;
        }
        Ok(Arc::new(Nodes { names, hosts, agents }))
    }

    /// Puts the system on hosts that were connected to, or attaches to what runs there.
    pub fn build(spec: &TestSpec, nodes: Arc<Nodes>, run: &str) -> Result<Up, UserError> {
        let since = Instant::now();
        let model = plan::model(spec)?;
        means::check(spec, &nodes)?;
        let system = system_of(spec, &nodes, run)?;
        clocks::prepare(spec, &nodes)?;
        let up = prepare(spec, &*system)
            .and_then(|()| go_on())
            .and_then(|()| system.bring_up())
            .and_then(|()| go_on())
            .and_then(|()| layers::cover(spec, &*system))
            .and_then(|()| settle(spec, &*system));
        if let Err(error) = up {
            system.take_down();
            return Err(error.into());
        }
        if let Err(error) = crate::gate::check_replication(spec, system.synchronous()) {
            system.take_down();
            return Err(error);
        }
        let peers = match crate::gate::decide::needs(spec).iter().any(|n| n.family == "network") {
            true => Peers::learn(&*system),
            false => Ok(Peers::plain(&*system)),
        };
        let peers = peers.map_err(|error| {
            system.take_down();
            UserError::from(error)
        })?;
        let longest = regions::of(spec)?.round_trips()?.into_values().max();
        let peers = peers.so_far_apart(longest.unwrap_or(0));
        let clocks = Arc::new(ClockWatch::start(clocks::of_hosts(spec)));
        let watched = clocks::moved(spec);
        Ok(Up { system, nodes, clocks, watched, peers: Arc::new(peers), model, since })
    }

    /// Sessions to the hosts.
    pub fn hosts(&self) -> &[Arc<SshHost>] {
        &self.nodes.hosts
    }

    /// Since when the system is being brought up, right after its agents were started.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// What agents said of their hosts' locks and timers.
    pub fn lock_notes(&self) -> Vec<String> {
        let agents = self.nodes.agents.iter();
        let notes = agents.flat_map(|agent| {
            let host = agent.host();
            agent.notes().iter().map(move |note| format!("host {host}: {note}"))
        });
        notes.collect()
    }

    /// The nodes' names, in order.
    pub fn names(&self) -> &[String] {
        &self.nodes.names
    }

    /// What carries faults out.
    pub fn port(&self) -> HostPort {
        let (system, clocks) = (Arc::clone(&self.system), Arc::clone(&self.clocks));
        let (peers, baselines) = (Arc::clone(&self.peers), Arc::default());
        let (model, readers) = (self.model, Default::default());
        let (stopped, acts) = (Arc::default(), Acts::default());
        HostPort { system, clocks, peers, baselines, model, readers, stopped, acts }
    }

    /// What samples a node, on the clock that started then.
    pub fn sampler(
        &self,
        started: Instant,
    ) -> impl Fn(usize) -> TelemetryEvent + Send + Sync + use<> {
        let system = Arc::clone(&self.system);
        // Nobody else's samples are made longer.
        let clocks = self.watched.then(|| Arc::clone(&self.clocks));
        move |node| {
            let clock = || started.elapsed().as_nanos() as i64;
            let mut sample = system.sample(node, &clock);
            if let Some(clocks) = &clocks {
                clocks.add_to(&*system, node, &mut sample);
            }
            sample
        }
    }

    /// Facts for the record.
    pub fn facts(&self) -> BTreeMap<String, String> {
        let first = self.nodes.hosts.first();
        let uname = first.and_then(|h| h.exec(cluster::Exec::argv(&["uname", "-srm"])).ok());
        let kernel = uname.map(|result| result.text().trim().to_owned()).unwrap_or_default();
        let mut facts = self.system.facts();
        facts.extend([
            ("kernel".to_owned(), kernel),
            ("hosts".to_owned(), self.nodes.names.join(" ")),
            ("transport".to_owned(), "ssh2, agent over one channel a host".to_owned()),
        ]);
        facts
    }

    /// Copies every node's logs into the run's folder; says which could not be had.
    pub fn fetch_logs(&self, folder: &RunFolder) -> Vec<String> {
        let fetched = self.nodes.each(|node, host| {
            let path = folder.file("logs").join(&self.nodes.names[node]);
            let mut missing = Vec::new();
            for file in self.system.logs() {
                let log = host.download(&file.path).map_err(|error| error.to_string());
                let written = log.and_then(|bytes| {
                    std::fs::create_dir_all(&path)
                        .and_then(|()| std::fs::write(path.join(file.name), bytes))
                        .map_err(|error| error.to_string())
                });
                if let Err(error) = written {
                    missing.push(format!("{} of {}: {error}", file.name, self.nodes.names[node]));
                }
            }
            Ok(missing)
        });
        fetched.unwrap_or_default().into_iter().flatten().collect()
    }
}
