//! A server with another setting: by `ALTER SYSTEM`, which it reads at its next start.

use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

use super::PostgresSystem;
use super::connection::Connection;
use super::errors::describe;
use crate::changing::{self, Changing, Counted};
use crate::system::SystemError;

/// Settings that promises depend on: a test says them for the whole cluster. PostgreSQL takes their
/// names in any case; here they are in lower case.
pub const PROMISED: [&str; 6] = [
    "fsync",
    "full_page_writes",
    "synchronous_commit",
    "synchronous_standby_names",
    "default_transaction_isolation",
    "recovery_min_apply_delay",
];

impl Changing for PostgresSystem {
    fn change(&self, node: usize, name: &str, value: &str) -> Result<(), SystemError> {
        let value = value.replace('\'', "''");
        let changed = self.sql(node, &format!("ALTER SYSTEM SET {name} = '{value}'"));
        changed.map_err(|why| {
            SystemError::new(format!("{}: {name}: {why}", self.cluster.nodes.names[node]))
        })
    }

    fn says(&self, node: usize, name: &str) -> Result<String, SystemError> {
        let sql = format!("SHOW {name}");
        let said = self.row(node, &sql)?.and_then(|row| row.get(0).map(str::to_owned));
        said.ok_or_else(|| SystemError::new(format!("{sql}: nothing")))
    }

    /// The server shows a number in whatever unit is short; what it counts in, it says too.
    fn has(&self, node: usize, name: &str, value: &str) -> Result<(String, bool), SystemError> {
        let sql = format!(
            "SELECT setting, coalesce(unit, ''), vartype FROM pg_settings \
             WHERE lower(name) = lower('{name}')"
        );
        let said = self.says(node, name)?;
        let row = self.row(node, &sql)?;
        let column = |place| row.as_ref().and_then(|row| row.get(place)).unwrap_or_default();
        let counted = column(0).parse().is_ok_and(|number| {
            let (unit, whole) = (column(1), column(2) == "integer");
            (whole || column(2) == "real") && Counted { number, unit, whole }.is(value)
        });
        let holds = counted || changing::same(value, &said);
        Ok((said, holds))
    }
}

impl PostgresSystem {
    /// The first row that a node answers with.
    fn row(&self, node: usize, sql: &str) -> Result<Option<SimpleQueryRow>, SystemError> {
        let (address, login) = (self.cluster.control(node), self.cluster.login());
        self.runtime.block_on(async {
            let opened = Connection::open(address, &login).await;
            let connection = opened.map_err(|_| SystemError::new("no connection"))?;
            let rows = connection.client.simple_query(sql).await;
            let rows = rows.map_err(|error| SystemError::new(describe(&error)))?;
            Ok(rows.into_iter().find_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some(row),
                _ => None,
            }))
        })
    }
}
