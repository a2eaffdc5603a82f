//! Just enough EDN to read histories of Jepsen: maps, vectors, lists, sets, keywords, strings,
//! numbers, nil, booleans, comments, tags. Keywords and symbols become strings.

use serde_json::{Map, Number, Value};

/// All forms of a text; vectors and lists of maps at the top are opened.
///
/// # Errors
/// What is wrong, with the byte where it is.
pub fn maps(text: &str) -> Result<Vec<Value>, String> {
    let mut reader = Reader { bytes: text.as_bytes(), at: 0, depth: 0 };
    let mut forms = Vec::new();
    while reader.skip() {
        match reader.form()? {
            Value::Array(inner) => forms.extend(inner),
            form => forms.push(form),
        }
    }
    Ok(forms)
}

struct Reader<'t> {
    bytes: &'t [u8],
    at: usize,
    depth: u32,
}

/// Deeper nesting is no history.
const DEPTH_MAX: u32 = 64;

impl Reader<'_> {
    fn fault<T>(&self, why: &str) -> Result<T, String> {
        Err(format!("byte {}: {why}", self.at))
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Skips space and comments; whether anything is left.
    fn skip(&mut self) -> bool {
        while let Some(byte) = self.peek() {
            match byte {
                b';' => {
                    while self.peek().is_some_and(|byte| byte != b'\n') {
                        self.at += 1;
                    }
                }
                byte if byte.is_ascii_whitespace() || byte == b',' => self.at += 1,
                _ => return true,
            }
        }
        false
    }

    fn form(&mut self) -> Result<Value, String> {
        if !self.skip() {
            return self.fault("the text ends within a form");
        }
        match self.bytes[self.at] {
            b'[' => Ok(Value::Array(self.until(b']')?)),
            b'(' => Ok(Value::Array(self.until(b')')?)),
            b'{' => self.map(),
            b'"' => self.string(),
            b'#' => self.tagged(),
            b']' | b')' | b'}' => self.fault("a bracket closes that was not opened"),
            _ => self.atom(),
        }
    }

    fn until(&mut self, end: u8) -> Result<Vec<Value>, String> {
        self.at += 1;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return self.fault("nested too deeply");
        }
        let mut forms = Vec::new();
        loop {
            if !self.skip() {
                return self.fault("the text ends within brackets");
            }
            if self.bytes[self.at] == end {
                self.at += 1;
                self.depth -= 1;
                return Ok(forms);
            }
            forms.push(self.form()?);
        }
    }

    fn map(&mut self) -> Result<Value, String> {
        let forms = self.until(b'}')?;
        if forms.len() % 2 == 1 {
            return self.fault("a map has a key without a value");
        }
        let name = |key: &Value| key.as_str().map_or_else(|| key.to_string(), str::to_owned);
        let pairs = forms.chunks(2).map(|pair| (name(&pair[0]), pair[1].clone()));
        Ok(Value::Object(pairs.collect::<Map<String, Value>>()))
    }

    fn string(&mut self) -> Result<Value, String> {
        let start = self.at;
        self.at += 1;
        while let Some(byte) = self.peek() {
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                let text = &self.bytes[start..self.at];
                // EDN's escapes are JSON's.
                return serde_json::from_slice(text).or_else(|_| self.fault("a broken string"));
            }
        }
        self.fault("a string does not end")
    }

    fn tagged(&mut self) -> Result<Value, String> {
        self.at += 1;
        if self.peek() == Some(b'{') {
            return Ok(Value::Array(self.until(b'}')?));
        }
        // A tag says of what type the form after it is: maps of all types are alike here.
        self.token();
        self.form()
    }

    fn token(&mut self) -> &str {
        let start = self.at;
        let ends = |byte: u8| byte.is_ascii_whitespace() || b",[](){}\";".contains(&byte);
        while self.peek().is_some_and(|byte| !ends(byte)) {
            self.at += 1;
        }
        std::str::from_utf8(&self.bytes[start..self.at]).unwrap_or_default()
    }

    fn atom(&mut self) -> Result<Value, String> {
        let token = self.token();
        if token.is_empty() {
            return self.fault("no form begins so");
        }
        Ok(match token {
            "nil" => Value::Null,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => match token.trim_end_matches('N').parse::<i64>() {
                Ok(number) => Value::Number(Number::from(number)),
                Err(_) => Value::String(token.trim_start_matches(':').to_owned()),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histories_of_jepsen_are_read_and_faults_are_placed() {
        let text = "[{:index 0, :type :invoke, :process 1 :value [[:append :x 1] [:r 2 nil]]}]\n\
                    #jepsen.history.Op{:index 1 :type :ok :f :txn} ; the end";
        let read = maps(text).unwrap();
        assert_eq!(read[0]["value"], serde_json::json!([["append", "x", 1], ["r", 2, null]]));
        assert_eq!(read[1]["type"], "ok");
        for (broken, why) in [("{:a", "ends within"), ("{:a}", "without a value"), ("]", "closes")]
        {
            assert!(maps(broken).unwrap_err().contains(why), "{broken}");
        }
        assert!(maps(&"[".repeat(10_000)).unwrap_err().contains("deeply"));
    }
}
