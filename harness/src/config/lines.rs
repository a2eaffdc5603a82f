//! Where each field of a TOML file is, so that a message about a value points at its line.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use crate::error::UserError;
use crate::names::nearest;

/// Fields, such as `store.failover`, `faults[1]` or `fault[0].at`, with their lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    path: String,
    fields: BTreeMap<String, usize>,
}

impl Lines {
    /// Of a text that was read from `path`; one that is no TOML has no fields.
    pub fn of(path: &str, text: &str) -> Lines {
        let mut lines = Lines { path: path.to_owned(), fields: BTreeMap::new() };
        if let Ok(table) = DeTable::parse(text) {
            lines.table("", table.get_ref(), text);
        }
        lines
    }

    fn table(&mut self, at: &str, table: &DeTable<'_>, text: &str) {
        for (key, value) in table {
            let dot = if at.is_empty() { "" } else { "." };
            let field = format!("{at}{dot}{}", key.get_ref());
            self.fields.insert(field.clone(), line(text, key.span().start));
            self.value(&field, value.get_ref(), text);
        }
    }

    fn value(&mut self, field: &str, value: &DeValue<'_>, text: &str) {
        match value {
            DeValue::Table(table) => self.table(field, table, text),
            DeValue::Array(values) => {
                for (place, value) in values.iter().enumerate() {
                    let element = format!("{field}[{place}]");
                    self.fields.insert(element.clone(), line(text, value.span().start));
                    self.value(&element, value.get_ref(), text);
                }
            }
            _ => {}
        }
    }

    /// Whether the file has this field.
    pub fn has(&self, field: &str) -> bool {
        self.fields.contains_key(field)
    }

    /// The line of a field, or of the nearest table around it.
    pub fn line_of(&self, field: &str) -> Option<usize> {
        let mut field = field;
        loop {
            if let Some(line) = self.fields.get(field) {
                return Some(*line);
            }
            field = &field[..field.rfind(['.', '['])?];
        }
    }

    /// `FILE:3: store.failover`; without a line if neither it nor its table is in the file.
    pub fn place(&self, field: &str) -> String {
        match self.line_of(field) {
            Some(line) => format!("{}:{line}: {field}", self.path),
            None => format!("{}: {field}", self.path),
        }
    }

    /// What `toml` says of a text, with its line, its field and the near word.
    pub fn wrong(&self, text: &str, error: &toml::de::Error) -> UserError {
        let at = error.span().map_or(1, |span| line(text, span.start));
        let place = format!("{}:{at}", self.path);
        let said = spoken(error);
        if error.message().starts_with("unknown field") {
            return said.at(place);
        }
        // The innermost field that begins on this line is the one with the wrong value.
        let on_line = self.fields.iter().filter(|(_, line)| **line == at);
        match on_line.map(|(field, _)| field).max_by_key(|field| field.len()) {
            Some(field) => said.at(format!("{place}: {field}")),
            None => said.at(place),
        }
    }
}

/// What `toml` says, with the near word where it says "unknown field `a`, expected `b` or `c`".
pub fn spoken(error: &toml::de::Error) -> UserError {
    let said = UserError::usage(error.message().trim().to_owned());
    let words = error.message().split('`').skip(1).step_by(2).collect::<Vec<_>>();
    let [unknown, known @ ..] = &words[..] else {
        return said;
    };
    match nearest(unknown, known).filter(|_| error.message().starts_with("unknown ")) {
        Some(near) => said.hint(format!("did you mean {near}?")),
        None => said,
    }
}

fn line(text: &str, at: usize) -> usize {
    1 + text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_its_line() {
        let text = "seed = 1\nfaults = [\n  \"kill\",\n  \"pause\",\n]\n\n[store]\nk = 2\n\n\
                    [[fault]]\nkind = \"kill\"\n[[fault]]\nkind = \"pause\"\nat = \"1s\"\n";
        let lines = Lines::of("t.toml", text);
        for (field, line) in [
            ("seed", 1),
            ("faults[1]", 4),
            ("faults[7]", 2),
            ("store.k", 8),
            ("store.failover", 7),
            ("fault[1].at", 14),
            ("fault[0].for", 10),
        ] {
            assert_eq!(lines.line_of(field), Some(line), "{field}");
        }
        assert_eq!(lines.place("store.k"), "t.toml:8: store.k");
        assert_eq!(lines.place("hosts"), "t.toml: hosts");
        assert!(!Lines::of("t.toml", "seed = [").has("seed"));
    }
}
