//! An operation's line as others write it: optional fields of any form, processes and values by
//! name, reads of two parts. What is taken otherwise than it stands, or ignored, is counted.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::event::{Event, EventKind, possible_time};
use crate::key::Key;
use crate::micro_op::{MicroOp, Observed};
use crate::names::Names;

/// The process of lines that are of no client: Jepsen's faults.
const NEMESIS: &str = "nemesis";
/// Beyond these a floating-point number may stand for several integers.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// What was taken otherwise than it stands, or ignored: how often, and where first.
#[derive(Clone, Debug, Default)]
pub struct Oddities(BTreeMap<&'static str, (u64, u64)>);

impl Oddities {
    fn note(&mut self, what: &'static str, line: u64) {
        self.0.entry(what).or_insert((0, line)).0 += 1;
    }

    /// In words, one for each kind.
    pub fn told(&self) -> Vec<String> {
        let one = |(what, (count, line)): (&&str, &(u64, u64))| match count {
            1 => format!("line {line}: {what}"),
            _ => format!("{count} lines, the first is line {line}: {what}"),
        };
        self.0.iter().map(one).collect()
    }
}

/// A JSON value; a field that stands twice is an error.
pub fn value(line: &[u8]) -> Result<Value, String> {
    let mut reader = serde_json::Deserializer::from_slice(line);
    let value = OneOfEach.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    // The line is the file's, not the text's own.
    value.map_err(|error| error.to_string().replace(" at line 1 column ", " at column "))
}

/// Whether a line is well-formed and of the nemesis: looked at without keeping anything of it.
pub fn of_nemesis(line: &[u8]) -> bool {
    serde_json::from_slice::<Process>(line).is_ok_and(|process| process.0)
}

/// The operation of a line. None if it is of no client.
///
/// # Errors
/// What is wrong.
pub fn event(
    value: Value,
    place: u64,
    line: u64,
    names: &mut Names,
    odd: &mut Oddities,
) -> Result<Option<Event>, String> {
    let Value::Object(mut fields) = value else {
        return Err("an operation is an object with type, process and value".to_owned());
    };
    let mut taking = Taking { fields: &mut fields, line, names, odd };
    let Some(process) = taking.process()? else {
        return Ok(None);
    };
    let kind = taking.kind()?;
    let index = match taking.field("index") {
        None => place,
        Some(index) => index.as_u64().ok_or_else(|| format!("index {index} is no whole number"))?,
    };
    let session = taking.session()?;
    let value = taking.value(kind)?;
    Ok(Some(Event {
        index,
        kind,
        process,
        session,
        node: taking.text("node", "node is no text: ignored")?.map(Arc::from),
        time: taking.time(),
        f: taking.text("f", "f is no text: ignored")?.map_or(Cow::Borrowed("txn"), Cow::Owned),
        value,
        final_read: taking.final_read(),
        error: taking.error(),
        position: taking.field("position"),
        target: taking.text("target", "target is no text: ignored")?.map(Cow::Owned),
        hops: taking.hops(),
    }))
}

struct Taking<'t> {
    fields: &'t mut Map<String, Value>,
    line: u64,
    names: &'t mut Names,
    odd: &'t mut Oddities,
}

impl Taking<'_> {
    /// A field that says something.
    fn field(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name).filter(|value| !value.is_null())
    }

    fn note(&mut self, what: &'static str) {
        self.odd.note(what, self.line);
    }

    fn process(&mut self) -> Result<Option<i64>, String> {
        let Some(process) = self.fields.remove("process") else {
            return Err("missing field `process`".to_owned());
        };
        match &process {
            Value::String(name) if name == NEMESIS => Ok(None),
            Value::String(name) => self.user(name, "process is a number written as text").map(Some),
            _ => match process.as_i64() {
                Some(process) if Names::is_reserved(process) => {
                    Err(format!("process {process} is in a range kept for names"))
                }
                Some(process) => Ok(Some(process)),
                None => {
                    Err(format!("process {process} is neither an integer of 64 bits nor a name"))
                }
            },
        }
    }

    fn user(&mut self, name: &str, as_text: &'static str) -> Result<i64, String> {
        match name.parse::<i64>() {
            Ok(number) if number.to_string() == name && !Names::is_reserved(number) => {
                self.note(as_text);
                Ok(number)
            }
            _ => self.names.user(name),
        }
    }

    fn session(&mut self) -> Result<Option<i64>, String> {
        let Some(session) = self.field("session") else {
            return Ok(None);
        };
        let number = session.as_i64().filter(|number| !Names::is_reserved(*number));
        match &session {
            Value::String(name) => self.user(name, "session is a number written as text").map(Some),
            _ if number.is_some() => Ok(number),
            // Without it, what a user did would be another's.
            _ => Err(format!("session {session} is neither an integer of 64 bits nor a name")),
        }
    }

    fn kind(&mut self) -> Result<EventKind, String> {
        let Some(kind) = self.fields.remove("type") else {
            return Err("missing field `type`".to_owned());
        };
        let kinds = [EventKind::Invoke, EventKind::Ok, EventKind::Fail, EventKind::Info];
        let found = kinds.into_iter().find(|known| kind.as_str() == Some(known.as_str()));
        found.ok_or_else(|| format!("type {kind} is none of invoke, ok, fail, info"))
    }

    fn text(&mut self, name: &str, ignored: &'static str) -> Result<Option<String>, String> {
        Ok(match self.field(name) {
            None => None,
            Some(Value::String(text)) => Some(text),
            Some(Value::Number(number)) => Some(number.to_string()),
            Some(_) => {
                self.note(ignored);
                None
            }
        })
    }

    fn time(&mut self) -> i64 {
        let Some(time) = self.field("time") else {
            return 0;
        };
        whole(&time).filter(|time| possible_time(*time)).unwrap_or_else(|| {
            self.note("time is no whole number of nanoseconds, or out of bounds: ignored");
            0
        })
    }

    fn final_read(&mut self) -> bool {
        match self.field("final") {
            None => false,
            Some(Value::Bool(final_read)) => final_read,
            Some(_) => {
                self.note("final is neither true nor false: ignored");
                false
            }
        }
    }

    fn error(&mut self) -> Option<String> {
        match self.field("error")? {
            Value::String(text) => Some(text),
            other => {
                self.note("error is no text: kept as it stands");
                Some(other.to_string())
            }
        }
    }

    fn hops(&mut self) -> Vec<crate::event::Hop> {
        let Some(hops) = self.field("hops") else {
            return Vec::new();
        };
        serde_json::from_value(hops).unwrap_or_else(|_| {
            self.note("hops are not requests with node, time and outcome: ignored");
            Vec::new()
        })
    }

    fn value(&mut self, kind: EventKind) -> Result<Vec<MicroOp>, String> {
        let said = self.fields.contains_key("value");
        let open = matches!(kind, EventKind::Fail | EventKind::Info);
        let read = match self.field("value") {
            None if said || open => return Ok(Vec::new()),
            None => Err("missing field `value`".to_owned()),
            Some(Value::Array(mops)) => {
                let mops = mops.into_iter().map(|mop| micro_op(mop, kind, self.names));
                mops.collect()
            }
            Some(other) => Err(format!(
                "value {} is no list of micro-operations such as [\"append\",5,12]",
                short(&other)
            )),
        };
        // Nothing is known of such an operation but what its invocation says.
        read.or_else(|why| {
            if !open {
                return Err(why);
            }
            self.note("the value of a fail or info is no transaction: ignored");
            Ok(Vec::new())
        })
    }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}

/// An integer, also where it is written as a floating-point number.
fn whole(value: &Value) -> Option<i64> {
    let float = |value: &Value| {
        let float = value.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < EXACT)?;
        Some(float as i64)
    };
    value.as_i64().or_else(|| float(value))
}

fn micro_op(mop: Value, kind: EventKind, names: &mut Names) -> Result<MicroOp, String> {
    let Value::Array(parts) = &mop else {
        return Err(format!("{} is no micro-operation such as [\"append\",5,12]", short(&mop)));
    };
    let (name, key, argument) = match parts.as_slice() {
        [name, key, argument] => (name, key, argument),
        [name, key] if name == "r" && kind != EventKind::Ok => (name, key, &Value::Null),
        [name, _] if name == "r" => {
            return Err(format!("{} is ok and does not say what it read", short(&mop)));
        }
        _ => {
            let parts = "a micro-operation has three parts: name, key, value";
            return Err(format!("{}: {parts}", short(&mop)));
        }
    };
    let key = match key {
        Value::String(key) => Key::Str(key.as_str().into()),
        Value::Null => return Err(format!("{}: null is no key", short(&mop))),
        key => whole(key).map_or_else(|| Key::Str(key.to_string().into()), Key::Int),
    };
    let mut written = || match argument {
        Value::Null => Err(format!("{}: null is no value to write", short(&mop))),
        argument => scalar(argument, names),
    };
    Ok(match name.as_str().unwrap_or_default() {
        "r" => {
            let value = match argument {
                Value::Null => None,
                Value::Array(list) => {
                    let list: Result<_, _> =
                        list.iter().map(|value| scalar(value, names)).collect();
                    Some(Observed::List(list?))
                }
                value => Some(Observed::Int(scalar(value, names)?)),
            };
            MicroOp::Read { key, value }
        }
        "w" => MicroOp::Write { key, value: written()? },
        "append" => MicroOp::Append { key, value: written()? },
        "add" => MicroOp::Add { key, value: written()? },
        "rem" => MicroOp::Rem { key, value: written()? },
        "inc" => {
            let delta = whole(argument);
            let delta = delta.ok_or_else(|| format!("{}: inc takes an integer", short(&mop)))?;
            MicroOp::Inc { key, delta }
        }
        "cas" => match argument {
            Value::Array(pair) if pair.len() == 2 => {
                let (old, new) = (scalar(&pair[0], names)?, scalar(&pair[1], names)?);
                MicroOp::Cas { key, old, new }
            }
            _ => return Err(format!("{}: cas takes [old,new]", short(&mop))),
        },
        _ => {
            let known = "r, w, append, cas, add, rem, inc";
            return Err(format!("{} is none of the micro-operations {known}", short(&mop)));
        }
    })
}

/// A value: an integer as it is, another scalar by its number.
fn scalar(value: &Value, names: &mut Names) -> Result<i64, String> {
    if let Some(number) = whole(value) {
        return names.meets(number).map(|()| number);
    }
    match value {
        Value::String(_) | Value::Bool(_) => names.value(value),
        Value::Number(number) if number.as_f64().is_some_and(|f| f.abs() < EXACT) => {
            names.value(value)
        }
        Value::Number(number) if number.is_u64() => names.value(value),
        Value::Number(_) => Err(format!("value {value} is too large to be kept exactly")),
        _ => Err(format!("value {} is no integer, text or truth value", short(value))),
    }
}

/// The `process` of a line alone: whether it is the nemesis.
struct Process(bool);

impl<'de> serde::Deserialize<'de> for Process {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Process, D::Error> {
        deserializer.deserialize_map(ProcessVisitor)
    }
}

struct ProcessVisitor;

impl<'de> Visitor<'de> for ProcessVisitor {
    type Value = Process;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an operation")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Process, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key::<&str>()? {
            if name != "process" {
                map.next_value::<IgnoredAny>()?;
            } else if found.replace(map.next_value::<&str>()? == NEMESIS).is_some() {
                return Err(A::Error::custom("twice"));
            }
        }
        Ok(Process(found.unwrap_or_default()))
    }
}

/// Builds a [`Value`] as serde_json does, but for fields that stand twice.
#[derive(Clone, Copy)]
struct OneOfEach;

impl<'de> DeserializeSeed<'de> for OneOfEach {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for OneOfEach {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = seq.next_element_seed(OneOfEach)? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            let value = access.next_value_seed(OneOfEach)?;
            if map.contains_key(&name) {
                return Err(A::Error::custom(format!("field {name} stands twice")));
            }
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}
