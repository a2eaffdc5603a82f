//! Histories from files of the three forms.

use std::io::{BufRead, Read};
use std::path::Path;

use elle_rs::edn;
use history::History;
use serde_json::{Deserializer, Value};

/// What was read of a file.
pub struct Loaded {
    /// The history, up to the damage if there is any.
    pub history: History,
    /// What is wrong with the file, and where.
    pub damage: Option<String>,
}

/// Reads a file. `edn` says its form; if it does not, the file's ending does.
pub fn read(file: &str, edn: Option<bool>) -> Result<Loaded, String> {
    let mut reader =
        history::reader::open(Path::new(file)).map_err(|error| format!("cannot read: {error}"))?;
    let bare = file.trim_end_matches(".gz").trim_end_matches(".zst");
    if edn.unwrap_or(bare.ends_with(".edn")) {
        let (text, cut) = whole(reader)?;
        let forms = edn::read(&text);
        return Ok(of_values(forms.forms, cut.or(forms.damage)));
    }
    let first = loop {
        let bytes = reader.fill_buf().map_err(|error| format!("cannot read: {error}"))?;
        let Some(at) = bytes.iter().position(|byte| !byte.is_ascii_whitespace()) else {
            let (length, empty) = (bytes.len(), bytes.is_empty());
            reader.consume(length);
            if empty {
                break None;
            }
            continue;
        };
        break Some(bytes[at]);
    };
    match first {
        None => Err("the file is empty".to_owned()),
        Some(b'[') => {
            let (text, cut) = whole(reader)?;
            let (values, damage) = array(&text);
            Ok(of_values(values, cut.or(damage)))
        }
        Some(_) => {
            let read = history::read_events(reader);
            let damage = read.damage.map(|damage| format!("line {}: {}", damage.line, damage.why));
            Ok(Loaded { history: read.history, damage })
        }
    }
}

/// The text of a file, as far as it can be read; and why not further.
fn whole(mut reader: impl Read) -> Result<(String, Option<String>), String> {
    let mut bytes = Vec::new();
    let end = reader.read_to_end(&mut bytes).err();
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
    let cut = end.map(|error| format!("line {lines}: {error}"));
    match String::from_utf8(bytes) {
        Ok(text) => Ok((text, cut)),
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let mut bytes = error.into_bytes();
            let line = bytes[..good].iter().filter(|byte| **byte == b'\n').count() + 1;
            bytes.truncate(good);
            let text = String::from_utf8(bytes).map_err(|error| error.to_string())?;
            Ok((text, Some(format!("line {line}: not text (UTF-8)"))))
        }
    }
}

/// The values of a JSON array, each with its line, up to the first that is broken.
fn array(text: &str) -> (Vec<(u64, Value)>, Option<String>) {
    let mut values = Vec::new();
    let (mut at, mut line, mut counted) = (text.find('[').map_or(0, |at| at + 1), 1, 0);
    loop {
        let rest = &text[at..];
        at += rest.len() - rest.trim_start_matches([' ', '\n', '\r', '\t', ',']).len();
        line += text[counted..at].matches('\n').count() as u64;
        counted = at;
        if text[at..].starts_with(']') {
            let more = text[at + 1..].trim();
            let damage = (!more.is_empty()).then(|| format!("line {line}: text after the array"));
            return (values, damage);
        }
        let mut stream = Deserializer::from_str(&text[at..]).into_iter::<Value>();
        match stream.next() {
            Some(Ok(value)) => {
                values.push((line, value));
                at += stream.byte_offset();
            }
            Some(Err(error)) => {
                let line = line + error.line() as u64 - 1;
                let why = error.to_string();
                let why = why.split(" at line ").next().unwrap_or_default().to_owned();
                return (values, Some(format!("line {line}: {why}")));
            }
            None => return (values, Some(format!("line {line}: the array does not end"))),
        }
    }
}

fn of_values(mut values: Vec<(u64, Value)>, damage: Option<String>) -> Loaded {
    // Histories for elle-cli often leave out that they are of transactions.
    for (_, value) in &mut values {
        if let Value::Object(fields) = value {
            fields.entry("f").or_insert_with(|| "txn".into());
        }
    }
    let lines: String = values.iter().map(|(_, value)| format!("{value}\n")).collect();
    let read = history::read_events(lines.as_bytes());
    // Their own damage comes before that of the text after them.
    let own = read.damage.map(|damage| {
        let at = (damage.line.max(1) - 1) as usize;
        let line = values.get(at).map_or(0, |(line, _)| *line);
        format!("line {line}: {}", damage.why)
    });
    Loaded { history: read.history, damage: own.or(damage) }
}
