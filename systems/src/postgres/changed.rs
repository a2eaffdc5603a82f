//! A server with another setting: by `ALTER SYSTEM`, which it reads at its next start.

use super::PostgresSystem;
use super::connection::Connection;
use super::errors::describe;
use crate::changing::Changing;
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
        let (address, login) = (self.cluster.control(node), self.cluster.login());
        self.runtime.block_on(async {
            let opened = Connection::open(address, &login).await;
            let connection = opened.map_err(|_| SystemError::new("no connection"))?;
            let sql = format!("SHOW {name}");
            let row = connection.client.simple_query(&sql).await;
            let rows = row.map_err(|error| SystemError::new(describe(&error)))?;
            let said = rows.iter().find_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            });
            said.ok_or_else(|| SystemError::new(format!("{sql}: nothing")))
        })
    }
}
