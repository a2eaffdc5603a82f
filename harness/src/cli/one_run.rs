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
use checkers::Verdict;

/// How an error begins that says that a run's records end before the run did.
const NOT_RECORDED: &str = "the run cannot be recorded";

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
    let cut_short = error.as_ref().filter(|error| error.what.starts_with(NOT_RECORDED));
    let cut_short = cut_short.map(|error| error.what.clone());
    let (judgement, operations, unwritten) = judge_and_write(&folder, notes, speak, cut_short)?;
    let mut exit = Exit::from(judgement.verdict);
    for error in &unwritten {
        say::errln!("{error}");
        exit = exit.merge(error.exit);
    }
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
    let (judgement, operations, unwritten) = judge_and_write(folder, notes, speak, None)?;
    match unwritten.into_iter().next() {
        Some(error) => Err(error),
        None => Ok((judgement, operations)),
    }
}

/// What there was to say of a run: its judgement, its operations, and what could not be written.
type Finished = (checkers::Judgement, Operations, Vec<UserError>);

/// Likewise; a file that could not be written hides nothing of what was found. `cut_short` says why
/// the history ends before the run did, if that is known: it is at best unknown then.
fn judge_and_write(
    folder: &RunFolder,
    notes: Vec<String>,
    speak: bool,
    cut_short: Option<String>,
) -> Result<Finished, UserError> {
    let records = Records::of_run(folder)?;
    let mut judgement = judge(&records, &Selection::default())?;
    if let Some(why) = cut_short {
        let why = format!("the history is cut short: {why}");
        judgement.verdict = judgement.verdict.max(Verdict::Unknown);
        judgement.doubts.push(why);
    }
    let mut unwritten = Vec::new();
    let text = serde_json::to_vec_pretty(&verdict_json(&judgement, &records));
    let text = text.map_err(|error| UserError::environment(error.to_string()))?;
    unwritten.extend(folder.write("verdict.json", &text).err());
    let (summary, written) = write_report(folder, &records, &judgement, &notes)?;
    let page = written.is_ok();
    unwritten.extend(written.err());
    if speak {
        say::err!("{summary}");
        if page {
            say::errln!("report {}", folder.file("report.html").display());
        }
    }
    Ok((judgement, Operations::of(&records.history), unwritten))
}
