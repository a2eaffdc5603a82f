//! Brings the system up on its hosts: sessions, agents, binaries, nodes, a leader.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use agent::proto::{Answer, Ask};
use cluster::{AgentLink, Host, HostAddress, Inventory, SshHost, agent_link, lab};
use history::{Role, TelemetryEvent};
use systems::StoreSystem;

use crate::config::{LabSpec, TestSpec};
use crate::engine::plan;
use crate::engine::port::HostPort;
use crate::error::UserError;
use crate::run_folder::RunFolder;

/// How long a cluster may take to have its leaders.
const LEADERS_LIMIT: Duration = Duration::from_secs(15);
/// How long a started node must live to count as started, ms.
const SETTLE_MS: u64 = 60;

/// A system that is up.
pub struct Up {
    /// The nodes' names, in order.
    pub names: Vec<String>,
    /// The system.
    pub system: StoreSystem,
    hosts: Vec<Arc<SshHost>>,
    agents: Vec<Arc<AgentLink>>,
    binary: Vec<u8>,
}

/// The hosts that a test runs on.
pub fn hosts_of(spec: &TestSpec) -> Result<Vec<HostAddress>, UserError> {
    let hosts = match &spec.lab {
        LabSpec::Hosts(path) => {
            let inventory = Inventory::load(&PathBuf::from(path))
                .map_err(|error| UserError::usage(error.to_string()))?;
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

/// Does something for every item at once; the first error counts.
fn parallel<T: Sync, R: Send>(
    items: &[T],
    act: impl Fn(usize, &T) -> Result<R, UserError> + Sync,
) -> Result<Vec<R>, UserError> {
    thread::scope(|scope| {
        let act = &act;
        let threads: Vec<_> = items
            .iter()
            .enumerate()
            .map(|(place, item)| scope.spawn(move || act(place, item)))
            .collect();
        let results = threads.into_iter().map(|thread| match thread.join() {
            Ok(result) => result,
            Err(_) => Err(UserError::environment("a thread that set up a host panicked")),
        });
        results.collect()
    })
}

impl Up {
    /// Connects, uploads, starts, waits for leaders. What was started is ended on failure, because
    /// the agents undo and the lab goes.
    pub fn bring(spec: &TestSpec, run: &str) -> Result<Up, UserError> {
        let env = |error: cluster::HostError| UserError::environment(error.to_string());
        let addresses = hosts_of(spec)?;
        let binary = store_binary()?;
        let hosts = parallel(&addresses, |_, address| {
            SshHost::connect(address.clone()).map(Arc::new).map_err(env)
        })?;
        let folder = run.replace('/', "-");
        let agents = parallel(&hosts, |_, host| {
            AgentLink::start(host, &folder, agent_link::LEASE).map(Arc::new).map_err(env)
        })?;
        let names: Vec<String> = hosts.iter().map(|host| host.name().to_owned()).collect();
        let core = plan::store_config(spec, &names);
        let system = StoreSystem::new(core, spec.store.fsync, &hosts);
        let up = Up { names, system, hosts, agents, binary };
        up.take_down();
        parallel(&up.hosts, |node, host| up.system.provision(node, host, &up.binary).map_err(env))?;
        parallel(&up.agents, |_, agent| {
            let start = up.system.start_command(&up.binary);
            let ask = Ask::Start { start, settle_ms: SETTLE_MS };
            agent.ask_text(ask, Duration::from_secs(5)).map_err(UserError::environment)
        })?;
        up.wait_for_leaders()?;
        Ok(up)
    }

    fn wait_for_leaders(&self) -> Result<(), UserError> {
        let started = Instant::now();
        loop {
            let samples =
                parallel(&self.agents, |node, agent| Ok(self.system.sample(node, agent, || 0)))?;
            let led = |shard: u32| {
                samples
                    .iter()
                    .flat_map(|sample| &sample.shards)
                    .any(|replica| replica.shard == shard && replica.role == Role::Leader)
            };
            let alive = samples.iter().all(|sample| sample.alive);
            if alive && (0..self.system.core.shards).all(led) {
                return Ok(());
            }
            if LEADERS_LIMIT < started.elapsed() {
                let quiet = samples.iter().find(|sample| !sample.alive);
                let what = match quiet {
                    Some(sample) => format!(
                        "{} does not answer: {}; its log ends: {}",
                        sample.node,
                        sample.error.clone().unwrap_or_default(),
                        self.tail(&sample.node)
                    ),
                    None => "the cluster has no leader".to_owned(),
                };
                return Err(UserError::environment(what));
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn tail(&self, name: &str) -> String {
        let agent = self.agents.iter().find(|agent| agent.host() == name);
        let ask = Ask::Tail { path: self.system.log().to_owned(), lines: 5 };
        match agent.map(|agent| agent.ask_text(ask, Duration::from_secs(1))) {
            Some(Ok(Answer::Text { text })) => text,
            _ => "(no log)".to_owned(),
        }
    }

    /// What carries faults out.
    pub fn port(&self) -> HostPort {
        HostPort {
            agents: self.agents.clone(),
            addresses: self.system.addresses.clone(),
            names: self.names.clone(),
            pidfile: self.system.pidfile().to_owned(),
            start: self.system.start_command(&self.binary),
        }
    }

    /// What samples a node, on the clock that started then.
    pub fn sampler(
        &self,
        started: Instant,
    ) -> impl Fn(usize) -> TelemetryEvent + Send + Sync + use<> {
        let (system, agents) = (self.system.clone(), self.agents.clone());
        move |node| {
            let clock = || started.elapsed().as_nanos() as i64;
            system.sample(node, &agents[node], clock)
        }
    }

    /// Facts for the record.
    pub fn facts(&self) -> BTreeMap<String, String> {
        let uname = self.hosts[0].exec(cluster::Exec::argv(&["uname", "-srm"]));
        let kernel = uname.map(|result| result.text().trim().to_owned()).unwrap_or_default();
        BTreeMap::from([
            ("kernel".to_owned(), kernel),
            ("hosts".to_owned(), self.names.join(" ")),
            ("transport".to_owned(), "ssh2, agent over one channel a host".to_owned()),
        ])
    }

    /// Copies every node's log into the run's folder; says which could not be had.
    pub fn fetch_logs(&self, folder: &RunFolder) -> Vec<String> {
        let fetched = parallel(&self.hosts, |node, host| {
            let path = folder.file("logs").join(&self.names[node]);
            let log = host.download(self.system.log());
            let written = log.map_err(|error| error.to_string()).and_then(|bytes| {
                std::fs::create_dir_all(&path)
                    .and_then(|()| std::fs::write(path.join("store.log"), bytes))
                    .map_err(|error| error.to_string())
            });
            Ok(written.err().map(|error| format!("log of {}: {error}", self.names[node])))
        });
        fetched.unwrap_or_default().into_iter().flatten().collect()
    }

    /// Ends the nodes.
    pub fn take_down(&self) {
        let ended = parallel(&self.agents, |_, agent| {
            let ask = Ask::Stop { pidfile: self.system.pidfile().to_owned(), grace_ms: 300 };
            agent.ask_text(ask, Duration::from_secs(3)).map_err(UserError::environment)
        });
        if let Err(error) = ended {
            eprintln!("warning: {}", error.what);
        }
    }
}
