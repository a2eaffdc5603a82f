//! The matrix as Markdown: fit for a repository, a wiki, or a build page.

use std::fmt::Write as _;

use super::{Cell, Matrix, Row, RowStatus};
use crate::plain;

/// The whole matrix.
pub fn markdown(matrix: &Matrix) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "# {}\n", matrix.title());
    let _ = writeln!(text, "{}\n", matrix.headline());
    let _ = write!(text, "| configuration | policy |");
    for column in &matrix.columns {
        let _ = write!(text, " {column} |");
    }
    let _ = writeln!(text, "\n|---|---|{}", "---|".repeat(matrix.columns.len()));
    for row in &matrix.rows {
        let _ = write!(text, "| **{}** | {} |", plain(&row.name), plain(&row.policy));
        for column in &matrix.columns {
            let _ = write!(text, " {} |", cell(row, row.cells.get(column)));
        }
        text.push('\n');
    }
    let _ = writeln!(
        text,
        "\n`!` promised by the configuration. **held**: judged valid in a run that could have \
         failed; one run bounds a rate, it proves nothing for ever.\n"
    );
    phases(matrix, &mut text);
    for row in &matrix.rows {
        details(matrix, row, &mut text);
    }
    let _ = writeln!(text, "`{}`, splitbrain {}", matrix.command, matrix.version);
    text
}

fn cell(row: &Row, cell: Option<&Cell>) -> String {
    let Some(cell) = cell.filter(|_| row.status != RowStatus::Pending) else {
        let pending = row.status == RowStatus::Pending;
        return if pending { "not run" } else { "not asked" }.to_owned();
    };
    let promised = if cell.promised { " !" } else { "" };
    let count = if cell.count == 0 { String::new() } else { format!(" {}", cell.count) };
    let words = format!("{} {}{count}{promised}", cell.state.symbol(), cell.state.words());
    let words = if cell.broken_promise() { format!("**{words}**") } else { words };
    match row.report() {
        Some(report) if 0 < cell.count => format!("[{words}]({report})"),
        _ => words,
    }
}

fn phases(matrix: &Matrix, text: &mut String) {
    let _ = writeln!(text, "In every run, workload `{}`:\n", matrix.workload);
    for phase in &matrix.phases {
        let (from, to) = (phase.start_ms as f64 / 1e3, phase.end_ms as f64 / 1e3);
        let _ = write!(text, "- {from} s to {to} s: {}", phase.name);
        let faults: Vec<String> = phase.faults.iter().map(|fault| format!("`{fault}`")).collect();
        let _ = match faults.is_empty() {
            true => writeln!(text),
            false => writeln!(text, " ({})", faults.join(", ")),
        };
    }
    text.push('\n');
}

fn details(matrix: &Matrix, row: &Row, text: &mut String) {
    let _ = writeln!(text, "## {}\n", plain(&row.name));
    let _ = writeln!(text, "{}", plain(&row.why));
    if let Some(workload) = &row.workload {
        let _ = writeln!(text, "Workload `{}`.", plain(workload));
    }
    let settings: Vec<String> = row.settings.iter().map(|set| format!("`{set}`")).collect();
    if !settings.is_empty() {
        let _ = writeln!(text, "{}.", settings.join(", "));
    }
    text.push('\n');
    if let Some(error) = &row.error {
        let _ = writeln!(text, "- environment: {}", plain(error));
    }
    for column in &matrix.columns {
        let Some(cell) = row.cells.get(column) else { continue };
        if let Some(said) = cell.finding.as_ref().or(cell.reason.as_ref()) {
            let _ = writeln!(text, "- {column}, {}: {}", cell.state.words(), plain(said));
        }
    }
    if let Some(report) = row.report() {
        let _ = writeln!(text, "- [report]({report})");
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_matrix_in_markdown() {
        insta::assert_snapshot!(super::markdown(&super::super::sample::matrix()));
    }
}
