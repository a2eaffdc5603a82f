//! Text that cannot steer a terminal.

use std::borrow::Cow;
use std::fmt::Write;

/// The same text with every character that could steer a terminal, or show text in another order
/// than its own, written as `\u001b`: control characters but line feed and tab, and the marks of
/// writing direction. JSON stays JSON of the same value: there such characters stand in strings
/// only, where this is how they are escaped.
pub fn plain(text: &str) -> Cow<'_, str> {
    escaped(text, |letter| steers(letter) && !matches!(letter, '\n' | '\t'))
}

/// The same for text that has to stay on its line, such as a name or a key from a file: line feeds
/// and tabs are written as `\u000a` too, so that it cannot pass for a line of ours.
pub fn one_line(text: &str) -> Cow<'_, str> {
    escaped(text, steers)
}

/// Control characters, marks of writing direction, separators of lines, and the byte order mark,
/// which is seen nowhere.
fn steers(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
        || matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escaped(text: &str, escape: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&escape) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        match escape(letter) {
            // All of them are below 2^16. Writing to a string does not fail.
            true => drop(write!(safe, "\\u{:04x}", u32::from(letter))),
            false => safe.push(letter),
        }
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_character_that_steers_a_terminal_is_left_whatever_the_text() {
        let all: String = ('\0'..=char::MAX).collect();
        for safe in [plain(&all), one_line(&all)] {
            let steering = safe.chars().filter(|letter| steers(*letter));
            let steering: Vec<char> = steering.filter(|c| !matches!(c, '\n' | '\t')).collect();
            assert_eq!(steering, [], "{} characters", all.len());
        }
        assert!(!one_line(&all).contains(['\n', '\t']));
        assert_eq!(plain("\u{1b}[2J\n\u{202e}x\u{9b}"), "\\u001b[2J\n\\u202ex\\u009b");
        assert_eq!(one_line("a\nb"), "a\\u000ab");
    }

    #[test]
    fn what_needs_no_escape_stays_as_it_is() {
        for text in ["", "✓ valid\n\tκόσμε 世界 👩‍👧", "a\\u001b"] {
            assert!(matches!(plain(text), Cow::Borrowed(same) if same == text));
        }
    }
}
