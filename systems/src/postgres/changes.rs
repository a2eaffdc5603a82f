//! Replication by triggers: every change of a row is written to a table of changes as well, which
//! an applier on each follower reads over the data network.
//!
//! The applier is a loop in SQL (`dblink` to the leader) that a shell starts anew when it ends. A
//! batch of changes and the number of its last are one transaction of the follower. Numbers come
//! from a sequence, and a sequence does not follow the order of commits: the trigger takes a lock
//! until its transaction's end, so that no lower number can turn up later. That, too, is what
//! triggers cost.

use std::time::Duration;

use agent::proto::{Ask, Start};
use cluster::Host;

use super::PostgresSystem;
use super::provision::{FOLDER, USER};
use crate::system::{LogFile, Nodes, SystemError};

/// Where an applier's shell is named.
pub(super) const PIDFILE: &str = "/run/splitbrain/applier.pid";
/// Its output.
const LOG: &str = "/var/log/splitbrain-applier.log";

/// The status query of [`super::sample`]: positions are numbers of changes.
pub(super) const STATUS: &str = "SELECT role.follower AS follower, done.id AS position, \
    done.id AS received, 1::bigint AS timeline, \
    CASE WHEN role.follower AND EXISTS (SELECT FROM pg_stat_activity \
        WHERE application_name = 'splitbrain-applier') THEN 'streaming' END AS receiver, \
    (SELECT extract(epoch FROM clock_timestamp() - made) * 1000 FROM splitbrain.applied \
        WHERE role.follower)::bigint AS replay_age_ms, \
    (SELECT json_agg(json_build_object('standby', name, 'state', 'applier', 'sync', 'async', \
        'replay', id, 'lag_ms', coalesce((SELECT (extract(epoch FROM clock_timestamp() - made) \
            * 1000)::bigint FROM splitbrain.changes AS change \
            WHERE followers.id < change.id ORDER BY change.id LIMIT 1), 0)))::text \
        FROM splitbrain.followers) AS standbys \
    FROM (SELECT coalesce(current_setting('splitbrain.role', true), '') = 'follower' AS follower) \
        AS role, \
    LATERAL (SELECT CASE WHEN role.follower THEN (SELECT id FROM splitbrain.applied) \
        ELSE (SELECT coalesce(max(id), 0) FROM splitbrain.changes) END AS id) AS done";

/// The tables, on every node. Followers tell the leader how far they are.
const TABLES: &str = "
CREATE TABLE splitbrain.changes (id bigserial PRIMARY KEY, tbl text NOT NULL, op text NOT NULL,
    row_data jsonb NOT NULL, made timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE TABLE splitbrain.applied (id bigint NOT NULL, made timestamptz NOT NULL);
INSERT INTO splitbrain.applied VALUES (0, clock_timestamp());
CREATE TABLE splitbrain.followers (name text PRIMARY KEY, id bigint NOT NULL);";

/// What the leader writes down.
const TRIGGERS: &str = "
CREATE FUNCTION splitbrain.log_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7177);
    IF TG_OP = 'DELETE' THEN
        INSERT INTO splitbrain.changes (tbl, op, row_data)
            VALUES (TG_TABLE_NAME, TG_OP, to_jsonb(OLD));
    ELSE
        INSERT INTO splitbrain.changes (tbl, op, row_data)
            VALUES (TG_TABLE_NAME, TG_OP, to_jsonb(NEW));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER log_change AFTER INSERT OR UPDATE OR DELETE ON splitbrain.lists
    FOR EACH ROW EXECUTE FUNCTION splitbrain.log_change();
CREATE TRIGGER log_change AFTER INSERT OR UPDATE OR DELETE ON splitbrain.registers
    FOR EACH ROW EXECUTE FUNCTION splitbrain.log_change();
CREATE TRIGGER log_change AFTER INSERT OR UPDATE OR DELETE ON splitbrain.sets
    FOR EACH ROW EXECUTE FUNCTION splitbrain.log_change();
CREATE TRIGGER log_change AFTER INSERT OR UPDATE OR DELETE ON splitbrain.counters
    FOR EACH ROW EXECUTE FUNCTION splitbrain.log_change();";

/// What a follower does with it. All tables but that of sets have one row a key and a value `v`.
const APPLIER: &str = "
CREATE FUNCTION splitbrain.apply_change(tbl text, op text, row_data jsonb) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    parts text := CASE WHEN tbl = 'sets' THEN 'k, e' ELSE 'k' END;
    rest text := CASE WHEN tbl = 'sets' THEN 'NOTHING' ELSE 'UPDATE SET v = excluded.v' END;
BEGIN
    IF op = 'DELETE' THEN
        EXECUTE format('DELETE FROM splitbrain.%1$I WHERE (%2$s) IN (SELECT %2$s FROM
            jsonb_populate_record(NULL::splitbrain.%1$I, $1))', tbl, parts) USING row_data;
    ELSE
        EXECUTE format('INSERT INTO splitbrain.%1$I SELECT * FROM
            jsonb_populate_record(NULL::splitbrain.%1$I, $1) ON CONFLICT (%2$s) DO %3$s',
            tbl, parts, rest) USING row_data;
    END IF;
END $$;
CREATE PROCEDURE splitbrain.follow(leader text) LANGUAGE plpgsql AS $$
DECLARE
    done bigint;
    latest timestamptz := '-infinity'; -- tells the leader once, whatever there is
    change record;
BEGIN
    PERFORM dblink_connect('leader', leader);
    LOOP
        SELECT id INTO done FROM splitbrain.applied;
        FOR change IN SELECT * FROM dblink('leader', format('SELECT id, tbl, op, row_data, made
            FROM splitbrain.changes WHERE id > %s ORDER BY id LIMIT 500', done))
            AS c(id bigint, tbl text, op text, row_data jsonb, made timestamptz)
        LOOP
            PERFORM splitbrain.apply_change(change.tbl, change.op, change.row_data);
            done := change.id;
            latest := change.made;
        END LOOP;
        UPDATE splitbrain.applied SET id = done, made = latest WHERE id < done;
        COMMIT;
        IF latest IS NOT NULL THEN
            PERFORM dblink_exec('leader', format('INSERT INTO splitbrain.followers
                VALUES (%L, %s) ON CONFLICT (name) DO UPDATE SET id = excluded.id',
                current_setting('cluster_name'), done));
        END IF;
        latest := NULL;
        PERFORM pg_sleep(0.02);
    END LOOP;
END $$;";

/// The applier's log.
pub(super) fn log() -> LogFile {
    LogFile { path: LOG.to_owned(), name: "applier.log" }
}

/// Ends the appliers.
pub(super) fn stop_appliers(nodes: &Nodes) {
    crate::ended::stop_all(nodes, PIDFILE);
}

impl PostgresSystem {
    /// Independent servers, triggers on the leader, appliers on the others.
    pub(super) fn bring_up_triggers(&self) -> Result<(), SystemError> {
        self.bring_up_independent()?;
        let nodes = &self.cluster.nodes;
        for node in 0..nodes.count() {
            let more = match node {
                0 => TRIGGERS.to_owned(),
                _ => format!("CREATE EXTENSION IF NOT EXISTS dblink; {APPLIER}"),
            };
            self.sql(node, &format!("{TABLES}{more}")).map_err(|error| {
                let name = &nodes.names[node];
                let what = format!("host {name}: making the table of changes: {error}");
                SystemError::new(what).hint("dblink comes with the package postgresql-contrib")
            })?;
        }
        nodes.each(|node, host| {
            let touch = format!(": > {LOG}");
            nodes.shell(node, "preparing the applier", touch, Duration::from_secs(5))?;
            if node == 0 {
                return Ok(());
            }
            let path = format!("{FOLDER}/applier.sh");
            host.upload(self.applier_script(node).as_bytes(), &path, 0o755)?;
            let start = Start {
                argv: vec!["/bin/sh".to_owned(), path],
                log: LOG.to_owned(),
                pidfile: PIDFILE.to_owned(),
                ..Start::default()
            };
            nodes.ask(node, Ask::Start { start, settle_ms: 20 }, Duration::from_secs(5)).map(drop)
        })?;
        self.wait_for_standbys()
    }

    /// The leader's end is given up when the network is silent, so that the loop starts anew.
    fn applier_script(&self, node: usize) -> String {
        let leader = self.cluster.data(0);
        let (bin, port) = (&self.cluster.programs(node).bin, self.cluster.spec.port);
        format!(
            "#!/bin/sh\ncd {FOLDER}\n\
             exec setpriv --reuid={USER} --regid={USER} --init-groups env -i \
             PATH=/usr/bin:/bin LC_ALL=C PGPASSFILE={FOLDER}/passfile \
             PGAPPNAME=splitbrain-applier \
             PGOPTIONS='-c default_transaction_read_only=off -c search_path=public' \
             /bin/sh -c \"while :; do {bin}/psql -X -q -h {FOLDER} -p {port} -U {USER} \
             -d postgres -c \\\"CALL splitbrain.follow('host={} port={} user={USER} \
             dbname=postgres passfile={FOLDER}/passfile connect_timeout=2 \
             tcp_user_timeout=2000 keepalives_idle=1 keepalives_interval=1 \
             keepalives_count=2')\\\"; sleep 0.2; done\"\n",
            leader.ip(),
            leader.port()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_of_the_schema_is_watched() {
        for line in super::super::sql::TABLES.lines().filter(|line| line.contains("CREATE TABLE")) {
            let name = line.split(' ').nth(2).unwrap();
            assert!(TRIGGERS.contains(&format!("ON splitbrain.{name}\n")), "{name}");
        }
    }
}
