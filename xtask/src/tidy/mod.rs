//! The house rules that a machine can hold: `cargo xtask tidy`, and a test.
//!
//! A line may be excused by `// tidy: allow(RULE) reason` on it or on the line before.

mod dead_files;
mod functions;
mod lines;

use std::path::{Path, PathBuf};
use std::process::Command;

/// Something that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// The file.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// The rule's name, for `allow`.
    pub rule: &'static str,
    /// What is wrong and what to do instead.
    pub what: String,
}

/// A tracked source file.
pub struct Source {
    /// From the repository's root.
    pub path: String,
    /// Its text.
    pub text: String,
}

impl Source {
    /// Whether it is a test, a bench or an example as a whole.
    pub fn is_test(&self) -> bool {
        ["/tests/", "/benches/", "/examples/"].iter().any(|part| self.path.contains(part))
    }

    /// The line from which on a file is its `mod tests`; past the end if it has none.
    pub fn tests_from(&self) -> usize {
        let lines: Vec<&str> = self.text.lines().collect();
        let start = lines.windows(2).position(|pair| {
            pair[0].trim() == "#[cfg(test)]" && pair[1].trim_start().starts_with("mod ")
        });
        start.map_or(usize::MAX, |place| place + 1)
    }

    /// Whether a line (from 1) is excused from a rule.
    pub fn excused(&self, line: usize, rule: &str) -> bool {
        let mark = format!("tidy: allow({rule})");
        let lines: Vec<&str> = self.text.lines().collect();
        let near = line.saturating_sub(3)..line.min(lines.len());
        lines[near].iter().any(|line| line.contains(&mark))
    }
}

/// Checks the repository at `root`; an error lists every breach.
pub fn run(root: &Path) -> Result<(), String> {
    let breaches = check(root)?;
    if breaches.is_empty() {
        return Ok(());
    }
    for breach in &breaches {
        eprintln!("{}:{}: {}: {}", breach.path, breach.line, breach.rule, breach.what);
    }
    Err(format!("{} breaches of the house rules", breaches.len()))
}

fn check(root: &Path) -> Result<Vec<Breach>, String> {
    let tracked = tracked(root)?;
    let mut breaches = Vec::new();
    let mut sources = Vec::new();
    for path in &tracked {
        let name = path.to_string_lossy().into_owned();
        // Binary files and files deleted but not yet committed have no text to look at.
        let Ok(text) = std::fs::read_to_string(root.join(path)) else {
            continue;
        };
        let source = Source { path: name, text };
        breaches.extend(lines::machine_paths(&source));
        if source.path.ends_with(".md") {
            breaches.extend(lines::one_title(&source));
        }
        if source.path.ends_with(".rs") {
            sources.push(source);
        }
    }
    for source in &sources {
        breaches.extend(lines::check(source));
        breaches.extend(functions::check(source));
    }
    breaches.extend(dead_files::check(&sources));
    breaches.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    Ok(breaches)
}

fn tracked(root: &Path) -> Result<Vec<PathBuf>, String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(root)
        .args(["ls-files", "-z"])
        .output()
        .map_err(|error| format!("git: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let here = |path: &&str| !path.is_empty() && !path.contains("goldens/");
    Ok(text.split('\0').filter(here).map(PathBuf::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tidy_is_clean() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let breaches = check(&root).unwrap();
        assert_eq!(breaches, [], "see cargo xtask tidy");
    }
}
