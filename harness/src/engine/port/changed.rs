//! A node that is restarted with another setting: changed before, asked after.

use std::thread;
use std::time::{Duration, Instant};

use history::Evidence;
use systems::changing;

use super::HostPort;

/// How long a node may take to say what it is set to, once its process runs.
const SAYS_LIMIT: Duration = Duration::from_secs(10);
/// Pause between two questions.
const PAUSE: Duration = Duration::from_millis(50);

impl HostPort {
    /// Has a node start with this setting, `NAME=VALUE`, from its next start on.
    pub(super) fn change(&self, node: usize, set: Option<&str>) -> Result<(), String> {
        let Some((name, value)) = set.and_then(changing::parse) else {
            return Ok(());
        };
        let by = self.system.changing().ok_or("this system's settings cannot be changed")?;
        by.change(node, name, value).map_err(|error| error.what)
    }

    /// What the node, started again, says that the setting is.
    pub(super) fn changed(&self, node: usize, set: Option<&str>) -> Option<Evidence> {
        let (name, value) = set.and_then(changing::parse)?;
        let by = self.system.changing()?;
        let started = Instant::now();
        loop {
            let (said, holds) = match by.has(node, name, value) {
                Ok(said) => said,
                Err(error) => (error.what, false),
            };
            if holds || SAYS_LIMIT <= started.elapsed() {
                return Some(Evidence {
                    probe: format!("{} {name}", self.name(node)),
                    expected: value.to_owned(),
                    observed: said,
                    holds,
                });
            }
            thread::sleep(PAUSE);
        }
    }
}
