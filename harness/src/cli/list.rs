//! `splitbrain list`: the runs, or the names that flags take.

use clap::{Args, ValueEnum};
use nemesis::fault;
use workloads::{policy, workload};

use super::RunsDir;
use crate::config::SystemKind;
use crate::error::UserError;
use crate::exit::Exit;
use crate::run_folder::{RunFolder, list as list_runs};

/// Flags of `list`.
#[derive(Clone, Debug, Args)]
pub struct ListFlags {
    /// What to list
    #[arg(value_enum, default_value = "runs")]
    what: What,
    #[command(flatten)]
    runs: RunsDir,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    Runs,
    Systems,
    Workloads,
    Policies,
    Faults,
    Checkers,
}

/// Lists runs, or names with a sentence each.
pub fn list(flags: &ListFlags) -> Result<Exit, UserError> {
    let lines = match flags.what {
        What::Runs => runs(flags),
        What::Faults => faults(),
        what => names(what)
            .iter()
            .map(|(name, sentence)| format!("{name:<18} {sentence}").trim_end().to_owned())
            .collect(),
    };
    lines.iter().for_each(|line| say::outln!("{line}"));
    Ok(Exit::Valid)
}

fn runs(flags: &ListFlags) -> Vec<String> {
    let line = |run: &RunFolder| {
        let verdict = run.read("verdict.json").unwrap_or_default();
        let verdict: serde_json::Value = serde_json::from_slice(&verdict).unwrap_or_default();
        let word = verdict["verdict"].as_str().unwrap_or("-");
        let workload = run.info().map(|info| info.workload).unwrap_or_default();
        format!("{word:<8} {workload:<13} {}", run.id())
    };
    list_runs(&flags.runs.runs_dir).iter().map(line).collect()
}

/// Faults with their parameters below them.
fn faults() -> Vec<String> {
    let mut lines = Vec::new();
    for fault in fault::ALL {
        lines.push(format!("{:<18} {}", fault.name(), fault.summary()));
        for parameter in fault.parameters() {
            let bounds = parameter.bounds.map_or(String::new(), |(a, b)| format!(", {a} to {b}"));
            lines.push(format!(
                "{:<18}   {}={}{bounds}: {}",
                "", parameter.name, parameter.default, parameter.summary
            ));
        }
    }
    lines
}

fn names(what: What) -> Vec<(&'static str, &'static str)> {
    match what {
        What::Runs | What::Faults => Vec::new(),
        What::Systems => SystemKind::ALL.map(|kind| (kind.name(), kind.summary())).to_vec(),
        What::Workloads => {
            workload::all().iter().map(|workload| (workload.name, workload.summary)).collect()
        }
        What::Policies => policy::NAMES.to_vec(),
        What::Checkers => checkers::built().iter().map(|checker| (checker.name(), "")).collect(),
    }
}
