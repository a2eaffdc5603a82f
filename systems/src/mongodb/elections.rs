//! Who won elections since it was started, and why: `serverStatus.electionMetrics`.

use std::time::Duration;

use ::mongodb::Client as Driver;
use ::mongodb::bson::{Bson, Document, doc};

/// How long a member may take to say it.
const LIMIT: Duration = Duration::from_secs(1);

/// The elections that a member won, by cause; empty when it does not answer. A member that was
/// killed has forgotten those before.
pub async fn won(driver: &Driver) -> Vec<(String, i64)> {
    let admin = driver.database("admin");
    let asked = admin.run_command(doc! { "serverStatus": 1, "electionMetrics": 1 });
    match tokio::time::timeout(LIMIT, asked.into_future()).await {
        Ok(Ok(status)) => read(&status),
        _ => Vec::new(),
    }
}

fn read(status: &Document) -> Vec<(String, i64)> {
    let Ok(metrics) = status.get_document("electionMetrics") else {
        return Vec::new();
    };
    let successes = metrics.iter().filter_map(|(cause, counts)| {
        let count = match counts.as_document()?.get("successful")? {
            Bson::Int64(count) => *count,
            Bson::Int32(count) => i64::from(*count),
            _ => return None,
        };
        (0 < count).then(|| (cause.clone(), count))
    });
    successes.collect()
}

/// Those of `now` that were not won `before`. A member that was started anew has forgotten them.
pub fn since(before: &[(String, i64)], now: &[(String, i64)]) -> Vec<(String, i64)> {
    let earlier = |cause: &str| before.iter().find(|(c, _)| c == cause).map_or(0, |(_, n)| *n);
    let anew = before
        .iter()
        .any(|(cause, count)| now.iter().find(|(c, _)| c == cause).map_or(0, |(_, n)| *n) < *count);
    let won = |(cause, count): &(String, i64)| {
        let count = if anew { *count } else { *count - earlier(cause) };
        (0 < count).then(|| (cause.clone(), count))
    };
    now.iter().filter_map(won).collect()
}

/// In words, for a member of this name; `None` if it won none.
pub fn sentence(name: &str, won: &[(String, i64)]) -> Option<String> {
    let causes: Vec<String> =
        won.iter().map(|(cause, count)| format!("{count} by {cause}")).collect();
    (!causes.is_empty()).then(|| {
        let causes = causes.join(", ");
        format!("{name} won elections: {causes} (its own count, read after the run; not when)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_elections_that_were_won_are_told() {
        let status = doc! { "electionMetrics": {
            "stepUpCmd": { "called": 1_i64, "successful": 1_i64 },
            "electionTimeout": { "called": 3_i64, "successful": 2_i64 },
            "freezeTimeout": { "called": 1_i64, "successful": 0_i64 },
            "numStepDownsCausedByHigherTerm": 1_i64,
        } };
        let said = sentence("n2", &read(&status));
        let expected = "n2 won elections: 1 by stepUpCmd, 2 by electionTimeout (its own count, \
                        read after the run; not when)";
        assert_eq!(said.as_deref(), Some(expected));
        assert_eq!(sentence("n1", &read(&doc! {})), None);
    }

    #[test]
    fn elections_before_a_run_are_not_its_own() {
        let won = |counts: &[(&str, i64)]| -> Vec<(String, i64)> {
            counts.iter().map(|(cause, count)| ((*cause).to_owned(), *count)).collect()
        };
        let before = won(&[("electionTimeout", 3), ("stepUpCmd", 1)]);
        let now = won(&[("electionTimeout", 4), ("stepUpCmd", 1), ("catchUpTakeover", 1)]);
        let own = won(&[("electionTimeout", 1), ("catchUpTakeover", 1)]);
        assert_eq!(since(&before, &now), own);
        let anew = won(&[("electionTimeout", 1)]);
        assert_eq!(since(&before, &anew), anew, "it was started anew");
        assert_eq!(since(&before, &before), won(&[]));
    }
}
