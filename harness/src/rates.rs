//! How often several runs of one test showed something: which checker, promised or not, in how
//! many of the runs that could tell, and how far chance may move that share.

use std::collections::BTreeMap;
use std::time::Duration;

use checkers::{Judgement, Role, Verdict};
use serde_json::{Value, json};

/// The standard normal distribution's 97.5 % quantile: of two tails 95 % lie within.
const Z: f64 = 1.959_964;

/// So many of so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Runs that showed it.
    pub found: u64,
    /// Runs that could tell.
    pub of: u64,
}

impl Share {
    /// Wilson's score interval at 95 %: what true shares make such a count no surprise. Of no runs
    /// all shares do.
    pub fn interval(self) -> (f64, f64) {
        if self.of == 0 {
            return (0.0, 1.0);
        }
        let (n, z2) = (self.of as f64, Z * Z);
        let share = self.found as f64 / n;
        let middle = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
        let half = Z * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt() / (1.0 + z2 / n);
        let low = if self.found == 0 { 0.0 } else { (middle - half).max(0.0) };
        let high = if self.found == self.of { 1.0 } else { (middle + half).min(1.0) };
        (low, high)
    }

    /// `8 of 10 runs: 80 % (49 to 94 %)`.
    pub fn words(self) -> String {
        let Share { found, of } = self;
        let (low, high) = self.interval();
        let share = percent(found as f64 / of.max(1) as f64);
        format!("{found} of {of} runs: {share} % ({} to {} %)", percent(low), percent(high))
    }
}

/// Whole percents; tenths where whole ones would say nothing.
fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        _ if percent == 0.0 || (9.95..99.0).contains(&percent) || share == 1.0 => {
            format!("{percent:.0}")
        }
        _ => format!("{percent:.1}"),
    }
}

/// What a checker said in so many runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Row {
    promised: bool,
    found: u64,
    held: u64,
    untold: u64,
}

impl Row {
    fn share(self) -> Share {
        Share { found: self.found, of: self.found + self.held }
    }
}

/// What the judged runs of a test showed.
#[derive(Clone, Debug, Default)]
pub struct Rates {
    runs: u64,
    verdicts: BTreeMap<&'static str, u64>,
    rows: BTreeMap<String, Row>,
}

impl Rates {
    /// One more run.
    pub fn add(&mut self, judgement: &Judgement) {
        self.runs += 1;
        *self.verdicts.entry(judgement.verdict.as_str()).or_default() += 1;
        for (name, outcome) in &judgement.checkers {
            let row = self.rows.entry(name.clone()).or_default();
            // A promise may end within a run: whoever made it once is held to it.
            row.promised |= outcome.role == Some(Role::Promised);
            match outcome.verdict {
                Verdict::Invalid => row.found += 1,
                Verdict::Valid => row.held += 1,
                Verdict::Unknown => row.untold += 1,
            }
        }
    }

    /// How many of them a minute.
    pub fn a_minute(&self, took: Duration) -> f64 {
        self.runs as f64 / took.as_secs_f64().max(1e-3) * 60.0
    }

    /// A few lines for a terminal. `ended_by_a_finding`: the runs were made until one found
    /// something, so that their share is no rate.
    pub fn lines(&self, ended_by_a_finding: bool) -> Vec<String> {
        let verdicts: Vec<String> =
            self.verdicts.iter().map(|(verdict, count)| format!("{count} {verdict}")).collect();
        let mut lines = vec![format!("{} runs: {}", self.runs, verdicts.join(", "))];
        let told = |row: &Row| row.share().of != 0;
        let mut rows: Vec<_> = self.rows.iter().filter(|(_, row)| told(row)).collect();
        rows.sort_by_key(|(name, row)| (!row.promised, row.found == 0, (*name).clone()));
        for (name, row) in rows {
            let role = if row.promised { "promised" } else { "not promised" };
            let untold = match row.untold {
                0 => String::new(),
                count => format!(", not told in {count} more"),
            };
            let share = row.share().words();
            lines.push(format!("  {name:<18} {role:<12}  violated in {share}{untold}"));
        }
        let never: Vec<&str> =
            self.rows.iter().filter(|(_, row)| !told(row)).map(|(name, _)| name.as_str()).collect();
        if !never.is_empty() {
            lines.push(format!("  not told in any run: {}", never.join(", ")));
        }
        lines.push(match ended_by_a_finding {
            true => "  the runs ended at the first finding: these shares are no rates".to_owned(),
            false => "  in brackets Wilson's interval at 95 % confidence, over seeds".to_owned(),
        });
        lines
    }

    /// The same for programs.
    pub fn json(&self, ended_by_a_finding: bool) -> Value {
        let row = |(name, row): (&String, &Row)| {
            let (share, (low, high)) = (row.share(), row.share().interval());
            let rate = (share.of != 0).then(|| share.found as f64 / share.of as f64);
            let row = json!({
                "role": if row.promised { "promised" } else { "observation" },
                "found": share.found,
                "of": share.of,
                "untold": row.untold,
                "rate": rate,
                "low": low,
                "high": high,
            });
            (name.clone(), row)
        };
        json!({
            "runs": self.runs,
            "verdicts": self.verdicts,
            "interval": "wilson-95",
            "until_found": ended_by_a_finding,
            "rates": self.rows.iter().map(row).collect::<serde_json::Map<_, _>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use checkers::Outcome;

    use super::*;

    /// Against Newcombe 1998, table I, method 3, and R's `prop.test(correct = FALSE)`.
    #[test]
    fn the_interval_is_wilson_s() {
        for (found, of, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
            (9, 10, 0.5958, 0.9821),
            (10, 10, 0.7225, 1.0),
        ] {
            let (got_low, got_high) = Share { found, of }.interval();
            assert!((got_low - low).abs() < 5e-5, "{found} of {of}: {got_low}");
            assert!((got_high - high).abs() < 5e-5, "{found} of {of}: {got_high}");
        }
        assert_eq!(Share::default().interval(), (0.0, 1.0));
    }

    #[test]
    fn a_share_is_said_with_its_interval_and_none_is_not_never() {
        assert_eq!(Share { found: 8, of: 10 }.words(), "8 of 10 runs: 80 % (49 to 94 %)");
        assert_eq!(Share { found: 0, of: 10 }.words(), "0 of 10 runs: 0 % (0 to 28 %)");
        assert_eq!(Share { found: 10, of: 10 }.words(), "10 of 10 runs: 100 % (72 to 100 %)");
        assert_eq!(Share { found: 1, of: 500 }.words(), "1 of 500 runs: 0.2 % (0.0 to 1.1 %)");
    }

    fn judged(verdict: Verdict, checkers: &[(&str, Verdict, Role)]) -> Judgement {
        let outcome = |(name, verdict, role): &(&str, Verdict, Role)| {
            let outcome = Outcome { verdict: *verdict, role: Some(*role), ..Outcome::valid() };
            ((*name).to_owned(), outcome)
        };
        let checkers: BTreeMap<String, Outcome> = checkers.iter().map(outcome).collect();
        let text = json!({
            "verdict": verdict,
            "checkers": checkers,
            "coverage": null,
            "partial": null,
        });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn each_checker_has_its_own_rate_over_the_runs_that_could_tell() {
        use Role::{Observation, Promised};
        use Verdict::{Invalid, Unknown, Valid};
        let mut rates = Rates::default();
        for told in [Invalid, Valid, Unknown] {
            rates.add(&judged(
                Valid,
                &[
                    ("lost-writes", told, Observation),
                    ("monotonic-reads", Valid, Promised),
                    ("causal", Unknown, Observation),
                ],
            ));
        }
        let lines = rates.lines(false);
        assert_eq!(lines[0], "3 runs: 3 valid");
        assert!(lines[1].contains("monotonic-reads    promised      violated in 0 of 3 runs: 0 %"));
        assert!(
            lines[2].contains("lost-writes        not promised  violated in 1 of 2 runs: 50 %"),
            "{lines:?}"
        );
        assert!(lines[2].ends_with("not told in 1 more"), "{lines:?}");
        assert_eq!(lines[3], "  not told in any run: causal");
        assert!(lines[4].contains("Wilson"), "{lines:?}");
        assert!(rates.lines(true)[4].contains("no rates"));
        let json = rates.json(false);
        assert_eq!(json["rates"]["lost-writes"]["found"], 1);
        assert_eq!(json["rates"]["lost-writes"]["of"], 2);
        assert_eq!(json["rates"]["lost-writes"]["role"], "observation");
        assert_eq!(json["rates"]["causal"]["rate"], Value::Null);
        assert_eq!(json["verdicts"]["valid"], 3);
    }
}
