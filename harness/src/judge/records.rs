//! A run's records, read back from its folder, or a bare history file.

use std::path::Path;

use history::{Damage, FaultEvent, History, RunInfo, TelemetryEvent, reader};

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
    /// `faults.jsonl`.
    pub faults: Vec<FaultEvent>,
    /// `telemetry.jsonl`.
    pub telemetry: Vec<TelemetryEvent>,
}

impl Records {
    /// Reads a run's folder; a run that was killed is read up to its last flush.
    pub fn of_run(folder: &RunFolder) -> Result<Records, UserError> {
        let mut records = Records::of_file(&folder.file("history.jsonl"))?;
        // A folder that never had its facts is a history and no more; one whose facts are broken is
        // not judged as if it had promised nothing.
        if folder.file("run.json").exists() {
            records.info = Some(folder.info()?);
        }
        records.faults = reader::read_lines(&folder.file("faults.jsonl")).0;
        records.telemetry = reader::read_lines(&folder.file("telemetry.jsonl")).0;
        Ok(records)
    }

    /// Reads a bare history file.
    pub fn of_file(path: &Path) -> Result<Records, UserError> {
        let read = history::read_history(path).map_err(|error| {
            let why = std::error::Error::source(&error).map(|why| format!(": {why}"));
            UserError::usage(format!("{error}{}", why.unwrap_or_default()))
                .hint("give a run's folder, latest, or a history file of JSON lines")
        })?;
        Ok(Records {
            info: None,
            history: read.history,
            damage: read.damage,
            faults: Vec::new(),
            telemetry: Vec::new(),
        })
    }
}
