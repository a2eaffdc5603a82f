//! `splitbrain matrix`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use reports::matrix::Matrix;

use super::run::enter_lab;
use crate::config::{SystemKind, duration, unknown_system};
use crate::engine::StopFlag;
use crate::error::UserError;
use crate::exit::Exit;
use crate::matrix::phases::duration_ms;
use crate::matrix::plan::check_only;
use crate::matrix::run::MatrixRun;
use crate::matrix::{MatrixPlan, Profile, configurations};
use crate::run_folder::{rfc3339, timestamp};

/// A row's run and its recovery must end within 40 s.
const DURATION_MS: std::ops::RangeInclusive<u64> = 8_000..=32_000;

/// Flags of `matrix`.
#[derive(Clone, Debug, Args)]
pub struct MatrixFlags {
    /// list prints the configurations and runs nothing
    #[arg(value_enum)]
    action: Option<Action>,
    /// System under test: store, postgres or mongodb
    #[arg(long)]
    system: Option<String>,
    /// Fewer and shorter rows
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// The whole product of settings
    #[arg(long)]
    full: bool,
    /// Only this row, several times
    #[arg(long, value_name = "NAME")]
    pub(super) only: Vec<String>,
    /// Length of a row's main phase: 20s
    #[arg(long, value_name = "DURATION")]
    time_limit: Option<String>,
    /// The seed of every row
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many hosts, 3 to 9
    #[arg(long, default_value_t = 3)]
    hosts: usize,
    /// Where hosts come from: local, sim, or the name of a kept lab
    #[arg(long, default_value = "local")]
    lab: String,
    /// Go on with a matrix: rows that were judged are not run again
    #[arg(
        long,
        value_name = "DIR",
        conflicts_with_all = ["system", "quick", "full", "time_limit", "seed", "hosts", "lab"]
    )]
    resume: Option<PathBuf>,
    /// Folder that matrices are kept in
    #[arg(long, value_name = "DIR", default_value = "matrix")]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Action {
    List,
}

/// Runs a matrix, or lists what there is.
pub fn matrix(flags: &MatrixFlags) -> Result<u8, UserError> {
    if flags.action == Some(Action::List) {
        return list(flags);
    }
    let (plan, mut matrix) = match &flags.resume {
        Some(folder) => resumed(folder)?,
        None => {
            let plan = flags.plan()?;
            let matrix = plan.matrix(rfc3339())?;
            (plan, matrix)
        }
    };
    check_only(&matrix, &flags.only)?;
    if flags.resume.is_none() && !flags.only.is_empty() {
        matrix.rows.retain(|row| flags.only.contains(&row.name));
        matrix.command = plan.command(&flags.only);
    }
    // Everything that can be said before anything runs is said now.
    let specs: Vec<_> = matrix.rows.iter().map(|row| plan.spec(row)).collect::<Result<_, _>>()?;
    let Some(first) = specs.first() else {
        return Err(UserError::usage("there is no configuration to run"));
    };
    if let Some(status) = enter_lab(first)? {
        return Ok(status);
    }
    let folder = match &flags.resume {
        Some(folder) => folder.clone(),
        None => fresh(&flags.out.join(plan.system.name()))?,
    };
    let stop = StopFlag::install();
    let run = MatrixRun { plan: &plan, folder: folder.clone(), only: flags.only.clone() };
    let exit = run.run(&mut matrix, &stop)?;
    say::outln!("{}", folder.join("matrix.html").display());
    Ok(exit.code())
}

impl MatrixFlags {
    fn system(&self) -> Result<Option<SystemKind>, UserError> {
        let Some(name) = &self.system else { return Ok(None) };
        SystemKind::by_name(name).map(Some).ok_or_else(|| unknown_system(name))
    }

    pub(super) fn plan(&self) -> Result<MatrixPlan, UserError> {
        let system = self.system()?.ok_or_else(|| {
            let names = SystemKind::ALL.map(|system| system.name()).join(", ");
            UserError::usage("a matrix is of a system")
                .at("--system")
                .hint(format!("one of {names}; splitbrain matrix list shows the rows of all"))
        })?;
        let profile = match (self.quick, self.full) {
            (true, _) => Profile::Quick,
            (_, true) => Profile::Full,
            _ => Profile::Normal,
        };
        let duration_ms = match &self.time_limit {
            Some(text) => duration("--time-limit", text)?,
            None => duration_ms(system, self.quick),
        };
        if !DURATION_MS.contains(&duration_ms) {
            let what = format!("{duration_ms} ms is not between 8 s and 32 s");
            return Err(UserError::usage(what)
                .at("--time-limit")
                .hint("a row has four phases, and ends with its recovery within 40 s"));
        }
        let (seed, hosts, lab) = (self.seed, self.hosts, self.lab.clone());
        Ok(MatrixPlan { system, profile, duration_ms, seed, hosts, lab })
    }
}

/// The plan that a folder's matrix was made by, and how far it came.
fn resumed(folder: &Path) -> Result<(MatrixPlan, Matrix), UserError> {
    let path = folder.join("matrix.json");
    let place = path.display().to_string();
    let text = std::fs::read(&path).map_err(|error| {
        UserError::usage(error.to_string()).at(place.clone()).hint("--resume takes a matrix folder")
    })?;
    let not_ours = |what: &str| UserError::usage(what.to_owned()).at(place.clone());
    let matrix: Matrix = serde_json::from_slice(&text)
        .map_err(|error| not_ours(&format!("not a matrix: {error}")))?;
    let system = SystemKind::by_name(&matrix.system);
    let plan = MatrixPlan {
        system: system.ok_or_else(|| unknown_system(&matrix.system))?,
        profile: Profile::by_name(&matrix.profile).ok_or_else(|| not_ours("unknown profile"))?,
        duration_ms: matrix.phases.last().map_or(0, |phase| phase.end_ms),
        seed: matrix.seed,
        hosts: matrix.hosts,
        lab: matrix.lab.clone(),
    };
    if matrix.version != env!("CARGO_PKG_VERSION") || plan.phases() != matrix.phases {
        return Err(not_ours("this matrix was begun by another version of splitbrain")
            .hint("rows of two versions do not belong into one table: begin a new one"));
    }
    Ok((plan, matrix))
}

/// Makes a folder named after the moment; a taken name gets `-2`, `-3`, ...
pub fn fresh(parent: &Path) -> Result<PathBuf, UserError> {
    let fail = |error: std::io::Error| {
        UserError::environment(format!("cannot make the folder: {error}"))
            .at(parent.display().to_string())
            .hint("use --out with a folder that can be written to")
    };
    std::fs::create_dir_all(parent).map_err(fail)?;
    let stem = timestamp();
    for turn in 1..1_000 {
        let name = if turn == 1 { stem.clone() } else { format!("{stem}-{turn}") };
        match std::fs::create_dir(parent.join(&name)) {
            Ok(()) => return Ok(parent.join(name)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(fail(error)),
        }
    }
    Err(UserError::environment("every name is taken").at(parent.display().to_string()))
}

fn list(flags: &MatrixFlags) -> Result<u8, UserError> {
    let asked = flags.system()?;
    for system in SystemKind::ALL.into_iter().filter(|s| asked.is_none_or(|asked| asked == *s)) {
        let catalogue = configurations::of(system);
        let product: usize = catalogue.axes.iter().map(|axis| axis.len()).product();
        say::outln!(
            "{}: {} configurations; --quick runs those marked *, --full up to {}\n",
            system.name(),
            catalogue.rows.len() + catalogue.isolation.len(),
            product * catalogue.policies.len()
        );
        for row in catalogue.rows.iter().chain(catalogue.isolation) {
            let mark = if row.quick { "*" } else { " " };
            say::outln!("{mark} {:<28} --policy {}", row.name, row.policy);
            say::outln!("    {}", row.why);
            say::outln!("    --set {}", row.settings.join(" --set "));
        }
        say::outln!();
    }
    Ok(Exit::Valid.code())
}
