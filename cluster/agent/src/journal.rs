//! The journal: what must be undone, written and synced before it is done.
//!
//! JSON lines in a folder that only root can read. `{"do":..}` is written before an act,
//! `{"undone":..}` after it was undone. A line that was torn by a crash belongs to an act that was
//! not begun.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::undo::Undo;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    Do { fault: String, undo: Undo },
    Undone { fault: String },
}

/// See the module's doc.
pub struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Opens the journal in `dir`, which is made if need be, for root alone.
    pub fn open(dir: &Path) -> io::Result<Journal> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let path = dir.join("journal.jsonl");
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
        Ok(Journal { path, file })
    }

    /// Writes down how to undo what is about to be done.
    pub fn before(&mut self, fault: &str, undo: &Undo) -> io::Result<()> {
        self.write(&Line::Do { fault: fault.to_owned(), undo: undo.clone() })
    }

    /// Writes down that a fault was undone.
    pub fn after(&mut self, fault: &str) -> io::Result<()> {
        self.write(&Line::Undone { fault: fault.to_owned() })
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.file.write_all(&text)?;
        self.file.sync_data()
    }

    /// What has been done and not undone, latest first.
    pub fn open_entries(&self) -> io::Result<Vec<(String, Undo)>> {
        let mut open: Vec<(String, Undo)> = Vec::new();
        for line in fs::read_to_string(&self.path)?.lines() {
            match serde_json::from_str::<Line>(line) {
                Ok(Line::Do { fault, undo }) => open.push((fault, undo)),
                Ok(Line::Undone { fault }) => open.retain(|(other, _)| *other != fault),
                Err(_) => {}
            }
        }
        open.reverse();
        Ok(open)
    }

    /// Undoes the entries of `fault`, or of all; says what it did. An entry that cannot be undone
    /// stays open, and its error is returned with what to type.
    pub fn undo(&mut self, fault: Option<&str>) -> Result<Vec<String>, String> {
        let open = self.open_entries().map_err(|error| format!("journal: {error}"))?;
        let (mut undone, mut errors) = (Vec::new(), Vec::new());
        for (id, undo) in open {
            if fault.is_some_and(|fault| fault != id) {
                continue;
            }
            match undo.carry_out() {
                Ok(said) => {
                    undone.push(format!("{id}: {said}"));
                    self.after(&id).map_err(|error| format!("journal: {error}"))?;
                }
                Err(error) => errors.push(format!("{id}: {error}; by hand: {}", undo.by_hand())),
            }
        }
        if errors.is_empty() { Ok(undone) } else { Err(errors.join("; ")) }
    }
}
