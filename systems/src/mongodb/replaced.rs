//! A member that comes back empty: it is taken out of the set, its data is taken away, and once it
//! is added again it fetches all of it from another member (initial sync).

use std::time::Duration;

use ::mongodb::bson::{Document, doc};
use history::Evidence;

use super::MongoSystem;
use super::provision::FOLDER;
use super::step_down::ask;
use crate::replacing::{self, Replacing};
use crate::system::{System, SystemError};

/// How long a member may take to tell its counters.
const LIMIT: Duration = Duration::from_secs(2);

impl Replacing for MongoSystem {
    fn leave(&self, node: usize) -> Result<Vec<Evidence>, SystemError> {
        self.remove_member(node)
    }

    fn empty(&self, node: usize) -> Result<Vec<Evidence>, SystemError> {
        Ok(vec![replacing::emptied(&self.nodes, node, &format!("{FOLDER}/data"))?])
    }

    fn join(&self, node: usize) -> Result<Vec<Evidence>, SystemError> {
        let mut evidence = self.add_member(node)?;
        let asked = ask(self.control(node)?, doc! { "serverStatus": 1 }, LIMIT);
        let status = self.runtime.block_on(asked);
        let status = status.map_err(|error| SystemError::new(error.text()))?;
        let synced = synced(&status);
        evidence.push(Evidence {
            probe: format!("{} initial syncs since it was started", self.nodes.names[node]),
            expected: "1 completed".to_owned(),
            observed: match synced {
                Some((completed, failed)) => format!("{completed} completed, {failed} failed"),
                None => "it does not count them".to_owned(),
            },
            holds: synced.is_some_and(|(completed, _)| completed == 1),
        });
        Ok(evidence)
    }
}

/// Initial syncs that a server has completed, and attempts that failed (`serverStatus`,
/// `metrics.repl.initialSync`).
fn synced(status: &Document) -> Option<(i64, i64)> {
    let counters = status.get_document("metrics").ok()?.get_document("repl").ok()?;
    let counters = counters.get_document("initialSync").ok()?;
    let count = |name| counters.get_i64(name).or_else(|_| counters.get_i32(name).map(i64::from));
    Some((count("completed").ok()?, count("failedAttempts").unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initial_syncs_are_counted_by_the_server() {
        let counters = doc! { "completed": 1_i64, "failedAttempts": 0_i64, "failures": 0_i64 };
        let status = doc! { "metrics": { "repl": { "initialSync": counters } } };
        assert_eq!(synced(&status), Some((1, 0)));
        assert_eq!(synced(&doc! { "metrics": {} }), None);
    }
}
