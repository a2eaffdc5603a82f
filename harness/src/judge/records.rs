//! A run's records, read back from its folder, or a bare history file.

use std::path::Path;

use checkers::FileRead;
use history::{Damage, FaultEvent, History, Reading, RunInfo, TelemetryEvent, reader};

use crate::error::UserError;
use crate::run_folder::RunFolder;

/// A run's records, read back.
pub struct Records {
    /// `run.json`, if there is one.
    pub info: Option<RunInfo>,
    /// `history.jsonl`.
    pub history: History,
    /// Where it ends early.
    pub damage: Option<Damage>,
    /// How it was read.
    pub read: FileRead,
    /// `faults.jsonl`.
    pub faults: Vec<FaultEvent>,
    /// `telemetry.jsonl`.
    pub telemetry: Vec<TelemetryEvent>,
}

impl Records {
    /// Reads a run's folder; a run that was killed is read up to its last flush.
    pub fn of_run(folder: &RunFolder) -> Result<Records, UserError> {
        Records::of_run_read(folder, &Reading::default())
    }

    /// The same, by limits of one's own.
    pub fn of_run_read(folder: &RunFolder, reading: &Reading) -> Result<Records, UserError> {
        let path = folder.file("history.jsonl");
        let mut records = Records::read(&path, &Reading { inside: true, ..*reading })?;
        // A folder that never had its facts is a history and no more; one whose facts are broken is
        // not judged as if it had promised nothing.
        if folder.has("run.json") {
            records.info = Some(folder.info()?);
        }
        records.faults = reader::read_lines(&folder.file("faults.jsonl")).0;
        records.telemetry = reader::read_lines(&folder.file("telemetry.jsonl")).0;
        Ok(records)
    }

    /// Reads a bare history file.
    pub fn of_file(path: &Path, reading: &Reading) -> Result<Records, UserError> {
        Records::read(path, reading)
    }

    fn read(path: &Path, reading: &Reading) -> Result<Records, UserError> {
        let read = history::read_file(path, reading).map_err(|error| {
            let why = std::error::Error::source(&error).map(|why| format!(": {why}"));
            let told = format!("{error}{}", why.unwrap_or_default());
            let hint = hint(&told);
            UserError::usage(told).hint(hint)
        })?;
        Ok(Records {
            info: None,
            damage: read.damage,
            read: FileRead {
                form: read.form.as_str().to_owned(),
                operations: read.history.ops.len() as u64,
                left_out: read.skipped,
                notes: read.notes,
            },
            history: read.history,
            faults: Vec::new(),
            telemetry: Vec::new(),
        })
    }

    /// What is to be told of how the file was read: always of a file of somebody else's.
    pub fn told(&self) -> Option<FileRead> {
        let tell = self.info.is_none() || !self.read.told().is_empty();
        tell.then(|| self.read.clone())
    }
}

/// What to try with a file that could not be read.
fn hint(why: &str) -> &'static str {
    if why.contains("--max-") {
        return "such a flag takes a size, as 64M or 8G; a damaged file may have no end of line";
    }
    if why.contains("no list of micro-operations") {
        return "an operation on one register is written [[\"r\",key,value]] or \
                [[\"w\",key,value]]; docs/histories.md has all forms";
    }
    "give a run's folder, latest, or a history file: JSON lines, a JSON array or EDN, plain, gzip \
     or zstd; docs/histories.md describes the format"
}
