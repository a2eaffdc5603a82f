//! Histories from files of all forms that are read.

use std::path::Path;

use history::{History, ReadError, Reading};

/// What was read of a file.
pub struct Loaded {
    /// The history, up to the damage if there is any.
    pub history: History,
    /// What is wrong with the file, and where.
    pub damage: Option<String>,
    /// What was taken otherwise than it stands.
    pub notes: Vec<String>,
}

/// Reads a file, as far as it can be read.
pub fn read(file: &str, reading: &Reading) -> Result<Loaded, String> {
    let read = history::read_file(Path::new(file), reading).map_err(|error| match error {
        ReadError::Open { source, .. } => format!("cannot read: {source}"),
        ReadError::NotAHistory { line, why, .. } => format!("line {line}: {why}"),
    })?;
    let damage = read.damage.map(|damage| format!("line {}: {}", damage.line, damage.why));
    if damage.is_none() && read.history.ops.is_empty() && read.skipped == 0 {
        return Err("the file is empty".to_owned());
    }
    Ok(Loaded { history: read.history, damage, notes: read.notes })
}
