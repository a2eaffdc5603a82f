//! `doctor`, `completions`, and measuring the runner.

use std::path::{Path, PathBuf};

use agent::means::ALL;
use clap::{Args, CommandFactory};
use cluster::Inventory;
use cluster::doctor::{Status, capabilities};

use super::{Cli, RunsDir};
use crate::engine::host::means;
use crate::error::UserError;
use crate::exit::Exit;

/// Flags of `doctor`.
#[derive(Clone, Debug, Args)]
pub struct DoctorFlags {
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// Ask the hosts of this inventory instead, all at once; the agent's program is put there
    #[arg(long, alias = "hosts", value_name = "FILE")]
    hosts_file: Option<PathBuf>,
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
    if let Some(path) = &flags.hosts_file {
        return hosts(path, flags.json);
    }
    let found = capabilities();
    let lacking = found
        .iter()
        .any(|capability| capability.needed && matches!(capability.status, Status::Missing { .. }));
    if flags.json {
        say::outln!("{}", serde_json::json!({ "capabilities": found }));
    } else {
        for capability in &found {
            say::outln!("{:<12} {}", capability.name, capability.status);
        }
    }
    Ok(if lacking { Exit::Environment } else { Exit::Valid })
}

/// Prints what the hosts of an inventory lack. 75 when any lacks anything, or does not answer.
fn hosts(path: &Path, json: bool) -> Result<Exit, UserError> {
    let inventory = Inventory::load(path).map_err(|error| UserError::usage(error.to_string()))?;
    let found = means::of_hosts(&inventory.hosts);
    let whole = found.iter().all(|(_, lacking)| lacking.as_ref().is_ok_and(Vec::is_empty));
    if json {
        let hosts = found.iter().map(|(name, lacking)| match lacking {
            Ok(lacking) => serde_json::json!({ "host": name, "lacking": lacking }),
            Err(error) => serde_json::json!({ "host": name, "error": error }),
        });
        say::outln!("{}", serde_json::json!({ "hosts": hosts.collect::<Vec<_>>() }));
    } else {
        for (name, lacking) in &found {
            let Ok(lacking) = lacking else {
                say::outln!("{name}: {}", lacking.as_ref().err().map_or("", String::as_str));
                continue;
            };
            for kind in ALL {
                let lack = lacking.iter().find(|lack| lack.means == kind);
                let how = lack.map_or("present".to_owned(), |lack| {
                    format!("missing: {}; {}", lack.why, lack.help)
                });
                say::outln!("{name}: {:<56} {how}", kind.what());
            }
        }
    }
    Ok(if whole { Exit::Valid } else { Exit::Environment })
}

/// Prints completions.
pub fn completions(flags: &CompletionsFlags) -> Result<Exit, UserError> {
    let mut command = Cli::command();
    // Not to standard output itself: the crate panics where that cannot be written.
    let mut script = Vec::new();
    clap_complete::generate(flags.shell, &mut command, "splitbrain", &mut script);
    say::pass(say::Stream::Out, &script);
    Ok(Exit::Valid)
}

/// Measures the runner.
pub fn bench_runner(flags: &BenchFlags) -> Result<Exit, UserError> {
    let measured = crate::engine::bench::run(&flags.runs.runs_dir, flags.sessions, flags.ops)?;
    say::outln!("{measured}");
    Ok(Exit::Valid)
}
