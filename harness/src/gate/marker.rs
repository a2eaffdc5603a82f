//! The marker: a file on each host, by which its owner says what may be done to it and until when.
//!
//! An inventory is written by whoever runs tests; the marker by whoever may log in to the host as
//! root. Both must agree.

use std::time::Duration;

use cluster::{Exec, Host, SshHost};
use serde::Deserialize;

use crate::error::UserError;
use crate::run_folder::rfc3339;

/// Where it is.
pub const PATH: &str = "/etc/splitbrain.allow";

/// See the module's doc.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marker {
    /// The inventory's.
    cluster_id: Option<String>,
    /// Families.
    #[serde(default)]
    allow: Vec<String>,
    /// Its last day, `YYYY-MM-DD`, UTC.
    expires: Option<String>,
}

/// Today, `YYYY-MM-DD`, UTC.
pub fn today() -> String {
    rfc3339().chars().take(10).collect()
}

/// The command that reads it: owner and mode, then its text.
pub fn command() -> String {
    format!("stat -L -c '%u %a' {PATH} && cat {PATH}")
}

/// Reads a host's marker; a refusal names host, file and the line that is missing.
pub fn check(
    host: &SshHost,
    cluster_id: &str,
    families: &[&str],
    today: &str,
) -> Result<(), UserError> {
    let place = format!("host {}: {PATH}", host.name());
    let result = host
        .exec(Exec::shell(command()).timeout(Duration::from_secs(5)))
        .map_err(|error| UserError::environment(error.to_string()))?;
    let text = result.text();
    let answer = (result.status == 0).then_some(text.as_str());
    match refusal(answer, cluster_id, families, today) {
        None => Ok(()),
        Some((what, lines)) => {
            let hint = format!("its owner allows it with the line\n  {}", lines.join("\n  "));
            Err(UserError::usage(what).at(place).hint(hint))
        }
    }
}

/// What is wrong, and the lines that would mend it.
fn refusal(
    answer: Option<&str>,
    cluster_id: &str,
    families: &[&str],
    today: &str,
) -> Option<(String, Vec<String>)> {
    let id_line = format!("cluster_id = {}", quoted(cluster_id));
    let allow_line = |allow: &[&str]| {
        let words: Vec<String> = allow.iter().map(|family| quoted(family)).collect();
        format!("allow = [{}]", words.join(", "))
    };
    let expires_line = format!("expires = \"YYYY-MM-DD\" (a day from {today} on)");
    let Some((owner, text)) = answer.and_then(|answer| answer.split_once('\n')) else {
        let lines = vec![id_line, allow_line(families), expires_line];
        return Some(("is not there, or cannot be read".to_owned(), lines));
    };
    if !trusted(owner) {
        let what = format!("anybody could have written it (owner and mode are {owner})");
        return Some((what, vec![format!("(of root, mode 0644: chown root {PATH})")]));
    }
    let marker: Marker = match toml::from_str(text) {
        Ok(marker) => marker,
        Err(error) => {
            let what = format!("cannot be read: {}", error.message());
            return Some((what, vec![id_line, allow_line(families), expires_line]));
        }
    };
    if marker.cluster_id.as_deref() != Some(cluster_id) {
        let what = match &marker.cluster_id {
            Some(other) => format!("is for the cluster {}", quoted(other)),
            None => "names no cluster".to_owned(),
        };
        return Some((what, vec![id_line]));
    }
    if let Some(family) = families.iter().find(|f| !marker.allow.iter().any(|a| a == *f)) {
        let mut allow: Vec<&str> = marker.allow.iter().map(String::as_str).collect();
        allow.extend(families.iter().filter(|f| !marker.allow.iter().any(|a| a == *f)));
        return Some((format!("does not allow {family}"), vec![allow_line(&allow)]));
    }
    match marker.expires.as_deref() {
        Some(day) if is_date(day) && today <= day => None,
        Some(day) if is_date(day) => Some((format!("expired on {day}"), vec![expires_line])),
        Some(other) => Some((format!("{} is no date", quoted(other)), vec![expires_line])),
        None => Some(("has no date on which it expires".to_owned(), vec![expires_line])),
    }
}

/// `UID MODE`: of root, and nobody else may write it.
fn trusted(owner: &str) -> bool {
    let Some((user, mode)) = owner.trim().split_once(' ') else {
        return false;
    };
    user == "0" && u32::from_str_radix(mode, 8).is_ok_and(|mode| mode & 0o022 == 0)
}

/// As TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// `YYYY-MM-DD`, so that text order is the order of days.
fn is_date(text: &str) -> bool {
    let shape = text.chars().enumerate().all(|(place, c)| match place {
        4 | 7 => c == '-',
        _ => c.is_ascii_digit(),
    });
    let number = |from: usize| text.get(from..from + 2).and_then(|t| t.parse::<u32>().ok());
    shape
        && text.len() == 10
        && number(5).is_some_and(|month| (1..=12).contains(&month))
        && number(8).is_some_and(|day| (1..=31).contains(&day))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(answer: Option<&str>) -> String {
        refusal(answer, "staging", &["network", "process"], "2026-11-25")
            .map_or(String::new(), |(what, lines)| format!("{what}: {}", lines.join(" | ")))
    }

    fn marker(text: &str) -> String {
        told(Some(&format!("0 644\n{text}")))
    }

    const GOOD: &str = "cluster_id = \"staging\"\nallow = [\"process\", \"network\", \"disk\"]\n";

    #[test]
    fn a_marker_must_match_and_last() {
        assert_eq!(marker(&format!("{GOOD}expires = \"2026-11-25\"\n")), "", "its last day counts");
        assert_eq!(marker(&format!("{GOOD}expires = \"2027-01-01\"\n")), "");
        for (text, said) in [
            (
                format!("{GOOD}expires = \"2026-11-24\""),
                "expired on 2026-11-24: expires = \"YYYY-MM-DD\" (a day from 2026-11-25 on)",
            ),
            (format!("{GOOD}expires = \"2026-13-24\""), "\"2026-13-24\" is no date"),
            (format!("{GOOD}expires = \"tomorrow\""), "\"tomorrow\" is no date"),
            (GOOD.to_owned(), "has no date on which it expires: expires = "),
            (
                "cluster_id = \"prod\"".to_owned(),
                "is for the cluster \"prod\": cluster_id = \"staging\"",
            ),
            ("allow = []".to_owned(), "names no cluster: cluster_id = \"staging\""),
            (
                "cluster_id = \"staging\"\nallow = [\"disk\"]".to_owned(),
                "does not allow network: allow = [\"disk\", \"network\", \"process\"]",
            ),
            ("cluster = 1".to_owned(), "cannot be read: unknown field `cluster`"),
        ] {
            let told = marker(&text);
            assert!(told.starts_with(said), "{text}: {told}");
        }
    }

    #[test]
    fn no_marker_and_one_that_anybody_can_write_are_refused() {
        let lines = "cluster_id = \"staging\" | allow = [\"network\", \"process\"] | expires";
        assert!(told(None).contains(lines), "{}", told(None));
        for owner in ["1000 644", "0 666", "0 664", "", "x"] {
            let text = format!("{owner}\n{GOOD}expires = \"2027-01-01\"\n");
            assert!(told(Some(&text)).contains("anybody could have written it"), "{owner}");
        }
    }
}
