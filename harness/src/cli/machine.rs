//! `doctor`, `heal`, `completions`, and measuring the runner.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use cluster::doctor::{Status, capabilities};
use cluster::{Exec, Host, Inventory, SshHost};

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

/// Flags of `heal`.
#[derive(Clone, Debug, Args)]
pub struct HealFlags {
    /// Inventory of the hosts
    #[arg(long, value_name = "FILE")]
    hosts: PathBuf,
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

/// Undoes what agents have left on the hosts of an inventory.
pub fn heal(flags: &HealFlags) -> Result<Exit, UserError> {
    let inventory =
        Inventory::load(&flags.hosts).map_err(|error| UserError::usage(error.to_string()))?;
    let mut exit = Exit::Valid;
    for address in inventory.hosts {
        let name = address.name.clone();
        // Each journal is undone by the agent that wrote it, found beside it.
        let line = "cd /run/splitbrain 2>/dev/null || { echo nothing to heal; exit 0; }; \
                    agent=$(ls -t agent-* 2>/dev/null | head -n 1); \
                    found=no; for dir in */; do [ -f \"$dir/journal.jsonl\" ] || continue; \
                    found=yes; \"./$agent\" heal \"$dir\" || exit 1; done; \
                    [ $found = yes ] || echo nothing to heal";
        let healed = SshHost::connect(address).and_then(|host| host.exec(Exec::shell(line)));
        match healed {
            Ok(result) if result.status == 0 => {
                for said in result.text().lines() {
                    println!("{name}: {said}");
                }
            }
            Ok(result) => {
                eprintln!("{name}: {}", String::from_utf8_lossy(&result.stderr).trim());
                exit = Exit::Environment;
            }
            Err(error) => {
                eprintln!("{error}");
                exit = Exit::Environment;
            }
        }
    }
    Ok(exit)
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
