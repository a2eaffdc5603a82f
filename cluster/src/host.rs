//! A host: a machine on which commands can be run, real or namespaced.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How a host is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostAddress {
    /// Its name in records and reports.
    pub name: String,
    /// Where its sshd listens: a name or an address on the control network.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// Who logs in.
    pub user: String,
    /// The private key.
    pub key: PathBuf,
    /// Whether the user's ssh-agent has the keys instead.
    #[serde(default)]
    pub ssh_agent: bool,
    /// Whether commands are run by `sudo -n`, because the user is not root.
    #[serde(default)]
    pub sudo: bool,
    /// The host in between, as `ssh -J` takes it.
    #[serde(default)]
    pub jump: Option<String>,
    /// The region that it is in.
    #[serde(default)]
    pub region: Option<String>,
    /// The file that its host key is checked against.
    pub known_hosts: PathBuf,
    /// Where the system under test listens: the network that faults act on.
    pub data_address: IpAddr,
}

/// A command that ran to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecResult {
    /// Its exit status; 128 plus a signal's number is how shells say that one ended it.
    pub status: i32,
    /// What it wrote.
    pub stdout: Vec<u8>,
    /// What it wrote as errors.
    pub stderr: Vec<u8>,
}

impl ExecResult {
    /// The standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// A command to run.
#[derive(Clone, Debug)]
pub struct Exec {
    /// A shell's line; build it from quoted parts ([`shell_quote`]).
    pub command: String,
    /// What it reads.
    pub stdin: Vec<u8>,
    /// How long it may take.
    pub timeout: Duration,
}

impl Exec {
    /// A program with arguments, each quoted.
    pub fn argv(argv: &[&str]) -> Exec {
        let parts: Vec<String> = argv.iter().map(|part| shell_quote(part)).collect();
        Exec::shell(parts.join(" "))
    }

    /// A line for the host's shell. No part of it may come from input unquoted.
    pub fn shell(command: impl Into<String>) -> Exec {
        let timeout = Duration::from_secs(10);
        Exec { command: command.into(), stdin: Vec::new(), timeout }
    }

    /// With another limit of time.
    pub fn timeout(self, timeout: Duration) -> Exec {
        Exec { timeout, ..self }
    }
}

pub use agent::quote::shell_quote;

/// What can go wrong between here and a host. Every text names the host and what to try.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HostError {
    /// Nothing answers.
    #[error("host {host}: {address} cannot be reached: {why}; is sshd running there?")]
    Unreachable {
        /// The host.
        host: String,
        /// Where it was looked for.
        address: String,
        /// Why.
        why: String,
    },
    /// It did not answer in time.
    #[error("host {host}: no answer within {} ms while {doing}", .limit.as_millis())]
    Timeout {
        /// The host.
        host: String,
        /// What was going on.
        doing: String,
        /// How long was waited.
        limit: Duration,
    },
    /// Its key is in no known_hosts line.
    #[error(
        "host {host}: {address} is not in {}; add its key with ssh-keyscan after checking it",
        .known_hosts.display()
    )]
    UnknownKey {
        /// The host.
        host: String,
        /// Its address.
        address: String,
        /// The file.
        known_hosts: PathBuf,
    },
    /// Its key is another than the known one.
    #[error(
        "host {host}: the host key of {address} is not the one in {}: this may be another \
         machine; if it was set up anew, remove the old line",
        .known_hosts.display()
    )]
    ChangedKey {
        /// The host.
        host: String,
        /// Its address.
        address: String,
        /// The file.
        known_hosts: PathBuf,
    },
    /// The user's key was not accepted.
    #[error("host {host}: user {user} was refused with key {}: {why}", .key.display())]
    Auth {
        /// The host.
        host: String,
        /// The user.
        user: String,
        /// The key.
        key: PathBuf,
        /// Why.
        why: String,
    },
    /// The connection broke while something was under way: it may or may not have been done.
    #[error("host {host}: the connection broke while {doing}: {why}")]
    Broken {
        /// The host.
        host: String,
        /// What was going on.
        doing: String,
        /// Why.
        why: String,
    },
    /// Another harness is at work on it.
    #[error("host {host}: {why}")]
    Locked {
        /// The host.
        host: String,
        /// Who has it and who asked.
        why: String,
    },
    /// A file on this side.
    #[error("host {host}: {why}")]
    Local {
        /// The host.
        host: String,
        /// Why.
        why: String,
    },
}

/// A host. Calls block; none takes longer than its limit plus a moment.
pub trait Host: Send + Sync {
    /// Its name.
    fn name(&self) -> &str;

    /// Where the system under test listens.
    fn data_address(&self) -> IpAddr;

    /// Runs a command to its end.
    fn exec(&self, exec: Exec) -> Result<ExecResult, HostError>;

    /// Writes a file, whole or not at all.
    fn upload(&self, bytes: &[u8], path: &str, mode: u32) -> Result<(), HostError>;

    /// Reads a file.
    fn download(&self, path: &str) -> Result<Vec<u8>, HostError>;
}

impl HostAddress {
    /// The line that the host's sshd is given for a command: with `sudo` a shell of root's runs it.
    pub fn line(&self, command: &str) -> String {
        match self.sudo {
            // sudo empties the environment; the agent needs to know its own connection.
            true => format!(
                "exec sudo -n -- env SSH_CONNECTION=\"$SSH_CONNECTION\" /bin/sh -c {}",
                shell_quote(command)
            ),
            false => command.to_owned(),
        }
    }
}

/// The line that makes a file from standard input, whole or not at all.
pub(crate) fn upload_command(path: &str, mode: u32) -> String {
    let part = shell_quote(&format!("{path}.part"));
    let mut line = format!("umask 077; cat > {part} && chmod {mode:o} {part} && ");
    // Writing to a String cannot fail.
    let _ = write!(line, "mv -f {part} {}", shell_quote(path));
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_sudo_a_command_arrives_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let sudo = folder.path().join("sudo");
        std::fs::write(
            &sudo,
            "#!/bin/sh\n[ \"$1 $2\" = '-n --' ] || exit 9\nshift 2\nexec \"$@\"\n",
        )
        .unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&sudo, mode).unwrap();
        let text = serde_json::json!({
            "name": "a", "address": "a", "port": 22, "user": "ops", "key": "", "known_hosts": "",
            "data_address": "127.0.0.1", "sudo": true,
        });
        let address: HostAddress = serde_json::from_value(text).unwrap();
        let line = address.line("printf '%s|' \"it's\" 'a  b' \"$SSH_CONNECTION\"; cat");
        let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
        let mut child = std::process::Command::new("sh")
            .args(["-c", &line])
            .envs([("PATH", path.as_str()), ("SSH_CONNECTION", "::1 5 ::1 22")])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"in").unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "it's|a  b|::1 5 ::1 22|in");
    }

    #[test]
    fn words_are_quoted_so_that_a_shell_gives_them_back() {
        for word in ["plain", "", "a b", "it's", "$(reboot)", "`x`", "a;b", "*", "\n"] {
            let line = format!("printf %s {}", shell_quote(word));
            let output = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), word);
        }
    }
}
