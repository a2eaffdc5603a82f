//! The command line: what was typed, and which command carries it out.

mod bare_report;
mod check;
mod demo;
mod drill;
mod dry_run;
mod heal;
mod lab;
mod list;
mod machine;
mod matrix;
mod means;
pub mod one_run;
mod output;
mod recover;
#[cfg(test)]
mod repeats;
mod run;
mod run_flags;
mod run_words;
mod suite;
mod validate;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::error::UserError;
use crate::exit::{self, Exit};

pub use run_flags::RunFlags;

/// Breaks replicated data systems on purpose and says which promises they kept.
#[derive(Debug, Parser)]
#[command(name = "splitbrain", version, max_term_width = 100, after_help = exit::HELP)]
#[command(disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows an asynchronous leader lose acknowledged writes, and a synchronous one keep them
    Demo(demo::DemoFlags),
    /// Runs a test: a cluster, a workload, faults, a verdict, a report
    #[command(after_help = exit::HELP)]
    Run(Box<RunFlags>),
    /// Says which guarantee each configuration of a system really gave
    #[command(after_help = exit::HELP)]
    Matrix(matrix::MatrixFlags),
    /// Runs the cases of a suite file, each against what is expected of it
    #[command(after_help = exit::HELP)]
    Suite(suite::SuiteFlags),
    /// Joins the folders of a suite's slices
    Merge(suite::MergeFlags),
    /// Judges a run or a history file
    #[command(after_help = exit::HELP)]
    Check(check::CheckFlags),
    /// Rebuilds a run's report from its folder, or writes one of a history file
    Report(check::ReportFlags),
    /// Makes every fault on a cluster that serves; says what proved it and what it took
    #[command(after_help = drill::HELP)]
    Drill(drill::DrillFlags),
    /// Deletes everything, restores the state just before, and measures RTO and RPO
    #[command(after_help = exit::HELP)]
    Recover(recover::RecoverFlags),
    /// Keeps a cluster of namespaced hosts to poke at
    #[command(subcommand)]
    Lab(lab::LabCommand),
    /// Says what this machine can do, and what is missing
    Doctor(machine::DoctorFlags),
    /// Lists the runs; or the systems, workloads, policies, faults or checkers there are
    List(list::ListFlags),
    /// Undoes whatever faults are left on the hosts of an inventory
    Heal(heal::HealFlags),
    /// Prints a shell's completions
    Completions(machine::CompletionsFlags),
    /// Measures the runner itself with a client that does nothing
    #[command(hide = true)]
    BenchRunner(machine::BenchFlags),
}

/// Where runs are kept.
#[derive(Clone, Debug, PartialEq, clap::Args)]
pub struct RunsDir {
    /// Folder that runs are kept in
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub runs_dir: PathBuf,
}

/// Parses the arguments and does what they say. Called on the main thread, before any other.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            match help {
                // A closed pipe is no error of ours.
                true => drop(error.print()),
                false => say::err!("{}", error.render()),
            }
            return ExitCode::from(if help { 0 } else { Exit::Usage.code() });
        }
    };
    let json = cli.command.json();
    match cli.command.carry_out() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            say::errln!("{error}");
            if json {
                say::outln!("{}", error.json());
            }
            ExitCode::from(error.exit.code())
        }
    }
}

impl Command {
    fn json(&self) -> bool {
        match self {
            Command::Run(flags) => flags.json,
            Command::Check(flags) => flags.json,
            Command::Recover(flags) => flags.json,
            Command::Drill(flags) => flags.format == crate::drill::Format::Json,
            Command::Doctor(flags) => flags.json,
            _ => false,
        }
    }

    fn carry_out(self) -> Result<u8, UserError> {
        match self {
            Command::Demo(flags) => demo::demo(&flags),
            Command::Run(flags) => run::run(&flags),
            Command::Matrix(flags) => matrix::matrix(&flags),
            Command::Suite(flags) => suite::suite(&flags),
            Command::Merge(flags) => suite::merge(&flags),
            Command::Check(flags) => check::check(&flags).map(Exit::code),
            Command::Report(flags) => check::report(&flags).map(Exit::code),
            Command::Drill(flags) => drill::drill(&flags),
            Command::Recover(flags) => recover::recover(&flags),
            Command::Lab(command) => lab::lab(command),
            Command::Doctor(flags) => machine::doctor(&flags).map(Exit::code),
            Command::List(flags) => list::list(&flags).map(Exit::code),
            Command::Heal(flags) => heal::heal(&flags).map(Exit::code),
            Command::Completions(flags) => machine::completions(&flags).map(Exit::code),
            Command::BenchRunner(flags) => machine::bench_runner(&flags).map(Exit::code),
        }
    }
}
