//! Reports: a judged run as one self-contained page, and as a few lines for a terminal.
//!
//! What lives here: functions from data to text. What must not: judging anything anew, reading a
//! cluster, a clock; the same input gives the same bytes. All text is escaped by `maud`.
//!
//! Read next: [`page`], [`findings`], [`plots`]; [`matrix`] and [`suite`] for many runs at once.

mod bare;
mod clocks;
mod findings;
mod lag;
mod lanes;
mod leadership;
pub mod matrix;
mod page;
mod plots;
mod repeat;
mod sections;
pub mod suite;
mod table_page;
mod terminal;

use std::collections::BTreeMap;

use checkers::Judgement;
use history::{EventKind, FaultEvent, History, MopKind, RunInfo, TelemetryEvent};

pub use bare::html_of_file;
pub use page::html;
pub use terminal::{judgement_text, terminal_summary};

/// An operation, as far as plots need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpPoint {
    /// ns since the run's start.
    pub invoked: i64,
    /// ns since the run's start.
    pub completed: Option<i64>,
    /// `Ok`, `Fail` or `Info`.
    pub kind: EventKind,
    /// Whether it writes.
    pub write: bool,
    /// Whether it is a final read.
    pub final_read: bool,
}

impl OpPoint {
    /// All operations of a history.
    pub fn of(history: &History) -> Vec<OpPoint> {
        let point = |op: &history::Op| OpPoint {
            invoked: op.invoked(),
            completed: op.completed(),
            kind: op.kind,
            write: history.mops_of(op).iter().any(|mop| mop.kind != MopKind::Read),
            final_read: op.final_read,
        };
        history.ops.iter().map(point).collect()
    }
}

/// Everything a report is made from.
#[derive(Clone, Copy, Debug)]
pub struct ReportInput<'a> {
    /// What the run was.
    pub run: &'a RunInfo,
    /// What was found.
    pub judgement: &'a Judgement,
    /// Its operations.
    pub ops: &'a [OpPoint],
    /// Its fault stream.
    pub faults: &'a [FaultEvent],
    /// Its telemetry.
    pub telemetry: &'a [TelemetryEvent],
    /// How long no write was acknowledged, and because of what, in words.
    pub outages: &'a [String],
    /// Remarks of the harness.
    pub notes: &'a [String],
}

/// A fault in force: what, from when to when (ns).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Band {
    label: String,
    family: String,
    start: i64,
    end: i64,
}

impl ReportInput<'_> {
    /// The end of the timeline, ns.
    fn end(&self) -> i64 {
        let ops = self.ops.iter().map(|op| op.completed.unwrap_or(op.invoked)).max();
        let samples = self.telemetry.iter().map(|sample| sample.received).max();
        ops.max(samples).unwrap_or(0).max(1)
    }

    /// Entries cut off the logs of deposed leaders, as their nodes last said; `None` where none of
    /// them tells.
    fn cut_off(&self) -> Option<u64> {
        let mut last: BTreeMap<(&str, u32), u64> = BTreeMap::new();
        for sample in self.telemetry {
            for shard in &sample.shards {
                let place = (sample.node.as_str(), shard.shard);
                last.extend(shard.aside.map(|aside| (place, aside)));
            }
        }
        (!last.is_empty()).then(|| last.values().sum())
    }

    /// Faults that were injected.
    fn bands(&self) -> Vec<Band> {
        use history::FaultPhase::{Evidenced, Healed, Injected};
        let injected = self.faults.iter().filter(|event| event.phase == Injected);
        let band = |event: &FaultEvent| {
            let of = |phase| self.faults.iter().find(|e| e.phase == phase && e.id == event.id);
            let (seen, healed) = (of(Evidenced), of(Healed));
            let label = format!("{} {}", event.fault, event.targets.join(", "));
            Band {
                // Some are of nobody.
                label: label.trim_end().to_owned(),
                family: event.family.clone(),
                // From when it was asked for until it was undone: evidence of either comes later.
                start: seen.and_then(|seen| seen.asked).unwrap_or(event.time),
                end: healed.map_or(self.end(), |event| event.answered.unwrap_or(event.time)),
            }
        };
        injected.map(band).collect()
    }
}

/// Text that cannot break out of a cell of a Markdown table.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let text = text.replace(['\n', '\r'], " ");
    for character in say::one_line(&text).chars() {
        match character {
            '|' | '<' | '*' | '_' | '`' | '[' | ']' | '\\' => plain.extend(['\\', character]),
            other => plain.push(other),
        }
    }
    plain
}

/// ns as seconds, for people.
pub fn seconds(ns: i64) -> String {
    format!("{:.2} s", ns as f64 / 1e9)
}
