//! The guarantee matrix: which guarantee each configuration really gave, as data, as a page and as
//! Markdown. `matrix.json` is [`Matrix`] as it stands; `docs/matrix.md` describes it.

mod markdown;
mod page;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use markdown::markdown;
pub use page::html;

/// `matrix.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Matrix {
    /// Version of this format: 1.
    pub format: u32,
    /// The system under test.
    pub system: String,
    /// splitbrain's version.
    pub version: String,
    /// `quick`, `normal` or `full`.
    pub profile: String,
    /// `local`, `sim`, or the name of a kept lab.
    pub lab: String,
    /// How many hosts.
    pub hosts: usize,
    /// The workload of every row that names no other.
    pub workload: String,
    /// The seed of every row.
    pub seed: u64,
    /// When the first row started, UTC, RFC 3339.
    pub started: String,
    /// The command that makes this matrix.
    pub command: String,
    /// Checkers, one a column.
    pub columns: Vec<String>,
    /// What happens in every row's run.
    pub phases: Vec<Phase>,
    /// One configuration each.
    pub rows: Vec<Row>,
}

/// A stretch of a row's run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// `calm`, `follower cut`, `leader cut` or `leader kill`.
    pub name: String,
    /// ms since the run's start.
    pub start_ms: u64,
    /// ms since the run's start.
    pub end_ms: u64,
    /// The faults, as `--fault` takes them.
    pub faults: Vec<String>,
}

/// A configuration and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// What it is, in a sentence.
    pub why: String,
    /// Settings that differ from the defaults, as `--set` takes them.
    pub settings: Vec<String>,
    /// The client policy.
    pub policy: String,
    /// Its workload, where it is not the matrix's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// How far it came.
    pub status: RowStatus,
    /// What went wrong with its environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Its run's folder, relative to the matrix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// How long it took with the cluster's start and the judging, ms.
    pub took_ms: u64,
    /// Whether the cluster of the row before was used again, emptied.
    pub reused: bool,
    /// By column.
    pub cells: BTreeMap<String, Cell>,
}

/// How far a row came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowStatus {
    /// Not run yet.
    Pending,
    /// Run and judged.
    Judged,
    /// Its environment failed.
    Environment,
    /// The user ended it.
    Interrupted,
}

/// What is known of one guarantee under one configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// What came of it.
    pub state: CellState,
    /// Whether the configuration promises it.
    pub promised: bool,
    /// Why it is promised, or what would promise it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promise: Option<String>,
    /// Violations.
    pub count: u64,
    /// The first violation, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<String>,
    /// Why it is not expressible, or could not be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The four things that can be said of a guarantee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CellState {
    /// Judged valid, in a run that could have failed.
    Held,
    /// A violation was found, with a witness.
    Violated,
    /// The client cannot do what the workload needs.
    NotExpressible,
    /// Not judged, or judged on a run that could not have failed.
    Unknown,
}

impl CellState {
    /// The words of the tables.
    pub fn words(self) -> &'static str {
        match self {
            CellState::Held => "held",
            CellState::Violated => "violated",
            CellState::NotExpressible => "not expressible",
            CellState::Unknown => "could not be told",
        }
    }

    /// Never colour alone.
    pub fn symbol(self) -> &'static str {
        match self {
            CellState::Held => "✓",
            CellState::Violated => "✗",
            CellState::NotExpressible => "–",
            CellState::Unknown => "?",
        }
    }
}

impl Cell {
    /// A cell of a row that gave no answer, and why.
    pub fn unknown(reason: impl Into<String>) -> Cell {
        Cell {
            state: CellState::Unknown,
            promised: false,
            promise: None,
            count: 0,
            finding: None,
            reason: Some(reason.into()),
        }
    }

    /// Promised, and violated all the same.
    pub fn broken_promise(&self) -> bool {
        self.promised && self.state == CellState::Violated
    }
}

impl Row {
    /// The report of its run, relative to the matrix.
    pub fn report(&self) -> Option<String> {
        self.run.as_ref().map(|run| format!("{run}/report.html"))
    }
}

/// How many cells say what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Held.
    pub held: usize,
    /// Violated, promised or not.
    pub violated: usize,
    /// Violated although promised.
    pub broken: usize,
    /// Not expressible.
    pub not_expressible: usize,
    /// Could not be told.
    pub unknown: usize,
}

impl Matrix {
    /// Counts the cells of all rows that were run.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        let rows = self.rows.iter().filter(|row| row.status != RowStatus::Pending);
        for cell in rows.flat_map(|row| row.cells.values()) {
            match cell.state {
                CellState::Held => tally.held += 1,
                CellState::Violated => tally.violated += 1,
                CellState::NotExpressible => tally.not_expressible += 1,
                CellState::Unknown => tally.unknown += 1,
            }
            tally.broken += usize::from(cell.broken_promise());
        }
        tally
    }

    /// The sentence above the table.
    pub(crate) fn headline(&self) -> String {
        let tally = self.tally();
        let mut text = match tally.broken {
            0 => "No promise was broken".to_owned(),
            1 => "1 promise was broken".to_owned(),
            broken => format!("{broken} promises were broken"),
        };
        text.push_str(&format!("; {} held, {} violated", tally.held, tally.violated));
        if tally.broken < tally.violated {
            text.push_str(&format!(" ({} never promised)", tally.violated - tally.broken));
        }
        for (count, words) in
            [(tally.unknown, "could not be told"), (tally.not_expressible, "not expressible")]
        {
            if count != 0 {
                text.push_str(&format!(", {count} {words}"));
            }
        }
        text.push('.');
        text
    }

    /// The system's name for people.
    pub(crate) fn title(&self) -> String {
        let name = match self.system.as_str() {
            "postgres" => "PostgreSQL",
            "mongodb" => "MongoDB",
            "store" => "The bundled store",
            other => other,
        };
        format!("{name}: what each setting really gave")
    }
}

#[cfg(test)]
pub(crate) mod sample {
    use super::*;

    fn cell(state: CellState, promised: bool) -> Cell {
        let violated = state == CellState::Violated;
        Cell {
            state,
            promised,
            promise: Some("reads come from <the leader> | docs".to_owned()),
            count: if violated { 12 } else { 0 },
            finding: violated.then(|| "session 4 wrote 12 to key 7 and read [] | from n3".into()),
            reason: match state {
                CellState::Held | CellState::Violated => None,
                CellState::NotExpressible => Some("the workload needs append".to_owned()),
                CellState::Unknown => Some("ok read operations: 3 of 50".to_owned()),
            },
        }
    }

    /// A matrix with every kind of row and cell.
    pub(crate) fn matrix() -> Matrix {
        use CellState::{Held, NotExpressible, Unknown, Violated};
        let columns = ["read-your-writes", "lost-writes"];
        let row = |name: &str, states: [(CellState, bool); 2]| Row {
            name: name.to_owned(),
            why: "Acknowledged by the leader alone.".to_owned(),
            settings: vec!["postgres.failover=operator".to_owned()],
            policy: "leader".to_owned(),
            workload: None,
            status: RowStatus::Judged,
            error: None,
            run: Some(format!("runs/{name}/20261125T000000Z-1")),
            took_ms: 31_250,
            reused: name == "token",
            cells: columns
                .iter()
                .zip(states)
                .map(|(column, (state, promised))| ((*column).to_owned(), cell(state, promised)))
                .collect(),
        };
        let failed = Row {
            status: RowStatus::Environment,
            error: Some("host n2: the server takes no connection".to_owned()),
            run: None,
            ..row("failed", [(Unknown, false), (Unknown, false)])
        };
        Matrix {
            format: 1,
            system: "postgres".to_owned(),
            version: "0.1.0".to_owned(),
            profile: "normal".to_owned(),
            lab: "local".to_owned(),
            hosts: 3,
            workload: "guarantees".to_owned(),
            seed: 1,
            started: "2026-11-25T00:00:00Z".to_owned(),
            command: "splitbrain matrix --system postgres --seed 1".to_owned(),
            columns: columns.map(str::to_owned).to_vec(),
            phases: vec![
                Phase { name: "calm".into(), start_ms: 0, end_ms: 3_000, faults: Vec::new() },
                Phase {
                    name: "leader cut".into(),
                    start_ms: 3_000,
                    end_ms: 9_000,
                    faults: vec!["leader-alone:leader@3s+6s".into()],
                },
            ],
            rows: vec![
                row("async", [(Held, false), (Violated, false)]),
                row("sync", [(Violated, true), (Held, true)]),
                row("token", [(Unknown, true), (NotExpressible, false)]),
                failed,
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_counted_and_the_headline_says_what_matters_first() {
        let matrix = sample::matrix();
        let tally = matrix.tally();
        assert_eq!((tally.held, tally.violated, tally.broken), (2, 2, 1));
        assert_eq!((tally.not_expressible, tally.unknown), (1, 3));
        assert_eq!(
            matrix.headline(),
            "1 promise was broken; 2 held, 2 violated (1 never promised), 3 could not be told, \
             1 not expressible."
        );
    }

    #[test]
    fn it_reads_back_from_its_own_text() {
        let matrix = sample::matrix();
        let text = serde_json::to_string(&matrix).unwrap();
        assert_eq!(serde_json::from_str::<Matrix>(&text).unwrap(), matrix);
    }
}
