//! A few lines for a terminal.

use std::fmt::Write as _;

use checkers::{Judgement, Outcome, Role, Verdict};

use crate::{ReportInput, seconds};

/// Findings told in full a checker.
const SENTENCES: usize = 2;

/// A run in a few lines: verdict, checkers, first findings, what was missing, how to repeat it.
pub fn terminal_summary(input: &ReportInput<'_>) -> String {
    let mut text = judgement_text(input.judgement);
    let bands = input.bands();
    for band in &bands {
        let (from, to) = (seconds(band.start), seconds(band.end));
        let _ = writeln!(text, "  fault  {} from {from} to {to}", band.label);
    }
    if let Some(cut) = input.cut_off().filter(|cut| *cut != 0) {
        let _ = writeln!(text, "  note   {cut} entries were cut off a deposed leader's log");
    }
    for remark in crate::leadership::remarks(input) {
        let _ = writeln!(text, "  note   {remark}");
    }
    for note in input.notes {
        let _ = writeln!(text, "  note   {note}");
    }
    let _ = writeln!(text, "  again  {}", input.run.command);
    let _ = writeln!(text, "         {}", crate::repeat::sentence(input.run));
    text
}

/// A judgement in a few lines.
pub fn judgement_text(judgement: &Judgement) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{} {}", symbol(judgement.verdict), judgement.verdict.as_str());
    for (name, outcome) in &judgement.checkers {
        let _ = writeln!(text, "  {}", checker_line(name, outcome));
        for finding in outcome.findings.iter().take(SENTENCES) {
            // Keys and values are from the file: none passes for a line of ours.
            let sentence = say::one_line(&finding.sentence);
            let _ = writeln!(text, "      {}", abridged(&sentence));
        }
        let told = outcome.findings.len().min(SENTENCES) as u64;
        if told != 0 && told < outcome.count {
            let _ = writeln!(text, "      and {} more", outcome.count - told);
        }
    }
    if let Some(coverage) = &judgement.coverage {
        for missing in &coverage.missing {
            let _ = writeln!(text, "  missing  {missing}");
        }
    }
    if let Some(partial) = &judgement.partial {
        let _ = writeln!(text, "  partial  {partial}");
    }
    for doubt in &judgement.doubts {
        let _ = writeln!(text, "  doubt    {doubt}");
    }
    for note in judgement.read.iter().flat_map(|read| read.told()) {
        let _ = writeln!(text, "  read     {note}");
    }
    text
}

fn checker_line(name: &str, outcome: &Outcome) -> String {
    let mut line = format!("{} {:<18} {:<10} ", symbol(outcome.verdict), name, word(outcome));
    match outcome.role {
        Some(Role::Promised) => line.push_str("promised"),
        Some(Role::Observation) => line.push_str("not promised"),
        Some(Role::Named) | None => {}
    }
    if let Some(reason) = &outcome.reason {
        let _ = write!(line, "  {}", say::one_line(reason));
    }
    line.trim_end().to_owned()
}

fn word(outcome: &Outcome) -> String {
    match outcome.verdict {
        Verdict::Invalid => format!("{} found", outcome.count),
        Verdict::Unknown if outcome.not_refuted() => "not refuted".to_owned(),
        verdict => verdict.as_str().to_owned(),
    }
}

fn symbol(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Valid => "✓",
        Verdict::Unknown => "?",
        Verdict::Invalid => "✗",
    }
}

fn abridged(sentence: &str) -> String {
    const LENGTH: usize = 240;
    if sentence.chars().count() <= LENGTH {
        return sentence.to_owned();
    }
    let short: String = sentence.chars().take(LENGTH).collect();
    format!("{short}...")
}
