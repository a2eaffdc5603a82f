//! Logical replication: a publication on the leader, a subscription on every follower.
//!
//! Followers are servers of their own, made by `initdb`, with the same tables. They could be
//! written to; `default_transaction_read_only` keeps users from it, and a setting of ours says
//! which they are. Changes of the schema are not replicated
//! (postgresql.org/docs/15/logical-replication-restrictions.html).
//!
//! A follower's position is what its subscription has reported to the leader as done: the end of
//! the leader's log, when nothing is outstanding. A commit is applied before it is reported, so the
//! position never runs ahead of what the follower shows.

use super::provision::{FOLDER, USER, slot};
use super::{PostgresSystem, SCHEMA};
use crate::system::SystemError;
use cluster::Host;

/// The publication.
const PUBLICATION: &str = "splitbrain";

/// What tells a follower from the leader where both are servers of their own, and keeps users from
/// writing to it.
pub(super) const FOLLOWER: &str =
    "splitbrain.role = 'follower'\ndefault_transaction_read_only = on\n";

/// The status query of [`super::sample`], for subscribers.
pub(super) const STATUS: &str = "SELECT role.follower AS follower, \
    pg_wal_lsn_diff(CASE WHEN role.follower THEN coalesce(subscription.done, '0/0') \
        ELSE pg_current_wal_lsn() END, '0/0')::bigint AS position, \
    coalesce(pg_wal_lsn_diff(subscription.received, '0/0'), 0)::bigint AS received, \
    1::bigint AS timeline, \
    CASE WHEN subscription.works THEN 'streaming' END AS receiver, \
    (extract(epoch FROM clock_timestamp() - subscription.heard) * 1000)::bigint \
        AS replay_age_ms, \
    (SELECT json_agg(json_build_object('standby', application_name, 'state', state, \
        'sync', sync_state, 'sent', sent_lsn, 'write', write_lsn, 'flush', flush_lsn, \
        'replay', replay_lsn, \
        'lag_ms', (extract(epoch FROM replay_lag) * 1000)::bigint))::text \
        FROM pg_stat_replication) AS standbys \
    FROM (SELECT coalesce(current_setting('splitbrain.role', true), '') = 'follower' AS follower) \
        AS role, \
    (SELECT min(latest_end_lsn) AS done, min(received_lsn) AS received, \
        min(latest_end_time) AS heard, count(pid) = 1 AS works \
        FROM pg_stat_subscription WHERE relid IS NULL) AS subscription";

impl PostgresSystem {
    /// A server of its own on every node, with the same empty tables; the first leads.
    pub(super) fn bring_up_independent(&self) -> Result<(), SystemError> {
        let nodes = &self.cluster.nodes;
        let provision = self.cluster.provision();
        nodes.each(|node, host| {
            provision.init(node, self.cluster.programs(node))?;
            if 0 < node {
                host.upload(FOLLOWER.as_bytes(), &format!("{FOLDER}/follow.conf"), 0o644)?;
            }
            self.cluster.start(node)
        })?;
        for node in 0..nodes.count() {
            self.wait_for(node)?;
            self.schema(node)?;
        }
        Ok(())
    }

    /// Independent servers, the leader's tables published, the others subscribed.
    pub(super) fn bring_up_logical(&self) -> Result<(), SystemError> {
        self.bring_up_independent()?;
        let nodes = &self.cluster.nodes;
        let fail = |what: &str, error: String| SystemError::new(format!("{what}: {error}"));
        let sql = format!("CREATE PUBLICATION {PUBLICATION} FOR TABLES IN SCHEMA {SCHEMA}");
        self.sql(0, &sql).map_err(|error| fail("making the publication", error))?;
        for node in 1..nodes.count() {
            self.sql(node, &self.subscription(node)).map_err(|error| {
                fail(&format!("host {}: making the subscription", nodes.names[node]), error)
            })?;
        }
        self.wait_for_standbys()
    }

    /// The tables are empty on both sides, so there is nothing to copy first.
    fn subscription(&self, node: usize) -> String {
        let name = slot(&self.cluster.nodes.names[node]);
        let leader = self.cluster.data(0);
        format!(
            "CREATE SUBSCRIPTION {name} CONNECTION 'host={} port={} user={USER} dbname=postgres \
             passfile={FOLDER}/passfile connect_timeout=2' PUBLICATION {PUBLICATION} \
             WITH (copy_data = false)",
            leader.ip(),
            leader.port()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn followers_are_marked_and_read_only() {
        assert!(FOLLOWER.contains("splitbrain.role = 'follower'"));
        assert!(FOLLOWER.contains("default_transaction_read_only = on"));
        assert!(STATUS.contains("latest_end_lsn"), "not received_lsn, which may not be applied");
    }
}
