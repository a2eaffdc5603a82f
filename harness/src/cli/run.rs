//! `splitbrain run`.

use std::time::{Duration, Instant};

use checkers::{Role, Verdict};
use cluster::lab;
use serde_json::json;

use super::RunFlags;
use super::one_run::{Done, one};
use crate::config::{LabSpec, TestSpec, to_toml};
use crate::engine::{StopFlag, package, plan};
use crate::error::UserError;
use crate::exit::Exit;
use crate::rates::Rates;

/// Runs one test or several seeds of it; enters a lab first if it needs one.
pub fn run(flags: &RunFlags) -> Result<u8, UserError> {
    let spec = flags.spec()?;
    let seeds = flags.seeds(&spec)?;
    if flags.dry_run {
        for line in super::dry_run::lines(&spec)? {
            say::outln!("{line}");
        }
        return Ok(Exit::Valid.code());
    }
    if flags.plan {
        let planned = plan::plan_faults(&spec, &crate::gate::names(&spec)?)?;
        say::out!("{}", to_toml(&package::fixed(&spec, &planned)));
        return Ok(Exit::Valid.code());
    }
    if let Some(status) = enter_lab(&spec)? {
        return Ok(status);
    }
    let budget = match &flags.time_budget {
        Some(text) => Some(Duration::from_millis(crate::config::duration("--time-budget", text)?)),
        None => None,
    };
    if let Some(canary) = spec.canary {
        let share = canary.share();
        say::errln!("CANARY: {share} of the writes are acknowledged and never sent, on purpose");
    }
    crate::gate::check(&spec)?;
    crate::gate::check_means_to_connect(&spec)?;
    Ok(run_all(flags, &spec, &seeds, budget).code())
}

/// Runs every seed, one after another. What ends a run without anything to judge ends them all;
/// what was found before is told all the same.
fn run_all(flags: &RunFlags, spec: &TestSpec, seeds: &[u64], budget: Option<Duration>) -> Exit {
    let stop = StopFlag::install();
    let started = Instant::now();
    let (mut exit, mut rates, mut ended_by_a_finding) = (Exit::Valid, Rates::default(), false);
    let several = 1 < seeds.len();
    for seed in seeds {
        let spec = TestSpec { seed: *seed, ..spec.clone() };
        let done = match one(&spec, &flags.runs.runs_dir, &stop, !several) {
            Ok(done) => done,
            Err(error) => {
                say::errln!("{error}");
                if flags.json {
                    say::outln!("{}", error.json());
                }
                exit = exit.merge(error.exit);
                break;
            }
        };
        rates.add(&done.judgement);
        exit = exit.merge(done.exit);
        if several {
            say::errln!("{}", seed_line(*seed, &done));
        }
        if flags.json {
            say::outln!("{}", json_line(*seed, &done));
        }
        ended_by_a_finding = flags.until_found && observed_invalid(&done.judgement);
        let spent = budget.is_some_and(|budget| budget <= started.elapsed());
        if stop.stopped() && several {
            // Seeds that were asked for were not run.
            exit = exit.merge(Exit::Interrupted);
        }
        if stop.stopped() || spent || ended_by_a_finding {
            break;
        }
    }
    if several {
        for line in rates.lines(ended_by_a_finding) {
            say::errln!("{line}");
        }
        say::errln!("  {:.1} runs a minute", rates.a_minute(started.elapsed()));
        if flags.json {
            say::outln!("{}", rates.json(ended_by_a_finding));
        }
    }
    exit
}

/// Whether any checker found something, promised or not.
pub fn observed_invalid(judgement: &checkers::Judgement) -> bool {
    judgement.checkers.values().any(|outcome| outcome.verdict == Verdict::Invalid)
}

/// Runs this command inside a lab if it wants one and is in none; gives the status then.
pub fn enter_lab(spec: &TestSpec) -> Result<Option<u8>, UserError> {
    let fail = super::lab::fail;
    match &spec.lab {
        LabSpec::Local if lab::current().is_none() => {
            let id = format!("run-{}", std::process::id());
            let lab = lab::LabSpec { hosts: spec.hosts, id };
            lab::run_inside(&lab).map(Some).map_err(fail)
        }
        LabSpec::Kept(id) if lab::current().is_none() => {
            lab::enter(Some(id)).map_err(fail)?;
            Ok(None)
        }
        _ => Ok(None),
    }
}

fn seed_line(seed: u64, done: &Done) -> String {
    let found: Vec<String> = done
        .judgement
        .checkers
        .iter()
        .filter(|(_, outcome)| outcome.verdict == Verdict::Invalid)
        .map(|(name, outcome)| {
            let promised = outcome.role == Some(Role::Promised);
            format!("{name} {}{}", outcome.count, if promised { " (promised)" } else { "" })
        })
        .collect();
    let found = if found.is_empty() { "nothing found".to_owned() } else { found.join(", ") };
    let missing = match &done.judgement.coverage {
        Some(coverage) if !coverage.missing.is_empty() => {
            format!("  missing: {}", coverage.missing.join("; "))
        }
        _ => String::new(),
    };
    let verdict = done.judgement.verdict.as_str();
    format!("seed {seed:>4}  {verdict:<7}  {found}{missing}  {}", done.folder.path.display())
}

/// A run for programs: which seed it had, what became of its operations, what each checker found.
fn json_line(seed: u64, done: &Done) -> serde_json::Value {
    let checker = |(name, outcome): (&String, &checkers::Outcome)| {
        let (verdict, role, count) = (outcome.verdict, outcome.role, outcome.count);
        (name.clone(), json!({ "verdict": verdict, "role": role, "count": count }))
    };
    let checkers = done.judgement.checkers.iter().map(checker);
    json!({
        "run": done.folder.path.display().to_string(),
        "seed": seed,
        "verdict": done.judgement.verdict,
        "operations": done.operations,
        "checkers": checkers.collect::<serde_json::Map<_, _>>(),
        "report": done.folder.file("report.html").display().to_string(),
        "exit": done.exit.code(),
    })
}
