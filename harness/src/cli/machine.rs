//! `doctor`, `completions`, and measuring the runner.

use clap::{Args, CommandFactory};
use cluster::doctor::{Status, capabilities};

use super::{Cli, RunsDir};
use crate::error::UserError;
use crate::exit::Exit;

/// Flags of `doctor`.
#[derive(Clone, Debug, Args)]
pub struct DoctorFlags {
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `completions`.
#[derive(Clone, Debug, Args)]
pub struct CompletionsFlags {
    /// For which shell
    shell: clap_complete::Shell,
}

/// Flags of `bench-runner`.
#[derive(Clone, Debug, Args)]
pub struct BenchFlags {
    /// Operations
    #[arg(long, default_value_t = 300_000)]
    ops: u64,
    /// Sessions
    #[arg(long, default_value_t = 100)]
    sessions: usize,
    #[command(flatten)]
    runs: RunsDir,
}

/// Prints what this machine can do. 75 when something that the lab needs is missing.
pub fn doctor(flags: &DoctorFlags) -> Result<Exit, UserError> {
    let found = capabilities();
    let lacking = found
        .iter()
        .any(|capability| capability.needed && matches!(capability.status, Status::Missing { .. }));
    if flags.json {
        println!("{}", serde_json::json!({ "capabilities": found }));
    } else {
        for capability in &found {
            println!("{:<12} {}", capability.name, capability.status);
        }
    }
    Ok(if lacking { Exit::Environment } else { Exit::Valid })
}

/// Prints completions.
pub fn completions(flags: &CompletionsFlags) -> Result<Exit, UserError> {
    let mut command = Cli::command();
    clap_complete::generate(flags.shell, &mut command, "splitbrain", &mut std::io::stdout());
    Ok(Exit::Valid)
}

/// Measures the runner.
pub fn bench_runner(flags: &BenchFlags) -> Result<Exit, UserError> {
    let measured = crate::engine::bench::run(&flags.runs.runs_dir, flags.sessions, flags.ops)?;
    println!("{measured}");
    Ok(Exit::Valid)
}
