//! Runs the rows of a matrix one after another, and writes it down after each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use reports::matrix::{Cell, Matrix, Row, RowStatus};

use super::MatrixPlan;
use super::cell::{cell, exit, not_expressible};
use super::clusters::{Clusters, left_as_it_was};
use super::plan::WORKLOAD;
use crate::cli::one_run::{Done, one_by};
use crate::config::{LabSpec, TestSpec};
use crate::engine::{self, StopFlag, host, plan};
use crate::error::UserError;
use crate::exit::Exit;
use crate::judge::Records;

/// Why a row has no run.
enum NoRun {
    /// The client cannot do what the workload needs.
    NotExpressible(String),
    /// Its environment failed.
    Failed(UserError),
}

impl From<UserError> for NoRun {
    fn from(error: UserError) -> NoRun {
        NoRun::Failed(error)
    }
}

/// Where a matrix is kept, and what it is made of.
pub struct MatrixRun<'a> {
    /// Its rows' tests.
    pub plan: &'a MatrixPlan,
    /// Its folder.
    pub folder: PathBuf,
    /// Rows to run; none means all.
    pub only: Vec<String>,
}

impl MatrixRun<'_> {
    /// Runs every row that is wanted and was not run yet.
    pub fn run(&self, matrix: &mut Matrix, stop: &StopFlag) -> Result<Exit, UserError> {
        write(&self.folder, matrix)?;
        let wanted: Vec<usize> = (0..matrix.rows.len())
            .filter(|place| {
                let row = &matrix.rows[*place];
                let asked = self.only.is_empty() || self.only.contains(&row.name);
                asked && row.status != RowStatus::Judged
            })
            .collect();
        say::outln!("{}", header(matrix));
        let mut clusters = Clusters::default();
        for (turn, place) in wanted.iter().enumerate() {
            if stop.stopped() {
                break;
            }
            let started = Instant::now();
            let columns = matrix.columns.clone();
            let row = &mut matrix.rows[*place];
            let asked = asked(row, &columns)?;
            self.row(row, &asked, &mut clusters, stop)?;
            row.took_ms = started.elapsed().as_millis() as u64;
            say::outln!("{}", line(turn + 1, wanted.len(), row, &columns));
            write(&self.folder, matrix)?;
        }
        drop(clusters);
        let exit = matrix.rows.iter().map(exit).fold(Exit::Valid, Exit::merge);
        Ok(if stop.stopped() { exit.merge(Exit::Interrupted) } else { exit })
    }

    /// Runs a row. An error is one of the matrix; what goes wrong with a row is in the row.
    fn row(
        &self,
        row: &mut Row,
        columns: &[String],
        clusters: &mut Clusters,
        stop: &StopFlag,
    ) -> Result<(), UserError> {
        let spec = self.plan.spec(row)?;
        let runs = self.folder.join("runs");
        let done = match spec.lab {
            LabSpec::Sim => one_by(&spec, &runs, false, |folder, progress| {
                engine::run(&spec, folder, stop, progress)
            })
            .map_err(NoRun::Failed),
            _ => self.on_hosts(&spec, row, &runs, clusters, stop),
        };
        let done = match done {
            Ok(done) => done,
            Err(NoRun::NotExpressible(why)) => {
                let cell = not_expressible(&why);
                row.status = RowStatus::Judged;
                row.cells = columns.iter().map(|name| (name.clone(), cell.clone())).collect();
                return Ok(());
            }
            Err(NoRun::Failed(error)) => {
                clusters.after(false);
                row.status = RowStatus::Environment;
                let cell = Cell::unknown("the environment failed");
                row.cells = columns.iter().map(|name| (name.clone(), cell.clone())).collect();
                row.error = Some(told(&error));
                return Ok(());
            }
        };
        self.judged(row, columns, &done)?;
        if spec.lab != LabSpec::Sim {
            let whole = done.error.is_none() && !done.interrupted;
            // A cluster whose state nobody knows is taken down with its connections; one that had
            // a failover is brought up anew on them.
            clusters.after(whole);
            if whole && !left_as_it_was(&Records::of_run(&done.folder)?) {
                clusters.rebuild();
            }
        }
        Ok(())
    }

    fn on_hosts(
        &self,
        spec: &TestSpec,
        row: &mut Row,
        runs: &Path,
        clusters: &mut Clusters,
        stop: &StopFlag,
    ) -> Result<Done, NoRun> {
        let name = format!("matrix-{}", spec.name);
        let (up, reused) = stop.while_bringing(|| clusters.ready(spec, &name))?;
        row.reused = reused;
        let client = up.system.client(plan::model(spec)?);
        plan::check_needs(plan::workload_of(spec)?, &client.capabilities(), spec.shards())
            .map_err(|error| NoRun::NotExpressible(told(&error)))?;
        drop(client);
        let done = one_by(spec, runs, false, |folder, progress| {
            host::run_on(up, spec, folder, stop, progress)
        });
        Ok(done?)
    }

    fn judged(&self, row: &mut Row, columns: &[String], done: &Done) -> Result<(), UserError> {
        let info = done.folder.info()?;
        let cut_short = match &done.error {
            Some(error) => Some(told(error)),
            None if done.interrupted => Some("interrupted".to_owned()),
            None => None,
        };
        row.status = match (&done.error, done.interrupted) {
            (Some(_), _) => RowStatus::Environment,
            (None, true) => RowStatus::Interrupted,
            (None, false) => RowStatus::Judged,
        };
        row.error = done.error.as_ref().map(told);
        row.run = relative(&done.folder.path, &self.folder);
        let cells = columns
            .iter()
            .map(|name| (name.clone(), cell(name, &done.judgement, &info, cut_short.as_deref())));
        row.cells = cells.collect::<BTreeMap<_, _>>();
        Ok(())
    }
}

/// The columns that a row's workload can be judged by; the others stay empty.
fn asked(row: &Row, columns: &[String]) -> Result<Vec<String>, UserError> {
    let name = row.workload.as_deref().unwrap_or(WORKLOAD);
    let workload = workloads::workload::by_name(name)
        .ok_or_else(|| UserError::usage(format!("no workload is called {name}")))?;
    let named = |column: &&String| workload.checkers.contains(&column.as_str());
    Ok(columns.iter().filter(named).cloned().collect())
}

/// An error as one line.
fn told(error: &UserError) -> String {
    let place = error.place.as_ref().map_or(String::new(), |place| format!("{place}: "));
    let hint = error.hint.as_ref().map_or(String::new(), |hint| format!(" ({hint})"));
    format!("{place}{}{hint}", error.what)
}

/// A path below a folder, from there.
pub fn relative(path: &Path, folder: &Path) -> Option<String> {
    let path = path.strip_prefix(folder).ok()?;
    Some(path.display().to_string())
}

/// Writes `matrix.json`, `matrix.md` and `matrix.html`, each whole or not at all.
pub fn write(folder: &Path, matrix: &Matrix) -> Result<(), UserError> {
    let folder = crate::run_folder::RunFolder { path: folder.to_owned() };
    let mut json = serde_json::to_vec_pretty(matrix)
        .map_err(|error| UserError::environment(error.to_string()))?;
    json.push(b'\n');
    folder.write("matrix.json", &json)?;
    folder.write("matrix.md", reports::matrix::markdown(matrix).as_bytes())?;
    folder.write("matrix.html", reports::matrix::html(matrix).as_bytes())
}

/// Columns of the lines below it.
fn header(matrix: &Matrix) -> String {
    let columns: String = matrix.columns.iter().map(|name| format!("{name:<20}")).collect();
    format!("{:<7}{:<34}{columns}", "", "")
}

fn line(turn: usize, turns: usize, row: &Row, columns: &[String]) -> String {
    let cells = columns.iter().map(|name| {
        let Some(cell) = row.cells.get(name) else { return format!("{:<20}", "") };
        let count = if cell.count == 0 { String::new() } else { format!(" {}", cell.count) };
        let mut words = format!("{} {}{count}", cell.state.symbol(), cell.state.words());
        if cell.broken_promise() {
            words = format!("{} BROKEN{count}", cell.state.symbol());
        } else if cell.promised {
            words.push_str(" !");
        }
        format!("{words:<20}")
    });
    let cells: String = cells.collect();
    let took = row.took_ms as f64 / 1e3;
    let mut line = format!("{turn:>2}/{turns:<3} {:<34}{cells}{took:>5.1} s", row.name);
    if row.reused {
        line.push_str("  same cluster");
    }
    if let Some(error) = &row.error {
        line.push_str(&format!("\n       environment: {error}"));
    }
    line
}
