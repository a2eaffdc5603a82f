//! Where each field of an inventory is, so that a message can point at its line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Field, such as `allow`, `attach.uri` or `host[0].uri`, to its line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    path: PathBuf,
    lines: BTreeMap<String, usize>,
}

impl Places {
    /// Finds the fields of a text that has been read as TOML already.
    pub(super) fn of(path: &Path, text: &str) -> Places {
        let mut lines = BTreeMap::new();
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        let mut table = String::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if let Some(name) = line.strip_prefix("[[").and_then(|rest| rest.split("]]").next()) {
                let count = counts.entry(name.trim().to_owned()).or_default();
                table = format!("{}[{count}].", name.trim());
                *count += 1;
            } else if let Some(name) = line.strip_prefix('[').and_then(|r| r.split(']').next()) {
                table = format!("{}.", name.trim());
            } else if let Some((key, _)) = line.split_once('=') {
                lines.entry(format!("{table}{}", key.trim())).or_insert(number + 1);
                continue;
            }
            // The table itself, for fields that are missing.
            lines.entry(table.trim_end_matches('.').to_owned()).or_insert(number + 1);
        }
        Places { path: path.to_owned(), lines }
    }

    /// `line 3: attach.uri: `; the table's line if the field is not there.
    pub fn line(&self, field: &str) -> String {
        let table = field.rsplit_once('.').map_or("", |(table, _)| table);
        match self.lines.get(field).or_else(|| self.lines.get(table)) {
            Some(line) => format!("line {line}: {field}: "),
            None => format!("{field}: "),
        }
    }

    /// `FILE:3: attach.uri`, for messages with a place of their own.
    pub fn at(&self, field: &str) -> String {
        match self.lines.get(field) {
            Some(line) => format!("{}:{line}: {field}", self.path.display()),
            None => format!("{}: {field}", self.path.display()),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
