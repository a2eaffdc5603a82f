//! Just enough EDN to read histories of Jepsen: maps, vectors, lists, sets, keywords, strings,
//! numbers, nil, booleans, comments, tags. Keywords and symbols become strings.

use serde_json::{Map, Number, Value};

/// The forms of a text up to its end or to the first that is broken.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Forms {
    /// Each with the line where it begins.
    pub forms: Vec<(u64, Value)>,
    /// What is wrong after them, with its line.
    pub damage: Option<String>,
}

/// Reads forms one after the other; vectors and lists at the top are opened.
pub fn read(text: &str) -> Forms {
    let mut reader = Reader { bytes: text.as_bytes(), at: 0, depth: 0 };
    let mut read = Forms::default();
    if let Err(why) = reader.top(&mut read.forms) {
        read.damage = Some(why);
    }
    read
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
        let before = &self.bytes[..self.at.min(self.bytes.len())];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Err(format!("line {line}: {why}"))
    }

    fn top(&mut self, forms: &mut Vec<(u64, Value)>) -> Result<(), String> {
        let mut closing: Option<u8> = None;
        // Lines are counted on the way, not from the start for each form.
        let (mut line, mut counted) = (1, 0);
        while self.skip()? {
            let next = self.bytes[self.at];
            match (closing, next) {
                (None, b'[') => closing = Some(b']'),
                (None, b'(') => closing = Some(b')'),
                (Some(end), byte) if byte == end => closing = None,
                _ => {
                    let passed = &self.bytes[counted..self.at];
                    line += passed.iter().filter(|byte| **byte == b'\n').count() as u64;
                    counted = self.at;
                    forms.push((line, self.form()?));
                    continue;
                }
            }
            self.at += 1;
        }
        match closing {
            Some(_) => self.fault("the text ends within brackets"),
            None => Ok(()),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Skips space, comments and forms that are discarded (`#_`); whether anything is left.
    fn skip(&mut self) -> Result<bool, String> {
        while let Some(byte) = self.peek() {
            match byte {
                b'#' if self.bytes.get(self.at + 1) == Some(&b'_') => {
                    self.at += 2;
                    self.depth += 1;
                    if self.depth > DEPTH_MAX {
                        return self.fault("nested too deeply");
                    }
                    self.form()?;
                    self.depth -= 1;
                }
                b';' => {
                    while self.peek().is_some_and(|byte| byte != b'\n') {
                        self.at += 1;
                    }
                }
                byte if byte.is_ascii_whitespace() || byte == b',' => self.at += 1,
                _ => return Ok(true),
            }
        }
        Ok(false)
    }

    fn form(&mut self) -> Result<Value, String> {
        if !self.skip()? {
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
            if !self.skip()? {
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
        let Forms { forms, damage } = read(text);
        assert_eq!(damage, None);
        let value = serde_json::json!([["append", "x", 1], ["r", 2, null]]);
        assert_eq!((forms[0].0, &forms[0].1["value"]), (1, &value));
        assert_eq!((forms[1].0, &forms[1].1["type"]), (2, &"ok".into()));
        let kept = read("#_ {:a 1} [:r #_ #_ 1 2 3] #_ 5").forms;
        assert_eq!(
            kept.into_iter().map(|(_, form)| form).collect::<Vec<_>>(),
            ["r".into(), 3.into()] as [Value; 2]
        );
        for (broken, why) in [("{:a", "ends within"), ("{:a}", "without a value"), ("]", "closes")]
        {
            assert!(read(broken).damage.unwrap().contains(why), "{broken}");
        }
        assert!(read(&"[".repeat(10_000)).damage.unwrap().contains("deeply"));
        let cut = read("[{:a 1}\n{:a 2}\n{:a");
        assert_eq!(cut.forms.len(), 2, "what stands before the damage is read");
        assert_eq!(cut.damage.unwrap(), "line 3: the text ends within brackets");
    }
}
