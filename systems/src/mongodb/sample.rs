//! How a member is, in its own words: `replSetGetStatus` over the control network.

use std::collections::BTreeMap;
use std::time::Duration;

use ::mongodb::Client as Driver;
use ::mongodb::bson::{Bson, DateTime, Document, Timestamp, doc};
use ::mongodb::error::Error;
use history::telemetry::{HOLDS_DATA, READY};
use history::{Role, ShardTelemetry, TelemetryEvent};
use serde_json::json;

use super::errors::describe;
use super::seat;
use crate::system::silent;

/// How long a member may take to say how it is.
const LIMIT: Duration = Duration::from_millis(400);
/// `myState` of a member that only votes.
const ARBITER: i32 = 7;
/// Where a follower counts as lagging, and as far behind, ms.
const GRADES_MS: [u64; 2] = [1_000, 5_000];

/// How the member called `name` is now; `names` are the members' by their `_id`. `heed` is told of
/// an error.
pub async fn sample(
    driver: &Driver,
    name: &str,
    names: &BTreeMap<i32, String>,
    clock: &dyn Fn() -> i64,
    heed: &dyn Fn(&Error),
) -> TelemetryEvent {
    let sent = clock();
    let admin = driver.database("admin");
    let asked = admin.run_command(doc! { "replSetGetStatus": 1 });
    let said = tokio::time::timeout(LIMIT, asked.into_future()).await;
    let received = clock();
    match said {
        Ok(Ok(status)) => event(name, names, sent, received, &status),
        Ok(Err(error)) => {
            heed(&error);
            silent(name, sent, received, describe(&error))
        }
        Err(_) => silent(name, sent, received, "no answer in time".to_owned()),
    }
}

/// What the member takes for the time, µs since 1970.
pub async fn wall_clock(driver: &Driver) -> Result<i64, String> {
    let admin = driver.database("admin");
    let asked = admin.run_command(doc! { "hello": 1 });
    let said = tokio::time::timeout(LIMIT, asked.into_future()).await;
    let said = said.map_err(|_| "no answer in time".to_owned())?;
    let said = said.map_err(|error| describe(&error))?;
    let now = said.get_datetime("localTime").map_err(|error| error.to_string())?;
    Ok(now.timestamp_millis() * 1_000)
}

/// The set's `$clusterTime` as the member knows it, µs since 1970. An arbiter knows none.
pub async fn cluster_time(driver: &Driver) -> Result<Option<i64>, String> {
    let admin = driver.database("admin");
    let asked = admin.run_command(doc! { "hello": 1 });
    let said = tokio::time::timeout(LIMIT, asked.into_future()).await;
    let said = said.map_err(|_| "no answer in time".to_owned())?;
    Ok(cluster_time_of(&said.map_err(|error| describe(&error))?))
}

fn cluster_time_of(said: &Document) -> Option<i64> {
    let gossip = said.get_document("$clusterTime").ok()?;
    let Some(Bson::Timestamp(time)) = gossip.get("clusterTime") else { return None };
    (time.time != 0).then(|| i64::from(time.time) * 1_000_000)
}

/// An operation's time in a status, and its term.
fn optime(at: Option<&Bson>) -> Option<(Timestamp, i64)> {
    let at = at?.as_document()?;
    let Some(Bson::Timestamp(time)) = at.get("ts") else { return None };
    Some((*time, at.get_i64("t").unwrap_or(0)))
}

fn event(
    name: &str,
    names: &BTreeMap<i32, String>,
    sent: i64,
    received: i64,
    status: &Document,
) -> TelemetryEvent {
    let members: Vec<&Document> =
        status.get_array("members").into_iter().flatten().filter_map(Bson::as_document).collect();
    let optimes = status.get_document("optimes").ok();
    let applied = optimes.and_then(|optimes| optime(optimes.get("appliedOpTime")));
    let committed = optimes.and_then(|optimes| optime(optimes.get("lastCommittedOpTime")));
    let position = applied.map_or(0, |(time, _)| seat::number(time));
    let state = status.get_i32("myState").unwrap_or(0);
    let leads = |member: &&&Document| member.get_i32("state").is_ok_and(|state| state == 1);
    let leader = members.iter().find(leads).copied();
    let own = members.iter().find(|member| member.get_bool("self").unwrap_or(false)).copied();
    let known = leader.and_then(|leader| optime(leader.get("optime")));
    let level = known.map(|(time, _)| seat::number(time) <= position);
    // Who knows of no leader, or is not ready, does not know how far it is behind one.
    let lag = match (state, level) {
        (1, _) | (2, Some(true)) => Some(0),
        (2, Some(false)) => lag_ms(own, leader),
        _ => None,
    };
    let mut details = BTreeMap::new();
    if ![1, 2, ARBITER].contains(&state) {
        details.insert(READY.to_owned(), false.into());
    }
    let word = own.and_then(|own| own.get_str("stateStr").ok()).unwrap_or("UNKNOWN");
    details.insert("state".to_owned(), word.into());
    if let Some((time, term)) = applied {
        details.insert("optime".to_owned(), format!("{} term {term}", seat::text(time)).into());
    }
    if let Ok(source) = status.get_str("syncSourceHost")
        && !source.is_empty()
    {
        details.insert("copies_from".to_owned(), source.into());
    }
    if state == 1 {
        details.insert("standbys".to_owned(), followers(&members, own, names).into());
    }
    let place = leader.and_then(|leader| leader.get_i32("_id").ok());
    let replica = ShardTelemetry {
        shard: 0,
        role: role(state),
        term: status.get_i64("term").unwrap_or(0).max(0) as u64,
        leader: place.and_then(|place| names.get(&place).cloned()),
        position,
        committed: committed.map_or(0, |(time, _)| seat::number(time)),
        lag,
        aside: None,
    };
    let shards = match state {
        ARBITER => {
            details.insert(HOLDS_DATA.to_owned(), false.into());
            Vec::new()
        }
        _ => vec![replica],
    };
    TelemetryEvent {
        sent,
        received,
        node: name.to_owned(),
        alive: true,
        shards,
        error: None,
        details,
    }
}

/// What the leader knows of the others, each with its lag as a word, as reports read it. It hears
/// of them by heartbeats, so that a lag of one heartbeat is none.
fn followers(
    members: &[&Document],
    own: Option<&Document>,
    names: &BTreeMap<i32, String>,
) -> Vec<serde_json::Value> {
    let votes_only = |member: &Document| member.get_i32("state").is_ok_and(|s| s == ARBITER);
    let others = members.iter().filter(|member| !member.get_bool("self").unwrap_or(false));
    let others = others.filter(|member| !votes_only(member));
    let told = others.filter_map(|member| {
        let name = names.get(&member.get_i32("_id").ok()?)?;
        let level = optime(member.get("optime")) >= own.and_then(|own| optime(own.get("optime")));
        // Of whom it hears nothing it knows only what it heard last.
        let unheard = member.get_f64("health").is_ok_and(|health| health == 0.0);
        let lag = if level { Some(0) } else { lag_ms(Some(*member), own) };
        let grade = match lag.filter(|_| !unheard) {
            None => "not told",
            Some(lag) if lag < GRADES_MS[0] => "healthy",
            Some(lag) if lag <= GRADES_MS[1] => "lagging",
            Some(_) => "far behind",
        };
        let state = member.get_str("stateStr").unwrap_or("UNKNOWN");
        let name = name.as_str();
        Some(json!({ "standby": name, "state": state, "lag_ms": lag, "grade": grade }))
    });
    told.collect()
}

/// The role of a member state. Who is in ROLLBACK was leader, or copied one, and turns back.
fn role(state: i32) -> Role {
    match state {
        1 => Role::Leader,
        9 => Role::Deposed,
        _ => Role::Follower,
    }
}

/// How far behind the leader's clock, ms, by the operations that both have applied, at least 1;
/// `None` where one of them does not say.
fn lag_ms(own: Option<&Document>, leader: Option<&Document>) -> Option<u64> {
    let wall = |member: Option<&Document>| match member?.get("lastAppliedWallTime") {
        Some(Bson::DateTime(at)) => Some(DateTime::timestamp_millis(*at)),
        _ => None,
    };
    match (wall(own), wall(leader)) {
        (Some(own), Some(leader)) => Some((leader - own).max(1) as u64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: i32, own: u32, leaders: u32) -> Document {
        let at = |increment| doc! { "ts": Timestamp { time: 7, increment }, "t": 3_i64 };
        let wall = |increment: u32| DateTime::from_millis(1_000 + i64::from(increment));
        doc! {
            "myState": state,
            "term": 3_i64,
            "optimes": { "appliedOpTime": at(own), "lastCommittedOpTime": at(own) },
            "members": [
                { "_id": 0, "state": 1, "stateStr": "PRIMARY", "optime": at(leaders),
                  "lastAppliedWallTime": wall(leaders) },
                { "_id": 1, "state": state, "stateStr": "SECONDARY", "self": true,
                  "optime": at(own), "lastAppliedWallTime": wall(own) },
            ],
        }
    }

    fn names() -> BTreeMap<i32, String> {
        BTreeMap::from([(0, "n1".to_owned()), (1, "n2".to_owned())])
    }

    fn replica(status: &Document) -> ShardTelemetry {
        event("n2", &names(), 0, 0, status).shards.remove(0)
    }

    #[test]
    fn a_follower_that_has_what_the_leader_has_is_level() {
        let level = replica(&status(2, 5, 5));
        assert_eq!((level.role, level.lag, level.term), (Role::Follower, Some(0), 3));
        assert_eq!((level.position, level.committed), (7 << 32 | 5, 7 << 32 | 5));
        assert_eq!(level.leader.as_deref(), Some("n1"));
        assert_eq!(replica(&status(2, 5, 65)).lag, Some(60));
    }

    #[test]
    fn the_cluster_s_time_is_read_where_a_member_knows_it() {
        let time =
            |time| doc! { "$clusterTime": { "clusterTime": Timestamp { time, increment: 3 } } };
        assert_eq!(cluster_time_of(&time(86_400)), Some(86_400_000_000));
        assert_eq!(cluster_time_of(&time(0)), None);
        assert_eq!(cluster_time_of(&doc! { "ok": 1 }), None);
    }

    #[test]
    fn a_leader_grades_its_followers() {
        let mut said = status(1, 5, 5);
        let late = doc! { "_id": 0, "state": 2, "stateStr": "SECONDARY",
        "optime": { "ts": Timestamp { time: 1, increment: 1 }, "t": 3_i64 },
        "lastAppliedWallTime": DateTime::from_millis(5 - 6_000) };
        said.get_array_mut("members").unwrap()[0] = late.into();
        let told = event("n2", &names(), 0, 0, &said).details.remove("standbys").unwrap();
        assert_eq!(told[0]["standby"], "n1");
        assert_eq!(
            (&told[0]["grade"], told[0]["lag_ms"].as_u64()),
            (&json!("far behind"), Some(7_000))
        );
    }

    #[test]
    fn an_arbiter_is_no_replica() {
        let told = event("n2", &names(), 0, 0, &status(7, 0, 5));
        assert!(told.alive && told.shards.is_empty() && !told.holds_data());
        let mut said = status(1, 5, 5);
        let voter = doc! { "_id": 0, "state": 7, "stateStr": "ARBITER" };
        said.get_array_mut("members").unwrap()[0] = voter.into();
        let told = event("n2", &names(), 0, 0, &said);
        assert!(told.holds_data());
        assert_eq!(told.details["standbys"], json!([]));
    }

    #[test]
    fn who_turns_back_or_is_not_ready_is_never_level_and_knows_no_lag() {
        for (state, role) in [(9, Role::Deposed), (5, Role::Follower)] {
            let told = event("n2", &names(), 0, 0, &status(state, 5, 5));
            assert_eq!((told.shards[0].role, told.shards[0].lag), (role, None));
            assert!(!told.ready());
        }
        assert!(event("n2", &names(), 0, 0, &status(2, 5, 5)).ready());
    }

    #[test]
    fn a_follower_that_knows_of_no_leader_does_not_say_that_it_is_level() {
        let mut said = status(2, 5, 5);
        let gone = doc! { "_id": 0, "state": 8, "stateStr": "(not reachable/healthy)" };
        said.get_array_mut("members").unwrap()[0] = gone.into();
        assert_eq!(replica(&said).lag, None);
    }

    #[test]
    fn of_a_follower_that_it_does_not_hear_a_leader_tells_no_grade() {
        let mut said = status(1, 5, 5);
        let gone = doc! { "_id": 0, "state": 8, "health": 0.0,
        "stateStr": "(not reachable/healthy)",
        "optime": { "ts": Timestamp { time: 7, increment: 5 }, "t": 3_i64 } };
        said.get_array_mut("members").unwrap()[0] = gone.into();
        let told = event("n2", &names(), 0, 0, &said).details.remove("standbys").unwrap();
        assert_eq!(told[0]["grade"], "not told");
    }
}
