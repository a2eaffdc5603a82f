//! Micro-operations as documents. `docs/systems/mongodb.md` has the table, which a test holds to
//! what is here.
//!
//! A key is one document: `_id` is the key, `v` what it holds.

use std::time::Duration;

use ::mongodb::bson::{Bson, Document, doc};
use ::mongodb::error::Error;
use ::mongodb::{ClientSession, Collection};
use history::{Key, MicroOp, Observed};

use crate::client::Model;

/// The micro-operations that can be said.
pub const MICRO_OPS: [&str; 7] = ["r", "w", "append", "cas", "add", "rem", "inc"];

/// Where the keys of a model live.
pub fn collection(model: Model) -> &'static str {
    match model {
        Model::List => "lists",
        Model::Register => "registers",
        Model::Set => "sets",
        Model::Counter => "counters",
    }
}

/// An update's filter, its change, and whether it makes a document that is not there.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    filter: Document,
    change: Document,
    upsert: bool,
}

/// The key as MongoDB holds it: integers and strings are never equal there.
fn id(key: &Key) -> Bson {
    match key {
        Key::Int(key) => Bson::Int64(*key),
        Key::Str(key) => Bson::String(key.to_string()),
    }
}

/// The update of a micro-operation; `None` for a read.
pub fn update(mop: &MicroOp) -> Option<Update> {
    let key = doc! { "_id": id(mop.key()) };
    let upsert = |change| Some(Update { filter: key.clone(), change, upsert: true });
    match mop {
        MicroOp::Read { .. } => None,
        MicroOp::Write { value, .. } => upsert(doc! { "$set": { "v": value } }),
        MicroOp::Append { value, .. } => upsert(doc! { "$push": { "v": value } }),
        MicroOp::Add { value, .. } => upsert(doc! { "$addToSet": { "v": value } }),
        MicroOp::Inc { delta, .. } => upsert(doc! { "$inc": { "v": delta } }),
        MicroOp::Rem { value, .. } => Some(Update {
            filter: key.clone(),
            change: doc! { "$pull": { "v": value } },
            upsert: false,
        }),
        MicroOp::Cas { key, old, new } => Some(Update {
            filter: doc! { "_id": id(key), "v": old },
            change: doc! { "$set": { "v": new } },
            upsert: false,
        }),
    }
}

/// The statement of a micro-operation, for people.
pub fn statement(mop: &MicroOp) -> String {
    match update(mop) {
        None => format!("find {}", doc! { "_id": id(mop.key()) }),
        Some(Update { filter, change, upsert }) => {
            let upsert = if upsert { " upsert" } else { "" };
            format!("update {filter} {change}{upsert}")
        }
    }
}

/// What a statement gave.
pub enum Done {
    /// The micro-operation, a read with what it showed.
    Mop(MicroOp),
    /// A compare-and-set whose comparison did not hold: it changed nothing.
    NotEqual,
}

/// Sends a micro-operation's statement and reads its result.
pub async fn execute(
    collection: &Collection<Document>,
    session: &mut ClientSession,
    mop: &MicroOp,
    limit: Option<Duration>,
) -> Result<Done, Error> {
    let Some(Update { filter, change, upsert }) = update(mop) else {
        let mut find = collection.find_one(doc! { "_id": id(mop.key()) }).session(session);
        if let Some(limit) = limit {
            find = find.max_time(limit);
        }
        let found = find.await?;
        let value = found.as_ref().and_then(observed);
        return Ok(Done::Mop(MicroOp::Read { key: mop.key().clone(), value }));
    };
    let sent = collection.update_one(filter, change).upsert(upsert).session(session).await?;
    match mop {
        MicroOp::Cas { .. } if sent.matched_count == 0 => Ok(Done::NotEqual),
        mop => Ok(Done::Mop(mop.clone())),
    }
}

fn observed(document: &Document) -> Option<Observed> {
    match document.get("v") {
        Some(Bson::Int64(value)) => Some(Observed::Int(*value)),
        Some(Bson::Array(values)) => {
            let values: Vec<i64> = values.iter().filter_map(Bson::as_i64).collect();
            (!values.is_empty()).then_some(Observed::List(values))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_keys_share_an_id() {
        assert_ne!(id(&Key::Int(5)), id(&Key::Str("5".into())));
    }

    #[test]
    fn the_documentation_says_how_each_is_expressed() {
        let docs = include_str!("../../../docs/systems/mongodb.md");
        let key = || Key::Int(1);
        let all = [
            MicroOp::read(1),
            MicroOp::write(1, 2),
            MicroOp::append(1, 2),
            MicroOp::Cas { key: key(), old: 2, new: 3 },
            MicroOp::Add { key: key(), value: 2 },
            MicroOp::Rem { key: key(), value: 2 },
            MicroOp::Inc { key: key(), delta: 2 },
        ];
        assert_eq!(all.each_ref().map(MicroOp::name), MICRO_OPS);
        for mop in &all {
            let row = format!("| `{}` | `{}`", mop.name(), statement(mop));
            assert!(docs.contains(&row), "the table lacks {row}");
        }
    }

    #[test]
    fn only_what_must_find_a_document_makes_none() {
        let upserts = |mop: MicroOp| update(&mop).unwrap().upsert;
        assert!(upserts(MicroOp::append(1, 2)) && upserts(MicroOp::write(1, 2)));
        assert!(!upserts(MicroOp::Cas { key: 1.into(), old: 2, new: 3 }));
        assert!(!upserts(MicroOp::Rem { key: 1.into(), value: 2 }));
        assert_eq!(update(&MicroOp::read(1)), None);
    }
}
