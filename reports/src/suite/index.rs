//! The index page of a suite: every case, every run, linked.

use maud::{Markup, html};

use super::{CaseResult, CaseStatus, SeedResult, Suite, seconds};
use crate::table_page::table_page;

/// Runs of a case that are shown without being asked for.
const UNFOLDED: usize = 10;

/// The whole page.
pub fn html(suite: &Suite) -> String {
    let bad =
        |case: &&CaseResult| !matches!(case.status, CaseStatus::AsExpected | CaseStatus::NotRun);
    let main = html! {
        @if suite.cases.iter().any(|case| bad(&case)) {
            h2 { "What needs a look" }
            @for case in suite.cases.iter().filter(bad) { (trouble(case)) }
        }
        h2 { "All cases" }
        div.scroll { (table(suite)) }
    };
    let footer = html! { "splitbrain " (suite.version) " · format " (suite.format) };
    table_page(&suite.title(), &bar(suite), &main, &footer)
}

fn bar(suite: &Suite) -> Markup {
    let count = |status| suite.count(status);
    let colour = if count(CaseStatus::Unexpected) + count(CaseStatus::Internal) != 0 {
        "invalid"
    } else if count(CaseStatus::AsExpected) == suite.cases.len() {
        "valid"
    } else {
        "unknown"
    };
    let took: u64 = suite.cases.iter().map(|case| case.took_ms).sum();
    let runs: usize = suite.cases.iter().map(|case| case.seeds.len()).sum();
    html! {
        header.bar.(colour) {
            h1 { (suite.title()) }
            p.headline { (suite.headline()) }
            p.facts {
                span { (runs) " runs" }
                span { (seconds(took)) }
                span { (suite.started) }
            }
        }
    }
}

fn trouble(case: &CaseResult) -> Markup {
    html! {
        article.finding {
            p.sentence { (status(case.status)) " " (case.name) }
            p.quiet { "Expected: " (case.expectation) "." }
            ul { @for why in &case.why { li { (why) } } }
            @for seed in &case.seeds {
                @for (name, finding) in &seed.findings {
                    p { "Seed " (seed.seed) ", " (name) ": " (finding) }
                }
            }
            div.command { code { (case.command) } }
        }
    }
}

fn status(status: CaseStatus) -> Markup {
    let class = match status {
        CaseStatus::AsExpected => "valid",
        CaseStatus::Unexpected | CaseStatus::Internal => "invalid",
        _ => "unknown",
    };
    html! { span class={ "badge " (class) } { (status.symbol()) " " (status.words()) } }
}

fn table(suite: &Suite) -> Markup {
    html! {
        table.suite {
            thead { tr {
                th { "Case" } th { "Expected" } th { "Runs" } th { "Time" }
            } }
            tbody {
                @for case in &suite.cases {
                    tr id=(case.name) {
                        td { b { (case.name) } br; (status(case.status)) }
                        td { (case.expectation) }
                        td { (runs(case)) }
                        td.n { (seconds(case.took_ms)) }
                    }
                }
            }
        }
    }
}

/// The runs of a case; many are folded away.
fn runs(case: &CaseResult) -> Markup {
    let all = html! { @for run in &case.seeds { (seed(run)) } };
    if case.seeds.len() <= UNFOLDED {
        return all;
    }
    let found = case.seeds.iter().filter(|seed| !seed.found.is_empty()).count();
    html! {
        details {
            summary { (case.seeds.len()) " runs, " (found) " with findings" }
            (all)
        }
    }
}

fn seed(seed: &SeedResult) -> Markup {
    let words = html! { (seed.seed) ": " (seed.words()) };
    html! {
        div {
            @match seed.report() {
                Some(report) => a href=(report) { (words) },
                None => (words),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_run_is_linked_and_everything_escaped() {
        let page = super::html(&super::super::sample::suite());
        assert!(page.contains("href=\"runs/case/20261125T000000Z-2/report.html\""));
        assert!(page.contains("is &lt;gone&gt;") && !page.contains("<gone>"));
        assert!(page.contains("What needs a look"));
        assert!(!page.contains("<script"), "nothing runs");
    }
}
