//! The page that a team hangs on the wall: one file, nothing from elsewhere, no script.

use maud::{Markup, html};

use super::{Cell, CellState, Matrix, Row, RowStatus};
use crate::table_page::table_page;

/// The whole page.
pub fn html(matrix: &Matrix) -> String {
    let main = html! {
        div.scroll { (table(matrix)) }
        (legend(matrix))
        (phases(matrix))
        h2 { "Row by row" }
        @for row in &matrix.rows { (details(matrix, row)) }
        h2 { "Again" }
        div.command { code { (matrix.command) } }
    };
    let footer = html! { "splitbrain " (matrix.version) " · format " (matrix.format) };
    table_page(&matrix.title(), &bar(matrix), &main, &footer)
}

fn bar(matrix: &Matrix) -> Markup {
    let tally = matrix.tally();
    let colour = match (tally.broken, tally.unknown) {
        (0, 0) => "valid",
        (0, _) => "unknown",
        _ => "invalid",
    };
    let run = matrix.rows.iter().filter(|row| row.status != RowStatus::Pending).count();
    html! {
        header.bar.(colour) {
            h1 { (matrix.title()) }
            p.headline { (matrix.headline()) }
            p.facts {
                span { (run) " of " (matrix.rows.len()) " configurations, " (matrix.profile) }
                span { (matrix.hosts) " hosts, lab " (matrix.lab) }
                span { "workload " (matrix.workload) ", seed " (matrix.seed) }
                span { (matrix.started) }
            }
        }
    }
}

fn table(matrix: &Matrix) -> Markup {
    html! {
        table.matrix {
            thead {
                tr {
                    th scope="col" { "Configuration" }
                    th scope="col" { "Reads from" }
                    @for column in &matrix.columns { th scope="col" { (words(column)) } }
                }
            }
            tbody {
                @for row in &matrix.rows {
                    tr {
                        th scope="row" {
                            a href={ "#" (row.name) } { (row.name) }
                            span.why { (row.why) }
                        }
                        td { (words(&row.policy)) }
                        @for column in &matrix.columns { (cell(row, row.cells.get(column))) }
                    }
                }
            }
        }
    }
}

fn cell(row: &Row, cell: Option<&Cell>) -> Markup {
    let Some(cell) = cell.filter(|_| row.status != RowStatus::Pending) else {
        let words = if row.status == RowStatus::Pending { "not run" } else { "not asked" };
        return html! { td.cell { span.quiet { (words) } } };
    };
    let class = match cell.state {
        CellState::Held => "held",
        CellState::Violated if cell.promised => "broken",
        CellState::Violated => "violated",
        CellState::NotExpressible => "none",
        CellState::Unknown => "untold",
    };
    let words = html! {
        span.symbol aria-hidden="true" { (cell.state.symbol()) }
        " " (cell.state.words())
        @if cell.count != 0 { span.count { " " (cell.count) } }
    };
    let title = cell.finding.as_ref().or(cell.reason.as_ref()).or(cell.promise.as_ref());
    html! {
        td.cell.(class) title=[title] {
            @match row.report() {
                Some(report) => a href={ (report) "#findings" } { (words) },
                None => (words),
            }
            @if cell.broken_promise() {
                span.promised { "promised, and broken" }
            } @else if cell.promised {
                span.promised { "promised" }
            }
        }
    }
}

fn legend(matrix: &Matrix) -> Markup {
    html! {
        dl.keys {
            div { dt { "✓ held" } dd {
                "Judged valid, in a run that could have failed. One run bounds a rate; it proves "
                "nothing for ever."
            } }
            div { dt { "✗ violated" } dd {
                "Found, with a witness in the linked report. Never promised: that is what the "
                "setting is like. Promised: a bug, and marked so."
            } }
            div { dt { "? could not be told" } dd {
                "Not enough happened to tell, as said below."
            } }
            @if matrix.rows.iter().any(|row| row.workload.is_some()) {
                div { dt { "not asked" } dd {
                    "The row's workload has nothing that this column could be judged by."
                } }
            }
            div { dt { "– not expressible" } dd {
                "The client cannot do what the workload needs."
            } }
        }
    }
}

fn phases(matrix: &Matrix) -> Markup {
    let end = matrix.phases.last().map_or(1, |phase| phase.end_ms.max(1));
    let share = |ms: u64| format!("{:.2}%", 100.0 * ms as f64 / end as f64);
    html! {
        h2 { "What every run goes through" }
        div.phases {
            @for phase in &matrix.phases {
                @let calm = phase.faults.is_empty();
                div.phase.(if calm { "calm" } else { "fault" })
                    style={ "width:" (share(phase.end_ms - phase.start_ms)) }
                    title=(phase.faults.join(", ")) {
                    b { (phase.name) }
                    span { (seconds(phase.start_ms)) }
                }
            }
        }
        p.quiet {
            "Then everything is healed, the replicas are waited for, and every key is read on "
            "every node."
        }
    }
}

fn seconds(ms: u64) -> String {
    format!("{} s", ms as f64 / 1e3)
}

fn details(matrix: &Matrix, row: &Row) -> Markup {
    html! {
        section.row id=(row.name) {
            h3 { (row.name) }
            p {
                (row.why) " Policy " (row.policy) "."
                @if let Some(workload) = &row.workload { " Workload " (workload) "." }
            }
            @if !row.settings.is_empty() {
                p.quiet {
                    @for setting in &row.settings { code { (setting) } " " }
                }
            }
            @if let Some(error) = &row.error { p.note.bad { (error) } }
            dl {
                @for column in &matrix.columns {
                    @if let Some(cell) = row.cells.get(column) {
                        dt { (column) ": " (cell.state.words()) }
                        dd {
                            @if let Some(said) = cell.finding.as_ref().or(cell.reason.as_ref()) {
                                (said) " "
                            }
                            @if let Some(promise) = &cell.promise {
                                span.quiet {
                                    @if cell.promised { "Promised: " } @else { "Would need: " }
                                    (promise)
                                }
                            }
                        }
                    }
                }
            }
            @if row.status == RowStatus::Judged {
                p.quiet {
                    @if let Some(report) = row.report() { a href=(report) { "report" } ", " }
                    (seconds(row.took_ms))
                    @if row.reused { ", on the cluster of the row before, emptied" }
                }
            }
        }
    }
}

/// `read-your-writes` as a heading.
fn words(name: &str) -> String {
    name.replace('-', " ")
}

#[cfg(test)]
mod tests {
    use super::super::sample;

    #[test]
    fn the_page_is_escaped_whole_and_says_every_state() {
        let page = super::html(&sample::matrix());
        for part in [
            "promised, and broken",
            "could not be told",
            "not expressible",
            "reads come from &lt;the leader&gt;",
            "host n2: the server takes no connection",
            "runs/async/20261125T000000Z-1/report.html#findings",
        ] {
            assert!(page.contains(part), "{part}");
        }
        assert!(!page.contains("<script") && !page.contains("http://"), "nothing from elsewhere");
    }
}
