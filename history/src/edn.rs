//! Just enough EDN to read histories of Jepsen: maps, vectors, lists, sets, keywords, strings,
//! numbers, nil, booleans, comments, tags. Keywords and symbols become strings.

use serde_json::{Map, Number, Value};

/// Reads the forms of a text one after the other, each with the line where it begins, from 1.
///
/// # Errors
/// The line and what is wrong with it; the forms before it are kept.
pub fn read(text: &str, forms: &mut Vec<(u64, Value)>) -> Result<(), (u64, String)> {
    let mut reader = Reader { bytes: text.as_bytes(), at: 0, depth: 0 };
    reader.top(forms).map_err(|why| {
        let before = &reader.bytes[..reader.at.min(reader.bytes.len())];
        (1 + newlines(before), why)
    })
}

fn newlines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
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
        Err(why.to_owned())
    }

    fn top(&mut self, forms: &mut Vec<(u64, Value)>) -> Result<(), String> {
        // Lines are counted on the way, not from the start for each form.
        let (mut line, mut counted) = (1, 0);
        while self.skip()? {
            line += newlines(&self.bytes[counted..self.at]);
            counted = self.at;
            forms.push((line, self.form()?));
        }
        Ok(())
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
        let mut map = Map::new();
        let mut forms = forms.into_iter();
        while let (Some(key), Some(value)) = (forms.next(), forms.next()) {
            let key = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
            if map.contains_key(&key) {
                return self.fault(&format!("field {key} stands twice"));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
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
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return self.fault("nested too deeply");
        }
        let form = self.form();
        self.depth -= 1;
        form
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
            _ if numeric(token) => {
                return number(token).ok_or_else(|| format!("{token} is no number that is read"));
            }
            _ => Value::String(token.trim_start_matches(':').to_owned()),
        })
    }
}

/// Whether an atom is, or should be, a number.
fn numeric(token: &str) -> bool {
    token.trim_start_matches(['-', '+']).starts_with(|first: char| first.is_ascii_digit())
}

fn number(token: &str) -> Option<Value> {
    let text = token.strip_prefix('+').unwrap_or(token);
    let digits = text.strip_prefix('-').unwrap_or(text);
    // To Clojure's reader a leading zero means octal.
    let octal = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    if octal {
        return None;
    }
    if let Ok(number) = text.trim_end_matches('N').parse::<i64>() {
        return Some(Value::Number(Number::from(number)));
    }
    let plain = |byte: u8| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'-' | b'+');
    let float = text.trim_end_matches(['M', 'N']);
    let float = float.bytes().all(plain).then(|| float.parse::<f64>().ok()).flatten()?;
    Number::from_f64(float).map(Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histories_of_jepsen_are_read_and_faults_are_placed() {
        let text = "{:index 0, :type :invoke, :process 1 :value [[:append :x 1] [:r 2 nil]]}\n\
                    #jepsen.history.Op{:index 1 :type :ok :f :txn} ; the end";
        let forms = read_all(text).unwrap();
        let value = serde_json::json!([["append", "x", 1], ["r", 2, null]]);
        assert_eq!((forms[0].0, &forms[0].1["value"]), (1, &value));
        assert_eq!((forms[1].0, &forms[1].1["type"]), (2, &"ok".into()));
        let kept = read_all("#_ {:a 1} [:r #_ #_ 1 2 3] #_ 5").unwrap();
        assert_eq!(kept, [(1, serde_json::json!(["r", 3]))]);
        for (broken, why) in [
            ("{:a", "ends within"),
            ("{:a}", "without a value"),
            ("]", "closes"),
            ("{:type :ok :type :fail}", "stands twice"),
            ("{:process 017}", "no number"),
            ("1/2", "no number"),
        ] {
            assert!(read_all(broken).unwrap_err().1.contains(why), "{broken}");
        }
        for deep in ["[", "{", "(", "#{", "#_", "#x "] {
            let why = read_all(&deep.repeat(300_000)).unwrap_err().1;
            assert!(why.contains("deeply"), "{deep}: {why}");
        }
        let numbers = read_all("1 -2 +3 4N 1.5 2M 1e3 9223372036854775808 0.5").unwrap();
        let numbers: Vec<Value> = numbers.into_iter().map(|(_, number)| number).collect();
        let beyond = 9_223_372_036_854_775_808_u64 as f64;
        let expected = serde_json::json!([1, -2, 3, 4, 1.5, 2.0, 1e3, beyond, 0.5]);
        assert_eq!(Value::Array(numbers), expected);
        let mut forms = Vec::new();
        let cut = read("{:a 1}\n{:a 2}\n{:a", &mut forms);
        assert_eq!(forms.len(), 2, "what stands before the damage is read");
        assert_eq!(cut, Err((3, "the text ends within brackets".to_owned())));
    }

    fn read_all(text: &str) -> Result<Vec<(u64, Value)>, (u64, String)> {
        let mut forms = Vec::new();
        read(text, &mut forms).map(|()| forms)
    }
}
