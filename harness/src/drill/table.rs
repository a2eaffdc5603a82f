//! What a drill found, a row a fault: as text, Markdown and JSON.

use std::fmt::Write as _;

use clap::ValueEnum;
use history::Evidence;
use serde::Serialize;

use super::measured::measured;

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns, for a terminal.
    Text,
    /// A Markdown table.
    Markdown,
    /// One object, with every probe.
    Json,
}

/// One injection and its healing.
#[derive(Clone, Debug, Serialize)]
pub struct Round {
    /// Whom it hit.
    pub targets: Vec<String>,
    /// How it was made.
    pub mechanism: String,
    /// Whether the probes saw its effect.
    pub proven: bool,
    /// What the act took, ms, without its probes.
    pub inject_ms: f64,
    /// The probes of its effect.
    pub evidence: Vec<Evidence>,
    /// Whether the probes saw it undone, and every node serve again.
    pub healed: bool,
    /// What undoing took, ms, without its probes.
    pub heal_ms: f64,
    /// The probes of its undoing.
    pub healing: Vec<Evidence>,
    /// From the beginning of undoing until every node served again, ms.
    pub serving_ms: Option<f64>,
    /// What went wrong.
    pub errors: Vec<String>,
}

/// A fault.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its name.
    pub fault: String,
    /// Its rounds.
    pub rounds: Vec<Round>,
    /// Why it has none.
    pub refused: Option<String>,
}

/// See the module's doc.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    /// The system.
    pub system: String,
    /// How many hosts.
    pub hosts: usize,
    /// What it was drawn from.
    pub seed: u64,
    /// In the catalogue's order.
    pub rows: Vec<Row>,
}

const HEAD: [&str; 8] = [
    "fault",
    "proven",
    "healed",
    "inject p50/p99",
    "heal p50/p99",
    "serving p50/p99",
    "mechanism",
    "asked: measured",
];

impl Row {
    fn count(&self, holds: impl Fn(&Round) -> bool) -> String {
        let held = self.rounds.iter().filter(|round| holds(round)).count();
        format!("{held} of {}", self.rounds.len())
    }

    fn cells(&self) -> [String; 8] {
        let mut cells: [String; 8] = Default::default();
        cells[0].clone_from(&self.fault);
        if let Some(why) = &self.refused {
            cells[1] = "not made".to_owned();
            cells[7].clone_from(why);
            return cells;
        }
        cells[1] = self.count(|round| round.proven);
        cells[2] = self.count(|round| round.healed);
        cells[3] = both(self.rounds.iter().map(|round| round.inject_ms));
        cells[4] = both(self.rounds.iter().map(|round| round.heal_ms));
        cells[5] = both(self.rounds.iter().filter_map(|round| round.serving_ms));
        cells[6] = self.rounds.first().map(|round| round.mechanism.clone()).unwrap_or_default();
        cells[7] = measured(self.rounds.iter().flat_map(|round| &round.evidence));
        cells
    }

    /// What went wrong in it, each thing once.
    pub fn errors(&self) -> Vec<&str> {
        let mut all: Vec<&str> = Vec::new();
        for error in self.rounds.iter().flat_map(|round| &round.errors) {
            if !all.contains(&error.as_str()) {
                all.push(error);
            }
        }
        all
    }

    /// Its cells in one line, for who waits.
    pub fn line(&self) -> String {
        let [fault, proven, healed, inject, heal, ..] = self.cells();
        format!("{fault:<16} proven {proven}, healed {healed}, inject {inject}, heal {heal}")
    }
}

impl Table {
    /// Writes it.
    pub fn written(&self, format: Format) -> String {
        match format {
            Format::Text => self.text(),
            Format::Markdown => self.markdown(),
            Format::Json => serde_json::to_string_pretty(self).unwrap_or_default() + "\n",
        }
    }

    fn text(&self) -> String {
        let rows: Vec<[String; 8]> =
            [HEAD.map(str::to_owned)].into_iter().chain(self.rows.iter().map(Row::cells)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
        let widths: Vec<usize> = (0..8).map(|column| width(column).unwrap_or(0)).collect();
        let mut text = String::new();
        for row in &rows {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            let line = cells.collect::<Vec<_>>().join("  ");
            text.push_str(line.trim_end());
            text.push('\n');
        }
        self.add_errors(&mut text);
        text
    }

    fn markdown(&self) -> String {
        let mut text = format!("| {} |\n|{}\n", HEAD.join(" | "), "---|".repeat(8));
        for row in &self.rows {
            let cells = row.cells().map(|cell| cell.replace('|', "\\|"));
            // Writing to a String cannot fail.
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
        self.add_errors(&mut text);
        text
    }

    fn add_errors(&self, text: &mut String) {
        let rows = self.rows.iter().filter(|row| !row.errors().is_empty());
        for (place, row) in rows.enumerate() {
            let gap = if place == 0 { "\n" } else { "" };
            let _ = writeln!(text, "{gap}{}: {}", row.fault, row.errors().join("; "));
        }
    }
}

/// The smallest of these that so many percent of them do not exceed.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

fn both(times: impl Iterator<Item = f64>) -> String {
    let mut times: Vec<f64> = times.collect();
    times.sort_by(f64::total_cmp);
    if times.is_empty() {
        return "-".to_owned();
    }
    let told = |ms: f64| match ms {
        ms if ms < 100.0 => format!("{ms:.1}"),
        ms => format!("{ms:.0}"),
    };
    format!("{}/{} ms", told(percentile(&times, 50)), told(percentile(&times, 99)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(proven: bool, inject_ms: f64) -> Round {
        let probe = "n1 process".to_owned();
        let (expected, observed) = ("absent".to_owned(), "absent".to_owned());
        Round {
            targets: vec!["n1".to_owned()],
            mechanism: "signal".to_owned(),
            proven,
            inject_ms,
            evidence: vec![Evidence { probe, expected, observed, holds: proven }],
            healed: true,
            heal_ms: 250.4,
            healing: Vec::new(),
            serving_ms: proven.then_some(900.0),
            errors: if proven { Vec::new() } else { vec!["n1: it does not answer".to_owned()] },
        }
    }

    #[test]
    fn a_table_names_what_was_made_and_what_was_not() {
        let made = vec![round(true, 2.0), round(false, 4.0), round(true, 3.0)];
        let why = "no command takes a member out".to_owned();
        let table = Table {
            system: "store".to_owned(),
            hosts: 5,
            seed: 1,
            rows: vec![
                Row { fault: "kill".to_owned(), rounds: made, refused: None },
                Row { fault: "remove".to_owned(), rounds: Vec::new(), refused: Some(why) },
            ],
        };
        insta::assert_snapshot!(table.written(Format::Text));
        let markdown = table.written(Format::Markdown);
        assert!(markdown.contains("\n| kill | 2 of 3 | 3 of 3 | 3.0/4.0 ms | 250/250 ms | "));
        let json: serde_json::Value =
            serde_json::from_str(&table.written(Format::Json)).expect("it is JSON");
        assert_eq!(json["rows"][0]["rounds"][1]["proven"], false);
    }
}
