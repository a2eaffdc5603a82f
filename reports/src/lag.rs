//! How far followers were behind, as their leader saw it: shares of samples by grade.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde_json::Value;

use crate::ReportInput;

/// The grades, best first; where they end is a setting of the system.
const GRADES: [&str; 3] = ["healthy", "lagging", "far behind"];

/// What was seen of one follower.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    samples: u64,
    by_grade: [u64; 3],
    most_ms: u64,
}

/// A table, where the system grades the lag of its followers.
pub fn lag(input: &ReportInput<'_>) -> Markup {
    let seen = seen(input);
    let share =
        |seen: &Seen, grade: usize| 100.0 * seen.by_grade[grade] as f64 / seen.samples as f64;
    html! {
        @if !seen.is_empty() {
            h3 { "Followers' lag, as the leader saw it" }
            div.scroll { table {
                thead { tr {
                    th scope="col" { "follower" } th scope="col" { "samples" }
                    @for grade in GRADES { th scope="col" { (grade) } }
                    th scope="col" { "largest" }
                } }
                tbody { @for (follower, seen) in &seen { tr {
                    td { (follower) } td.n { (seen.samples) }
                    @for grade in 0..GRADES.len() {
                        td.n { (format!("{:.1} %", share(seen, grade))) }
                    }
                    td.n { (seen.most_ms) " ms" }
                } } }
            } }
        }
    }
}

fn seen(input: &ReportInput<'_>) -> BTreeMap<String, Seen> {
    let mut found: BTreeMap<String, Seen> = BTreeMap::new();
    let lists = input.telemetry.iter().filter_map(|sample| sample.details.get("standbys"));
    for follower in lists.filter_map(Value::as_array).flatten() {
        let (Some(name), Some(grade)) = (follower["standby"].as_str(), follower["grade"].as_str())
        else {
            continue;
        };
        let Some(grade) = GRADES.iter().position(|known| *known == grade) else {
            continue;
        };
        let seen = found.entry(name.to_owned()).or_default();
        seen.samples += 1;
        seen.by_grade[grade] += 1;
        seen.most_ms = seen.most_ms.max(follower["lag_ms"].as_u64().unwrap_or(0));
    }
    found
}
