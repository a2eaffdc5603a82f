//! One run from its folder's making to its report: what `run`, `demo` and `matrix` share.

use std::path::Path;

use history::{EventKind, History};
use serde::Serialize;

use super::check::write_report;
use super::output::ProgressLine;
use crate::config::TestSpec;
use crate::engine::{self, EngineEnd, Progress, StopFlag};
use crate::error::UserError;
use crate::exit::Exit;
use crate::judge::{Records, Selection, judge, verdict_json};
use crate::run_folder::RunFolder;

/// One run, judged and reported.
pub struct Done {
    /// Its folder.
    pub folder: RunFolder,
    /// What was found.
    pub judgement: checkers::Judgement,
    /// What became of its operations.
    pub operations: Operations,
    /// How it ends.
    pub exit: Exit,
    /// What cut it short, if it was not the user.
    pub error: Option<UserError>,
    /// Whether the user ended it.
    pub interrupted: bool,
}

/// How many operations ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Operations {
    /// Happened.
    pub ok: u64,
    /// Certainly did not.
    pub fail: u64,
    /// Unknown.
    pub info: u64,
}

impl Operations {
    fn of(history: &History) -> Operations {
        let mut counts = Operations::default();
        for op in &history.ops {
            match op.kind {
                EventKind::Ok => counts.ok += 1,
                EventKind::Fail => counts.fail += 1,
                EventKind::Info | EventKind::Invoke => counts.info += 1,
            }
        }
        counts
    }
}

/// Runs, judges and reports one test.
pub fn one(
    spec: &TestSpec,
    runs_dir: &Path,
    stop: &StopFlag,
    speak: bool,
) -> Result<Done, UserError> {
    one_by(spec, runs_dir, speak, |folder, progress| engine::run(spec, folder, stop, progress))
}

/// The same with an engine of the caller's choice. An error means that there is nothing to judge.
pub fn one_by(
    spec: &TestSpec,
    runs_dir: &Path,
    speak: bool,
    drive: impl FnOnce(&RunFolder, &dyn Progress) -> Result<EngineEnd, UserError>,
) -> Result<Done, UserError> {
    let folder = RunFolder::create(runs_dir, &spec.name, spec.seed)?;
    if speak {
        say::errln!("run {}  seed {}", folder.id(), spec.seed);
    }
    let progress = ProgressLine::new().speaking(speak);
    let ended = drive(&folder, &progress);
    progress.clear();
    let (end, error) = match ended {
        Ok(mut end) => {
            let error = end.error.take();
            (end, error)
        }
        // A folder without a history holds nothing that could be read.
        Err(error) if !folder.file("history.jsonl").exists() => {
            let _ = std::fs::remove_dir_all(&folder.path);
            return Err(error);
        }
        // What was recorded before is judged all the same, and both are said.
        Err(error) => (EngineEnd::default(), Some(error)),
    };
    let mut notes = end.notes;
    if end.interrupted {
        notes.push("interrupted: what was recorded until then is judged".to_owned());
    }
    let (judgement, operations) = finish(&folder, notes, speak)?;
    let mut exit = Exit::from(judgement.verdict);
    if let Some(error) = &error {
        say::errln!("{error}");
        exit = exit.merge(error.exit);
    }
    if end.interrupted {
        exit = exit.merge(Exit::Interrupted);
    }
    let interrupted = end.interrupted;
    Ok(Done { folder, judgement, operations, exit, error, interrupted })
}

/// Judges and reports what a folder holds.
pub fn finish(
    folder: &RunFolder,
    notes: Vec<String>,
    speak: bool,
) -> Result<(checkers::Judgement, Operations), UserError> {
    let records = Records::of_run(folder)?;
    let judgement = judge(&records, &Selection::default())?;
    let text = serde_json::to_vec_pretty(&verdict_json(&judgement, &records));
    let text = text.map_err(|error| UserError::environment(error.to_string()))?;
    folder.write("verdict.json", &text)?;
    let summary = write_report(folder, &records, &judgement, &notes)?;
    if speak {
        say::err!("{summary}");
        say::errln!("report {}", folder.file("report.html").display());
    }
    Ok((judgement, Operations::of(&records.history)))
}
