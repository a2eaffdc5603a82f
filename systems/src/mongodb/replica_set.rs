//! From servers that run to a replica set that serves: initiate, wait, make user and collections.

use std::time::{Duration, Instant};

use ::mongodb::Client as Driver;
use ::mongodb::bson::{Bson, Document, doc};

use super::client::DATABASE;
use super::connect::SESSIONS;
use super::documents::collection;
use super::errors::describe;
use super::provision::SET;
use super::spec::MongoSpec;
use crate::client::Model;

/// How long a server may take to accept connections after it was started.
const START_LIMIT: Duration = Duration::from_secs(20);
/// How long the members may take to elect a leader and to follow it.
const ELECT_LIMIT: Duration = Duration::from_secs(30);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// The document for `replSetInitiate`.
pub fn configuration(spec: &MongoSpec, names: &[String], addresses: &[impl ToString]) -> Document {
    let data = spec.data_members(names.len());
    let member = |(place, name): (usize, &String)| {
        if data <= place {
            // It takes no tags, and no priority but this.
            return Bson::Document(doc! {
                "_id": place as i32,
                "host": addresses[place].to_string(),
                "arbiterOnly": true,
                "priority": 0,
            });
        }
        let mut member = doc! {
            "_id": place as i32,
            "host": addresses[place].to_string(),
            "priority": spec.priority(name) as i32,
            "hidden": spec.is_hidden(name),
            "tags": { "node": name },
        };
        if let Some(delay) = spec.delayed_s.get(name) {
            member.insert("secondaryDelaySecs", *delay as i64);
        }
        Bson::Document(member)
    };
    let members: Vec<Bson> = names.iter().enumerate().map(member).collect();
    doc! {
        "_id": SET,
        "members": members,
        "settings": {
            "electionTimeoutMillis": spec.election_timeout_ms as i32,
            "heartbeatIntervalMillis": spec.heartbeat_ms as i32,
            "chainingAllowed": spec.chaining,
        },
    }
}

/// A command to the `admin` database; an error in words.
async fn command(driver: &Driver, command: Document) -> Result<Document, String> {
    let admin = driver.database("admin");
    let sent = admin.run_command(command);
    match tokio::time::timeout(Duration::from_secs(5), sent.into_future()).await {
        Ok(Ok(said)) => Ok(said),
        Ok(Err(error)) => Err(describe(&error)),
        Err(_) => Err("no answer within 5 s".to_owned()),
    }
}

/// Waits until every server takes connections; an error names the place of the one that does not.
pub async fn wait_until_up(drivers: &[&Driver]) -> Result<(), (usize, String)> {
    let started = Instant::now();
    for (place, driver) in drivers.iter().enumerate() {
        while let Err(error) = command(driver, doc! { "ping": 1 }).await {
            if START_LIMIT < started.elapsed() {
                return Err((place, format!("the server takes no connection: {error}")));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(())
}

/// Makes a replica set of the servers.
pub async fn initiate(driver: &Driver, config: Document) -> Result<(), String> {
    let said = command(driver, doc! { "replSetInitiate": config }).await;
    said.map(drop).map_err(|error| format!("replSetInitiate: {error}"))
}

/// Waits until one member leads and the others follow; gives the leader's place. The one at
/// `first` is asked to stand at once, or all would wait for an election timeout. An error names
/// the place of a member that neither leads nor follows.
pub async fn wait_for_leader(drivers: &[&Driver], first: usize) -> Result<usize, (usize, String)> {
    let started = Instant::now();
    loop {
        let mut leader = None;
        let mut other = None;
        for (place, driver) in drivers.iter().enumerate() {
            match command(driver, doc! { "hello": 1 }).await {
                Ok(said) if said.get_bool("isWritablePrimary").unwrap_or(false) => {
                    leader = Some(place);
                }
                Ok(said) if said.get_bool("secondary").unwrap_or(false) => {}
                Ok(said) if said.get_bool("arbiterOnly").unwrap_or(false) => {}
                Ok(_) => other = Some((place, "it is neither primary nor secondary".to_owned())),
                Err(error) => other = Some((place, error)),
            }
        }
        match (leader, other) {
            (Some(leader), None) => return Ok(leader),
            (leader, other) if ELECT_LIMIT < started.elapsed() => {
                let within = ELECT_LIMIT.as_secs();
                let (place, why) = other.unwrap_or((0, "no member was elected".to_owned()));
                let what = match leader {
                    None => "no primary was elected",
                    Some(_) => "a member does not follow",
                };
                return Err((place, format!("{what} within {within} s: {why}")));
            }
            (None, None) => {
                // Refused while it has not heard of the others' votes yet: asked again.
                let _ = command(drivers[first], doc! { "replSetStepUp": 1 }).await;
                tokio::time::sleep(PAUSE).await;
            }
            _ => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// The user of sessions, and empty collections, on every member.
pub async fn furnish(leader: &Driver, password: &str, members: usize) -> Result<(), String> {
    let everywhere = doc! { "w": members as i32, "wtimeout": 10_000 };
    let user = doc! {
        "createUser": SESSIONS,
        "pwd": password,
        "roles": [{ "role": "readWrite", "db": DATABASE }],
        "mechanisms": ["SCRAM-SHA-256"],
        "writeConcern": everywhere.clone(),
    };
    command(leader, user).await.map_err(|error| format!("createUser: {error}"))?;
    for model in [Model::List, Model::Register, Model::Set, Model::Counter] {
        let made = doc! { "create": collection(model), "writeConcern": everywhere.clone() };
        let sent = leader.database(DATABASE).run_command(made).await;
        sent.map_err(|error| format!("create {}: {}", collection(model), describe(&error)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use std::net::SocketAddr;

    use super::*;

    #[test]
    fn the_last_members_are_the_arbiters() {
        let names = ["n1", "n2", "n3"].map(str::to_owned);
        let addresses = [1, 2, 3].map(|last| SocketAddr::from(([10, 0, 0, last], 27_017)));
        let spec = MongoSpec { arbiters: 1, ..MongoSpec::default() };
        let config = configuration(&spec, &names, &addresses);
        let members = config.get_array("members").unwrap();
        let arbiter =
            |place: usize| members[place].as_document().unwrap().get_bool("arbiterOnly").is_ok();
        assert_eq!([0, 1, 2].map(arbiter), [false, false, true]);
    }

    #[test]
    fn a_delayed_member_is_hidden_and_never_elected() {
        let names = ["n1", "n2", "n3"].map(str::to_owned);
        let addresses = [1, 2, 3].map(|last| SocketAddr::from(([10, 0, 0, last], 27_017)));
        let spec = MongoSpec {
            delayed_s: BTreeMap::from([("n3".to_owned(), 5)]),
            priorities: BTreeMap::from([("n1".to_owned(), 2)]),
            ..MongoSpec::default()
        };
        let config = configuration(&spec, &names, &addresses);
        let members = config.get_array("members").unwrap();
        let late = members[2].as_document().unwrap();
        assert!(late.get_bool("hidden").unwrap());
        assert_eq!(late.get_i32("priority").unwrap(), 0);
        assert_eq!(late.get_i64("secondaryDelaySecs").unwrap(), 5);
        assert_eq!(members[0].as_document().unwrap().get_i32("priority").unwrap(), 2);
    }
}
