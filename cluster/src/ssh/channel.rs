//! One command on a channel: opened, started, fed, read, closed, without ever blocking.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::time::{Duration, Instant};

use ssh2::{Channel, ErrorCode, Session};

use crate::host::{ExecResult, HostError};

/// libssh2's code for "would block".
const LIBSSH2_ERROR_EAGAIN: i32 = -37;
/// Bytes read at a time.
const CHUNK: usize = 32 << 10;

/// What becomes of a command's streams.
pub(super) enum Sink {
    /// Collected until it ends.
    Exec(Sender<Result<ExecResult, HostError>>),
    /// Passed on as they come.
    Stream {
        input: Receiver<Vec<u8>>,
        output: Sender<Vec<u8>>,
        started: Option<Sender<Result<(), HostError>>>,
    },
}

/// A command under way.
pub(super) struct Active {
    pub command: String,
    pub sink: Sink,
    pub limit: Duration,
    pub deadline: Option<Instant>,
    channel: Option<Channel>,
    started: bool,
    pending: Vec<u8>,
    input_ended: bool,
    eof_sent: bool,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// What a turn came to.
pub(super) enum Turn {
    /// Nothing could be done now.
    Idle,
    /// Something was done; more may be possible.
    Progress,
    /// It is over.
    Ended,
}

impl Active {
    pub fn new(command: String, stdin: Vec<u8>, sink: Sink, limit: Option<Duration>) -> Active {
        let input_ended = matches!(sink, Sink::Exec(_));
        Active {
            command,
            sink,
            limit: limit.unwrap_or_default(),
            deadline: limit.map(|limit| Instant::now() + limit),
            channel: None,
            started: false,
            pending: stdin,
            input_ended,
            eof_sent: false,
            stdout: Vec::new(),
            stderr: Vec::new(),
        }
    }

    /// Whether its channel is still being opened: libssh2 opens one at a time.
    pub fn opening(&self) -> bool {
        !self.started
    }

    /// Does what can be done now.
    pub fn turn(&mut self, session: &Session) -> Result<Turn, String> {
        let mut progress = false;
        if self.channel.is_none() {
            match session.channel_session() {
                Ok(channel) => self.channel = Some(channel),
                Err(error) if would_block(&error) => return Ok(Turn::Idle),
                Err(error) => return Err(error.to_string()),
            }
            progress = true;
        }
        if !self.started {
            let Some(channel) = &mut self.channel else {
                return Ok(Turn::Idle);
            };
            match channel.exec(&self.command) {
                Ok(()) => self.started = true,
                Err(error) if would_block(&error) => return Ok(Turn::Idle),
                Err(error) => return Err(error.to_string()),
            }
            if let Sink::Stream { started, .. } = &mut self.sink
                && let Some(started) = started.take()
            {
                // An opener that gave up is seen by its closed input, below.
                let _ = started.send(Ok(()));
            }
            progress = true;
        }
        progress |= self.feed()?;
        progress |= self.drain()?;
        let Some(channel) = &mut self.channel else {
            return Ok(Turn::Idle);
        };
        if channel.eof() {
            match channel.close().and_then(|()| channel.wait_close()) {
                Ok(()) => return Ok(Turn::Ended),
                Err(error) if would_block(&error) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(if progress { Turn::Progress } else { Turn::Idle })
    }

    fn feed(&mut self) -> Result<bool, String> {
        let Some(channel) = &mut self.channel else {
            return Ok(false);
        };
        if let Sink::Stream { input, .. } = &self.sink {
            loop {
                match input.try_recv() {
                    Ok(bytes) => self.pending.extend_from_slice(&bytes),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => {
                        self.input_ended = true;
                        break;
                    }
                }
            }
        }
        let mut progress = false;
        while !self.pending.is_empty() {
            match channel.write(&self.pending) {
                Ok(0) => break,
                Ok(written) => {
                    self.pending.drain(..written);
                    progress = true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.to_string()),
            }
        }
        if self.pending.is_empty() && self.input_ended && !self.eof_sent {
            match channel.send_eof() {
                Ok(()) => self.eof_sent = true,
                Err(error) if would_block(&error) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(progress)
    }

    fn drain(&mut self) -> Result<bool, String> {
        let Some(channel) = &mut self.channel else {
            return Ok(false);
        };
        let mut progress = false;
        let mut chunk = [0; CHUNK];
        loop {
            match channel.read(&mut chunk) {
                Ok(0) => break,
                Ok(length) => {
                    progress = true;
                    match &self.sink {
                        Sink::Exec(_) => self.stdout.extend_from_slice(&chunk[..length]),
                        // A reader that is gone closes the input too; the command will end.
                        Sink::Stream { output, .. } => {
                            let _ = output.send(chunk[..length].to_vec());
                        }
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.to_string()),
            }
        }
        loop {
            match channel.stderr().read(&mut chunk) {
                Ok(0) => break,
                Ok(length) => {
                    progress = true;
                    self.stderr.extend_from_slice(&chunk[..length]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(progress)
    }

    /// Tells whoever waits how it ended.
    pub fn finish(mut self) {
        let Sink::Exec(reply) = &self.sink else {
            return;
        };
        let status = self.channel.as_ref().map_or(-1, exit_status);
        let stdout = std::mem::take(&mut self.stdout);
        let stderr = std::mem::take(&mut self.stderr);
        // Whoever asked may have given up; nobody is left to tell then.
        drop(reply.send(Ok(ExecResult { status, stdout, stderr })));
    }

    /// Tells whoever waits that it did not end well.
    pub fn fail(self, error: HostError) {
        match self.sink {
            Sink::Exec(reply) => drop(reply.send(Err(error))),
            Sink::Stream { started: Some(started), .. } => drop(started.send(Err(error))),
            // A stream that had started ends: its output is dropped here.
            Sink::Stream { started: None, .. } => {}
        }
    }
}

/// Exit status, or 128 plus the number of the signal that ended it.
fn exit_status(channel: &Channel) -> i32 {
    const SIGNALS: [(&str, i32); 8] = [
        ("HUP", 1),
        ("INT", 2),
        ("QUIT", 3),
        ("ABRT", 6),
        ("KILL", 9),
        ("SEGV", 11),
        ("PIPE", 13),
        ("TERM", 15),
    ];
    let signal = channel.exit_signal().ok().and_then(|signal| signal.exit_signal);
    match signal {
        Some(name) => {
            let number = SIGNALS.iter().find(|(known, _)| *known == name).map_or(0, |s| s.1);
            128 + number
        }
        None => channel.exit_status().unwrap_or(-1),
    }
}

pub(super) fn would_block(error: &ssh2::Error) -> bool {
    error.code() == ErrorCode::Session(LIBSSH2_ERROR_EAGAIN)
}

/// Runs a command on a blocking session of its own.
/// `progress` is told of every part that got through.
pub(super) fn run_blocking(
    session: &Session,
    command: &str,
    stdin: &[u8],
    progress: &dyn Fn(),
) -> Result<i32, String> {
    let text = |error: ssh2::Error| error.to_string();
    let mut channel = session.channel_session().map_err(text)?;
    channel.exec(command).map_err(text)?;
    for part in stdin.chunks(CHUNK) {
        channel.write_all(part).map_err(|error: io::Error| error.to_string())?;
        progress();
    }
    channel.send_eof().map_err(text)?;
    let mut output = Vec::new();
    channel.read_to_end(&mut output).map_err(|error| error.to_string())?;
    channel.close().map_err(text)?;
    channel.wait_close().map_err(text)?;
    Ok(exit_status(&channel))
}
