//! A primary that is asked to stand down (`replSetStepDown`), and what became of it.
//!
//! The evidence is what members say before the command, after it, and once another was elected:
//! who leads, in which term.

use std::time::{Duration, Instant};

use ::mongodb::Client as Driver;
use ::mongodb::bson::{Document, doc};
use ::mongodb::error::{Error, ErrorKind};
use history::Evidence;

use super::errors::describe;
use crate::system::SystemError;

/// How long the primary waits for a secondary to have all that it has, s.
const CATCH_UP_S: i32 = 2;
/// How long the command may take: longer than the catching up that is part of it.
const COMMAND_LIMIT: Duration = Duration::from_secs(5);
/// How long a member may take to say how it is.
const STATUS_LIMIT: Duration = Duration::from_millis(400);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);
/// `myState` of a primary.
const PRIMARY: i32 = 1;

/// A member and the driver to it.
pub struct Member<'a> {
    /// Its name.
    pub name: &'a str,
    /// Over the control network.
    pub driver: &'a Driver,
}

/// What a member says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Standing {
    state: i32,
    term: i64,
}

impl Standing {
    fn read(status: &Document) -> Standing {
        Standing {
            state: status.get_i32("myState").unwrap_or(-1),
            term: status.get_i64("term").unwrap_or(-1),
        }
    }

    fn leads(self) -> bool {
        self.state == PRIMARY
    }

    fn text(self) -> String {
        let state = match self.state {
            PRIMARY => "primary".to_owned(),
            2 => "secondary".to_owned(),
            7 => "an arbiter".to_owned(),
            9 => "in rollback".to_owned(),
            other => format!("in state {other}"),
        };
        format!("{state}, term {}", self.term)
    }
}

/// How long an election may take after the old primary has stood down.
pub fn elect_limit(election_timeout_ms: u64) -> Duration {
    // One that is lost is repeated after another timeout.
    Duration::from_millis(2 * election_timeout_ms) + Duration::from_secs(3)
}

/// Asks the member at `node` to stand down for so many seconds; waits until another leads in a
/// later term. An error is what could not be told.
pub async fn step_down(
    members: &[Member<'_>],
    node: usize,
    seconds: u32,
    limit: Duration,
) -> Result<Vec<Evidence>, SystemError> {
    let old = &members[node];
    let before = standing(old).await?;
    let mut evidence =
        vec![probe(format!("{} before", old.name), "primary", before, before.leads())];
    if !before.leads() {
        return Ok(evidence);
    }
    let seconds = i32::try_from(seconds).unwrap_or(i32::MAX).max(CATCH_UP_S + 1);
    let asked = doc! { "replSetStepDown": seconds, "secondaryCatchUpPeriodSecs": CATCH_UP_S };
    let refused = match ask(old.driver, asked, COMMAND_LIMIT).await {
        Ok(_) => None,
        Err(Unanswered::Said(error)) => Some(describe(&error)),
        Err(other) => return Err(SystemError::new(format!("replSetStepDown: {}", other.text()))),
    };
    let during = standing(old).await?;
    if let Some(why) = refused {
        let unchanged = during == before;
        if !unchanged {
            // Something else took its place while it was asked.
            let what = format!("replSetStepDown: {why}; then it was {}", during.text());
            return Err(SystemError::new(what));
        }
        evidence.push(Evidence {
            probe: format!("replSetStepDown of {}", old.name),
            expected: "done".to_owned(),
            observed: why,
            holds: false,
        });
        return Ok(evidence);
    }
    let stood_down = !during.leads();
    evidence.push(probe(format!("{} asked", old.name), "not primary", during, stood_down));
    evidence.push(successor(members, node, before, limit).await?);
    Ok(evidence)
}

/// Waits until a member other than that at `node` leads in a term after `before`.
async fn successor(
    members: &[Member<'_>],
    node: usize,
    before: Standing,
    limit: Duration,
) -> Result<Evidence, SystemError> {
    let started = Instant::now();
    while started.elapsed() < limit {
        for (_, member) in members.iter().enumerate().filter(|(place, _)| *place != node) {
            // A member that does not answer is hurt by another fault; the others may still elect.
            let Ok(now) = standing(member).await else { continue };
            if now.leads() && before.term < now.term {
                return Ok(Evidence {
                    probe: "primary after".to_owned(),
                    expected: format!("another, of a term after {}", before.term),
                    observed: format!("{}, term {}", member.name, now.term),
                    holds: true,
                });
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    let within = limit.as_secs_f64();
    let name = members[node].name;
    Err(SystemError::new(format!("{name} stood down, and nobody was elected within {within:.1} s")))
}

/// Lets it stand for election again.
pub async fn stand_again(member: &Member<'_>) -> Result<Vec<Evidence>, SystemError> {
    let asked = ask(member.driver, doc! { "replSetFreeze": 0 }, COMMAND_LIMIT).await;
    let observed = match asked {
        Ok(_) => "done".to_owned(),
        // A primary cannot be frozen, and need not be let go.
        Err(Unanswered::Said(error)) if standing(member).await?.leads() => {
            format!("it leads again: {}", describe(&error))
        }
        Err(other) => return Err(SystemError::new(format!("replSetFreeze: {}", other.text()))),
    };
    let probe = format!("replSetFreeze 0 at {}", member.name);
    let done = Evidence { probe, expected: "done".to_owned(), observed, holds: true };
    let now = standing(member).await?;
    Ok(vec![done, self::probe(format!("{} healed", member.name), "a member", now, 0 < now.state)])
}

fn probe(what: String, expected: &str, seen: Standing, holds: bool) -> Evidence {
    Evidence { probe: what, expected: expected.to_owned(), observed: seen.text(), holds }
}

async fn standing(member: &Member<'_>) -> Result<Standing, SystemError> {
    let said = ask(member.driver, doc! { "replSetGetStatus": 1 }, STATUS_LIMIT).await;
    let said = said.map_err(|error| {
        SystemError::new(format!("{}: replSetGetStatus: {}", member.name, error.text()))
    })?;
    Ok(Standing::read(&said))
}

/// Why a command has no result.
pub(super) enum Unanswered {
    /// The server said no.
    Said(Error),
    /// What it did is not known.
    Unknown(String),
}

impl Unanswered {
    pub(super) fn text(&self) -> String {
        match self {
            Unanswered::Said(error) => describe(error),
            Unanswered::Unknown(why) => why.clone(),
        }
    }
}

/// A command to a member's `admin` database.
pub(super) async fn ask(
    driver: &Driver,
    asked: Document,
    limit: Duration,
) -> Result<Document, Unanswered> {
    let admin = driver.database("admin");
    match tokio::time::timeout(limit, admin.run_command(asked).into_future()).await {
        Ok(Ok(said)) => Ok(said),
        Ok(Err(error)) if matches!(*error.kind, ErrorKind::Command(_)) => {
            Err(Unanswered::Said(error))
        }
        Ok(Err(error)) => Err(Unanswered::Unknown(describe(&error))),
        Err(_) => Err(Unanswered::Unknown(format!("no answer within {limit:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_told_by_its_state_and_term() {
        let primary = Standing::read(&doc! { "myState": 1, "term": 4_i64 });
        assert!(primary.leads());
        assert_eq!(primary.text(), "primary, term 4");
        let other = Standing::read(&doc! { "myState": 2, "term": 5_i64 });
        assert!(!other.leads());
        assert_eq!(other.text(), "secondary, term 5");
        assert_eq!(Standing::read(&doc! {}).text(), "in state -1, term -1");
    }

    #[test]
    fn an_election_may_be_repeated() {
        assert_eq!(elect_limit(2_000), Duration::from_secs(7));
    }
}
