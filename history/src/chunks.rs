//! A JSON array or a text of EDN cut into its operations, one at a time: no more than one of them
//! is in memory.

use std::io::BufRead;

use crate::source::{Limits, too_long};

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Some text that is whole in its brackets, or the last of the text; and its line.
    Chunk(u64),
    /// The end.
    End,
}

/// See the module's doc.
pub struct Chunks<R> {
    reader: R,
    state: State,
}

struct State {
    /// EDN, else JSON.
    edn: bool,
    limits: Limits,
    line: u64,
    /// What ends the vector around all operations.
    outer: Option<u8>,
    /// Whether a JSON array has ended.
    closed: bool,
    chunks: u64,
    commas: u64,
}

/// Where in a chunk the reading is.
#[derive(Default)]
struct Inside {
    depth: u64,
    string: bool,
    comment: bool,
    escaped: bool,
}

impl Inside {
    /// Whether a chunk has begun and is in no brackets.
    fn top(&self, chunk: &[u8]) -> bool {
        let within = self.string || self.comment || self.escaped || self.depth > 0;
        !within && !chunk.is_empty()
    }
}

impl<R: BufRead> Chunks<R> {
    /// Of a text whose first line has this number.
    pub fn new(reader: R, edn: bool, limits: Limits, line: u64) -> Chunks<R> {
        let (outer, closed, chunks, commas) = (None, false, 0, 0);
        Chunks { reader, state: State { edn, limits, line, outer, closed, chunks, commas } }
    }

    /// Puts the next chunk into `chunk`; a fault comes with its line.
    pub fn next(&mut self, chunk: &mut Vec<u8>) -> Result<Next, (u64, String)> {
        chunk.clear();
        let mut inside = Inside::default();
        let Chunks { reader, state } = self;
        let mut start = state.line;
        loop {
            let bytes = match reader.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) => return Err((state.line, error.to_string())),
            };
            if bytes.is_empty() {
                return state.end(chunk, start);
            }
            let mut taken = 0;
            let mut whole = false;
            for byte in bytes {
                // Atoms and what is discarded may stand right before the end.
                whole = state.edn && state.outer == Some(*byte) && inside.top(chunk);
                if whole {
                    break;
                }
                taken += 1;
                whole = state.step(*byte, chunk, &mut inside, &mut start)?;
                state.line += u64::from(*byte == b'\n');
                if state.limits.line < chunk.len() as u64 {
                    let why = format!("an operation is {}", too_long(&state.limits));
                    return Err((start, why));
                }
                if whole {
                    break;
                }
            }
            reader.consume(taken);
            if whole {
                state.chunks += 1;
                state.commas = 0;
                return Ok(Next::Chunk(start));
            }
        }
    }
}

impl State {
    fn end(&self, chunk: &[u8], start: u64) -> Result<Next, (u64, String)> {
        // What is left may be broken in a way of its own, which says more.
        if !chunk.is_empty() {
            return Ok(Next::Chunk(start));
        }
        match (self.outer, self.edn) {
            (None, _) => Ok(Next::End),
            (_, true) => Err((self.line, "the text ends within brackets".to_owned())),
            (_, false) => Err((self.line, "the array does not end".to_owned())),
        }
    }

    /// Takes a byte; whether the chunk is whole.
    fn step(
        &mut self,
        byte: u8,
        chunk: &mut Vec<u8>,
        inside: &mut Inside,
        start: &mut u64,
    ) -> Result<bool, (u64, String)> {
        let fault = |why: &str| Err((self.line, why.to_owned()));
        if inside.comment {
            inside.comment = byte != b'\n';
            return Ok(false);
        }
        if inside.escaped || inside.string {
            chunk.push(byte);
            inside.string &= inside.escaped || byte != b'"';
            inside.escaped = !inside.escaped && byte == b'\\';
            return Ok(false);
        }
        if self.edn && byte == b';' {
            inside.comment = true;
            // It parts what is before it from what is after.
            if !chunk.is_empty() {
                chunk.push(b' ');
            }
            return Ok(false);
        }
        if inside.depth == 0 && chunk.is_empty() {
            if byte.is_ascii_whitespace() {
                return Ok(false);
            }
            if self.closed {
                return fault("text after the array");
            }
            match byte {
                b',' if self.edn => return Ok(false),
                b',' => {
                    self.commas += 1;
                    return Ok(false);
                }
                b'[' | b'(' if self.outer.is_none() && (self.edn || byte == b'[') => {
                    self.outer = Some(if byte == b'[' { b']' } else { b')' });
                    return Ok(false);
                }
                _ if self.outer == Some(byte) => return self.close(),
                _ if !self.edn && self.commas != u64::from(0 < self.chunks) => {
                    return fault("elements of an array have one comma between them");
                }
                _ => *start = self.line,
            }
        }
        if inside.depth == 0 && self.outer == Some(byte) && !self.edn {
            return fault("an element of the array is no operation");
        }
        chunk.push(byte);
        match byte {
            b'"' => inside.string = true,
            b'\\' if self.edn => inside.escaped = true,
            b'[' | b'(' | b'{' => inside.depth += 1,
            b']' | b')' | b'}' => {
                inside.depth = inside.depth.saturating_sub(1);
                return Ok(inside.depth == 0);
            }
            _ => {}
        }
        Ok(false)
    }

    fn close(&mut self) -> Result<bool, (u64, String)> {
        if self.commas > 0 {
            return Err((self.line, "a comma before the end of the array".to_owned()));
        }
        self.outer = None;
        self.closed = !self.edn;
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Cut = (Vec<(u64, String)>, Option<(u64, String)>);

    fn cut(text: &str, edn: bool, line: u64) -> Cut {
        let limits = Limits { line, size: 1 << 20 };
        // A small buffer, so that chunks span several.
        let reader = std::io::BufReader::with_capacity(3, text.as_bytes());
        let mut chunks = Chunks::new(reader, edn, limits, 1);
        let (mut found, mut chunk) = (Vec::new(), Vec::new());
        loop {
            match chunks.next(&mut chunk) {
                Ok(Next::Chunk(line)) => {
                    found.push((line, String::from_utf8(chunk.clone()).unwrap()));
                }
                Ok(Next::End) => return (found, None),
                Err(fault) => return (found, Some(fault)),
            }
            assert!(found.len() < 100, "it comes to an end");
        }
    }

    #[test]
    fn operations_are_cut_out_whole() {
        let (found, fault) = cut("[\n{\"a]\\\"\":[1]},\n {\"b\":{}}\n]\n", false, 99);
        assert_eq!((found.len(), fault), (2, None));
        assert_eq!(found[1], (3, "{\"b\":{}}".to_owned()));
        let (found, fault) = cut("; all\n[#op{:a \\]} ; }\n {:b \"]\"} #_ x] #t {:c 1} ", true, 99);
        assert_eq!(fault, None);
        let texts: Vec<&str> = found.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["#op{:a \\]}", "{:b \"]\"}", "#_ x", "#t {:c 1}"]);
    }

    #[test]
    fn faults_are_placed() {
        for (text, edn, why) in [
            ("[{},]", false, (1, "a comma before")),
            ("[{}\n{}]", false, (2, "one comma")),
            ("[{},,{}]", false, (1, "one comma")),
            ("[{}]\n]", false, (2, "text after")),
            ("[{}\n", false, (2, "does not end")),
            ("[1]", false, (1, "no operation")),
            ("[{}\n", true, (2, "ends within")),
            ("[{:a 12345678901234567890}]", true, (1, "longer than 20 bytes")),
            ("[{:a 1} #_ x", true, (1, "ends within")),
        ] {
            let (line, told) = cut(text, edn, 20).1.unwrap_or_default();
            assert!(line == why.0 && told.contains(why.1), "{text}: {line}: {told}");
        }
    }
}
