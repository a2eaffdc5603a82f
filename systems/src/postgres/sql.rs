//! Micro-operations as SQL. The table in `docs/systems/expressions.md` is made from this.

use history::{Key, MicroOp, Observed};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row};

use crate::client::Model;

/// The tables of a schema. Every key is one row, but for sets: there every element is.
pub const TABLES: &str = "
CREATE TABLE lists (k text PRIMARY KEY, v bigint[] NOT NULL);
CREATE TABLE registers (k text PRIMARY KEY, v bigint NOT NULL);
CREATE TABLE sets (k text, e bigint, PRIMARY KEY (k, e));
CREATE TABLE counters (k text PRIMARY KEY, v bigint NOT NULL);";

/// The micro-operations that can be said.
pub const MICRO_OPS: [&str; 7] = ["r", "w", "append", "cas", "add", "rem", "inc"];

/// The statement of a micro-operation; parameters are key, then values.
pub fn statement(mop: &MicroOp, model: Model) -> &'static str {
    match mop {
        MicroOp::Read { .. } => match model {
            Model::List => "SELECT v FROM lists WHERE k = $1",
            Model::Register => "SELECT v FROM registers WHERE k = $1",
            Model::Set => "SELECT e FROM sets WHERE k = $1 ORDER BY e",
            Model::Counter => "SELECT v FROM counters WHERE k = $1",
        },
        MicroOp::Write { .. } => {
            "INSERT INTO registers VALUES ($1, $2) ON CONFLICT (k) DO UPDATE SET v = $2"
        }
        MicroOp::Append { .. } => {
            "INSERT INTO lists VALUES ($1, ARRAY[$2]) \
             ON CONFLICT (k) DO UPDATE SET v = lists.v || $2"
        }
        MicroOp::Cas { .. } => "UPDATE registers SET v = $3 WHERE k = $1 AND v = $2",
        MicroOp::Add { .. } => "INSERT INTO sets VALUES ($1, $2) ON CONFLICT DO NOTHING",
        MicroOp::Rem { .. } => "DELETE FROM sets WHERE k = $1 AND e = $2",
        MicroOp::Inc { .. } => {
            "INSERT INTO counters VALUES ($1, $2) ON CONFLICT (k) DO UPDATE SET v = counters.v + $2"
        }
    }
}

/// The key as text: no integer's text is a string key's.
pub fn key_text(key: &Key) -> String {
    match key {
        Key::Int(key) => key.to_string(),
        Key::Str(key) => format!("s:{key}"),
    }
}

/// What a statement gave.
pub enum Done {
    /// The micro-operation, a read with what it showed.
    Mop(MicroOp),
    /// A compare-and-set whose comparison did not hold: the transaction is to be rolled back.
    NotEqual,
}

/// Sends a micro-operation's statement and reads its result.
pub async fn execute(client: &Client, mop: &MicroOp, model: Model) -> Result<Done, Error> {
    let key = key_text(mop.key());
    let sql = statement(mop, model);
    let value: [i64; 2] = match mop {
        MicroOp::Read { .. } => [0, 0],
        MicroOp::Write { value, .. }
        | MicroOp::Append { value, .. }
        | MicroOp::Add { value, .. }
        | MicroOp::Rem { value, .. }
        | MicroOp::Inc { delta: value, .. } => [*value, 0],
        MicroOp::Cas { old, new, .. } => [*old, *new],
    };
    let count = match mop {
        MicroOp::Read { .. } => 0,
        MicroOp::Cas { .. } => 2,
        _ => 1,
    };
    let mut parameters: Vec<(&(dyn ToSql + Sync), Type)> = vec![(&key, Type::TEXT)];
    for value in &value[..count] {
        parameters.push((value, Type::INT8));
    }
    if let MicroOp::Read { key, .. } = mop {
        let rows = client.query_typed(sql, &parameters).await?;
        return Ok(Done::Mop(MicroOp::Read { key: key.clone(), value: observed(&rows, model) }));
    }
    let changed = client.execute_typed(sql, &parameters).await?;
    match mop {
        MicroOp::Cas { .. } if changed == 0 => Ok(Done::NotEqual),
        mop => Ok(Done::Mop(mop.clone())),
    }
}

fn observed(rows: &[Row], model: Model) -> Option<Observed> {
    match model {
        Model::List => rows.first().map(|row| Observed::List(row.get(0))),
        Model::Register | Model::Counter => rows.first().map(|row| Observed::Int(row.get(0))),
        Model::Set => {
            let elements: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
            (!elements.is_empty()).then_some(Observed::List(elements))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_keys_share_a_text() {
        let keys = [Key::Int(5), Key::Str("5".into()), Key::Str("s:5".into())];
        let texts: std::collections::BTreeSet<String> = keys.iter().map(key_text).collect();
        assert_eq!(texts.len(), keys.len());
    }
}
