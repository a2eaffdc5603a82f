//! Names for what histories of others call by words: processes, sessions, values. Inside, each is
//! a number, in a range of its own; where something is told, the number becomes the word again.

use std::borrow::Cow;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde_json::Value;

/// Numbers of processes and sessions that have names.
const USERS: std::ops::RangeInclusive<i64> = -1_999_999_999..=-1_000_000_001;
/// How many values can have names; their numbers are the least there are.
const VALUES_MAX: i64 = 1 << 32;

/// Names and their numbers. Most histories have none.
#[derive(Clone, Debug, Default)]
pub struct Names {
    users: Vec<Arc<str>>,
    user_numbers: FxHashMap<Arc<str>, i64>,
    /// As JSON, so that `"1"` and `1.5` and `true` are what they are.
    values: Vec<Arc<str>>,
    value_numbers: FxHashMap<Arc<str>, i64>,
    /// Whether the history has integers among its values that the numbers of names could be.
    low: bool,
}

impl Names {
    /// The number of a process or a session.
    ///
    /// # Errors
    /// If there are too many.
    pub fn user(&mut self, name: &str) -> Result<i64, String> {
        if let Some(number) = self.user_numbers.get(name) {
            return Ok(*number);
        }
        let number = USERS.start() + self.users.len() as i64;
        if !USERS.contains(&number) {
            return Err("too many names of processes".to_owned());
        }
        let name: Arc<str> = name.into();
        self.users.push(Arc::clone(&name));
        self.user_numbers.insert(name, number);
        Ok(number)
    }

    /// Whether an integer process or session is one of the numbers that names have.
    pub fn is_reserved(number: i64) -> bool {
        USERS.contains(&number)
    }

    /// The number of a value that is no integer.
    ///
    /// # Errors
    /// If there are too many, or an integer of the history has such a number.
    pub fn value(&mut self, value: &Value) -> Result<i64, String> {
        let text = value.to_string();
        if let Some(number) = self.value_numbers.get(&*text) {
            return Ok(*number);
        }
        let number = self.values.len() as i64;
        if self.low || number == VALUES_MAX {
            return Err(format!("value {text} beside integers next to the least of 64 bits"));
        }
        let number = i64::MIN + number;
        let text: Arc<str> = text.into();
        self.values.push(Arc::clone(&text));
        self.value_numbers.insert(text, number);
        Ok(number)
    }

    /// Takes note of an integer value, which must not be the number of a name.
    ///
    /// # Errors
    /// If it could be.
    pub fn meets(&mut self, value: i64) -> Result<(), String> {
        if i64::MIN + VALUES_MAX <= value {
            return Ok(());
        }
        self.low = true;
        match self.values.is_empty() {
            true => Ok(()),
            false => Err(format!("value {value} beside values that are no integers")),
        }
    }

    /// Whether there is any name.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.values.is_empty()
    }

    /// The name that a number stands for.
    fn named(&self, number: i64) -> Option<Cow<'_, str>> {
        if USERS.contains(&number) {
            let name = self.users.get((number - USERS.start()) as usize)?;
            return Some(Cow::Borrowed(name));
        }
        let at = usize::try_from(number.checked_sub(i64::MIN)?).ok()?;
        let text = self.values.get(at)?;
        Some(match serde_json::from_str(text) {
            Ok(Value::String(text)) => Cow::Owned(text),
            _ => Cow::Borrowed(text),
        })
    }

    /// A text with names instead of their numbers, each as `write` writes it.
    pub fn told<'t>(&self, text: &'t str, write: impl Fn(&str) -> String) -> Cow<'t, str> {
        if self.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('-') {
            let (before, from) = rest.split_at(at);
            let more = from[1..].bytes().take_while(u8::is_ascii_digit).count();
            let (number, after) = from.split_at(1 + more);
            out.push_str(before);
            let named = number.parse().ok().and_then(|number| self.named(number));
            match named.filter(|_| !before.ends_with(|c: char| c.is_ascii_alphanumeric())) {
                Some(name) => out.push_str(&write(&name)),
                None => out.push_str(number),
            }
            rest = after;
        }
        out.push_str(rest);
        Cow::Owned(out)
    }

    /// The same in all texts and numbers of a JSON value.
    pub fn tell_json(&self, value: &mut Value) {
        if self.is_empty() {
            return;
        }
        match value {
            Value::Number(number) => {
                if let Some(name) = number.as_i64().and_then(|number| self.named(number)) {
                    *value = Value::String(name.into_owned());
                }
            }
            Value::String(text) => *text = self.told(text, str::to_owned).into_owned(),
            Value::Array(list) => list.iter_mut().for_each(|value| self.tell_json(value)),
            Value::Object(map) => map.values_mut().for_each(|value| self.tell_json(value)),
            Value::Null | Value::Bool(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_names_are_told_as_names_and_others_are_left() {
        let mut names = Names::default();
        let (user, text) = (names.user("c1").unwrap(), names.value(&"v-1".into()).unwrap());
        let number = names.value(&serde_json::json!(1.5)).unwrap();
        assert_eq!(names.user("c1"), Ok(user), "one name, one number");
        assert_ne!(names.value(&"1.5".into()).unwrap(), number, "a text is no number");
        let told = format!("session {user}: {text} a-1 -7 {number}-");
        let told = names.told(&told, str::to_owned);
        assert_eq!(told, "session c1: v-1 a-1 -7 1.5-");
        let mut value = serde_json::json!({"process": user, "value": [text, -7, "x"]});
        names.tell_json(&mut value);
        assert_eq!(value, serde_json::json!({"process": "c1", "value": ["v-1", -7, "x"]}));
    }

    #[test]
    fn an_integer_that_is_the_number_of_a_name_is_refused_in_either_order() {
        let mut names = Names::default();
        names.meets(i64::MIN).unwrap();
        assert!(names.value(&"x".into()).is_err());
        let mut names = Names::default();
        names.value(&"x".into()).unwrap();
        assert!(names.meets(i64::MIN + 1).is_err());
        assert!(names.meets(i64::MIN + VALUES_MAX).is_ok());
    }
}
