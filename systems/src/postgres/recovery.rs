//! Point-in-time recovery: a continuous archive on a host of its own, an accident that replicates
//! everywhere, and the way back to just before it.
//!
//! The archive is a base backup and `pg_receivewal`, both over the data network. The way back is
//! `recovery_target_xid` of the accident's transaction with `recovery_target_inclusive = off`: all
//! that committed before it is recovered, it and all later is not
//! (postgresql.org/docs/15/runtime-config-wal.html#RUNTIME-CONFIG-WAL-RECOVERY-TARGET).

use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::proto::{Ask, Start};
use cluster::Host;

use super::connection::{Connection, Refused};
use super::errors::describe;
use super::provision::{FOLDER, LOG, USER, as_server};
use super::spec::{Failover, PostgresSpec, Replication};
use super::{PostgresSystem, versions};
use crate::System;
use crate::system::{Nodes, SystemError};

/// Where the archive's process is named.
const PIDFILE: &str = "/run/splitbrain/archive.pid";
/// Its output.
const ARCHIVE_LOG: &str = "/var/log/splitbrain-archive.log";
/// Its slot: the leader keeps what the archive does not have yet.
const SLOT: &str = "splitbrain_archive";
/// Longest time for a base backup, a copy, or the replay.
const LONG: Duration = Duration::from_secs(60);
/// The table of lists, with its schema.
const TABLE: &str = "splitbrain.lists";

/// A cluster's archive, and the host on which a lost state can be brought back.
pub struct Archive {
    /// One node, that of the archive.
    place: PostgresSystem,
}

/// A transaction that should not have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accident {
    /// Its number.
    pub xid: String,
    /// The log file that holds its commit, or a later one.
    pub segment: String,
    /// Rows that it deleted.
    pub rows: u64,
}

/// How long each step of a recovery took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// In the order in which they were taken: what, and how long.
    pub steps: Vec<(&'static str, Duration)>,
}

impl Steps {
    fn take<R>(
        &mut self,
        what: &'static str,
        step: impl FnOnce() -> Result<R, SystemError>,
    ) -> Result<R, SystemError> {
        let started = Instant::now();
        let done = step()?;
        self.steps.push((what, started.elapsed()));
        Ok(done)
    }
}

impl PostgresSystem {
    /// Begins an archive of this cluster on a further host, which the cluster does not use.
    pub fn archive_on(&self, host: Arc<Nodes>) -> Result<Archive, SystemError> {
        let spec = PostgresSpec {
            // Nobody follows the restored server, so it must not wait for anybody.
            replication: Replication::Async,
            failover: Failover::None,
            slots: false,
            // Its log is replayed by a server of the same version.
            version: self.version_of(0),
            ..self.cluster.spec.clone()
        };
        let place = PostgresSystem::with_password(host, spec, self.cluster.password.clone())?;
        let archive = Archive { place };
        archive.begin(self)?;
        Ok(archive)
    }

    /// Deletes every row of the lists on a node, as somebody who forgot the WHERE.
    pub fn delete_everything(&self, leader: usize) -> Result<Accident, SystemError> {
        let (address, login) = (self.cluster.control(leader), self.cluster.login());
        let done: Result<Accident, String> = self.runtime.block_on(async {
            let text = |error: tokio_postgres::Error| describe(&error);
            let connection =
                Connection::open(address, &login).await.map_err(|refused| match refused {
                    Refused::Error(error) => describe(&error),
                    Refused::Silent => "no connection in time".to_owned(),
                })?;
            let client = &connection.client;
            client.batch_execute("BEGIN").await.map_err(text)?;
            let sql = format!("DELETE FROM {TABLE}");
            let rows = client.execute_typed(&sql, &[]).await.map_err(text)?;
            let sql = "SELECT pg_current_xact_id()::text";
            let found = client.query_typed(sql, &[]).await.map_err(text)?;
            let xid = found.first().ok_or("no row came back")?.get(0);
            client.batch_execute("COMMIT").await.map_err(text)?;
            let sql = "SELECT pg_walfile_name(pg_current_wal_insert_lsn())";
            let found = client.query_typed(sql, &[]).await.map_err(text)?;
            let segment = found.first().ok_or("no row came back")?.get(0);
            Ok(Accident { xid, segment, rows })
        });
        done.map_err(|error| SystemError::new(format!("deleting: {error}")))
    }
}

impl Archive {
    /// The restored server: what can be asked once [`Archive::restore`] is done.
    pub fn restored(&self) -> &PostgresSystem {
        &self.place
    }

    fn nodes(&self) -> &Nodes {
        &self.place.cluster.nodes
    }

    fn begin(&self, source: &PostgresSystem) -> Result<(), SystemError> {
        let nodes = self.nodes();
        self.end();
        let programs = versions::find(nodes, 0, &self.place.cluster.spec)?;
        let bin = programs.bin.clone();
        self.place.cluster.provision().prepare(0, &programs)?;
        // A second archive finds the same.
        let _ = self.place.cluster.programs.set(vec![programs]);
        source
            .sql(0, &format!("SELECT pg_create_physical_replication_slot('{SLOT}', true)"))
            .map_err(|error| SystemError::new(format!("making the archive's slot: {error}")))?;
        let leader = source.cluster.data(0);
        let server = format!("-h {} -p {} -U {USER}", leader.ip(), leader.port());
        let receive = as_server(&format!(
            "{bin}/pg_receivewal {server} -D {FOLDER}/archive -S {SLOT} --status-interval=1"
        ));
        let script = format!("#!/bin/sh\n{}\n", receive.replace("&& env", "&& exec env"));
        let path = format!("{FOLDER}/archive.sh");
        nodes.hosts[0].upload(script.as_bytes(), &path, 0o755)?;
        let line =
            format!("install -d -o {USER} -g {USER} -m 700 {FOLDER}/archive; : > {ARCHIVE_LOG}");
        nodes.shell(0, "preparing the archive", line, Duration::from_secs(5))?;
        let start = Start {
            argv: vec!["/bin/sh".to_owned(), path],
            log: ARCHIVE_LOG.to_owned(),
            pidfile: PIDFILE.to_owned(),
            ..Start::default()
        };
        nodes.ask(0, Ask::Start { start, settle_ms: 300 }, Duration::from_secs(5))?;
        let line = as_server(&format!(
            "{bin}/pg_basebackup {server} -D {FOLDER}/base -X none -c fast --no-sync"
        ));
        nodes.shell(0, "pg_basebackup for the archive", line, LONG).map(drop)
    }

    /// Brings the state just before the accident back, as a server on the archive's host, while
    /// `source`, which still leads, is ended. Says how long each step took.
    pub fn restore(
        &self,
        source: &PostgresSystem,
        accident: &Accident,
    ) -> Result<Steps, SystemError> {
        let nodes = self.nodes();
        let mut steps = Steps::default();
        steps.take("complete the archive", || self.complete(source, accident))?;
        steps.take("end the cluster", || {
            source.take_down();
            self.end();
            Ok(())
        })?;
        steps.take("copy the base backup", || {
            let line = format!("cp -a {FOLDER}/base {FOLDER}/data");
            nodes.shell(0, "copying the base backup", line, LONG)
        })?;
        steps.take("replay and promote", || {
            let path = format!("{FOLDER}/follow.conf");
            nodes.hosts[0].upload(target(accident).as_bytes(), &path, 0o644)?;
            let signal = format!("{FOLDER}/data/recovery.signal");
            let line = format!("touch {signal}; chown {USER}: {signal}");
            nodes.shell(0, "asking for recovery", line, Duration::from_secs(5))?;
            self.place.cluster.start(0)?;
            self.wait_for_the_end()
        })?;
        Ok(steps)
    }

    /// Has the leader finish the log file that holds the accident, and waits until it is here.
    fn complete(&self, source: &PostgresSystem, accident: &Accident) -> Result<(), SystemError> {
        // A switch does nothing where nothing was written since the last one.
        let sql = "SELECT pg_logical_emit_message(true, 'splitbrain', 'switch'); \
                   SELECT pg_switch_wal()";
        source.sql(0, sql).map_err(|error| SystemError::new(format!("switch: {error}")))?;
        let wanted = format!("{FOLDER}/archive/{}", accident.segment);
        let line = format!(
            "n=0; while [ ! -e {wanted} ]; do n=$((n+1)); \
             if [ $n -gt 600 ]; then echo \"{wanted} does not come\" >&2; exit 1; fi; \
             sleep 0.05; done"
        );
        self.nodes().shell(0, "waiting for the archive", line, LONG).map(drop).map_err(|error| {
            let log = self.nodes().tail(0, ARCHIVE_LOG);
            SystemError::new(format!("{error}; its log ends: {log}"))
        })
    }

    /// Until the server is out of recovery; it ends by itself when the target cannot be reached.
    fn wait_for_the_end(&self) -> Result<(), SystemError> {
        let sql = "DO $$ BEGIN IF pg_is_in_recovery() THEN RAISE EXCEPTION 'still recovering'; \
                   END IF; END $$";
        let until = Instant::now() + LONG;
        loop {
            let Err(error) = self.place.sql(0, sql) else {
                return Ok(());
            };
            let ended = self.place.cluster.ended(0);
            if ended || until < Instant::now() {
                let (name, log) = (&self.nodes().names[0], self.nodes().tail(0, LOG));
                let what = if ended { "the server has ended" } else { "not within 60 s" };
                return Err(SystemError::new(format!(
                    "host {name}: recovery did not come to its end: {what}: {error}; its log \
                     ends: {log}"
                )));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends what runs on the archive's host.
    pub fn end(&self) {
        self.place.take_down();
        crate::ended::stop_all(self.nodes(), PIDFILE);
    }
}

/// The settings of a recovery to just before the accident.
fn target(accident: &Accident) -> String {
    format!(
        "restore_command = 'cp {FOLDER}/archive/%f \"%p\"'\n\
         recovery_target_xid = '{}'\nrecovery_target_inclusive = off\n\
         recovery_target_action = promote\nrecovery_target_timeline = current\n",
        accident.xid
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recovery_stops_before_the_accident_and_serves() {
        let accident = Accident {
            xid: "812".to_owned(),
            segment: "000000010000000000000005".to_owned(),
            rows: 3,
        };
        let text = target(&accident);
        assert!(text.contains("recovery_target_xid = '812'\n"), "{text}");
        assert!(text.contains("recovery_target_inclusive = off\n"));
        assert!(text.contains("recovery_target_action = promote\n"));
    }
}
