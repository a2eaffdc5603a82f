//! Puts PostgreSQL on a host over SSH: files, `initdb`, `pg_basebackup`, `pg_rewind`.
//!
//! Everything lives in one folder. Configuration stays outside the data directory, because
//! `pg_rewind` and `pg_basebackup` copy what is inside from another node.

use std::time::Duration;

use agent::proto::Start;
use cluster::{Host, shell_quote};

use super::building::{copy_line, init_line, own_line, prepare_line};
use super::spec::{PostgresSpec, Timeouts};
use crate::system::{Nodes, SystemError};

/// Where all of it is.
pub const FOLDER: &str = "/var/lib/splitbrain-postgres";
/// The server's output.
pub const LOG: &str = "/var/log/splitbrain-postgres.log";
/// Where the postmaster's process is named.
pub const PIDFILE: &str = "/run/splitbrain/postgres.pid";
/// The server's user on a host, and our role in the database.
pub const USER: &str = "postgres";
/// Longest time for `initdb`, a base backup or a rewind.
const LONG: Duration = Duration::from_secs(60);

/// The programs of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    /// The folder that holds `postgres`, `initdb` and the rest.
    pub bin: String,
    /// `postgres --version`.
    pub version: String,
}

/// What all nodes of a cluster share.
pub struct Provision<'a> {
    /// The hosts.
    pub nodes: &'a Nodes,
    /// The settings.
    pub spec: &'a PostgresSpec,
    /// Of the role `postgres`.
    pub password: &'a str,
}

impl Provision<'_> {
    /// An empty folder with the node's configuration.
    pub fn prepare(&self, node: usize, programs: &Programs) -> Result<(), SystemError> {
        self.nodes.shell(node, "preparing its folder", prepare_line(), Duration::from_secs(10))?;
        let host = &self.nodes.hosts[node];
        let files = [
            ("password", self.password.to_owned(), 0o600),
            ("passfile", format!("*:*:*:{USER}:{}\n", self.password), 0o600),
            ("postgresql.conf", self.configuration(node), 0o644),
            ("pg_hba.conf", HBA.to_owned(), 0o644),
            ("follow.conf", String::new(), 0o644),
            ("start.sh", start_script(programs), 0o755),
        ];
        for (name, text, mode) in &files {
            host.upload(text.as_bytes(), &format!("{FOLDER}/{name}"), *mode)?;
        }
        self.nodes.shell(node, "preparing its files", own_line(), Duration::from_secs(5))?;
        Ok(())
    }

    /// Deadlocks are looked for after 10 ms instead of 1 s. An operation's deadline is 1 s: its
    /// client would be gone before the server ended a deadlock. And workloads fight over a few rows
    /// on purpose: every deadlock stops all who wait behind it for as long.
    fn configuration(&self, node: usize) -> String {
        let spec = self.spec;
        let on = |flag: bool| if flag { "on" } else { "off" };
        let name = &self.nodes.names[node];
        let mut text = format!(
            "listen_addresses = '*'\nport = {port}\nmax_connections = 600\n\
             shared_buffers = 64MB\nunix_socket_directories = '{FOLDER}'\n\
             hba_file = '{FOLDER}/pg_hba.conf'\nwal_level = logical\nhot_standby = on\n\
             max_wal_senders = 20\nmax_replication_slots = 20\nwal_keep_size = 256MB\n\
             fsync = {fsync}\nfull_page_writes = {pages}\nwal_log_hints = {hints}\n\
             synchronous_commit = {commit}\nsynchronous_standby_names = '{standbys}'\n\
             deadlock_timeout = 10ms\n\
             cluster_name = '{name}'\nlog_line_prefix = '%m [%p] '\nlc_messages = 'C'\n\
             include = '{FOLDER}/follow.conf'\n",
            port = spec.port,
            fsync = on(spec.fsync),
            pages = on(spec.full_page_writes),
            hints = on(spec.wal_log_hints),
            commit = spec.synchronous_commit.as_str(),
            standbys = spec.standby_names(&self.nodes.names),
        );
        for (setting, value) in spec.timeouts.settings() {
            text.push_str(&format!("{setting} = {value}\n"));
        }
        if let Some(delay) = spec.apply_delay_ms.get(name) {
            text.push_str(&format!("recovery_min_apply_delay = {delay}ms\n"));
        }
        text
    }

    /// A fresh cluster on the first leader.
    pub fn init(&self, node: usize, programs: &Programs) -> Result<(), SystemError> {
        let line = init_line(&programs.bin);
        self.nodes.shell(node, "initdb", line, LONG).map(drop)
    }

    /// A copy of the leader on a follower, set to follow it.
    pub fn copy(&self, node: usize, programs: &Programs, leader: usize) -> Result<(), SystemError> {
        self.follow(node, leader)?;
        let address = self.nodes.data(leader).to_string();
        let line = copy_line(&programs.bin, &address, self.spec.port);
        self.nodes.shell(node, "pg_basebackup", line, LONG).map(drop)
    }

    /// Writes whom a node follows from its next start, or reload, on.
    pub fn follow(&self, node: usize, leader: usize) -> Result<(), SystemError> {
        let name = &self.nodes.names[node];
        // Without it a connection that is not answered is waited for as long as the kernel tries.
        let limit = match self.spec.timeouts {
            Timeouts::Lab => " connect_timeout=2",
            Timeouts::Server => "",
        };
        let mut text = format!(
            "primary_conninfo = 'host={} port={} user={USER} application_name={name} \
             passfile={FOLDER}/passfile{limit}'\n",
            self.nodes.data(leader),
            self.spec.port
        );
        if self.spec.slots {
            text.push_str(&format!("primary_slot_name = '{}'\n", slot(name)));
        }
        let path = format!("{FOLDER}/follow.conf");
        self.nodes.hosts[node].upload(text.as_bytes(), &path, 0o644)?;
        Ok(())
    }

    /// Has a running server read its configuration again.
    pub fn reload(&self, node: usize) -> Result<(), SystemError> {
        let line = format!("kill -HUP $(head -n 1 {FOLDER}/data/postmaster.pid)");
        self.nodes.shell(node, "reloading", line, Duration::from_secs(5)).map(drop)
    }

    /// Makes sure that a node does not lead when it is started next, and is not started by whoever
    /// finds it dead: only the operator lets it go.
    pub fn hold(&self, node: usize) -> Result<(), SystemError> {
        let line = format!(
            "touch {FOLDER}/hold && touch {FOLDER}/data/standby.signal \
             && chown {USER}: {FOLDER}/data/standby.signal"
        );
        self.nodes.shell(node, "holding it", line, Duration::from_secs(5)).map(drop)
    }

    /// Turns a former leader's data back to where the new leader's history left it; a copy from
    /// scratch if that cannot be done. Says how it was done.
    pub fn rewind(
        &self,
        node: usize,
        programs: &Programs,
        leader: usize,
    ) -> Result<String, SystemError> {
        let line = as_server(&format!(
            "{}/pg_rewind -D {FOLDER}/data --no-sync --config-file={FOLDER}/postgresql.conf \
             --source-server='host={} port={} user={USER} dbname=postgres \
             passfile={FOLDER}/passfile'",
            programs.bin,
            self.nodes.data(leader),
            self.spec.port
        ));
        // A server that was killed is recovered by pg_rewind itself, in single-user mode, which
        // refuses to be a standby.
        let line = format!("rm -f {FOLDER}/data/standby.signal; {line}");
        let rewound = self.nodes.shell(node, "pg_rewind", line, LONG);
        self.follow(node, leader)?;
        match rewound {
            Ok(_) => {
                let line = format!(
                    "touch {FOLDER}/data/standby.signal; chown {USER}: {FOLDER}/data/standby.signal"
                );
                self.nodes.shell(node, "rejoining", line, Duration::from_secs(5))?;
                Ok("pg_rewind".to_owned())
            }
            Err(error) => {
                self.copy(node, programs, leader)?;
                Ok(format!("pg_basebackup, because {error}"))
            }
        }
    }

    /// Lets a held node go.
    pub fn release(&self, node: usize) -> Result<(), SystemError> {
        let line = format!("rm -f {FOLDER}/hold");
        self.nodes.shell(node, "releasing it", line, Duration::from_secs(5)).map(drop)
    }
}

/// The replication slot of a standby.
pub fn slot(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    name.chars().map(plain).collect()
}

/// How the server is started.
pub fn start() -> Start {
    Start {
        argv: vec!["/bin/sh".to_owned(), format!("{FOLDER}/start.sh")],
        log: LOG.to_owned(),
        pidfile: PIDFILE.to_owned(),
        hold: Some(format!("{FOLDER}/hold")),
        ..Start::default()
    }
}

/// Every connection over the network proves that it knows the password.
pub const HBA: &str = "\
local all all scram-sha-256
host all all 0.0.0.0/0 scram-sha-256
host all all ::/0 scram-sha-256
host replication all 0.0.0.0/0 scram-sha-256
host replication all ::/0 scram-sha-256
";

fn start_script(programs: &Programs) -> String {
    format!(
        "#!/bin/sh\nexec setpriv --reuid={USER} --regid={USER} --init-groups \
         env ${{SPLITBRAIN_PRELOAD:+LD_PRELOAD=\"$SPLITBRAIN_PRELOAD\"}} \
         {}/postgres -D {FOLDER}/data -c config_file={FOLDER}/postgresql.conf\n",
        shell_quote(&programs.bin)
    )
}

/// A command as the server's user, in its folder and with our password at hand.
pub fn as_server(command: &str) -> String {
    format!(
        "cd {FOLDER} && env -i PATH=/usr/bin:/bin LC_ALL=C PGPASSFILE={FOLDER}/passfile \
         setpriv --reuid={USER} --regid={USER} --init-groups {command}"
    )
}
