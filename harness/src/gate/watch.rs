//! What ends a run on hosts early: `abort_if`, and the longest duration.
//!
//! Either asks the run to end as Ctrl-C does: heal, read, report. The agents keep the longest
//! duration too, each for itself, in case this process cannot.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cluster::inventory::PasswordFrom;
use cluster::{Exec, Host, Inventory, SshHost};

use crate::config::TestSpec;
use crate::engine::StopFlag;
use crate::error::UserError;

/// How often the command is run.
const EVERY: Duration = Duration::from_secs(1);
/// How long it may take; one that hangs cannot say that all is well.
const LIMIT: Duration = Duration::from_secs(5);

/// How long before the agents undo everything a run is ended, at most.
const HEAL_MAX: Duration = Duration::from_secs(10);

/// See the module's doc.
pub struct Watch {
    thread: Option<(Sender<()>, JoinHandle<Option<String>>)>,
}

/// Runs the command once; an error says why the run must end.
struct Abort {
    command: String,
    /// The variable that holds the cluster's password: not for the command.
    secret: Option<String>,
    host: Option<Arc<SshHost>>,
}

impl Watch {
    /// Watches over a test on hosts; others need none. The command is run once before it returns:
    /// where it fails already, nothing is begun. The longest duration counts from `since`, when the
    /// agents were started, as they count it; and this ends a little before them, for there to be
    /// time to heal in good order.
    pub fn start(
        spec: &TestSpec,
        hosts: &[Arc<SshHost>],
        since: Instant,
        stop: &StopFlag,
    ) -> Result<Watch, UserError> {
        let Some(inventory) = super::inventory(spec)? else {
            return Ok(Watch { thread: None });
        };
        let limit = super::max_duration(spec, &inventory)?;
        let abort = Abort::of(&inventory, hosts);
        if let Some(abort) = &abort
            && let Err(why) = abort.run()
        {
            let place = inventory.places.at("abort_if");
            return Err(UserError::environment(format!("{why}: nothing was begun")).at(place));
        }
        let until = since + limit - HEAL_MAX.min(limit / 10);
        let (end, ended) = channel();
        let stop = stop.clone();
        let thread = thread::spawn(move || {
            loop {
                let wait = EVERY.min(until.saturating_duration_since(Instant::now()));
                match ended.recv_timeout(wait) {
                    Err(RecvTimeoutError::Timeout) => {}
                    _ => return None,
                }
                let why = match &abort {
                    _ if until <= Instant::now() => {
                        Err(format!("max_duration of {} ms is nearly over", limit.as_millis()))
                    }
                    Some(abort) => abort.run(),
                    None => Ok(()),
                };
                if let Err(why) = why {
                    if !stop.stopped() {
                        stop.stop();
                    }
                    return Some(format!("the run was ended: {why}"));
                }
            }
        });
        Ok(Watch { thread: Some((end, thread)) })
    }

    /// The run is over; says why it was ended, if it was.
    pub fn end(self) -> Option<String> {
        let (end, thread) = self.thread?;
        drop(end);
        // A thread that panicked has said so itself.
        thread.join().ok().flatten()
    }
}

impl Abort {
    fn of(inventory: &Inventory, hosts: &[Arc<SshHost>]) -> Option<Abort> {
        let command = inventory.abort_if.clone()?;
        let named = |host: &&Arc<SshHost>| Some(host.name()) == inventory.abort_if_host.as_deref();
        let secret = match inventory.attach.as_ref().map(|attach| &attach.password) {
            Some(PasswordFrom::Environment(name)) => Some(name.clone()),
            _ => None,
        };
        Some(Abort { command, secret, host: hosts.iter().find(named).cloned() })
    }

    fn run(&self) -> Result<(), String> {
        let status = match &self.host {
            Some(host) => {
                let exec = Exec::shell(self.command.clone()).timeout(LIMIT);
                host.exec(exec).map(|result| result.status).map_err(|error| error.to_string())
            }
            None => local(&self.command, self.secret.as_deref()),
        };
        match status {
            Ok(0) => Ok(()),
            Ok(status) => Err(format!("abort_if ended with {status}: {}", self.command)),
            Err(why) => Err(format!("abort_if could not be run: {why}: {}", self.command)),
        }
    }
}

/// By this machine's shell, as whoever wrote the inventory would.
fn local(command: &str, secret: Option<&str>) -> Result<i32, String> {
    let mut shell = Command::new("/bin/sh");
    secret.map(|name| shell.env_remove(name));
    shell.args(["-c", command]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = shell.spawn().map_err(|error| error.to_string())?;
    let until = Instant::now() + LIMIT;
    while Instant::now() < until {
        match child.try_wait() {
            // A signal's end is no success either.
            Ok(Some(status)) => return Ok(status.code().unwrap_or(128)),
            Ok(None) => thread::sleep(Duration::from_millis(10)),
            Err(error) => return Err(error.to_string()),
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    Err(format!("no answer within {} s", LIMIT.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_says_by_its_status_whether_all_is_well() {
        let run =
            |command: &str| Abort { command: command.to_owned(), secret: None, host: None }.run();
        assert_eq!(run("exit 0"), Ok(()));
        assert_eq!(run("exit 3").unwrap_err(), "abort_if ended with 3: exit 3");
        assert!(run("kill -9 $$").unwrap_err().contains("ended with 128"));
    }

    #[test]
    fn a_command_has_all_of_the_environment_but_the_password() {
        // A variable that is there in every test: the harness sets none of its own.
        let run = |secret: Option<&str>| local("test -n \"$PATH\"", secret);
        assert_eq!(run(None), Ok(0));
        assert_eq!(run(Some("CARGO_MANIFEST_DIR")), Ok(0));
        let there = |secret| local("test -n \"$CARGO_MANIFEST_DIR\"", secret);
        assert_eq!((there(None), there(Some("CARGO_MANIFEST_DIR"))), (Ok(0), Ok(1)));
    }
}
