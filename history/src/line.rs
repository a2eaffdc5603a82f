//! A line of a history scanned by hand, for lines of the shape that [`crate::Event`] writes.
//!
//! Whatever is not of that shape to the letter is left to serde, which knows all forms and says
//! what is wrong. So the scan never reports an error: it only passes.

use std::ops::Range;

use crate::columns::MopKind;
use crate::event::{EventKind, STAYED, possible_time};
use crate::key::Key;
use crate::micro_op::{MicroOp, Observed};

/// A key that is not owned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRef<'a> {
    /// An integer.
    Int(i64),
    /// A string.
    Str(&'a str),
}

impl<'a> From<&'a Key> for KeyRef<'a> {
    fn from(key: &'a Key) -> KeyRef<'a> {
        match key {
            Key::Int(key) => KeyRef::Int(*key),
            Key::Str(key) => KeyRef::Str(key),
        }
    }
}

/// What a read showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// `null`.
    Nothing,
    /// A value.
    Int,
    /// A list, in [`LineBuffer::lists`].
    List(Range<u32>),
}

/// A micro-operation of a line, but for its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineMop {
    /// What it does.
    pub kind: MopKind,
    /// What it writes or showed.
    pub value: i64,
    /// What it showed.
    pub seen: Seen,
}

/// A line without its transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Position in the history.
    pub index: u64,
    /// What it says of its operation.
    pub kind: EventKind,
    /// Its process.
    pub process: i64,
    /// Its session, if it says.
    pub session: Option<i64>,
    /// Its node, if it says.
    pub node: Option<&'a str>,
    /// When.
    pub time: i64,
    /// Whether it is a final read.
    pub final_read: bool,
    /// Whether its target is [`STAYED`].
    pub stayed: bool,
}

/// The transactions of lines, one at a time: kept, so that its memory is used again.
#[derive(Clone, Debug, Default)]
pub struct LineBuffer {
    /// The micro-operations.
    pub mops: Vec<LineMop>,
    /// Elements of the lists among them.
    pub lists: Vec<i64>,
}

impl LineBuffer {
    /// Makes room for the next line.
    pub fn clear(&mut self) {
        self.mops.clear();
        self.lists.clear();
    }

    /// Takes in a micro-operation of an event.
    pub fn take(&mut self, mop: &MicroOp) {
        let (kind, value, seen) = match mop {
            MicroOp::Read { value: None, .. } => (MopKind::Read, 0, Seen::Nothing),
            MicroOp::Read { value: Some(Observed::Int(value)), .. } => {
                (MopKind::Read, *value, Seen::Int)
            }
            MicroOp::Read { value: Some(Observed::List(list)), .. } => {
                let from = self.lists.len() as u32;
                self.lists.extend_from_slice(list);
                (MopKind::Read, 0, Seen::List(from..self.lists.len() as u32))
            }
            MicroOp::Write { value, .. } => (MopKind::Write, *value, Seen::Nothing),
            MicroOp::Append { value, .. } => (MopKind::Append, *value, Seen::Nothing),
            MicroOp::Cas { new, .. } => (MopKind::Cas, *new, Seen::Nothing),
            MicroOp::Add { value, .. } => (MopKind::Add, *value, Seen::Nothing),
            MicroOp::Rem { value, .. } => (MopKind::Rem, *value, Seen::Nothing),
            MicroOp::Inc { delta, .. } => (MopKind::Inc, *delta, Seen::Nothing),
        };
        self.mops.push(LineMop { kind, value, seen });
    }
}

/// Scans a line, or passes. Keys go into `keys`, the rest of the transaction into the buffer.
pub fn scan<'a>(
    line: &'a [u8],
    buffer: &mut LineBuffer,
    keys: &mut Vec<KeyRef<'a>>,
) -> Option<Line<'a>> {
    buffer.clear();
    keys.clear();
    let mut at = Scan { rest: line };
    at.word(b"{\"index\":")?;
    let index = u64::try_from(at.int()?).ok()?;
    at.word(b",\"type\":\"")?;
    let kind = match at.plain()? {
        "invoke" => EventKind::Invoke,
        "ok" => EventKind::Ok,
        "fail" => EventKind::Fail,
        "info" => EventKind::Info,
        _ => return None,
    };
    at.word(b",\"process\":")?;
    let process = at.int()?;
    let session = if at.is(b",\"session\":") { Some(at.int()?) } else { None };
    let node = if at.is(b",\"node\":\"") { Some(at.plain()?) } else { None };
    let time = if at.is(b",\"time\":") { at.int()? } else { 0 };
    if !possible_time(time) {
        return None;
    }
    at.word(b",\"f\":\"")?;
    at.plain()?;
    at.word(b",\"value\":[")?;
    if !at.is(b"]") {
        loop {
            at.micro_op(buffer, keys)?;
            if at.is(b"]") {
                break;
            }
            at.word(b",")?;
        }
    }
    let final_read = at.is(b",\"final\":true");
    if at.is(b",\"error\":\"") {
        at.plain()?;
    }
    if at.is(b",\"position\":") {
        at.position()?;
    }
    let stayed = at.is(b",\"target\":\"") && at.plain()? == STAYED;
    at.word(b"}")?;
    let done = matches!(at.rest, b"" | b"\n" | b"\r\n");
    done.then_some(Line { index, kind, process, session, node, time, final_read, stayed })
}

struct Scan<'a> {
    rest: &'a [u8],
}

impl<'a> Scan<'a> {
    fn is(&mut self, word: &[u8]) -> bool {
        match self.rest.strip_prefix(word) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.is(word).then_some(())
    }

    /// An integer of at most 18 digits, in JSON's spelling.
    fn int(&mut self) -> Option<i64> {
        let negative = self.is(b"-");
        let mut value = 0i64;
        let mut count = 0;
        let rest = self.rest;
        while let Some(digit) = rest.get(count).map(|byte| byte.wrapping_sub(b'0'))
            && digit < 10
        {
            value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
            count += 1;
        }
        let zero_first = rest.first() == Some(&b'0') && (count > 1 || negative);
        // A fraction or an exponent would make it no integer.
        let ends = matches!(rest.get(count), Some(b',' | b']' | b'}'));
        if count == 0 || count > 18 || zero_first || !ends {
            return None;
        }
        self.rest = &rest[count..];
        Some(if negative { -value } else { value })
    }

    /// The rest of a string that needs no unescaping, and its closing quote.
    fn plain(&mut self) -> Option<&'a str> {
        let count = self
            .rest
            .iter()
            .position(|byte| !matches!(byte, b' ' | b'!' | b'#'..=b'[' | b']'..=b'~'))?;
        let (text, rest) = self.rest.split_at(count);
        self.rest = rest.strip_prefix(b"\"")?;
        std::str::from_utf8(text).ok()
    }

    /// An integer, a plain string, or an object of such: positions as our systems say them.
    fn position(&mut self) -> Option<()> {
        if self.is(b"\"") {
            return self.plain().map(|_| ());
        }
        if !self.is(b"{") {
            return self.int().map(|_| ());
        }
        if self.is(b"}") {
            return Some(());
        }
        loop {
            self.word(b"\"")?;
            self.plain()?;
            self.word(b":")?;
            if self.is(b"\"") {
                self.plain()?;
            } else {
                self.int()?;
            }
            if self.is(b"}") {
                return Some(());
            }
            self.word(b",")?;
        }
    }

    fn micro_op(&mut self, buffer: &mut LineBuffer, keys: &mut Vec<KeyRef<'a>>) -> Option<()> {
        self.word(b"[\"")?;
        let kind = match self.plain()? {
            "r" => MopKind::Read,
            "append" => MopKind::Append,
            "w" => MopKind::Write,
            "cas" => MopKind::Cas,
            "add" => MopKind::Add,
            "rem" => MopKind::Rem,
            "inc" => MopKind::Inc,
            _ => return None,
        };
        self.word(b",")?;
        keys.push(match self.is(b"\"") {
            true => KeyRef::Str(self.plain()?),
            false => KeyRef::Int(self.int()?),
        });
        self.word(b",")?;
        let mut value = 0;
        let seen = match kind {
            MopKind::Read if self.is(b"null") => Seen::Nothing,
            MopKind::Read if self.is(b"[") => Seen::List(self.list(&mut buffer.lists)?),
            MopKind::Read => {
                value = self.int()?;
                Seen::Int
            }
            MopKind::Cas => {
                self.word(b"[")?;
                self.int()?;
                self.word(b",")?;
                value = self.int()?;
                self.word(b"]")?;
                Seen::Nothing
            }
            _ => {
                value = self.int()?;
                Seen::Nothing
            }
        };
        self.word(b"]")?;
        buffer.mops.push(LineMop { kind, value, seen });
        Some(())
    }

    fn list(&mut self, lists: &mut Vec<i64>) -> Option<Range<u32>> {
        let from = lists.len() as u32;
        if self.is(b"]") {
            return Some(from..from);
        }
        loop {
            lists.push(self.int()?);
            match self.rest.split_first()? {
                (b',', rest) => self.rest = rest,
                (b']', rest) => {
                    self.rest = rest;
                    return Some(from..lists.len() as u32);
                }
                _ => return None,
            }
        }
    }
}
