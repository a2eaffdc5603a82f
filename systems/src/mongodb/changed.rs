//! A member with another server parameter: on the command line of its next start.

use ::mongodb::bson::{Bson, doc};
use std::time::Duration;

use super::MongoSystem;
use super::step_down::ask;
use crate::changing::Changing;
use crate::system::SystemError;

/// How long a member may take to say what a parameter is.
const LIMIT: Duration = Duration::from_secs(2);

impl Changing for MongoSystem {
    fn change(&self, node: usize, name: &str, value: &str) -> Result<(), SystemError> {
        // One that it does not know would keep it from starting.
        self.says(node, name)?;
        let mut changed = self.changed.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let of_node = changed.entry(node).or_default();
        of_node.retain(|set| set.split('=').next() != Some(name));
        of_node.push(format!("{name}={value}"));
        Ok(())
    }

    fn says(&self, node: usize, name: &str) -> Result<String, SystemError> {
        let driver = self.control(node)?;
        let asked = doc! { "getParameter": 1, name: 1 };
        let said = self.runtime.block_on(ask(driver, asked, LIMIT)).map_err(|error| {
            SystemError::new(format!("{}: {name}: {}", self.nodes.names[node], error.text()))
        })?;
        Ok(match said.get(name) {
            Some(Bson::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => return Err(SystemError::new(format!("getParameter says nothing of {name}"))),
        })
    }
}
