//! What a configuration promises, and what would promise the rest.

use std::collections::BTreeMap;

/// Checker name to the reason why it is, or the setting that would make it, promised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Promises {
    /// Promised, and why, with the page that says so.
    pub made: BTreeMap<String, String>,
    /// Not promised, and what would promise it.
    pub not_made: BTreeMap<String, String>,
}

impl Promises {
    /// Notes a promise, or what it is missing.
    pub fn set(&mut self, checker: &str, promise: Result<String, String>) {
        match promise {
            Ok(why) => self.made.insert(checker.to_owned(), why),
            Err(missing) => self.not_made.insert(checker.to_owned(), missing),
        };
    }
}

/// A value's fields as settings for the record.
pub fn settings<T: serde::Serialize>(value: &T) -> BTreeMap<String, serde_json::Value> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::Object(map)) => map.into_iter().collect(),
        _ => BTreeMap::new(),
    }
}
