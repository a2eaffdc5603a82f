//! A member that is taken out of the replica set during a run, and added again (`replSetReconfig`).
//!
//! The evidence is the version of the configuration at the primary, and what the member says of
//! itself once it has heard of it.

use std::time::{Duration, Instant};

use ::mongodb::Client as Driver;
use ::mongodb::bson::{Bson, Document, doc};
use history::Evidence;

use super::errors::{Said, told};
use super::step_down::{Member, Unanswered, ask};
use crate::system::SystemError;

/// How long a command may take: a new configuration waits for a majority to have it.
const COMMAND_LIMIT: Duration = Duration::from_secs(5);
/// How long the primary may be looked for, and the change be repeated, and the member may take to
/// have heard of it, each.
const LIMIT: Duration = Duration::from_secs(20);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);
/// InvalidReplicaSetConfig: what a member says that is in its configuration no longer.
const NO_MEMBER: i32 = 93;
/// NewReplicaSetConfigurationIncompatible: the primary refuses, and would again. Without one of its
/// members a set with an arbiter has another implicit write concern, which is such a reason.
const INCOMPATIBLE: i32 = 103;

/// Takes the member at `node` out. An error is what could not be told.
pub async fn remove(members: &[Member<'_>], node: usize) -> Result<Vec<Evidence>, SystemError> {
    change(members, node, None).await
}

/// Adds the member at `node`, as this entry of the configuration says.
pub async fn add(
    members: &[Member<'_>],
    node: usize,
    entry: Document,
) -> Result<Vec<Evidence>, SystemError> {
    change(members, node, Some(entry)).await
}

async fn change(
    members: &[Member<'_>],
    node: usize,
    entry: Option<Document>,
) -> Result<Vec<Evidence>, SystemError> {
    let started = Instant::now();
    let name = members[node].name;
    let adds = entry.is_some();
    let mut why = "no member leads".to_owned();
    while started.elapsed() < LIMIT {
        let attempt = reconfigure(members, node, entry.as_ref()).await;
        match attempt {
            Ok(Some((before, after))) => {
                let config = Evidence {
                    probe: format!(
                        "configuration {} {name}",
                        if adds { "with" } else { "without" }
                    ),
                    expected: format!("a version after {before}"),
                    observed: format!("version {after}"),
                    holds: before < after,
                };
                let heard = heard(&members[node], adds).await;
                return Ok(vec![config, heard]);
            }
            Ok(None) => {
                let there = if adds { "is" } else { "is not" };
                return Ok(vec![Evidence {
                    probe: format!("configuration before, {name}"),
                    expected: format!("{}a member", if adds { "not " } else { "" }),
                    observed: format!("it {there} a member already"),
                    // Who adds it again wants no more than this.
                    holds: adds,
                }]);
            }
            // Not before the last change is on a majority, or another leads now: asked again.
            Err(Refused { why: said, passes }) => {
                why = said;
                if !passes {
                    break;
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(SystemError::new(format!("replSetReconfig for {name}: {why}")))
}

/// Why the configuration was not changed.
struct Refused {
    why: String,
    /// Whether it may be asked for again.
    passes: bool,
}

impl From<String> for Refused {
    fn from(why: String) -> Refused {
        Refused { why, passes: true }
    }
}

/// Changes the configuration at the primary: its versions before and after, or `None` if it is so
/// already.
async fn reconfigure(
    members: &[Member<'_>],
    node: usize,
    entry: Option<&Document>,
) -> Result<Option<(i32, i32)>, Refused> {
    let primary = primary(members).await.ok_or_else(|| "no member leads".to_owned())?;
    let before = configuration(primary).await?;
    let Some(config) = changed(&before, node, entry) else { return Ok(None) };
    let asked = ask(primary, doc! { "replSetReconfig": config }, COMMAND_LIMIT).await;
    asked.map_err(|error| Refused { passes: !is(&error, INCOMPATIBLE), why: error.text() })?;
    let after = configuration(primary).await?;
    Ok(Some((version(&before), version(&after))))
}

/// The next configuration, or `None` if there is nothing to change. A member's `_id` is its place.
fn changed(config: &Document, node: usize, entry: Option<&Document>) -> Option<Document> {
    let id = |member: &Bson| member.as_document().and_then(|m| m.get_i32("_id").ok());
    let mut members: Vec<Bson> = config.get_array("members").ok()?.clone();
    let place = members.iter().position(|member| id(member) == Some(node as i32));
    match (place, entry) {
        (Some(place), None) => drop(members.remove(place)),
        (None, Some(entry)) => members.push(entry.clone().into()),
        _ => return None,
    }
    let mut config = config.clone();
    config.insert("members", members);
    config.insert("version", version(&config) + 1);
    Some(config)
}

fn version(config: &Document) -> i32 {
    config.get_i32("version").unwrap_or(0)
}

async fn configuration(primary: &Driver) -> Result<Document, String> {
    let said = ask(primary, doc! { "replSetGetConfig": 1 }, COMMAND_LIMIT).await;
    let said = said.map_err(|error| error.text())?;
    said.get_document("config").cloned().map_err(|error| error.to_string())
}

async fn primary<'a>(members: &[Member<'a>]) -> Option<&'a Driver> {
    let mut newest = None;
    for member in members {
        let asked = ask(member.driver, doc! { "replSetGetStatus": 1 }, PAUSE * 20).await;
        // Who does not answer is hurt by another fault.
        let Ok(said) = asked else { continue };
        let term = said.get_i64("term").unwrap_or(-1);
        if said.get_i32("myState").is_ok_and(|state| state == 1)
            && newest.is_none_or(|(known, _)| known < term)
        {
            newest = Some((term, member.driver));
        }
    }
    newest.map(|(_, driver)| driver)
}

/// Waits until the member says what it is to be: removed, or one that serves again.
async fn heard(member: &Member<'_>, adds: bool) -> Evidence {
    let started = Instant::now();
    let expected = if adds { "SECONDARY, PRIMARY or ARBITER" } else { "REMOVED" };
    let mut observed;
    loop {
        let said = ask(member.driver, doc! { "replSetGetStatus": 1 }, PAUSE * 20).await;
        observed = state(said);
        let holds = match adds {
            true => ["SECONDARY", "PRIMARY", "ARBITER"].contains(&observed.as_str()),
            false => observed == "REMOVED",
        };
        let took = started.elapsed();
        if holds || LIMIT < took {
            let probe = format!("{} says of itself", member.name);
            let observed = format!("{observed} after {:.2} s", took.as_secs_f64());
            return Evidence { probe, expected: expected.to_owned(), observed, holds };
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether a server said no with this code.
fn is(error: &Unanswered, code: i32) -> bool {
    matches!(error, Unanswered::Said(error) if told(error).said == Said::Command(code))
}

fn state(said: Result<Document, Unanswered>) -> String {
    match said {
        Ok(status) => {
            let members = status.get_array("members").into_iter().flatten();
            let own = members
                .filter_map(Bson::as_document)
                .find(|member| member.get_bool("self").unwrap_or(false));
            own.and_then(|own| own.get_str("stateStr").ok()).unwrap_or("UNKNOWN").to_owned()
        }
        Err(error) if is(&error, NO_MEMBER) => "REMOVED".to_owned(),
        Err(error) => error.text(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_member_is_taken_out_and_put_back_and_nothing_else_changes() {
        let entry = |id: i32| doc! { "_id": id, "host": format!("10.0.0.{id}:27017") };
        let config = doc! { "_id": "s", "version": 4, "term": 2_i64,
        "members": [entry(0), entry(1), entry(2)] };
        let without = changed(&config, 1, None).unwrap();
        assert_eq!(without.get_array("members").unwrap().len(), 2);
        assert_eq!((version(&without), without.get_i64("term").unwrap()), (5, 2));
        assert_eq!(changed(&without, 1, None), None, "it is gone already");
        let again = changed(&without, 1, Some(&entry(1))).unwrap();
        assert_eq!(again.get_array("members").unwrap().len(), 3);
        assert_eq!(version(&again), 6);
        assert_eq!(changed(&again, 1, Some(&entry(1))), None);
    }
}
