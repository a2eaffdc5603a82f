//! Rules about lines: length, banned calls with what to use instead, comments left behind.

use super::{Breach, Source};

/// Columns of a line.
const COLUMNS: usize = 100;
/// Lines of a file, and of one that says why at its top.
const LINES: usize = 500;
const LINES_WITH_REASON: usize = 800;

/// A banned piece of text.
struct Ban {
    rule: &'static str,
    text: &'static str,
    instead: &'static str,
    /// Paths that it is about; all if empty.
    only: &'static [&'static str],
    /// Paths that may have it.
    except: &'static [&'static str],
    /// Whether tests may have it.
    in_tests: bool,
}

/// Crates whose records or reports must not depend on chance.
const PURE: &[&str] = &[
    "history/",
    "checkers/",
    "reports/",
    "workloads/",
    "nemesis/",
    "store/src/core",
    "store/src/sim",
];

const BANS: &[Ban] = &[
    ban(
        "hash",
        concat!("std::collections::Hash", "Map"),
        "BTreeMap, or rustc_hash for look-ups only",
        &[],
        true,
    ),
    ban(
        "hash",
        concat!("std::collections::Hash", "Set"),
        "BTreeSet, or rustc_hash for look-ups only",
        &[],
        true,
    ),
    ban(
        "clock",
        concat!("SystemTime", "::now"),
        "the run's clock, handed in",
        // The log of commands is held against what hosts have written down themselves; a capture
        // says when a packet came.
        &["harness/src/run_folder", "cluster/src/command_log", "agent/src/capture"],
        true,
    ),
    pure("clock", concat!("Instant", "::now"), "a moment that is handed in"),
    pure("sleep", concat!("thread", "::sleep"), "a driver; nothing pure waits"),
    ban("left-behind", concat!("to", "do!("), "the code", &[], false),
    ban("left-behind", concat!("unimplemen", "ted!("), "the code", &[], false),
    ban("left-behind", concat!("FIX", "ME"), "an issue", &[], false),
    ban("left-behind", concat!("XX", "X"), "an issue", &[], false),
    ban("left-behind", concat!("TO", "DO"), "an issue", &[], false),
    ban("left-behind", concat!("db", "g!("), "nothing", &[], false),
    print(concat!("print", "ln!(")),
    print(concat!("print", "!(")),
    print(concat!("io::stdout", "()")),
    print(concat!("io::stderr", "()")),
    ban("test", concat!("#[ign", "ore"), "an assertion of today's behaviour", &[], false),
    ban("test", concat!("#[should_", "panic"), "a Result", &[], false),
    ban("exit", concat!("process", "::exit("), "an ExitCode from main", &["main.rs"], true),
];

const fn ban(
    rule: &'static str,
    text: &'static str,
    instead: &'static str,
    except: &'static [&'static str],
    in_tests: bool,
) -> Ban {
    Ban { rule, text, instead, only: &[], except, in_tests }
}

/// What panics, or steers the terminal, where the product says something.
const fn print(text: &'static str) -> Ban {
    Ban {
        rule: "print",
        text,
        instead: "say::outln and its like, which never panic",
        only: &[],
        // Frames between our own processes; programs that only build or test.
        except: &[
            "say/src/stream.rs",
            "agent/src/worker.rs",
            "agent/src/shape/shaper.rs",
            "build.rs",
            "xtask/",
            "/tests.rs",
            "elle-rs/src/oracle",
        ],
        in_tests: true,
    }
}

const fn pure(rule: &'static str, text: &'static str, instead: &'static str) -> Ban {
    Ban { rule, text, instead, only: PURE, except: &[], in_tests: true }
}

/// All rules about lines of a source file.
pub fn check(source: &Source) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let mut say = |line: usize, rule: &'static str, what: String| {
        if !source.excused(line, rule) {
            breaches.push(Breach { path: source.path.clone(), line, rule, what });
        }
    };
    whole_file(source, &mut say);
    let tests_from = source.tests_from();
    for (place, line) in source.text.lines().enumerate() {
        let number = place + 1;
        let columns = line.chars().count();
        if COLUMNS < columns && !line.contains("http") && !line.contains("r#\"") {
            say(number, "line-length", format!("{columns} columns, at most {COLUMNS}"));
        }
        let in_test = source.is_test() || tests_from <= number;
        for ban in BANS {
            let about = ban.only.is_empty() || ban.only.iter().any(|p| source.path.starts_with(p));
            let excepted = ban.except.iter().any(|path| source.path.contains(path));
            let excepted = excepted || (in_test && ban.in_tests);
            if about && !excepted && line.contains(ban.text) {
                say(number, ban.rule, format!("{}: use {} instead", ban.text, ban.instead));
            }
        }
        if is_code_comment(line) {
            say(number, "dead-code", "a comment that is code: delete it".to_owned());
        }
    }
    breaches
}

/// Rules about a file as a whole.
fn whole_file(source: &Source, say: &mut impl FnMut(usize, &'static str, String)) {
    let count = source.text.lines().count();
    let reason = source.text.lines().take(6).any(|line| line.contains("Long file:"));
    let most = if reason || source.is_test() { LINES_WITH_REASON } else { LINES };
    if most < count {
        say(count, "file-length", format!("{count} lines, at most {most}: split it by ideas"));
    }
    if !source.text.starts_with("//!") && !source.is_test() {
        say(1, "module-doc", "open with //! what it is and is not".to_owned());
    }
}

/// Whether a comment looks like code that was taken out.
fn is_code_comment(line: &str) -> bool {
    let Some(comment) = line.trim_start().strip_prefix("// ") else {
        return false;
    };
    let starts = ["let ", "fn ", "pub fn ", "use ", "if ", "for ", "match ", "return "];
    let ends = comment.ends_with(';') || comment.ends_with('{');
    ends && starts.iter().any(|start| comment.starts_with(start))
}

/// Paths of one machine have no place in a repository.
pub fn machine_paths(source: &Source) -> Vec<Breach> {
    let paths = [concat!("/wo", "rk/"), concat!("/fa", "rm/"), concat!("/tmp/bash_", "jobs")];
    let mut breaches = Vec::new();
    for (place, line) in source.text.lines().enumerate() {
        if let Some(path) = paths.iter().find(|path| line.contains(**path)) {
            breaches.push(Breach {
                path: source.path.clone(),
                line: place + 1,
                rule: "machine-path",
                what: format!("{path} is a path of one machine"),
            });
        }
    }
    breaches
}

/// A document has one title.
pub fn one_title(source: &Source) -> Vec<Breach> {
    let mut fenced = false;
    let mut titles = 0;
    for line in source.text.lines() {
        fenced ^= line.starts_with("```");
        titles += usize::from(!fenced && line.starts_with("# "));
    }
    if titles == 1 {
        return Vec::new();
    }
    let what = format!("{titles} titles, must be one");
    vec![Breach { path: source.path.clone(), line: 1, rule: "title", what }]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(path: &str, text: &str) -> Vec<&'static str> {
        let source = Source { path: path.to_owned(), text: text.to_owned() };
        check(&source).into_iter().map(|breach| breach.rule).collect()
    }

    #[test]
    fn each_rule_has_something_it_finds_and_something_it_leaves_alone() {
        let good = "//! Doc.\nfn a() {}\n";
        assert_eq!(rules("store/src/a.rs", good), [""; 0]);
        assert_eq!(rules("store/src/a.rs", "fn a() {}\n"), ["module-doc"]);
        let long = format!("//! Doc.\n{}\n", "x".repeat(101));
        assert_eq!(rules("a/src/a.rs", &long), ["line-length"]);
        let hash = concat!("//! Doc.\nuse std::collections::Hash", "Map;\n");
        assert_eq!(rules("a/src/a.rs", hash), ["hash"]);
        assert_eq!(rules("a/tests/a.rs", hash), [""; 0]);
        let clock = "//! Doc.\nfn a() { Instant::now(); }\n";
        assert_eq!(rules("checkers/src/a.rs", clock), ["clock"]);
        assert_eq!(rules("cluster/src/a.rs", clock), [""; 0]);
        let excused = "//! Doc.\n// tidy: allow(clock) a reason\nfn a() { Instant::now(); }\n";
        assert_eq!(rules("checkers/src/a.rs", excused), [""; 0]);
        for print in ["print", "println", "eprint", "eprintln"] {
            let print = format!("//! Doc.\nfn a() {{ {print}!(\"a\"); }}\n");
            assert_eq!(rules("harness/src/a.rs", &print), ["print"]);
            assert_eq!(rules("harness/tests/a.rs", &print), [""; 0]);
        }
        assert_eq!(rules("a/src/a.rs", "//! Doc.\nfn a() { say::outln!(\"a\"); }\n"), [""; 0]);
        let dead = "//! Doc.\n// let a = 1;\n// if you must; do\n";
        assert_eq!(rules("a/src/a.rs", dead), ["dead-code"]);
    }

    #[test]
    fn machine_paths_and_titles_are_found_and_others_are_not() {
        let source = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
        let path = concat!("see /wo", "rk/x\n");
        assert_eq!(machine_paths(&source("a.md", path)).len(), 1);
        assert_eq!(machine_paths(&source("a.md", "see ./workbook\n")), []);
        assert_eq!(one_title(&source("a.md", "# A\n\n```\n# not a title\n```\n")), []);
        assert_eq!(one_title(&source("a.md", "# A\n# B\n")).len(), 1);
        assert_eq!(one_title(&source("a.md", "A\n")).len(), 1);
    }
}
