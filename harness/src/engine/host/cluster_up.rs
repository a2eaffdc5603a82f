//! Brings the system up on its hosts: sessions, agents, binaries, nodes, a leader.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use cluster::{AgentLink, Host, HostAddress, Inventory, SshHost, agent_link, lab};
use history::TelemetryEvent;
use systems::mongodb::MongoSystem;
use systems::postgres::PostgresSystem;
use systems::{Nodes, StoreSystem, System, SystemError};

use crate::config::{LabSpec, SystemKind, TestSpec};
use crate::engine::plan;
use crate::engine::port::HostPort;
use crate::error::UserError;
use crate::run_folder::RunFolder;

/// A system that is up.
pub struct Up {
    /// The system.
    pub system: Arc<dyn System>,
    nodes: Arc<Nodes>,
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

impl From<SystemError> for UserError {
    fn from(error: SystemError) -> UserError {
        UserError { hint: error.hint, ..UserError::environment(error.what) }
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

/// The system that a test names, on these nodes.
fn system_of(spec: &TestSpec, nodes: &Arc<Nodes>) -> Result<Arc<dyn System>, UserError> {
    let nodes = Arc::clone(nodes);
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
        let addresses = hosts_of(spec)?;
        let hosts =
            parallel(&addresses, |address| SshHost::connect(address.clone()).map(Arc::new))?;
        let folder = run.replace('/', "-");
        let agents = parallel(&hosts, |host| {
            AgentLink::start(host, &folder, agent_link::LEASE).map(Arc::new)
        })?;
        let names: Vec<String> = hosts.iter().map(|host| host.name().to_owned()).collect();
        let nodes = Arc::new(Nodes { names, hosts, agents });
        let system = system_of(spec, &nodes)?;
        // Before anything is started: what the client can say does not depend on it.
        let able = system.client(plan::model(spec)?).capabilities();
        plan::check_needs(plan::workload_of(spec)?, &able)?;
        if let Err(error) = system.bring_up() {
            system.take_down();
            return Err(error.into());
        }
        Ok(Up { system, nodes })
    }

    /// The nodes' names, in order.
    pub fn names(&self) -> &[String] {
        &self.nodes.names
    }

    /// What carries faults out.
    pub fn port(&self) -> HostPort {
        HostPort { system: Arc::clone(&self.system) }
    }

    /// What samples a node, on the clock that started then.
    pub fn sampler(
        &self,
        started: Instant,
    ) -> impl Fn(usize) -> TelemetryEvent + Send + Sync + use<> {
        let system = Arc::clone(&self.system);
        move |node| {
            let clock = || started.elapsed().as_nanos() as i64;
            system.sample(node, &clock)
        }
    }

    /// Facts for the record.
    pub fn facts(&self) -> BTreeMap<String, String> {
        let uname = self.nodes.hosts[0].exec(cluster::Exec::argv(&["uname", "-srm"]));
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
