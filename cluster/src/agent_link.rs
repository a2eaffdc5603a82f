//! The harness's end of an agent: uploads it, starts it, asks it, keeps its lease.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use agent::frame;
use agent::means::Lack;
use agent::proto::{Answer, Ask, Request, Response};

use crate::command_log::{Begun, CommandLog};
use crate::host::{Exec, Host, HostError, shell_quote};
use crate::ssh::{SshHost, StreamInput};

/// The agent, as it was built with this harness.
static AGENT: &[u8] = include_bytes!(env!("SPLITBRAIN_AGENT"));

/// Where an agent, its journals and the host's lock are.
pub const FOLDER: &str = "/run/splitbrain";

/// How long an agent holds faults without hearing from the harness, by default.
pub const LEASE: Duration = Duration::from_secs(10);

/// How long an agent may take to say that the host is ours.
const HELLO: Duration = Duration::from_secs(10);

type Waiters = Arc<Mutex<Shared>>;

#[derive(Default)]
struct Shared {
    next_id: u64,
    waiting: BTreeMap<u64, Sender<Result<Answer, String>>>,
    ended: bool,
}

/// What an agent is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long it holds faults without hearing from the harness.
    pub lease: Duration,
    /// When it undoes everything and ends whatever the harness says.
    pub limit: Option<Duration>,
    /// Whether the host's service manager heals too, should worker and guardian both die.
    pub timer: bool,
}

impl Default for Terms {
    fn default() -> Terms {
        Terms { lease: LEASE, limit: None, timer: false }
    }
}

/// Who this harness is: user, machine, process.
pub fn owner() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    let user = user.unwrap_or_else(|_| format!("uid {}", nix::unistd::getuid()));
    let machine = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned());
    format!("{user}@{} pid {}", machine.unwrap_or_default(), std::process::id())
}

/// A running agent. Dropped, it ends, and undoes whatever is in force.
pub struct AgentLink {
    host: String,
    notes: Vec<String>,
    stream: Arc<StreamInput>,
    shared: Waiters,
    stop_renewing: Sender<()>,
    threads: Vec<JoinHandle<()>>,
    log: Option<Arc<CommandLog>>,
}

impl AgentLink {
    /// Uploads the agent if this very one is not there yet, and starts it.
    ///
    /// `run` names its folder and journal; it is unique to a run.
    pub fn start(host: &SshHost, run: &str, lease: Duration) -> Result<AgentLink, HostError> {
        AgentLink::start_with(host, run, &Terms { lease, ..Terms::default() })
    }

    /// Likewise, on terms. A host that another harness is at work on is refused with both names.
    pub fn start_with(host: &SshHost, run: &str, terms: &Terms) -> Result<AgentLink, HostError> {
        AgentLink::put(host)?;
        let quoted = shell_quote(&AgentLink::program());
        let folder = shell_quote(&format!("{FOLDER}/{run}"));
        let lease_ms = terms.lease.as_millis();
        // Less than a millisecond would be no limit at all.
        let limit_ms = terms.limit.map_or(0, |limit| limit.as_millis().max(1));
        let owner = shell_quote(&owner());
        let timer = if terms.timer { " timer" } else { "" };
        let line = format!("exec {quoted} serve {folder} {lease_ms} {limit_ms} {owner}{timer}");
        let (stream, output) = host.stream(&line)?;
        let name = host.name().to_owned();
        let mut link = AgentLink::over(name, stream, output, terms.lease);
        link.log = host.log().cloned();
        let host = link.host.clone();
        match link.ask(Ask::Hello, HELLO)? {
            Ok(Answer::Welcome { note, timer }) => {
                link.notes = note.into_iter().chain(timer).collect();
            }
            Ok(other) => {
                let why = format!("the agent answered {other:?} to its first question");
                return Err(HostError::Local { host, why });
            }
            Err(why) => return Err(HostError::Locked { host, why }),
        }
        Ok(link)
    }

    /// Makes the agent's folder, and says how large its program is if that is there.
    pub fn prepare_line() -> String {
        let quoted = shell_quote(&AgentLink::program());
        format!(
            "umask 077; mkdir -p {FOLDER} && chmod 700 {FOLDER} || exit 9; \
             stat -c %s {quoted} 2>/dev/null || true"
        )
    }

    /// Uploads the agent's program if this very one is not there yet.
    fn put(host: &SshHost) -> Result<(), HostError> {
        let (base, binary) = (FOLDER, AgentLink::program());
        // The size is checked with the name: a torn upload never gets the name at all.
        let there = host.exec(Exec::shell(AgentLink::prepare_line()))?;
        if there.status != 0 {
            let why = String::from_utf8_lossy(&there.stderr).trim().to_owned();
            let why = format!("{base} cannot be made there: {why}");
            return Err(HostError::Local { host: host.name().to_owned(), why });
        }
        if there.text().trim() != AGENT.len().to_string() {
            host.upload(AGENT, &binary, 0o700)?;
        }
        Ok(())
    }

    /// What a host does not have of all that acts may need. No lock is taken and no agent started.
    pub fn lacking(host: &SshHost) -> Result<Vec<Lack>, HostError> {
        AgentLink::put(host)?;
        let said = host.exec(Exec::argv(&[&AgentLink::program(), "means"]))?;
        let fail = |why: String| HostError::Local { host: host.name().to_owned(), why };
        if said.status != 0 {
            return Err(fail(String::from_utf8_lossy(&said.stderr).trim().to_owned()));
        }
        serde_json::from_str(said.text().trim())
            .map_err(|error| fail(format!("what it can do was not understood: {error}")))
    }

    /// What was worth saying: that a dead agent had the host's lock; which timer watches, or none.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Where the agent's program is on every host; it outlives the agent itself.
    pub fn program() -> String {
        format!("{FOLDER}/agent-{:016x}", fingerprint(AGENT))
    }

    fn over(
        host: String,
        stream: StreamInput,
        output: Receiver<Vec<u8>>,
        lease: Duration,
    ) -> AgentLink {
        let stream = Arc::new(stream);
        let shared = Waiters::default();
        let (stop_renewing, stopped) = channel();
        let reader = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || read_answers(&output, &shared))
        };
        let renewer = {
            let (stream, shared) = (Arc::clone(&stream), Arc::clone(&shared));
            thread::spawn(move || renew(&stream, &shared, &stopped, lease / 4))
        };
        AgentLink {
            host,
            notes: Vec::new(),
            stream,
            shared,
            stop_renewing,
            threads: vec![reader, renewer],
            log: None,
        }
    }

    /// Asks, and waits for the answer. The inner error is the agent's own.
    pub fn ask(&self, ask: Ask, limit: Duration) -> Result<Result<Answer, String>, HostError> {
        let Some(log) = &self.log else { return self.ask_now(ask, limit) };
        let begun = Begun::now();
        let result = self.ask_now(ask.clone(), limit);
        log.asked((&self.host, &ask), &begun, &result);
        result
    }

    fn ask_now(&self, ask: Ask, limit: Duration) -> Result<Result<Answer, String>, HostError> {
        let doing = "asking the agent".to_owned();
        let host = self.host.clone();
        let Some(answer) = send(&self.stream, &self.shared, ask) else {
            let why = "the agent has ended".to_owned();
            return Err(HostError::Broken { host, doing, why });
        };
        match answer.recv_timeout(limit) {
            Ok(answer) => Ok(answer),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                Err(HostError::Timeout { host, doing, limit })
            }
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => {
                let why = "the agent has ended".to_owned();
                Err(HostError::Broken { host, doing, why })
            }
        }
    }

    /// Asks, with both kinds of error as one text that names the host.
    pub fn ask_text(&self, ask: Ask, limit: Duration) -> Result<Answer, String> {
        match self.ask(ask, limit) {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(format!("host {}: {error}", self.host)),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The host's name.
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl Drop for AgentLink {
    fn drop(&mut self) {
        // Everything is undone before the channel goes, so that the end is not a race.
        let _ = self.ask(Ask::Release, Duration::from_secs(5));
        let _ = self.stop_renewing.send(());
        let threads = std::mem::take(&mut self.threads);
        // The renewer lets go of the stream; the reader ends when the host's thread does.
        if let Some(renewer) = threads.into_iter().nth(1) {
            let _ = renewer.join();
        }
    }
}

fn send(
    stream: &StreamInput,
    shared: &Waiters,
    ask: Ask,
) -> Option<Receiver<Result<Answer, String>>> {
    let (sender, receiver) = channel();
    let id = {
        let mut shared = shared.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if shared.ended {
            return None;
        }
        shared.next_id += 1;
        let id = shared.next_id;
        shared.waiting.insert(id, sender);
        id
    };
    let bytes = frame::encode(&Request { id, body: ask }).ok()?;
    stream.send(bytes).then_some(receiver)
}

fn read_answers(output: &Receiver<Vec<u8>>, shared: &Waiters) {
    let mut buffer = Vec::new();
    'stream: while let Ok(bytes) = output.recv() {
        buffer.extend_from_slice(&bytes);
        loop {
            match frame::take::<Response>(&mut buffer) {
                Ok(Some(response)) => {
                    let mut shared = shared.lock().unwrap_or_else(|p| p.into_inner());
                    if let Some(waiter) = shared.waiting.remove(&response.id) {
                        // Whoever asked may have given up.
                        let _ = waiter.send(response.body);
                    }
                }
                Ok(None) => break,
                Err(_) => break 'stream,
            }
        }
    }
    let mut shared = shared.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    shared.ended = true;
    shared.waiting.clear();
}

fn renew(stream: &StreamInput, shared: &Waiters, stopped: &Receiver<()>, every: Duration) {
    let mut due = Instant::now() + every;
    loop {
        let wait = due.saturating_duration_since(Instant::now());
        match stopped.recv_timeout(wait) {
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
            _ => return,
        }
        due += every;
        if send(stream, shared, Ask::Renew).is_none() {
            return;
        }
    }
}

/// FNV-1a, so that another build of the agent gets another name.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
