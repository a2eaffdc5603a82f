//! Functions of at most 70 lines; tests may have 120.

use super::{Breach, Source};

const LINES: usize = 70;
const LINES_OF_TEST: usize = 120;

/// Functions that are too long. rustfmt's layout is relied on: a function's body ends at the first
/// line that is a closing brace at the indentation of its `fn`.
pub fn check(source: &Source) -> Vec<Breach> {
    let lines: Vec<&str> = source.text.lines().collect();
    let tests_from = source.tests_from();
    let mut breaches = Vec::new();
    for (place, line) in lines.iter().enumerate() {
        let Some(indent) = starts_function(line) else {
            continue;
        };
        let closing = format!("{}}}", " ".repeat(indent));
        let Some(length) = lines[place..].iter().position(|line| *line == closing) else {
            continue;
        };
        let test = source.is_test() || tests_from <= place + 1;
        let most = if test { LINES_OF_TEST } else { LINES };
        if most <= length && !source.excused(place + 1, "function-length") {
            breaches.push(Breach {
                path: source.path.clone(),
                line: place + 1,
                rule: "function-length",
                what: format!("{} lines, at most {most}: give its parts names", length + 1),
            });
        }
    }
    breaches
}

/// The indentation of a function that begins on this line and does not end on it.
fn starts_function(line: &str) -> Option<usize> {
    let indent = line.len() - line.trim_start().len();
    let mut rest = line.trim_start();
    loop {
        let before = rest;
        for word in
            ["pub ", "pub(super) ", "pub(crate) ", "const ", "async ", "unsafe ", "extern \"C\" "]
        {
            rest = rest.strip_prefix(word).unwrap_or(rest);
        }
        if rest == before {
            break;
        }
    }
    let starts = rest.starts_with("fn ") && !line.ends_with(['}', ';']);
    starts.then_some(indent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_functions_are_found_and_short_ones_are_not() {
        let text =
            |lines: usize| format!("//! Doc.\nfn a() {{\n{}}}\n", "    b();\n".repeat(lines));
        let found =
            |lines| check(&Source { path: "a/src/a.rs".to_owned(), text: text(lines) }).len();
        assert_eq!(found(68), 0);
        assert_eq!(found(69), 1);
    }
}
