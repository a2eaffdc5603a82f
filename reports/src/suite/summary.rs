//! A summary in Markdown, fit for a build page such as `$GITHUB_STEP_SUMMARY`.

use std::fmt::Write as _;

use super::{CaseResult, CaseStatus, Suite, seconds};
use crate::plain;

/// The whole suite: what is not as expected first, the rest in a table.
pub fn summary(suite: &Suite) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "# {}\n\n{}\n", plain(&suite.title()), suite.headline());
    let bad =
        |case: &&CaseResult| !matches!(case.status, CaseStatus::AsExpected | CaseStatus::NotRun);
    for case in suite.cases.iter().filter(bad) {
        let _ = writeln!(text, "## {} {}\n", case.status.symbol(), plain(&case.name));
        let _ =
            writeln!(text, "{}. Expected: {}.\n", case.status.words(), plain(&case.expectation));
        for why in &case.why {
            let _ = writeln!(text, "- {}", plain(why));
        }
        for seed in &case.seeds {
            for (name, finding) in &seed.findings {
                let _ = writeln!(text, "- seed {}, {}: {}", seed.seed, plain(name), plain(finding));
            }
        }
        let _ = writeln!(text, "\n    {}\n", say::one_line(&case.command));
    }
    let _ = writeln!(text, "| | case | expected | found | time |\n|---|---|---|---|---|");
    for case in &suite.cases {
        let seeds = case.seeds.iter().map(|seed| match seed.report() {
            Some(report) => format!("[{}: {}]({report})", seed.seed, plain(&seed.words())),
            None => format!("{}: {}", seed.seed, plain(&seed.words())),
        });
        let _ = writeln!(
            text,
            "| {} {} | {} | {} | {} | {} |",
            case.status.symbol(),
            case.status.words(),
            plain(&case.name),
            plain(&case.expectation),
            several(&seeds.collect::<Vec<_>>()),
            seconds(case.took_ms)
        );
    }
    text
}

/// Runs told in a cell of the table; the others are in the index.
const TOLD: usize = 4;

fn several(seeds: &[String]) -> String {
    let mut told: Vec<String> = seeds.iter().take(TOLD).cloned().collect();
    if TOLD < seeds.len() {
        told.push(format!("and {} more", seeds.len() - TOLD));
    }
    told.join("<br>")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_suite_in_markdown() {
        insta::assert_snapshot!(super::summary(&super::super::sample::suite()));
    }
}
