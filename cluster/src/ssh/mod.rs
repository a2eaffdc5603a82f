//! A host over SSH: one thread owns its session and serves requests by channel.
//!
//! A libssh2 session is one mutex, and a blocking read would stall every channel; so the session
//! is non-blocking, and its thread ([`worker`]) turns over all channels whenever the socket, a
//! request or a deadline wakes it. Host keys are always checked ([`connect`]).

mod channel;
mod connect;
mod jump;
mod limit;
mod worker;

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::command_log::{Begun, CommandLog};
use crate::host::{Exec, ExecResult, Host, HostAddress, HostError, upload_command};
use limit::{Ended, Limit};
pub use limit::{interrupted, interruptible};
use worker::{Command, Worker};

/// How long a connection may take to be made.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(4);

/// How long an upload may stand still, and how long it may take whatever comes through.
const UPLOAD_STALL: Duration = Duration::from_secs(15);
const UPLOAD_LIMIT: Duration = Duration::from_secs(300);

/// See the module's doc.
pub struct SshHost {
    address: HostAddress,
    commands: Sender<Command>,
    wake: Arc<EventFd>,
    closing: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    log: OnceLock<Arc<CommandLog>>,
}

/// The way into a long-lived channel; what its command writes comes out of a receiver.
pub struct StreamInput {
    input: Sender<Vec<u8>>,
    wake: Arc<EventFd>,
}

impl StreamInput {
    /// Sends bytes to the command; `false` when the channel is gone.
    pub fn send(&self, bytes: Vec<u8>) -> bool {
        let sent = self.input.send(bytes).is_ok();
        ring(&self.wake);
        sent
    }
}

impl Drop for StreamInput {
    fn drop(&mut self) {
        ring(&self.wake);
    }
}

impl SshHost {
    /// Starts the host's thread and makes the first connection.
    pub fn connect(address: HostAddress) -> Result<SshHost, HostError> {
        let local = |why: String| HostError::Local { host: address.name.clone(), why };
        let wake = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)
            .map_err(|error| local(format!("eventfd: {error}")))?;
        let wake = Arc::new(wake);
        let closing = Arc::new(AtomicBool::new(false));
        let (commands, receiver) = channel();
        let (ready, connected) = channel();
        let mut worker =
            Worker::new(address.clone(), receiver, Arc::clone(&wake), Arc::clone(&closing));
        let builder = thread::Builder::new().name(format!("ssh-{}", address.name));
        let thread = builder
            .spawn(move || {
                let first = worker.connect();
                let good = first.is_ok();
                if ready.send(first).is_ok() && good {
                    worker.run();
                }
            })
            .map_err(|error| local(format!("thread: {error}")))?;
        let host = SshHost {
            address,
            commands,
            wake,
            closing,
            thread: Some(thread),
            log: OnceLock::new(),
        };
        host.first_connection(&connected)
    }

    /// Waits for it. A thread that is held up, by ssh-agent say, is left behind, not waited for.
    fn first_connection(
        mut self,
        connected: &Receiver<Result<(), HostError>>,
    ) -> Result<SshHost, HostError> {
        let limit = CONNECT_LIMIT + Duration::from_millis(500);
        let until = Instant::now() + limit;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let why = match connected.recv_timeout(left.min(limit::LOOK)) {
                Ok(Ok(())) => return Ok(self),
                Ok(Err(error)) => return Err(error),
                Err(_) if limit::interrupted() => connect::interrupted(&self.address, "connecting"),
                Err(_) if until <= Instant::now() => self.timeout("connecting", limit),
                Err(_) => continue,
            };
            self.thread = None;
            return Err(why);
        }
    }

    /// Has all that is done there from now on written down. Only the first log counts.
    pub fn log_to(&self, log: Arc<CommandLog>) {
        let _ = self.log.set(log);
    }

    /// Where that is.
    /// The run's clock starts here: what is done on this host is logged on it too.
    pub fn run_began(&self, at: Instant) {
        if let Some(log) = self.log() {
            log.run_began(at);
        }
    }

    pub(crate) fn log(&self) -> Option<&Arc<CommandLog>> {
        self.log.get()
    }

    /// Runs a command whose standard streams stay open.
    pub fn stream(&self, command: &str) -> Result<(StreamInput, Receiver<Vec<u8>>), HostError> {
        let begun = Begun::now();
        let opened = self.open_stream(command);
        if let Some(log) = self.log() {
            let error = opened.as_ref().err().map(ToString::to_string);
            log.done(("stream", self.name(), command), &begun, error);
        }
        opened
    }

    fn open_stream(&self, command: &str) -> Result<(StreamInput, Receiver<Vec<u8>>), HostError> {
        let (input, to_command) = channel();
        let (from_command, output) = channel();
        let (reply, started) = channel();
        let command = self.address.line(command);
        self.send(Command::Stream { command, input: to_command, output: from_command, reply })?;
        let limit = CONNECT_LIMIT;
        match started.recv_timeout(limit) {
            Ok(Ok(())) => Ok((StreamInput { input, wake: Arc::clone(&self.wake) }, output)),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(self.timeout("opening a channel", limit)),
        }
    }

    /// How it is reached.
    pub fn address(&self) -> &HostAddress {
        &self.address
    }

    fn send(&self, command: Command) -> Result<(), HostError> {
        let sent = self.commands.send(command);
        ring(&self.wake);
        sent.map_err(|_| HostError::Local {
            host: self.address.name.clone(),
            why: "its SSH thread has ended".to_owned(),
        })
    }

    fn timeout(&self, doing: &str, limit: Duration) -> HostError {
        HostError::Timeout { host: self.address.name.clone(), doing: doing.to_owned(), limit }
    }
}

impl Host for SshHost {
    fn name(&self) -> &str {
        &self.address.name
    }

    fn data_address(&self) -> IpAddr {
        self.address.data_address
    }

    fn exec(&self, exec: Exec) -> Result<ExecResult, HostError> {
        let Some(log) = self.log() else { return self.run(exec) };
        let (begun, command) = (Begun::now(), exec.command.clone());
        let result = self.run(exec);
        log.command((self.name(), &command), &begun, &result);
        result
    }

    /// Over a session of its own, so that a long transfer does not hold up the others.
    fn upload(&self, bytes: &[u8], path: &str, mode: u32) -> Result<(), HostError> {
        let begun = Begun::now();
        let result = self.put(bytes, path, mode);
        if let Some(log) = self.log() {
            let what = format!("{path}, {} bytes, mode {mode:o}", bytes.len());
            let error = result.as_ref().err().map(ToString::to_string);
            log.done(("upload", self.name(), &what), &begun, error);
        }
        result
    }

    fn download(&self, path: &str) -> Result<Vec<u8>, HostError> {
        let exec = Exec::argv(&["cat", path]).timeout(Duration::from_secs(60));
        let result = self.exec(exec)?;
        match result.status {
            0 => Ok(result.stdout),
            _ => Err(HostError::Local {
                host: self.address.name.clone(),
                why: String::from_utf8_lossy(&result.stderr).trim().to_owned(),
            }),
        }
    }
}

impl SshHost {
    fn run(&self, exec: Exec) -> Result<ExecResult, HostError> {
        let limit = exec.timeout;
        let doing = format!("running {}", abridged(&exec.command));
        let exec = Exec { command: self.address.line(&exec.command), ..exec };
        let (reply, done) = channel();
        self.send(Command::Exec { exec, reply })?;
        // The thread keeps the limit; the margin is for a connection to be made first.
        match done.recv_timeout(limit + CONNECT_LIMIT + Duration::from_millis(500)) {
            Ok(result) => result,
            Err(_) => Err(self.timeout(&doing, limit)),
        }
    }

    fn put(&self, bytes: &[u8], path: &str, mode: u32) -> Result<(), HostError> {
        let doing = format!("uploading {path}");
        let broken = |why: String| HostError::Broken {
            host: self.address.name.clone(),
            doing: doing.clone(),
            why,
        };
        let (session, shut) = connect::connect(&self.address)?;
        session.set_blocking(true);
        session.set_timeout(UPLOAD_STALL.as_millis() as u32);
        let exec = self.address.line(&upload_command(path, mode));
        let limit = Limit::start(shut, UPLOAD_STALL, UPLOAD_LIMIT);
        let progress = || limit.progress(UPLOAD_STALL);
        let put = channel::run_blocking(&session, &exec, bytes, &progress);
        let status = put.map_err(|why| match limit.ended() {
            Some(Ended::Interrupted) => connect::interrupted(&self.address, &doing),
            Some(Ended::Late) => self.timeout(&doing, UPLOAD_STALL),
            None => broken(why),
        })?;
        match status {
            0 => Ok(()),
            status => Err(broken(format!("the host's shell ended with status {status}"))),
        }
    }
}

impl Drop for SshHost {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        ring(&self.wake);
        if let Some(thread) = self.thread.take() {
            // It ends within a turn of its loop; a panic in it was printed when it happened.
            let _ = thread.join();
        }
    }
}

/// Wakes the host's thread.
fn ring(wake: &EventFd) {
    // Full means that it has been rung already.
    let _ = wake.write(1);
}

fn abridged(command: &str) -> String {
    let short: String = command.chars().take(60).collect();
    if short.len() < command.len() { format!("{short}...") } else { short }
}
