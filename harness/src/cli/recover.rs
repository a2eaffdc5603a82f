//! `splitbrain recover`: point-in-time recovery, tried out and measured.

use clap::Args;
use serde_json::json;
use systems::postgres::spec::{Failover, ReplicationKind};

use super::one_run::finish;
use super::output::ProgressLine;
use super::run::enter_lab;
use super::{RunFlags, RunsDir};
use crate::config::{CoverageSpec, TestSpec, Words, duration};
use crate::engine::StopFlag;
use crate::error::UserError;
use crate::exit::Exit;
use crate::recover::{Exercise, Outcome};
use crate::run_folder::RunFolder;

/// Flags of `recover`.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct RecoverFlags {
    /// System under test: postgres
    #[arg(long, default_value = "postgres")]
    system: String,
    /// Everything random is drawn from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Hosts of the cluster; one more keeps the archive
    #[arg(long, default_value_t = 3)]
    hosts: usize,
    /// async, first:K or any:K
    #[arg(long)]
    replication: Option<String>,
    /// Any setting of the test file: postgres.synchronous_commit=remote_apply
    #[arg(long = "set", value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Operations a second; 0 is no limit
    #[arg(long)]
    rate: Option<u64>,
    /// When everything is deleted, after the start
    #[arg(long, value_name = "DURATION", default_value = "4s")]
    delete_at: String,
    /// How long after that it is noticed, and users are kept out
    #[arg(long, value_name = "DURATION", default_value = "3s")]
    noticed_after: String,
    /// One line of JSON at the end on standard output
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    runs: RunsDir,
}

impl RecoverFlags {
    /// What was typed, as far as it changes what happens.
    pub(super) fn command(&self) -> String {
        // Every field is named, so that a new one cannot be forgotten here.
        let RecoverFlags {
            system,
            seed,
            hosts,
            replication,
            set,
            rate,
            delete_at,
            noticed_after,
            json: _,
            runs: _,
        } = self;
        let mut words = Words::of("recover");
        words.flag("system", system);
        words.flag("seed", seed.to_string());
        words.flag("hosts", hosts.to_string());
        words.flag("delete-at", delete_at);
        words.flag("noticed-after", noticed_after);
        replication.iter().for_each(|kind| words.flag("replication", kind));
        rate.iter().for_each(|rate| words.flag("rate", rate.to_string()));
        set.iter().for_each(|set| words.flag("set", set));
        words.line()
    }
}

/// Deletes everything, goes back to just before, says what that took and what it cost.
pub fn recover(flags: &RecoverFlags) -> Result<u8, UserError> {
    if flags.system != "postgres" {
        let what = format!("point-in-time recovery of \"{}\" is not built", flags.system);
        return Err(UserError::usage(what).at("--system").hint("valid is postgres"));
    }
    let delete_at_ms = duration("--delete-at", &flags.delete_at)?;
    let noticed_ms = duration("--noticed-after", &flags.noticed_after)?;
    let spec = RunFlags {
        name: Some("recover".to_owned()),
        system: Some(flags.system.clone()),
        seed: Some(flags.seed),
        hosts: Some(flags.hosts),
        replication: flags.replication.clone(),
        set: flags.set.clone(),
        rate: flags.rate,
        time_limit: Some(format!("{}ms", delete_at_ms + noticed_ms)),
        ..RunFlags::default()
    }
    .spec()?;
    check(&spec)?;
    if let Some(status) = enter_lab(&TestSpec { hosts: spec.hosts + 1, ..spec.clone() })? {
        return Ok(status);
    }
    // What comes after the accident is counted, not judged by the gate of a fault.
    let coverage = CoverageSpec { ok_outside_min: 0, attempts_during_min: 0 };
    let spec = TestSpec { coverage, ..spec };
    let exercise = Exercise { spec, delete_at_ms, command: flags.command() };
    let folder = RunFolder::create(&flags.runs.runs_dir, "recover", flags.seed)?;
    say::errln!("run {}  seed {}", folder.id(), flags.seed);
    let progress = ProgressLine::new();
    let outcome = exercise.run(&folder, &StopFlag::install(), &progress);
    progress.clear();
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => {
            if folder.file("history.jsonl").exists() {
                // What was recorded before is judged all the same, and both are said.
                finish(&folder, Vec::new(), true)?;
            } else {
                // A folder without a history holds nothing that could be read.
                let _ = std::fs::remove_dir_all(&folder.path);
            }
            return Err(error);
        }
    };
    let mut notes = outcome.notes.clone();
    notes.push(sentence(&outcome));
    finish(&folder, notes, false)?;
    let told = told(&outcome, &folder);
    folder.write("recovery.json", &serde_json::to_vec_pretty(&told).unwrap_or_default())?;
    say::err!("{}", table(&outcome));
    say::errln!("report {}", folder.file("report.html").display());
    if flags.json {
        say::outln!("{told}");
    }
    let counted = &outcome.counted;
    let exit = match () {
        () if counted.shown() => Exit::Valid,
        () if !counted.before_missing.is_empty() => Exit::Invalid,
        () => Exit::Unknown,
    };
    Ok(exit.code())
}

/// What the exercise is not built for.
fn check(spec: &TestSpec) -> Result<(), UserError> {
    let settings = &spec.postgres;
    let what = match () {
        () if settings.failover != Failover::None => "failover = \"none\"",
        () if settings.replication_kind != ReplicationKind::Streaming => "streaming replication",
        () => return Ok(()),
    };
    Err(UserError::usage(format!("recovery is tried out with {what}")).at("--set"))
}

fn seconds(ns: i64) -> String {
    format!("{:.2} s", ns as f64 / 1e9)
}

fn sentence(outcome: &Outcome) -> String {
    let counted = &outcome.counted;
    format!(
        "transaction {} deleted {} rows at {}; the state before it was restored within {} (RTO): \
         {} of {} earlier writes are back, {} of {} later ones are lost, those of {} (RPO)",
        outcome.accident.xid,
        outcome.accident.rows,
        seconds(outcome.deleted.0),
        seconds(outcome.rto()),
        counted.before_back,
        counted.before,
        counted.after_lost,
        counted.after,
        seconds(outcome.rpo()),
    )
}

fn table(outcome: &Outcome) -> String {
    let counted = &outcome.counted;
    let mut lines = vec![
        ("deleted".to_owned(), {
            let (xid, rows) = (&outcome.accident.xid, outcome.accident.rows);
            format!("{rows} rows by transaction {xid} at {}", seconds(outcome.deleted.0))
        }),
        ("writes before it".to_owned(), {
            let (left, back) = (counted.before_left, counted.before_back);
            format!(
                "{} acknowledged, {left} left on any node, {back} back, {} missing",
                counted.before,
                counted.before_missing.len()
            )
        }),
        ("writes after it".to_owned(), {
            format!("{} acknowledged, {} lost by going back", counted.after, counted.after_lost)
        }),
        ("writes meanwhile".to_owned(), counted.meanwhile.to_string()),
        ("RPO".to_owned(), seconds(outcome.rpo())),
        ("RTO".to_owned(), seconds(outcome.rto())),
    ];
    for (step, took) in &outcome.steps.steps {
        lines.push((format!("  {step}"), seconds(took.as_nanos() as i64)));
    }
    lines.iter().map(|(name, value)| format!("{name:<24}{value}\n")).collect()
}

fn told(outcome: &Outcome, folder: &RunFolder) -> serde_json::Value {
    let steps: Vec<_> = outcome
        .steps
        .steps
        .iter()
        .map(|(step, took)| json!({ "step": step, "ms": took.as_millis() as u64 }))
        .collect();
    json!({
        "run": folder.path.display().to_string(),
        "rto_ms": outcome.rto() / 1_000_000,
        "rpo_ms": outcome.rpo() / 1_000_000,
        "deleted_rows": outcome.accident.rows,
        "deleted_at_ms": outcome.deleted.0 / 1_000_000,
        "xid": outcome.accident.xid,
        "writes": outcome.counted,
        "steps": steps,
        "shown": outcome.counted.shown(),
    })
}
