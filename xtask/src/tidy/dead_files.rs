//! Source files that no crate reaches.

use std::collections::BTreeSet;

use super::{Breach, Source};

/// Files below a `src` folder that no `mod` line names. Roots (lib.rs, main.rs, binaries) are named
/// by cargo.
pub fn check(sources: &[Source]) -> Vec<Breach> {
    let mut reached: BTreeSet<String> = BTreeSet::new();
    for source in sources {
        let Some((folder, file)) = source.path.rsplit_once('/') else {
            continue;
        };
        let stem = file.trim_end_matches(".rs");
        let below = match stem {
            "lib" | "main" | "mod" => folder.to_owned(),
            stem => format!("{folder}/{stem}"),
        };
        for line in source.text.lines() {
            let line = line.trim();
            let line = line.strip_prefix("pub(crate) ").unwrap_or(line);
            let line = line.strip_prefix("pub ").unwrap_or(line);
            if let Some(name) = line.strip_prefix("mod ").and_then(|l| l.strip_suffix(';')) {
                reached.insert(format!("{below}/{name}.rs"));
                reached.insert(format!("{below}/{name}/mod.rs"));
            }
        }
    }
    let root = |path: &str| {
        path.ends_with("src/lib.rs") || path.ends_with("src/main.rs") || path.contains("/src/bin/")
    };
    let dead = sources.iter().filter(|source| {
        source.path.contains("/src/") && !root(&source.path) && !reached.contains(&source.path)
    });
    let breach = |source: &Source| Breach {
        path: source.path.clone(),
        line: 1,
        rule: "dead-file",
        what: "no mod line names it: delete it".to_owned(),
    };
    dead.map(breach).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_no_one_names_is_dead() {
        let source = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
        let sources = [
            source("a/src/lib.rs", "pub mod b;\n"),
            source("a/src/b.rs", "mod c;\n"),
            source("a/src/b/c.rs", ""),
            source("a/src/d.rs", ""),
        ];
        let dead: Vec<String> = check(&sources).into_iter().map(|breach| breach.path).collect();
        assert_eq!(dead, ["a/src/d.rs"]);
    }
}
