//! How a node is, in its own words: one query over the control network.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use history::{Role, ShardTelemetry, TelemetryEvent};
use tokio_postgres::{Error, Row};

use super::connection::{Connection, Login, Refused};
use super::errors::describe;
use crate::system::silent;

/// How long a node may take to say how it is.
const LIMIT: Duration = Duration::from_millis(400);
/// The same where it may have to be logged in to over a longer line, with keys to agree on.
const LIMIT_TLS: Duration = Duration::from_millis(2_500);

/// Role, positions, timeline, and what a leader knows of its standbys.
pub const STATUS: &str = "SELECT pg_is_in_recovery() AS follower, \
    pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() \
        THEN coalesce(pg_last_wal_replay_lsn(), '0/0') ELSE pg_current_wal_lsn() END, \
        '0/0')::bigint AS position, \
    coalesce(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() \
        THEN pg_last_wal_receive_lsn() END, '0/0'), 0)::bigint AS received, \
    CASE WHEN pg_is_in_recovery() \
        THEN coalesce((SELECT received_tli FROM pg_stat_wal_receiver), \
            (SELECT min_recovery_end_timeline FROM pg_control_recovery()))::bigint \
        ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint \
        END AS timeline, \
    (SELECT status FROM pg_stat_wal_receiver) AS receiver, \
    (extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000)::bigint \
        AS replay_age_ms, \
    (SELECT json_agg(json_build_object('standby', application_name, 'state', state, \
        'sync', sync_state, 'sent', sent_lsn, 'write', write_lsn, 'flush', flush_lsn, \
        'replay', replay_lsn, \
        'lag_ms', (extract(epoch FROM replay_lag) * 1000)::bigint))::text \
        FROM pg_stat_replication) AS standbys";

/// The server's own clock.
const WALL_CLOCK: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now";

/// Asks one node after the other's turn; keeps a connection to each.
pub struct Sampler {
    names: Vec<String>,
    addresses: Vec<SocketAddr>,
    login: Login,
    grades_ms: [u64; 2],
    status: &'static str,
    connections: Vec<Mutex<Option<Connection>>>,
}

impl Sampler {
    /// Of these nodes, at their addresses on the control network; asked with [`STATUS`] or another
    /// query with its columns.
    pub fn new(
        names: Vec<String>,
        addresses: Vec<SocketAddr>,
        login: Login,
        grades_ms: [u64; 2],
        status: &'static str,
    ) -> Sampler {
        let connections = addresses.iter().map(|_| Mutex::default()).collect();
        Sampler { names, addresses, login, grades_ms, status, connections }
    }

    /// How the node is now.
    pub async fn sample(&self, node: usize, clock: &dyn Fn() -> i64) -> TelemetryEvent {
        let sent = clock();
        let place = &self.connections[node];
        let take = || place.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        let limit = if self.login.tls.connector().is_some() { LIMIT_TLS } else { LIMIT };
        let asked = tokio::time::timeout(limit, self.ask(node, take(), self.status)).await;
        let received = clock();
        let name = &self.names[node];
        match asked {
            Ok(Ok((connection, row))) => {
                *place.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(connection);
                event(name, sent, received, &row, self.grades_ms)
            }
            Ok(Err(error)) => silent(name, sent, received, error),
            Err(_) => silent(name, sent, received, "no answer in time".to_owned()),
        }
    }

    /// What the node's server takes for the time, µs since 1970.
    pub async fn wall_clock(&self, node: usize) -> Result<i64, String> {
        let place = &self.connections[node];
        let kept = place.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        let asked = tokio::time::timeout(LIMIT, self.ask(node, kept, WALL_CLOCK)).await;
        let (connection, row) = asked.map_err(|_| "no answer in time".to_owned())??;
        *place.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(connection);
        Ok(row.get("now"))
    }

    async fn ask(
        &self,
        node: usize,
        kept: Option<Connection>,
        sql: &str,
    ) -> Result<(Connection, Row), String> {
        if let Some(connection) = kept
            && let Ok(row) = status(&connection, sql).await
        {
            return Ok((connection, row));
        }
        let opened = Connection::open(self.addresses[node], &self.login).await;
        let connection = opened.map_err(|refused| match refused {
            Refused::Error(error) => describe(&error),
            Refused::Silent => "no connection in time".to_owned(),
        })?;
        let row = status(&connection, sql).await.map_err(|error| describe(&error))?;
        Ok((connection, row))
    }
}

async fn status(connection: &Connection, sql: &str) -> Result<Row, Error> {
    let rows = connection.client.query_typed(sql, &[]).await?;
    Ok(rows.into_iter().next().expect("a status query gives one row"))
}

fn event(name: &str, sent: i64, received: i64, row: &Row, grades_ms: [u64; 2]) -> TelemetryEvent {
    let follower: bool = row.get("follower");
    let receiver: Option<String> = row.get("receiver");
    let position = row.get::<_, i64>("position") as u64;
    let got = row.get::<_, i64>("received") as u64;
    let term = row.get::<_, Option<i64>>("timeline").unwrap_or(0) as u64;
    let mut details: BTreeMap<String, serde_json::Value> = BTreeMap::new();
    if follower {
        details.insert("received".to_owned(), got.max(position).into());
        let receiver = receiver.clone().unwrap_or_else(|| "none".into());
        details.insert("receiver".to_owned(), receiver.into());
        if let Some(age) = row.get::<_, Option<i64>>("replay_age_ms") {
            details.insert("replay_age_ms".to_owned(), age.into());
        }
    }
    let standbys: Option<String> = row.get("standbys");
    if let Some(standbys) = standbys.and_then(|text| serde_json::from_str(&text).ok()) {
        details.insert("standbys".to_owned(), graded(standbys, grades_ms));
    }
    // Who receives nothing knows only how far it is behind what it received before.
    let lag = match follower {
        true => receiver.map(|_| got.saturating_sub(position)),
        false => Some(0),
    };
    let replica = ShardTelemetry {
        shard: 0,
        role: if follower { Role::Follower } else { Role::Leader },
        term,
        leader: None,
        position,
        committed: position,
        lag,
        aside: None,
    };
    TelemetryEvent {
        sent,
        received,
        node: name.to_owned(),
        alive: true,
        shards: vec![replica],
        error: None,
        details,
    }
}

/// Each standby with its lag, as the leader measured it last, as a word: healthy, lagging, far
/// behind; not told where the leader has no measure.
fn graded(mut standbys: serde_json::Value, [low, high]: [u64; 2]) -> serde_json::Value {
    for standby in standbys.as_array_mut().into_iter().flatten() {
        let grade = match standby["lag_ms"].as_u64() {
            None => "not told",
            Some(lag) if lag < low => "healthy",
            Some(lag) if lag <= high => "lagging",
            Some(_) => "far behind",
        };
        standby["grade"] = grade.into();
    }
    standbys
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lag_is_graded_by_its_thresholds() {
        let lags = [0, 999, 1_000, 5_000, 5_001].map(|lag| json!({ "lag_ms": lag }));
        let mut lags = lags.to_vec();
        lags.push(json!({ "lag_ms": null }));
        let graded = graded(json!(lags), [1_000, 5_000]);
        let grades: Vec<_> = graded.as_array().unwrap().iter().map(|s| &s["grade"]).collect();
        let expected = ["healthy", "healthy", "lagging", "lagging", "far behind", "not told"];
        assert_eq!(grades, expected);
    }
}
