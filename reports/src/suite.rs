//! A suite: many cases, each held against what was expected of it; as data, JUnit XML, a Markdown
//! summary and an index page. `suite.json` is [`Suite`] as it stands; `docs/suites.md` describes
//! it.

mod index;
mod junit;
mod summary;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use index::html;
pub use junit::junit;
pub use summary::summary;

/// `suite.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Suite {
    /// Version of this format: 1.
    pub format: u32,
    /// Its name.
    pub name: String,
    /// splitbrain's version.
    pub version: String,
    /// When it started, UTC, RFC 3339.
    pub started: String,
    /// The slice of the whole that this is, such as `3/16`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// The cases, in the order of the file.
    pub cases: Vec<CaseResult>,
}

/// A case and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseResult {
    /// Its name.
    pub name: String,
    /// Its place in the file, from 0: merged shards are put in this order again.
    pub place: usize,
    /// The case as it was defined, so that a changed one is run again.
    pub definition: String,
    /// What was expected, in words.
    pub expectation: String,
    /// What came of it.
    pub status: CaseStatus,
    /// Why it is not as expected, or could not be told, one reason each.
    pub why: Vec<String>,
    /// How long it took, ms.
    pub took_ms: u64,
    /// The command that runs it alone.
    pub command: String,
    /// Its runs.
    pub seeds: Vec<SeedResult>,
}

/// A run of a case.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SeedResult {
    /// Everything random was drawn from it.
    pub seed: u64,
    /// `valid`, `invalid` or `unknown`; nothing for a run that was not judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// The exit code that this run alone has.
    pub exit: u8,
    /// Checkers that found something, with how many violations.
    pub found: BTreeMap<String, u64>,
    /// Those of them that the configuration promises never to.
    pub broken: Vec<String>,
    /// Checkers that could not tell, with the reason.
    pub untold: BTreeMap<String, String>,
    /// Of those the ones whose level was not refuted and could not be decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undecided: Vec<String>,
    /// Whether that alone makes the run's verdict unknown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undecided_alone: bool,
    /// What the coverage gate missed.
    pub missing: Vec<String>,
    /// Anomalies of isolation that transactions showed, forbidden or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shown: Vec<String>,
    /// The first finding of each checker that found something, in a sentence.
    pub findings: BTreeMap<String, String>,
    /// Its folder, relative to the suite's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
}

/// What came of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CaseStatus {
    /// Not run: another slice, `--fail-fast`, or an end before its turn.
    NotRun,
    /// Everything expected was seen, and nothing promised was broken.
    AsExpected,
    /// An unexpected finding, or an expected one that is missing.
    Unexpected,
    /// Could not be told.
    Unknown,
    /// Its environment failed, or it did not end in time.
    Environment,
    /// Our bug.
    Internal,
    /// The user ended it.
    Interrupted,
}

impl CaseStatus {
    /// The words of tables.
    pub fn words(self) -> &'static str {
        match self {
            CaseStatus::NotRun => "not run",
            CaseStatus::AsExpected => "as expected",
            CaseStatus::Unexpected => "not as expected",
            CaseStatus::Unknown => "could not be told",
            CaseStatus::Environment => "environment failed",
            CaseStatus::Internal => "internal error",
            CaseStatus::Interrupted => "interrupted",
        }
    }

    /// Never colour alone.
    pub fn symbol(self) -> &'static str {
        match self {
            CaseStatus::NotRun => "–",
            CaseStatus::AsExpected => "✓",
            CaseStatus::Unexpected => "✗",
            CaseStatus::Unknown => "?",
            CaseStatus::Environment | CaseStatus::Internal | CaseStatus::Interrupted => "!",
        }
    }

    /// Whether the case needs no second run when a suite is resumed.
    pub fn finished(self) -> bool {
        matches!(self, CaseStatus::AsExpected | CaseStatus::Unexpected | CaseStatus::Unknown)
    }
}

impl SeedResult {
    /// Its report, relative to the suite's folder; none if its run is no path below `runs`: what
    /// becomes a link is never another's address.
    pub fn report(&self) -> Option<String> {
        let run = self.run.as_ref().filter(|run| is_run(run))?;
        Some(format!("{run}/report.html"))
    }

    /// What came of it, in a few words.
    pub fn words(&self) -> String {
        if !self.found.is_empty() {
            let found = self.found.iter().map(|(name, count)| format!("{name} {count}"));
            return found.collect::<Vec<_>>().join(", ");
        }
        match self.verdict.as_deref() {
            Some("valid") => "nothing found".to_owned(),
            Some(verdict) => verdict.to_owned(),
            None => "not judged".to_owned(),
        }
    }
}

/// Whether a text is a path below `runs`, of words that are plain everywhere.
fn is_run(path: &str) -> bool {
    let below = path.strip_prefix("runs/");
    below.is_some_and(|below| below.split('/').all(is_plain_word))
}

/// Letters, digits, `-`, `_` and `.`, which is not the first.
fn is_plain_word(word: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    !word.is_empty() && !word.starts_with('.') && word.chars().all(plain)
}

impl Suite {
    /// What is wrong with a suite from elsewhere: names are plain words, runs are below `runs`.
    pub fn check(&self) -> Result<(), String> {
        let name = |what: &str, name: &str| match is_plain_word(name) {
            true => Ok(()),
            false => Err(format!("{what} {name:?} is no name: expected letters, digits, -_.")),
        };
        name("suite", &self.name)?;
        for case in &self.cases {
            name("case", &case.name)?;
            for seed in &case.seeds {
                if let Some(run) = seed.run.as_ref().filter(|run| !is_run(run)) {
                    let place = format!("case {}, seed {}", case.name, seed.seed);
                    return Err(format!("{place}: run {run:?}: expected a path below runs/"));
                }
            }
        }
        Ok(())
    }

    /// How many cases have this status.
    pub fn count(&self, status: CaseStatus) -> usize {
        self.cases.iter().filter(|case| case.status == status).count()
    }

    /// One line on the whole.
    pub fn headline(&self) -> String {
        let counts = [
            CaseStatus::Unexpected,
            CaseStatus::Internal,
            CaseStatus::Environment,
            CaseStatus::Interrupted,
            CaseStatus::Unknown,
            CaseStatus::AsExpected,
            CaseStatus::NotRun,
        ];
        let counts = counts.into_iter().filter(|status| self.count(*status) != 0);
        let words = counts.map(|status| format!("{} {}", self.count(status), status.words()));
        let words: Vec<String> = words.collect();
        let cases = self.cases.len();
        format!(
            "{cases} cases: {}",
            if words.is_empty() { "none".into() } else { words.join(", ") }
        )
    }

    /// Its name, with the slice.
    pub(crate) fn title(&self) -> String {
        match &self.shard {
            Some(shard) => format!("{}, slice {shard}", self.name),
            None => self.name.clone(),
        }
    }
}

/// Seconds, for people.
fn seconds(ms: u64) -> String {
    format!("{:.1} s", ms as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_run_but_a_path_below_runs_becomes_a_link_in_any_page() {
        let mut suite = sample::suite();
        suite.check().unwrap();
        for run in [
            "javascript:alert(1)//",
            "../../../../etc/passwd",
            "runs/../../x",
            "runs/.ssh",
            "/runs/a",
            "runs//a",
            "runs/a)<img src=x onerror=alert(1)>",
            "runs/a\u{202e}b",
            "https://example.org/runs",
            "",
        ] {
            for case in &mut suite.cases {
                case.seeds.iter_mut().for_each(|seed| seed.run = Some(run.to_owned()));
            }
            assert!(suite.check().unwrap_err().contains("expected a path below runs/"), "{run}");
            for page in [html(&suite), summary(&suite), junit(&suite).unwrap()] {
                assert!(!page.contains("report.html"), "{run}: {page}");
                assert!(run.is_empty() || !page.contains(run), "{run}: {page}");
            }
        }
    }

    #[test]
    fn no_text_of_a_suite_opens_a_tag_or_steers_a_terminal_in_any_page() {
        let hostile = "</script><img src=x onerror=alert(1)>\n# h1\n| a |\u{1b}[2J\u{202e}](x)";
        let mut suite = sample::suite();
        suite.name = hostile.to_owned();
        for case in &mut suite.cases {
            let texts =
                [&mut case.name, &mut case.definition, &mut case.expectation, &mut case.command];
            texts.into_iter().for_each(|text| *text = hostile.to_owned());
            case.why = vec![hostile.to_owned()];
            case.status = CaseStatus::Unexpected;
            for seed in &mut case.seeds {
                seed.verdict = Some(hostile.to_owned());
                seed.found = [(hostile.to_owned(), 3)].into();
                seed.broken = vec![hostile.to_owned()];
                seed.missing = vec![hostile.to_owned()];
                seed.untold = [(hostile.to_owned(), hostile.to_owned())].into();
                seed.findings = [(hostile.to_owned(), hostile.to_owned())].into();
            }
        }
        assert!(suite.check().is_err());
        let page = html(&suite);
        assert!(!page.contains("<img") && !page.contains("</script"), "{page}");
        let text = summary(&suite);
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
        for line in text.lines() {
            // Indented by four it is code, and shown as it stands.
            let code = line.starts_with("    ");
            let open = line.replace("\\<", "").contains("<img");
            assert!(code || !open, "{line}");
            assert_ne!(line, "# h1", "a line of its own");
        }
        assert!(!junit(&suite).unwrap().contains("<img"));
    }
}

#[cfg(test)]
pub(crate) mod sample {
    use super::*;

    /// A suite with a case of every status.
    pub(crate) fn suite() -> Suite {
        let seed = |seed: u64, found: &[(&str, u64)]| SeedResult {
            seed,
            verdict: Some(if found.is_empty() { "valid" } else { "invalid" }.to_owned()),
            exit: u8::from(!found.is_empty()),
            found: found.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
            findings: found
                .iter()
                .map(|(name, _)| ((*name).into(), "4 was acknowledged | and is <gone>".into()))
                .collect(),
            run: Some(format!("runs/case/20261125T000000Z-{seed}")),
            ..SeedResult::default()
        };
        let case = |place: usize, name: &str, status: CaseStatus, why: &[&str]| CaseResult {
            name: name.to_owned(),
            place,
            definition: format!("name = \"{name}\""),
            expectation: "finds lost-writes in each of 2 seeds".to_owned(),
            status,
            why: why.iter().map(|why| (*why).to_owned()).collect(),
            took_ms: 12_340,
            command: format!("splitbrain run --name {name}"),
            seeds: match status {
                CaseStatus::NotRun | CaseStatus::Environment => Vec::new(),
                CaseStatus::Unexpected => vec![seed(1, &[("lost-writes", 3)]), seed(2, &[])],
                _ => vec![seed(1, &[("lost-writes", 3)])],
            },
        };
        Suite {
            format: 1,
            name: "nightly".to_owned(),
            version: "0.1.0".to_owned(),
            started: "2026-11-25T00:00:00Z".to_owned(),
            shard: Some("1/4".to_owned()),
            cases: vec![
                case(0, "async-kill", CaseStatus::AsExpected, &[]),
                case(4, "no-show", CaseStatus::Unexpected, &["seed 2: lost-writes was not found"]),
                case(8, "thin", CaseStatus::Unknown, &["seed 1: ok read operations: 3 of 50"]),
                case(12, "no-host", CaseStatus::Environment, &["host n2: refused"]),
                case(16, "later", CaseStatus::NotRun, &[]),
            ],
        }
    }
}
