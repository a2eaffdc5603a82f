//! Reads the files of a run, and histories of others: JSON lines, a JSON array or EDN, plain or
//! packed, told apart by what is in them; up to the damage, and saying where that is.

use std::io::{self, BufRead, Cursor, Read};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::chunks::{Chunks, Next};
use crate::columns::History;
use crate::edn;
use crate::source::{self, Limits, too_long};
use crate::taking::Taking;

/// Why nothing of a file could be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// It cannot be opened.
    #[error("cannot read {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its first line is no operation: this is some other file.
    #[error("{path} is not a history: line {line}: {why}")]
    NotAHistory {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with the line.
        why: String,
    },
}

/// Where reading stopped, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub why: String,
}

/// How a history is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One JSON object a line.
    Lines,
    /// One JSON array of objects.
    Array,
    /// EDN: maps one after the other, or in a vector.
    Edn,
}

impl Form {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Form::Lines => "JSON lines",
            Form::Array => "JSON array",
            Form::Edn => "EDN",
        }
    }
}

/// A history, or as much of it as could be read.
#[derive(Debug)]
pub struct ReadHistory {
    /// What was read.
    pub history: History,
    /// Where it ends early, if it does.
    pub damage: Option<Damage>,
    /// Lines left out because they are of Jepsen's nemesis, and of no client.
    pub skipped: u64,
    /// What was taken otherwise than it stands, or ignored: a sentence for each kind.
    pub notes: Vec<String>,
    /// How it is written.
    pub form: Form,
}

/// What to read, and how far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    /// How far.
    pub limits: Limits,
    /// JSON or EDN, if not by what is in it.
    pub edn: Option<bool>,
    /// Whether the file is of a run's folder, where a link is refused.
    pub inside: bool,
}

/// Opens a file, unpacking it if it is packed, to be read up to the limits that stand.
///
/// # Errors
/// If there is none, or something else than a file.
pub fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    source::open(path, &Limits::default())
}

/// Reads a history file.
///
/// # Errors
/// If nothing of it can be read.
pub fn read_history(path: &Path) -> Result<ReadHistory, ReadError> {
    read_file(path, &Reading::default())
}

/// Reads a history file as it is told to.
///
/// # Errors
/// If nothing of it can be read.
pub fn read_file(path: &Path, reading: &Reading) -> Result<ReadHistory, ReadError> {
    let fail = |source| ReadError::Open { path: path.to_owned(), source };
    let open = if reading.inside { source::open_inside } else { source::open };
    let reader = open(path, &reading.limits).map_err(fail)?;
    let named = path.file_name().is_some_and(|name| {
        let name = name.to_string_lossy();
        name.trim_end_matches(".gz").trim_end_matches(".zst").ends_with(".edn")
    });
    let (read, first) = read_any(reader, reading, named).map_err(fail)?;
    match &read.damage {
        Some(damage)
            if damage.line <= first && read.history.ops.is_empty() && read.skipped == 0 =>
        {
            let (line, why) = (damage.line, damage.why.clone());
            Err(ReadError::NotAHistory { path: path.to_owned(), line, why })
        }
        _ => Ok(read),
    }
}

/// Reads a history in whatever form it is; also gives the first line that is not blank.
fn read_any(
    mut reader: Box<dyn BufRead>,
    reading: &Reading,
    named_edn: bool,
) -> io::Result<(ReadHistory, u64)> {
    let mut first = 1;
    // The mark of UTF-8, as some editors put it before all else.
    if reader.fill_buf()?.starts_with(b"\xef\xbb\xbf") {
        reader.consume(3);
    }
    // An error here is met again, and told, where the text is read.
    let _ = skip_blank(&mut reader, &mut first);
    let mut head = Vec::new();
    let broken = reader.by_ref().take(1 << 12).read_to_end(&mut head).err();
    let form = match reading.edn {
        Some(true) => Form::Edn,
        told => of_head(&head, named_edn && told.is_none()),
    };
    let head = Cursor::new(head);
    let limits = reading.limits;
    let read = match broken {
        // What was unpacked before the fault is read all the same.
        Some(error) => read_form(head.chain(Broken(Some(error))), form, limits, first),
        None => read_form(head.chain(reader), form, limits, first),
    };
    Ok((read, first))
}

/// Ends in an error that was met before.
struct Broken(Option<io::Error>);

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

impl BufRead for Broken {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.0.take().map_or(Ok(&[]), Err)
    }

    fn consume(&mut self, _: usize) {}
}

/// The form of a text that begins so.
fn of_head(head: &[u8], named_edn: bool) -> Form {
    let mut signs = head.iter().filter(|byte| !byte.is_ascii_whitespace() && **byte != b',');
    match (signs.next(), signs.next(), signs.next()) {
        (Some(b'{'), Some(b'"' | b'}'), _) if !named_edn => Form::Lines,
        (Some(b'['), Some(b'{'), Some(b'"' | b'}')) if !named_edn => Form::Array,
        (Some(b'{'), Some(b':'), _) | (Some(b'['), Some(b'{'), Some(b':')) => Form::Edn,
        (Some(b'#' | b';' | b'('), ..) | (Some(b'['), Some(b'#' | b';' | b'('), _) => Form::Edn,
        _ if named_edn => Form::Edn,
        (Some(b'['), ..) => Form::Array,
        _ => Form::Lines,
    }
}

fn read_form(reader: impl BufRead, form: Form, limits: Limits, first: u64) -> ReadHistory {
    match form {
        Form::Lines => read_lines_of(reader, true, limits, first),
        Form::Array | Form::Edn => read_chunks(reader, form, limits, first),
    }
}

/// Reads a history from its JSON lines.
pub fn read_events(reader: impl BufRead) -> ReadHistory {
    read_lines_of(reader, true, Limits::default(), 1)
}

/// Lines of our own shape are scanned by hand, all others go through serde.
#[cfg(test)]
pub(crate) fn read_with(reader: impl BufRead, by_hand: bool) -> ReadHistory {
    read_lines_of(reader, by_hand, Limits::default(), 1)
}

fn read_lines_of(
    mut reader: impl BufRead,
    by_hand: bool,
    limits: Limits,
    first: u64,
) -> ReadHistory {
    let mut taking = Taking::new(by_hand, &limits);
    let mut line = Vec::new();
    let mut number = first;
    let damage = loop {
        line.clear();
        let got = skip_blank(&mut reader, &mut number).and_then(|()| {
            let mut bounded = reader.by_ref().take(limits.line.saturating_add(1));
            bounded.read_until(b'\n', &mut line)
        });
        match got {
            Ok(0) => break None,
            Ok(got) if limits.line < got as u64 => break Some(too_long(&limits)),
            Ok(_) => {}
            Err(error) => break Some(error.to_string()),
        }
        if let Err(why) = taking.line(&line, number) {
            let cut = line.last() != Some(&b'\n') && why.starts_with("EOF");
            break Some(if cut { format!("cut off: {why}") } else { why });
        }
        number += 1;
    };
    taking.done(damage.map(|why| Damage { line: number, why }), Form::Lines)
}

/// Passes over blank lines, however many.
fn skip_blank(reader: &mut impl BufRead, number: &mut u64) -> io::Result<()> {
    loop {
        let bytes = reader.fill_buf()?;
        let blank = bytes.iter().position(|byte| !byte.is_ascii_whitespace());
        let length = blank.unwrap_or(bytes.len());
        if length == 0 {
            return Ok(());
        }
        *number += bytes[..length].iter().filter(|byte| **byte == b'\n').count() as u64;
        reader.consume(length);
    }
}

fn read_chunks(reader: impl BufRead, form: Form, limits: Limits, first: u64) -> ReadHistory {
    let mut taking = Taking::new(false, &limits);
    let mut chunks = Chunks::new(reader, form == Form::Edn, limits, first);
    let (mut chunk, mut forms) = (Vec::new(), Vec::new());
    let damage = loop {
        let line = match chunks.next(&mut chunk) {
            Ok(Next::Chunk(line)) => line,
            Ok(Next::End) => break None,
            Err(fault) => break Some(fault),
        };
        let Ok(text) = std::str::from_utf8(&chunk) else {
            break Some((line, "not text (UTF-8)".to_owned()));
        };
        forms.clear();
        let read = match form {
            Form::Edn => edn::read(text, &mut forms),
            _ => match crate::lenient::value(text.as_bytes()) {
                Ok(value) => {
                    forms.push((1, value));
                    Ok(())
                }
                Err(why) => Err((1, why)),
            },
        };
        let taken = forms.drain(..).find_map(|(at, value)| {
            let line = line + at - 1;
            taking.value(value, line).err().map(|why| (line, why))
        });
        let broken = read.err().map(|(at, why)| (line + at - 1, why));
        if let Some(fault) = taken.or(broken) {
            break Some(fault);
        }
    };
    taking.done(damage.map(|(line, why)| Damage { line, why }), form)
}

/// Reads a stream of other records of a run's folder: as many whole lines as there are. A missing
/// file is empty.
pub fn read_lines<T: DeserializeOwned>(path: &Path) -> (Vec<T>, Option<Damage>) {
    let limits = Limits::default();
    let mut reader = match source::open_inside(path, &limits) {
        Ok(reader) => reader,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return (Vec::new(), None),
        Err(error) => return (Vec::new(), Some(Damage { line: 1, why: error.to_string() })),
    };
    let (mut records, mut line, mut number) = (Vec::new(), Vec::new(), 0);
    loop {
        line.clear();
        number += 1;
        let mut bounded = reader.by_ref().take(limits.line + 1);
        let why = match bounded.read_until(b'\n', &mut line) {
            Ok(0) => return (records, None),
            Ok(got) if limits.line < got as u64 => too_long(&limits),
            Ok(_) => match serde_json::from_slice(&line) {
                Ok(record) => {
                    records.push(record);
                    continue;
                }
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        return (records, Some(Damage { line: number, why }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventKind;

    const GOOD: &str = concat!(
        r#"{"index":0,"type":"invoke","process":0,"time":1,"f":"txn","value":[["append",1,2]]}"#,
        "\n",
        r#"{"index":1,"type":"ok","process":0,"time":2,"f":"txn","value":[["append",1,2]]}"#,
        "\n",
    );

    fn read(text: &str) -> ReadHistory {
        read_events(text.as_bytes())
    }

    #[test]
    fn damage_is_placed_and_what_came_before_is_kept() {
        for (tail, line, why) in [
            (r#"{"index":2,"type":"inv"#, 3, "cut off"),
            ("garbage\n", 3, "expected value"),
            (
                "{\"index\":1,\"type\":\"invoke\",\"process\":0,\"time\":3,\"f\":\"txn\",\
                 \"value\":[]}\n",
                3,
                "does not follow",
            ),
            (
                "{\"index\":2,\"type\":\"ok\",\"process\":0,\"time\":3,\"f\":\"txn\",\
                 \"value\":[]}\n",
                3,
                "did not invoke",
            ),
        ] {
            let read = read(&format!("{GOOD}{tail}"));
            let damage = read.damage.unwrap();
            assert_eq!(damage.line, line, "{tail}");
            assert!(damage.why.contains(why), "{tail}: {}", damage.why);
            assert_eq!(read.history.ops.len(), 1);
            assert_eq!(read.history.ops[0].kind, EventKind::Ok);
        }
    }

    #[test]
    fn an_operation_without_completion_is_info_and_other_processes_are_left_out() {
        let text = concat!(
            r#"{"type":"invoke","process":0,"f":"txn","value":[["r",1,null]]}"#,
            "\n",
            r#"{"type":"info","process":"nemesis","f":"kill","value":null}"#,
            "\n",
        );
        let read = read(text);
        assert_eq!(read.damage, None);
        assert_eq!(read.skipped, 1);
        assert_eq!(read.history.ops[0].kind, EventKind::Info);
    }
}
