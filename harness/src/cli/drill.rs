//! `splitbrain drill`.

use clap::Args;

use super::RunsDir;
use super::run::enter_lab;
use crate::config::{SystemKind, unknown_system};
use crate::drill::plan::Wanted;
use crate::drill::{Drill, DrillPlan, Format, Table};
use crate::engine::StopFlag;
use crate::error::UserError;
use crate::exit::Exit;
use crate::run_folder::RunFolder;

/// How a drill ends.
pub const HELP: &str = "Exit codes: 0 every fault proven and healed, 2 one without proof, 64 bad \
usage, 75 one not healed or the environment failed, 130 interrupted.";

/// Flags of `drill`.
#[derive(Clone, Debug, Args)]
pub struct DrillFlags {
    /// System under test: store, postgres or mongodb
    #[arg(long, default_value = "store")]
    system: String,
    /// These faults alone; without it every one that the system can have
    #[arg(long, value_name = "FAULT", value_delimiter = ',')]
    only: Vec<String>,
    /// How often each fault is made
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Whom faults hit is drawn from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many hosts, 3 to 9
    #[arg(long, default_value_t = 5)]
    hosts: usize,
    /// Where hosts come from: local, or the name of a kept lab
    #[arg(long, default_value = "local")]
    lab: String,
    /// How the table is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    #[command(flatten)]
    runs: RunsDir,
}

/// Makes every fault so many times, and prints what became of it.
pub fn drill(flags: &DrillFlags) -> Result<u8, UserError> {
    let system = &flags.system;
    let system = SystemKind::by_name(system).ok_or_else(|| unknown_system(system))?;
    let plan = DrillPlan::of(&Wanted {
        system,
        hosts: flags.hosts,
        lab: flags.lab.clone(),
        seed: flags.seed,
        only: flags.only.clone(),
        rounds: flags.rounds,
    })?;
    let Some(first) = plan.stages.first() else {
        return Err(UserError::usage("there is no fault to make").at("--system"));
    };
    if let Some(status) = enter_lab(&first.spec)? {
        return Ok(status);
    }
    let folder = RunFolder::create(&flags.runs.runs_dir, "drill", flags.seed)?;
    say::errln!("drill {}  seed {}", folder.id(), flags.seed);
    let stop = StopFlag::install();
    let (name, hosts, seed) = (system.name().to_owned(), flags.hosts, flags.seed);
    let mut table = Table { system: name, hosts, seed, rows: Vec::new() };
    let ended = Drill::new(&plan, seed, &folder, &stop)?.run(&mut table);
    for (name, format) in [("drill.json", Format::Json), ("drill.md", Format::Markdown)] {
        folder.write(name, table.written(format).as_bytes())?;
    }
    say::out!("{}", table.written(flags.format));
    say::errln!("records {}", folder.path.display());
    // What was found until then is printed, whatever ended it.
    ended?;
    let exit = exit(&table);
    Ok(if stop.stopped() { exit.merge(Exit::Interrupted) } else { exit }.code())
}

fn exit(table: &Table) -> Exit {
    let rounds = || table.rows.iter().flat_map(|row| &row.rounds);
    if rounds().any(|round| !round.healed) {
        Exit::Environment
    } else if rounds().any(|round| !round.proven) {
        Exit::Unknown
    } else {
        Exit::Valid
    }
}
