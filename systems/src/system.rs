//! What a system under test must offer the harness.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use agent::life::Graceful;
use agent::proto::{Answer, Ask, Start};
use cluster::{AgentLink, Exec, Host, HostError, SshHost};
use history::{Evidence, SystemInfo, TelemetryEvent};
use thiserror::Error;

use crate::changing::Changing;
use crate::client::{Client, Model};
use crate::operator::Operator;
use crate::replacing::Replacing;

/// The hosts that a system runs on, each with its agent.
pub struct Nodes {
    /// Their names, in order; elsewhere nodes are their numbers.
    pub names: Vec<String>,
    /// Sessions to them.
    pub hosts: Vec<Arc<SshHost>>,
    /// What acts on them.
    pub agents: Vec<Arc<AgentLink>>,
}

/// What is run and written on the hosts of a system that splitbrain builds, for a dry run: a line
/// each, `HOST: LINE`. Only what hosts must be asked for has a name instead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Before the workload.
    pub build: Vec<String>,
    /// After it.
    pub after: Vec<String>,
}

impl Steps {
    /// After a run every host's logs are fetched and its processes ended.
    pub(crate) fn ended(&mut self, names: &[String], logs: &[LogFile], pidfiles: &[&str]) {
        for name in names {
            self.after.extend(logs.iter().map(|log| format!("{name}: cat {}", log.path)));
            self.after.extend(pidfiles.iter().map(|file| format!("{name}: end what {file} names")));
        }
    }
}

/// What went wrong with a system: where, what, and its own last words.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{what}")]
pub struct SystemError {
    /// One message.
    pub what: String,
    /// What to try.
    pub hint: Option<String>,
}

impl SystemError {
    /// Without advice.
    pub fn new(what: impl Into<String>) -> SystemError {
        SystemError { what: what.into(), hint: None }
    }

    /// With advice.
    pub fn hint(self, hint: impl Into<String>) -> SystemError {
        SystemError { hint: Some(hint.into()), ..self }
    }
}

impl From<HostError> for SystemError {
    fn from(error: HostError) -> SystemError {
        SystemError::new(error.to_string())
    }
}

/// A log on a node's host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    /// Where it is there.
    pub path: String,
    /// What it is called in the run's folder.
    pub name: &'static str,
}

/// Where a system keeps its data on a host, for faults of the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskLayout {
    /// The folder that holds all of it; nothing else is in there.
    pub folder: String,
    /// Parts of paths in the folder: a file whose path holds one is of the write-ahead log.
    pub log: &'static [&'static str],
    /// Likewise: of what the log is applied to.
    pub data: &'static [&'static str],
    /// Whether a server that splitbrain did not start uses it.
    pub served: bool,
}

impl DiskLayout {
    /// Of a system that splitbrain builds; a file is of a class if its path holds one of the parts.
    pub fn built(
        folder: &str,
        log: &'static [&'static str],
        data: &'static [&'static str],
    ) -> DiskLayout {
        DiskLayout { folder: folder.to_owned(), log, data, served: false }
    }
}

/// A system under test. Methods block, and are called from threads of their own.
pub trait System: Send + Sync {
    /// The nodes it runs on.
    fn nodes(&self) -> &Nodes;

    /// Puts it on the hosts and starts it; returns when it serves: a leader, and followers that
    /// follow. What an earlier run left is ended and removed first.
    fn bring_up(&self) -> Result<(), SystemError>;

    /// Empties it, where that leaves what a fresh bring-up would: the same leader, nothing written.
    /// `false` where that cannot be had; then it is brought up anew.
    fn reset(&self) -> Result<bool, SystemError> {
        Ok(false)
    }

    /// Ends it. Never fails loudly: what cannot be ended is said on standard error.
    fn take_down(&self);

    /// How a node's process is started again after a kill.
    fn start(&self, node: usize) -> Start;

    /// How a node's process is asked to end in good order.
    fn graceful(&self, _node: usize) -> Graceful {
        Graceful::Term
    }

    /// Where it listens for its peers and clients.
    fn address(&self, node: usize) -> SocketAddr;

    /// Its logs on the host.
    fn logs(&self) -> Vec<LogFile>;

    /// Where a node's data is, if that is known.
    fn disk(&self, _node: usize) -> Option<DiskLayout> {
        None
    }

    /// Asks a node how it is. `clock` gives ns since the run's start. Never takes long.
    fn sample(&self, node: usize, clock: &dyn Fn() -> i64) -> TelemetryEvent;

    /// What a node's server itself takes for the time, µs since 1970. Never takes long.
    fn wall_clock(&self, _node: usize) -> Result<i64, SystemError> {
        Err(SystemError::new("this system does not say what time it is"))
    }

    /// The time that the cluster itself keeps and never takes back, as a node knows it, µs since
    /// 1970; `None` where there is none. Never takes long.
    fn cluster_time(&self, _node: usize) -> Result<Option<i64>, SystemError> {
        Ok(None)
    }

    /// A client of all nodes, for keys that hold this.
    fn client(&self, model: Model) -> Arc<dyn Client>;

    /// Settings and promises, for sessions that use this client policy.
    fn info(&self, policy: &str) -> SystemInfo;

    /// Each node's name to the version of its server, for the record; a node that did not say is
    /// not in there.
    fn versions(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// Versions and mechanisms, for the record.
    fn facts(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// Who watches over it and replaces a dead leader, where that is a person's or our task.
    fn operator(&self) -> Option<Box<dyn Operator>> {
        None
    }

    /// Asks a leader, by a command of the system's own, to stand down for at most so long, and
    /// waits until another leads. Gives what was seen; an error is what could not be told.
    fn step_down(&self, _node: usize, _seconds: u32) -> Result<Vec<Evidence>, SystemError> {
        Err(SystemError::new("this system has no command for it"))
    }

    /// Lets a node that stood down lead again.
    fn stand_again(&self, _node: usize) -> Result<Vec<Evidence>, SystemError> {
        Err(SystemError::new("this system has no command for it"))
    }

    /// Makes a node the leader, by a command of the system's own, though another may lead, and
    /// waits until it does.
    fn promote(&self, _node: usize) -> Result<Vec<Evidence>, SystemError> {
        Err(SystemError::new("this system has no command for it"))
    }

    /// Withholds the approval that replacing a dead leader needs, or gives it; says how many
    /// failovers waited for it since it was withheld.
    fn withhold_approval(&self, _withheld: bool) -> Result<u64, SystemError> {
        Err(SystemError::new("nobody of this system asks for approval"))
    }

    /// Takes a node out of the cluster by a command of the system's own. Gives what was seen; an
    /// error is what could not be told.
    fn remove_member(&self, _node: usize) -> Result<Vec<Evidence>, SystemError> {
        Err(SystemError::new("this system has no command for it"))
    }

    /// Adds a node that was taken out, and waits until it serves.
    fn add_member(&self, _node: usize) -> Result<Vec<Evidence>, SystemError> {
        Err(SystemError::new("this system has no command for it"))
    }

    /// How a node gets another setting, where that can be done.
    fn changing(&self) -> Option<&dyn Changing> {
        None
    }

    /// How a node is replaced by an empty one, where that can be done.
    fn replacing(&self) -> Option<&dyn Replacing> {
        None
    }

    /// Whether an acknowledged write is known to be on another node too; `None` if that is a matter
    /// of the test's own settings.
    fn synchronous(&self) -> Option<bool> {
        None
    }

    /// Told when the run is over, before logs are fetched: what is worth counting then.
    fn after_run(&self) -> Vec<String> {
        Vec::new()
    }
}

impl Nodes {
    /// How many.
    pub fn count(&self) -> usize {
        self.names.len()
    }

    /// Does something for every node at once; the first error counts.
    pub fn each<R: Send>(
        &self,
        act: impl Fn(usize, &SshHost) -> Result<R, SystemError> + Sync,
    ) -> Result<Vec<R>, SystemError> {
        thread::scope(|scope| {
            let act = &act;
            let start = |(node, host)| scope.spawn(move || act(node, host));
            let threads: Vec<_> = self.hosts.iter().map(|h| &**h).enumerate().map(start).collect();
            let results = threads.into_iter().map(|thread| match thread.join() {
                Ok(result) => result,
                Err(_) => Err(SystemError::new("a thread that set up a host panicked")),
            });
            results.collect()
        })
    }

    /// Asks a node's agent; an error names the host.
    pub fn ask(&self, node: usize, ask: Ask, limit: Duration) -> Result<Answer, SystemError> {
        self.agents[node].ask_text(ask, limit).map_err(SystemError::new)
    }

    /// Runs a shell line on a node's host; a status that is not 0 is an error that quotes the last
    /// lines of what was said. `doing` names it for people.
    pub fn shell(
        &self,
        node: usize,
        doing: &str,
        line: impl Into<String>,
        limit: Duration,
    ) -> Result<String, SystemError> {
        let result = self.hosts[node].exec(Exec::shell(line.into()).timeout(limit))?;
        if result.status == 0 {
            return Ok(result.text());
        }
        let said = [&result.stdout[..], &result.stderr[..]].concat();
        let said = String::from_utf8_lossy(&said);
        let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines[lines.len().saturating_sub(4)..].join("; ");
        let name = &self.names[node];
        Err(SystemError::new(format!("host {name}: {doing} ended with {}: {last}", result.status)))
    }

    /// The last lines of a file on a node's host.
    pub fn tail(&self, node: usize, path: &str) -> String {
        let ask = Ask::Tail { path: path.to_owned(), lines: 5 };
        match self.agents[node].ask_text(ask, Duration::from_secs(1)) {
            Ok(Answer::Text { text }) => text.replace('\n', "; "),
            _ => "(no log)".to_owned(),
        }
    }

    /// Where the system's traffic goes: the network that faults act on.
    pub fn data(&self, node: usize) -> IpAddr {
        self.hosts[node].data_address()
    }

    /// A node's address on the network that no fault touches.
    pub fn control(&self, node: usize) -> String {
        self.hosts[node].address().address.clone()
    }
}

/// A shell command that leaves a folder there and nothing in it. The folder itself stays: a layer
/// may be mounted over it.
pub(crate) fn emptied(folder: &str) -> String {
    format!("mkdir -p {folder} && find {folder} -mindepth 1 -delete")
}

/// A sample of a node that did not answer.
pub fn silent(node: &str, sent: i64, received: i64, error: String) -> TelemetryEvent {
    TelemetryEvent {
        sent,
        received,
        node: node.to_owned(),
        alive: false,
        shards: Vec::new(),
        error: Some(error),
        details: BTreeMap::new(),
    }
}
