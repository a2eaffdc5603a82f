//! `splitbrain check`, `report` and `list`: everything that needs only a folder.

use std::path::PathBuf;

use checkers::{Assumption, Judgement, ReadsMode};
use clap::{Args, ValueEnum};
use history::{Limits, Reading};
use reports::{OpPoint, ReportInput};

use super::RunsDir;
use crate::config::Words;
use crate::error::UserError;
use crate::exit::Exit;
use crate::judge::{Records, Selection, judge, verdict_json};
use crate::run_folder::RunFolder;

/// Flags of `check`.
#[derive(Clone, Debug, Args)]
pub struct CheckFlags {
    /// A run's folder, latest, part of a run's id, or a history file: JSON lines, a JSON array or
    /// EDN, plain, gzip or zstd
    path: String,
    /// Only this checker, several times; session or all for groups
    #[arg(long = "checker", value_name = "NAME")]
    checkers: Vec<String>,
    /// Level that transactions are judged against
    #[arg(long, value_name = "LEVEL")]
    model: Option<String>,
    /// How reads of one transaction relate, if not as the run says
    #[arg(long, value_enum)]
    reads: Option<Reads>,
    /// Also judge the successive transactions of a session by one prefix
    #[arg(long, value_enum)]
    scope: Option<Scope>,
    /// What rw-register may assume of a key's versions, several times; an assumption that the
    /// system does not keep makes false alarms
    #[arg(long = "assume", value_enum, value_name = "WHAT")]
    assume: Vec<Assume>,
    /// The judgement as one JSON object on standard output
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    limits: LimitFlags,
    #[command(flatten)]
    runs: RunsDir,
}

/// How much of a file is read at most.
#[derive(Clone, Debug, Args)]
struct LimitFlags {
    /// Text of a packed file at most
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = history::source::size)]
    max_size: u64,
    /// One line or operation at most
    #[arg(long, value_name = "SIZE", default_value = "16M", value_parser = history::source::size)]
    max_line: u64,
}

impl LimitFlags {
    fn reading(&self) -> Reading {
        let limits = Limits { line: self.max_line, size: self.max_size };
        Reading { limits, ..Reading::default() }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Reads {
    Atomic,
    Ordered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scope {
    Transaction,
    Session,
}

/// See [`Assumption`].
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Assume {
    #[value(name = "wfr-keys")]
    Wfr,
    #[value(name = "sequential-keys")]
    Sequential,
    #[value(name = "linearizable-keys")]
    Linearizable,
}

impl From<&Assume> for Assumption {
    fn from(assume: &Assume) -> Assumption {
        match assume {
            Assume::Wfr => Assumption::Wfr,
            Assume::Sequential => Assumption::Sequential,
            Assume::Linearizable => Assumption::Linearizable,
        }
    }
}

/// Flags of `report`.
#[derive(Clone, Debug, Args)]
pub struct ReportFlags {
    /// A run's folder, latest, part of a run's id, or a history file
    #[arg(default_value = "latest")]
    run: String,
    /// Of a history file: only this checker, several times
    #[arg(long = "checker", value_name = "NAME")]
    checkers: Vec<String>,
    /// Of a history file: level that transactions are judged against
    #[arg(long, value_name = "LEVEL")]
    model: Option<String>,
    /// Of a history file: where the page is written, if not beside it as FILE.report.html
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    limits: LimitFlags,
    #[command(flatten)]
    runs: RunsDir,
}

/// Refuses a level that nothing decides.
fn known_level(model: Option<&str>) -> Result<(), UserError> {
    let refused = model.and_then(|model| Some((model, checkers::refused_level(model)?)));
    match refused {
        None => Ok(()),
        Some((model, why)) => Err(UserError::usage(format!("--model {model}: {why}"))
            .hint(format!("levels that are judged: {}", checkers::judged_levels().join(", ")))),
    }
}

/// Judges a run or a bare file.
pub fn check(flags: &CheckFlags) -> Result<Exit, UserError> {
    known_level(flags.model.as_deref())?;
    let selection = Selection {
        checkers: flags.checkers.clone(),
        model: flags.model.clone(),
        reads: flags.reads.map(|reads| match reads {
            Reads::Atomic => ReadsMode::Atomic,
            Reads::Ordered => ReadsMode::Ordered,
        }),
        session_scope: flags.scope == Some(Scope::Session),
        assume: flags.assume.iter().map(Assumption::from).collect(),
    };
    let (records, folder) = records(&flags.path, &flags.runs, &flags.limits)?;
    let judgement = judge(&records, &selection)?;
    let value = verdict_json(&judgement, &records);
    let as_recorded = flags.checkers.is_empty() && flags.model.is_none() && flags.assume.is_empty();
    if let Some(folder) = folder.filter(|_| as_recorded && records.info.is_some()) {
        let text = serde_json::to_vec_pretty(&value).unwrap_or_default();
        // A folder that cannot be written to can still be judged.
        if let Err(error) = folder.write("verdict.json", &text) {
            say::errln!("warning: {}", error.what);
        }
    }
    if flags.json {
        say::outln!("{value}");
    } else {
        let text = reports::judgement_text(&judgement);
        say::out!("{}", records.history.names().told(&text, str::to_owned));
    }
    Ok(Exit::from(judgement.verdict))
}

/// What a path means: a file as it is, all else a run.
fn records(
    path: &str,
    runs: &RunsDir,
    limits: &LimitFlags,
) -> Result<(Records, Option<RunFolder>), UserError> {
    let file = PathBuf::from(path);
    // A pipe or a device is named as what it is; a folder is a run's.
    if file.exists() && !file.is_dir() {
        return Ok((Records::of_file(&file, &limits.reading())?, None));
    }
    let folder = RunFolder::find(&runs.runs_dir, path)?;
    Ok((Records::of_run_read(&folder, &limits.reading())?, Some(folder)))
}

/// Rebuilds a run's report, or writes one of a history file.
pub fn report(flags: &ReportFlags) -> Result<Exit, UserError> {
    known_level(flags.model.as_deref())?;
    let selection = Selection {
        checkers: flags.checkers.clone(),
        model: flags.model.clone(),
        ..Selection::default()
    };
    let (records, folder) = records(&flags.run, &flags.runs, &flags.limits)?;
    let own = flags.out.is_some() || flags.model.is_some() || !flags.checkers.is_empty();
    let judgement = judge(&records, &selection)?;
    let page = match folder {
        Some(_) if own => {
            return Err(UserError::usage(
                "--checker, --model and --out are for a history file: a run's page shows it as it \
                 was judged",
            ));
        }
        Some(folder) => {
            write_report(&folder, &records, &judgement, &[])?.1?;
            folder.file("report.html")
        }
        None => super::bare_report::write(flags, &records, &judgement)?,
    };
    say::outln!("{}", page.display());
    Ok(Exit::Valid)
}

impl ReportFlags {
    /// The file, where the page goes, and the command that judges the file again.
    pub fn of_file(&self) -> (&str, PathBuf, String) {
        let beside = || PathBuf::from(format!("{}.report.html", self.run));
        let mut words = Words::of("check");
        words.file(&self.run);
        self.model.iter().for_each(|model| words.flag("model", model));
        self.checkers.iter().for_each(|checker| words.flag("checker", checker));
        (&self.run, self.out.clone().unwrap_or_else(beside), words.line())
    }
}

/// Writes `report.html`; gives the summary for the terminal, and whether the page was written.
pub fn write_report(
    folder: &RunFolder,
    records: &Records,
    judgement: &Judgement,
    notes: &[String],
) -> Result<(String, Result<(), UserError>), UserError> {
    let Some(info) = &records.info else {
        return Err(UserError::usage("the folder has no run.json: there is nothing to report on")
            .at(folder.path.display().to_string())
            .hint("splitbrain check judges its history all the same"));
    };
    let ops = OpPoint::of(&records.history);
    let outages = crate::recovery_time::notes(records);
    let input = ReportInput {
        run: info,
        judgement,
        ops: &ops,
        faults: &records.faults,
        telemetry: &records.telemetry,
        outages: &outages,
        notes,
    };
    let written = folder.write("report.html", reports::html(&input).as_bytes());
    Ok((reports::terminal_summary(&input), written))
}
