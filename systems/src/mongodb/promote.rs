//! A secondary that is asked to stand for election at once (`replSetStepUp`), though a primary may
//! be well: a forced failover.

use std::time::Duration;

use ::mongodb::Client as Driver;
use ::mongodb::bson::doc;
use history::Evidence;
use tokio::runtime::Runtime;

use super::step_down::{Unanswered, ask};
use crate::leadership;
use crate::system::{System, SystemError};

/// How long the command may take: it returns when the election is won, or lost.
const COMMAND_LIMIT: Duration = Duration::from_secs(10);

/// Asks the member at `node`, and waits until it leads. An error is what could not be told.
pub fn step_up(
    system: &dyn System,
    runtime: &Runtime,
    driver: &Driver,
    node: usize,
    limit: Duration,
) -> Result<Vec<Evidence>, SystemError> {
    let before = leadership::now(system);
    let asked = runtime.block_on(ask(driver, doc! { "replSetStepUp": 1 }, COMMAND_LIMIT));
    let refused = match asked {
        Ok(_) => return Ok(leadership::promoted(system, node, &before, limit)),
        Err(Unanswered::Said(error)) => super::errors::describe(&error),
        Err(other) => return Err(SystemError::new(format!("replSetStepUp: {}", other.text()))),
    };
    // One that has less than the others is not elected: nothing has happened.
    Ok(vec![Evidence {
        probe: format!("replSetStepUp of {}", system.nodes().names[node]),
        expected: "done".to_owned(),
        observed: refused,
        holds: false,
    }])
}
