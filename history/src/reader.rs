//! Reads the files of a run: plain, `.gz` or `.zst`; up to the damage, and saying where that is.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::columns::History;
use crate::event::Event;
use crate::line::{self, LineBuffer};

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
    #[error("{path} is not a history: line 1: {why}")]
    NotAHistory {
        /// The file.
        path: PathBuf,
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

/// A history, or as much of it as could be read.
#[derive(Debug)]
pub struct ReadHistory {
    /// What was read.
    pub history: History,
    /// Where it ends early, if it does.
    pub damage: Option<Damage>,
    /// Lines left out because their process is no integer: Jepsen's nemesis, for one.
    pub skipped: u64,
}

/// Opens a file, unpacking it if its name says so.
pub fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    let file = File::open(path)?;
    let ending = path.extension().and_then(|ending| ending.to_str());
    Ok(match ending {
        Some("gz") => unpacked(flate2::read::MultiGzDecoder::new(file)),
        Some("zst") => unpacked(zstd::stream::read::Decoder::new(file)?),
        _ => unpacked(file),
    })
}

fn unpacked(reader: impl Read + 'static) -> Box<dyn BufRead> {
    Box::new(BufReader::with_capacity(1 << 18, reader))
}

/// Reads a history file.
pub fn read_history(path: &Path) -> Result<ReadHistory, ReadError> {
    let fail = |source| ReadError::Open { path: path.to_owned(), source };
    let reader = open(path).map_err(fail)?;
    let read = read_events(reader);
    match &read.damage {
        Some(damage) if damage.line == 1 && read.history.ops.is_empty() => {
            Err(ReadError::NotAHistory { path: path.to_owned(), why: damage.why.clone() })
        }
        _ => Ok(read),
    }
}

/// Reads a history from its lines.
pub fn read_events(reader: impl BufRead) -> ReadHistory {
    read_with(reader, true)
}

/// Lines of our own shape are scanned by hand, all others go through serde.
pub(crate) fn read_with(mut reader: impl BufRead, by_hand: bool) -> ReadHistory {
    let mut read = ReadHistory { history: History::default(), damage: None, skipped: 0 };
    let mut line = Vec::new();
    let mut buffer = LineBuffer::default();
    let mut last_index: Option<u64> = None;
    let mut number = 0;
    let damage = loop {
        line.clear();
        number += 1;
        match reader.read_until(b'\n', &mut line) {
            Ok(0) => return read,
            Ok(_) => {}
            Err(error) => break error.to_string(),
        }
        // Few lines have many micro-operations, so this seldom costs an allocation.
        let mut keys = Vec::with_capacity(8);
        let scanned = by_hand.then(|| line::scan(&line, &mut buffer, &mut keys)).flatten();
        let index = |index: u64, last: &mut Option<u64>| match *last {
            Some(before) if index <= before => {
                Err(format!("index {index} does not follow on the one before"))
            }
            _ => {
                *last = Some(index);
                Ok(())
            }
        };
        if let Some(scanned) = scanned {
            let mops = keys.iter().copied().zip(&buffer.mops);
            let push = |()| read.history.push_line(&scanned, mops, &buffer.lists);
            match index(scanned.index, &mut last_index).and_then(push) {
                Ok(()) => continue,
                Err(why) => break why,
            }
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let event = match parse(&line, number - 1) {
            Ok(Some(event)) => event,
            Ok(None) => {
                read.skipped += 1;
                continue;
            }
            Err(why) if line.last() != Some(&b'\n') => break format!("cut off: {why}"),
            Err(why) => break why,
        };
        let own = event.index;
        let push = |()| read.history.push(event);
        if let Err(why) = index(own, &mut last_index).and_then(push) {
            break why;
        }
    };
    read.damage = Some(Damage { line: number, why: damage });
    read
}

fn parse(line: &[u8], place: u64) -> Result<Option<Event>, String> {
    let first = match serde_json::from_slice::<Event>(line) {
        Ok(event) => return Ok(Some(event)),
        // The line is the file's, not the text's own.
        Err(error) => error.to_string().replace(" at line 1 column ", " at column "),
    };
    // Rare forms: a process that is no integer, or no index of its own.
    let Ok(mut value) = serde_json::from_slice::<serde_json::Value>(line) else {
        return Err(first);
    };
    let Some(object) = value.as_object_mut() else {
        return Err(first);
    };
    let process = object.get("process");
    if process.is_some_and(|process| !process.is_i64() && !process.is_null()) {
        return Ok(None);
    }
    object.entry("index").or_insert_with(|| place.into());
    object.entry("f").or_insert_with(|| "txn".into());
    if object.get("value").is_some_and(serde_json::Value::is_null) {
        object.insert("value".to_owned(), serde_json::Value::Array(Vec::new()));
    }
    serde_json::from_value(value).map(Some).map_err(|_| first)
}

/// Reads a stream of other records: as many whole lines as there are. A missing file is empty.
pub fn read_lines<T: DeserializeOwned>(path: &Path) -> (Vec<T>, Option<Damage>) {
    let Ok(mut reader) = open(path) else {
        return (Vec::new(), None);
    };
    let (mut records, mut line, mut number) = (Vec::new(), Vec::new(), 0);
    loop {
        line.clear();
        number += 1;
        let why = match reader.read_until(b'\n', &mut line) {
            Ok(0) => return (records, None),
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
