//! The database that holds what a run writes: its own, by a name that nobody else has, marked by a
//! document, and the only thing that is ever removed. A database is its collections: it comes with
//! the first and goes with the last, which is the mark's.

use std::time::Duration;

use ::mongodb::Client as Driver;
use ::mongodb::bson::{Bson, DateTime, Document, doc};
use ::mongodb::error::{Error, ErrorKind};

use crate::client::Model;
use crate::mongodb::documents::collection;
use crate::owned::{self, Left, MARK, PREFIX};

/// The collection of the mark.
pub const MARKER: &str = "splitbrain_owner";
/// How long a statement may take; longer than a majority needs after a fault was undone.
const LIMIT: Duration = Duration::from_secs(15);
/// `NamespaceNotFound`: dropped already.
const NOT_THERE: i32 = 26;
/// What all that is made here is written with: it must not be rolled back.
const WTIMEOUT_MS: i32 = 10_000;
/// How long a drop may wait for a transaction that nobody ends.
const MAX_TIME_MS: i32 = 5_000;

/// A run's database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its name: letters, digits and underscores.
    pub database: String,
    /// What its mark says.
    pub mark: String,
}

/// The collections that a run writes to.
pub fn collections() -> [&'static str; 4] {
    [Model::List, Model::Register, Model::Set, Model::Counter].map(collection)
}

fn everywhere() -> Document {
    doc! { "w": "majority", "wtimeout": WTIMEOUT_MS }
}

/// Sends a command; one that is not answered in time, and one that is done but not on a majority,
/// is an error too.
pub async fn command(driver: &Driver, database: &str, asked: Document) -> Result<Document, Error> {
    let database = driver.database(database);
    let sent = database.run_command(asked);
    let said = match tokio::time::timeout(LIMIT, sent.into_future()).await {
        Ok(said) => said?,
        Err(_) => return Err(Error::custom(format!("no answer within {} s", LIMIT.as_secs()))),
    };
    let text = |failed: &Document| failed.get_str("errmsg").unwrap_or("unknown").to_owned();
    if let Ok(failed) = said.get_document("writeConcernError") {
        return Err(Error::custom(format!("not on a majority: {}", text(failed))));
    }
    let failed = said.get_array("writeErrors").ok().and_then(|errors| errors.first());
    match failed.and_then(Bson::as_document) {
        Some(failed) => Err(Error::custom(text(failed))),
        None => Ok(said),
    }
}

impl Owner {
    /// Of a run, by its id.
    pub fn of_run(run: &str) -> Owner {
        Owner { database: owned::name(run), mark: owned::mark(run) }
    }

    /// The commands that make it, the mark first; it must not be there yet.
    pub fn creation(&self) -> Vec<Document> {
        let mark = doc! { "_id": "run", "mark": &self.mark, "made": DateTime::now() };
        let insert = doc! { "insert": MARKER, "documents": [mark], "writeConcern": everywhere() };
        let create = |name| doc! { "create": name, "writeConcern": everywhere() };
        std::iter::once(insert).chain(collections().map(create)).collect()
    }

    /// Makes it.
    pub async fn make(&self, leader: &Driver) -> Result<(), Error> {
        for asked in self.creation() {
            command(leader, &self.database, asked).await?;
        }
        Ok(())
    }

    /// Whether a member has all of it.
    pub async fn there(&self, member: &Driver) -> Result<bool, Error> {
        let names = names(member, &self.database).await?;
        let all = collections().into_iter().chain([MARKER]);
        Ok(all.into_iter().all(|name| names.iter().any(|there| there == name)))
    }
}

/// The names of a database's collections.
async fn names(driver: &Driver, database: &str) -> Result<Vec<String>, Error> {
    let asked = doc! { "listCollections": 1, "nameOnly": true, "cursor": { "batchSize": 1_000 } };
    let said = command(driver, database, asked).await?;
    Ok(batch(&said).filter_map(|one| one.get_str("name").ok().map(str::to_owned)).collect())
}

fn batch(said: &Document) -> impl Iterator<Item = &Document> {
    let cursor = said.get_document("cursor").ok();
    let batch = cursor.and_then(|cursor| cursor.get_array("firstBatch").ok());
    batch.into_iter().flatten().filter_map(Bson::as_document)
}

/// The commands that remove what [`Owner::creation`] has made, the mark last.
pub fn removal() -> Vec<Document> {
    let drop = |name| {
        doc! { "drop": name, "maxTimeMS": MAX_TIME_MS, "writeConcern": everywhere() }
    };
    collections().into_iter().chain([MARKER]).map(drop).collect()
}

/// Removes a database of ours. The mark stays while something is there that no run has made.
pub async fn remove(leader: &Driver, database: &str) -> Result<(), Error> {
    debug_assert!(database.starts_with(PREFIX), "only what a run made is removed");
    let ours = |name: &String| name == MARKER || collections().contains(&name.as_str());
    let there = names(leader, database).await?;
    if let Some(other) = there.iter().find(|name| !ours(name)) {
        return Err(Error::custom(format!("it holds {other}, which no run has made")));
    }
    for asked in removal() {
        match command(leader, database, asked).await {
            Err(error) if is(&error, NOT_THERE) => {}
            done => drop(done?),
        }
    }
    Ok(())
}

/// Databases that runs have left, the newest first: by name and by mark.
pub async fn left(leader: &Driver) -> Result<Vec<Left>, Error> {
    let filter = doc! { "name": { "$regex": format!("^{PREFIX}") } };
    let asked = doc! { "listDatabases": 1, "nameOnly": true, "filter": filter };
    let said = command(leader, "admin", asked).await?;
    let databases = said.get_array("databases").into_iter().flatten();
    let names = databases.filter_map(|one| one.as_document()?.get_str("name").ok());
    let mut left = Vec::new();
    for name in names {
        let asked = doc! { "find": MARKER, "limit": 1, "singleBatch": true };
        let said = command(leader, name, asked).await?;
        let Some(found) = batch(&said).next() else { continue };
        let mark = found.get_str("mark").unwrap_or("");
        if mark.starts_with(MARK) {
            let made = found.get_datetime("made").ok().copied();
            left.push((made, Left { name: name.to_owned(), mark: mark.to_owned() }));
        }
    }
    left.sort_by_key(|(made, _)| std::cmp::Reverse(*made));
    Ok(left.into_iter().map(|(_, left)| left).collect())
}

/// Whether the server refused with this code.
pub fn is(error: &Error, code: i32) -> bool {
    matches!(error.kind.as_ref(), ErrorKind::Command(said) if said.code == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_made_first_and_removed_last() {
        let owner = Owner::of_run("A'; dropDatabase/1");
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        assert!(owner.database.chars().all(plain), "{}", owner.database);
        let made = owner.creation();
        assert_eq!(made[0].get_str("insert").unwrap(), MARKER);
        assert_eq!(made.len(), removal().len());
        assert_eq!(removal().last().unwrap().get_str("drop").unwrap(), MARKER);
        let majority = |asked: &Document| {
            let concern = asked.get_document("writeConcern");
            concern.is_ok_and(|concern| concern.get_str("w").unwrap() == "majority")
        };
        assert!(made.iter().chain(&removal()).all(majority), "nothing of it may be rolled back");
    }
}
