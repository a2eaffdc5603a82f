//! A secondary that is asked to stand for election at once (`replSetStepUp`), though a primary may
//! be well: a forced failover.

use std::thread;
use std::time::{Duration, Instant};

use ::mongodb::Client as Driver;
use ::mongodb::bson::doc;
use history::Evidence;
use tokio::runtime::Runtime;

use super::step_down::{Unanswered, ask};
use crate::leadership;
use crate::system::{System, SystemError};

/// How long the command may take: it returns when the election is won, or lost.
const COMMAND_LIMIT: Duration = Duration::from_secs(10);

/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// Asks the member at `node`, and waits until it leads. An error is what could not be told.
pub fn step_up(
    system: &dyn System,
    runtime: &Runtime,
    driver: &Driver,
    node: usize,
    limit: Duration,
) -> Result<Vec<Evidence>, SystemError> {
    let (before, until) = (leadership::now(system), Instant::now() + limit);
    let refused = loop {
        let asked = runtime.block_on(ask(driver, doc! { "replSetStepUp": 1 }, COMMAND_LIMIT));
        match asked {
            Ok(_) => return Ok(leadership::promoted(system, node, &before, limit)),
            // One that has less than the others is not elected. Under load that changes at every
            // moment, and an election that was lost has made the primary stand down.
            Err(Unanswered::Said(_)) if Instant::now() < until => thread::sleep(PAUSE),
            Err(Unanswered::Said(error)) => break super::errors::describe(&error),
            Err(other) => return Err(SystemError::new(format!("replSetStepUp: {}", other.text()))),
        }
    };
    Ok(vec![Evidence {
        probe: format!("replSetStepUp of {}", system.nodes().names[node]),
        expected: "done".to_owned(),
        observed: refused,
        holds: false,
    }])
}
