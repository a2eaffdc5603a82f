//! A run's records, read back from its folder, or a bare history file.

use std::path::Path;

use checkers::FileRead;
use history::sockets::SOCKETS_FILE;
use history::{
    Damage, FaultEvent, History, Reading, RunInfo, SocketsEvent, TelemetryEvent, reader,
};
use serde::de::DeserializeOwned;

use crate::error::UserError;
use crate::run_folder::RunFolder;

/// A run's records, read back.
#[derive(Default)]
pub struct Records {
    /// `run.json`, if there is one.
    pub info: Option<RunInfo>,
    /// `history.jsonl`.
    pub history: History,
    /// Where it ends early.
    pub damage: Option<Damage>,
    /// How it was read.
    pub read: FileRead,
    /// What is wrong with the other records, a sentence for each file with its line: of what was
    /// not read nobody can say that it was well.
    pub damaged: Vec<String>,
    /// `faults.jsonl`.
    pub faults: Vec<FaultEvent>,
    /// `telemetry.jsonl`.
    pub telemetry: Vec<TelemetryEvent>,
    /// `sockets.jsonl`; runs of before, and those in the simulator, have none.
    pub sockets: Vec<SocketsEvent>,
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
        // What is broken is said, and nothing is valid by what could not be read.
        match folder.info() {
            Ok(info) => records.info = Some(info),
            Err(error) if folder.has("run.json") => {
                records.damaged.push(format!("run.json: {}", error.what));
            }
            Err(_) if ["faults.jsonl", "telemetry.jsonl"].iter().any(|f| folder.has(f)) => {
                let what = "run.json is missing, and the records of a run are there";
                records.damaged.push(format!(
                    "{what}: what was promised, and which faults were asked for, is not known"
                ));
            }
            // A folder that never had its facts is a history and no more.
            Err(_) => return Ok(records),
        }
        records.faults = records.stream(folder, "faults.jsonl");
        records.telemetry = records.stream(folder, "telemetry.jsonl");
        if folder.has(SOCKETS_FILE) {
            records.sockets = records.stream(folder, SOCKETS_FILE);
        }
        Ok(records)
    }

    /// Reads one of the other streams; what is wrong with it is kept.
    fn stream<T: DeserializeOwned>(&mut self, folder: &RunFolder, name: &str) -> Vec<T> {
        let path = folder.file(name);
        if !folder.has(name) {
            self.damaged.push(format!("{name} is missing"));
            return Vec::new();
        }
        let (lines, damage) = reader::read_lines(&path);
        if let Some(damage) = damage {
            let Damage { line, why } = damage;
            self.damaged.push(format!("{name} is read up to line {line}: {why}"));
        }
        lines
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
            damaged: Vec::new(),
            faults: Vec::new(),
            telemetry: Vec::new(),
            sockets: Vec::new(),
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
