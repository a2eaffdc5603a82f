//! What probes saw over all rounds, in few words: numbers become ranges.

use std::collections::BTreeMap;

use history::Evidence;

/// Kinds of probes that are told of at most; one fault has few.
const KINDS: usize = 3;

/// A text without its numbers, and these.
fn taken_apart(text: &str) -> (String, Vec<&str>) {
    let (mut template, mut numbers) = (String::new(), Vec::new());
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let tail = &rest[start..];
        let plain = |c: char| c.is_ascii_digit() || c == '.';
        let length = tail.find(|c| !plain(c)).unwrap_or(tail.len());
        let number = tail[..length].trim_end_matches('.');
        template.push_str(&rest[..start]);
        template.push('#');
        numbers.push(number);
        rest = &tail[number.len()..];
    }
    template.push_str(rest);
    (template, numbers)
}

/// Texts that differ in numbers alone, as one: `7..12 ms`.
fn ranged(template: &str, all: &[Vec<&str>]) -> String {
    let value = |number: &&str| number.parse::<f64>().unwrap_or(0.0);
    let mut text = String::new();
    for (place, piece) in template.split('#').enumerate() {
        if let Some(place) = place.checked_sub(1) {
            let column = || all.iter().filter_map(|numbers| numbers.get(place).copied());
            let least = column().min_by(|a, b| value(a).total_cmp(&value(b))).unwrap_or_default();
            let most = column().max_by(|a, b| value(a).total_cmp(&value(b))).unwrap_or_default();
            text.push_str(least);
            if least != most {
                text.push_str("..");
                text.push_str(most);
            }
        }
        text.push_str(piece);
    }
    text
}

/// Several texts in as few words as they need; each that differs in words is counted.
fn together(texts: &[&str]) -> String {
    let mut kinds: BTreeMap<String, Vec<Vec<&str>>> = BTreeMap::new();
    for text in texts {
        let (template, numbers) = taken_apart(text);
        kinds.entry(template).or_default().push(numbers);
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, all)| std::cmp::Reverse(all.len()));
    let several = 1 < kinds.len();
    let told = kinds.iter().take(KINDS).map(|(template, all)| match several {
        true => format!("{} (in {} of {})", ranged(template, all), all.len(), texts.len()),
        false => ranged(template, all),
    });
    told.collect::<Vec<_>>().join(", ")
}

/// What was asked for, and what was seen, over all these probes.
pub fn measured<'a>(evidence: impl Iterator<Item = &'a Evidence>) -> String {
    // By what was expected, in the order in which the probes were made.
    let mut kinds: Vec<(String, Vec<&str>, Vec<&str>)> = Vec::new();
    for probe in evidence.filter(|probe| probe.expected != "any") {
        let (template, _) = taken_apart(&probe.expected);
        // What is in brackets is for who looks into one round.
        let observed = probe.observed.split(" (").next().unwrap_or_default();
        match kinds.iter_mut().find(|(kind, ..)| *kind == template) {
            Some((_, expected, seen)) => {
                expected.push(&probe.expected);
                seen.push(observed);
            }
            None => kinds.push((template, vec![&probe.expected], vec![observed])),
        }
    }
    let told = kinds.iter().take(KINDS).map(|(_, expected, seen)| {
        let (expected, seen) = (together(expected), together(seen));
        if expected == seen { seen } else { format!("{expected}: {seen}") }
    });
    told.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(expected: &str, observed: &str) -> Evidence {
        let (expected, observed) = (expected.to_owned(), observed.to_owned());
        Evidence { probe: "n1".to_owned(), expected, observed, holds: true }
    }

    #[test]
    fn numbers_become_ranges_and_other_words_are_counted() {
        let said = |all: &[Evidence]| measured(all.iter());
        let delays = [probe("+200 ms", "+198.5 ms (0.2 ms before)"), probe("+200 ms", "+204.1 ms")];
        assert_eq!(said(&delays), "+200 ms: +198.5..204.1 ms");
        assert_eq!(said(&[probe("absent", "absent"), probe("absent", "absent")]), "absent");
        let cut = [
            probe("unreachable", "timeout"),
            probe("unreachable", "connected"),
            probe("unreachable", "timeout"),
        ];
        assert_eq!(said(&cut), "unreachable: timeout (in 2 of 3), connected (in 1 of 3)");
        let clocks = [probe("any", "+0.001 s"), probe("+30.000 s", "+29.998 s.")];
        assert_eq!(said(&clocks), "+30.000 s: +29.998 s.");
        assert_eq!(said(&[]), "");
    }
}
