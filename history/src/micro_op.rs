//! Micro-operations: the parts of a transaction, written as small JSON arrays.
//!
//! `["r",k,v]` `["w",k,v]` `["append",k,v]` `["cas",k,[old,new]]` `["add",k,v]` `["rem",k,v]`
//! `["inc",k,d]`. A read's value is `null` when it is not known (an invocation) and also when the
//! key holds nothing: [`MicroOp::Read`] with `None` means both, and the event's kind tells which.

use std::fmt;

use serde::de::{Error, IgnoredAny, SeqAccess, Visitor};
use serde::ser::SerializeTuple;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::key::Key;

/// What a read showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Observed {
    /// The value of a register or a counter.
    Int(i64),
    /// The elements of a list, in the order shown, or of a set.
    List(Vec<i64>),
}

/// One part of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MicroOp {
    /// Read `key`; `value` is what it showed.
    Read {
        /// The key read.
        key: Key,
        /// What was shown; `None` in an invocation, and for a key that holds nothing.
        value: Option<Observed>,
    },
    /// Set the register `key` to `value`.
    Write {
        /// The register.
        key: Key,
        /// Its new value.
        value: i64,
    },
    /// Append `value` to the list `key`.
    Append {
        /// The list.
        key: Key,
        /// The element.
        value: i64,
    },
    /// Set the register `key` to `new` if it holds `old`.
    Cas {
        /// The register.
        key: Key,
        /// The value it must hold.
        old: i64,
        /// The value it gets.
        new: i64,
    },
    /// Add `value` to the set `key`.
    Add {
        /// The set.
        key: Key,
        /// The element.
        value: i64,
    },
    /// Remove `value` from the set or list `key`.
    Rem {
        /// The set or list.
        key: Key,
        /// The element.
        value: i64,
    },
    /// Add `delta` to the counter `key`.
    Inc {
        /// The counter.
        key: Key,
        /// The increment, which may be negative.
        delta: i64,
    },
}

impl MicroOp {
    /// A read whose result is not known yet.
    pub fn read(key: impl Into<Key>) -> MicroOp {
        MicroOp::Read { key: key.into(), value: None }
    }

    /// An append.
    pub fn append(key: impl Into<Key>, value: i64) -> MicroOp {
        MicroOp::Append { key: key.into(), value }
    }

    /// A register write.
    pub fn write(key: impl Into<Key>, value: i64) -> MicroOp {
        MicroOp::Write { key: key.into(), value }
    }

    /// The key this micro-operation is about.
    pub fn key(&self) -> &Key {
        match self {
            MicroOp::Read { key, .. }
            | MicroOp::Write { key, .. }
            | MicroOp::Append { key, .. }
            | MicroOp::Cas { key, .. }
            | MicroOp::Add { key, .. }
            | MicroOp::Rem { key, .. }
            | MicroOp::Inc { key, .. } => key,
        }
    }

    /// Whether it changes nothing.
    pub fn is_read(&self) -> bool {
        matches!(self, MicroOp::Read { .. })
    }

    /// The name used in the file format.
    pub fn name(&self) -> &'static str {
        match self {
            MicroOp::Read { .. } => "r",
            MicroOp::Write { .. } => "w",
            MicroOp::Append { .. } => "append",
            MicroOp::Cas { .. } => "cas",
            MicroOp::Add { .. } => "add",
            MicroOp::Rem { .. } => "rem",
            MicroOp::Inc { .. } => "inc",
        }
    }
}

impl Serialize for MicroOp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(3)?;
        tuple.serialize_element(self.name())?;
        tuple.serialize_element(self.key())?;
        match self {
            MicroOp::Read { value, .. } => tuple.serialize_element(value)?,
            MicroOp::Write { value, .. }
            | MicroOp::Append { value, .. }
            | MicroOp::Add { value, .. }
            | MicroOp::Rem { value, .. } => tuple.serialize_element(value)?,
            MicroOp::Cas { old, new, .. } => tuple.serialize_element(&[old, new])?,
            MicroOp::Inc { delta, .. } => tuple.serialize_element(delta)?,
        }
        tuple.end()
    }
}

impl<'de> Deserialize<'de> for MicroOp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<MicroOp, D::Error> {
        deserializer.deserialize_seq(MicroOpVisitor)
    }
}

struct MicroOpVisitor;

impl<'de> Visitor<'de> for MicroOpVisitor {
    type Value = MicroOp;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a micro-operation such as [\"append\",5,12]")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<MicroOp, A::Error> {
        let name: Name = seq.next_element()?.ok_or_else(|| A::Error::invalid_length(0, &self))?;
        let key: Key = seq.next_element()?.ok_or_else(|| A::Error::invalid_length(1, &self))?;
        let argument: Option<Observed> = seq
            .next_element::<Option<Observed>>()?
            .ok_or_else(|| A::Error::invalid_length(2, &self))?;
        if seq.next_element::<IgnoredAny>()?.is_some() {
            return Err(A::Error::custom("a micro-operation has three parts: name, key, value"));
        }
        build(name, key, argument)
    }
}

fn build<E: Error>(name: Name, key: Key, argument: Option<Observed>) -> Result<MicroOp, E> {
    let int = |argument: Option<Observed>| match argument {
        Some(Observed::Int(value)) => Ok(value),
        _ => Err(E::custom(format!("\"{name:?}\" takes an integer value"))),
    };
    Ok(match name {
        Name::R => MicroOp::Read { key, value: argument },
        Name::W => MicroOp::Write { key, value: int(argument)? },
        Name::Append => MicroOp::Append { key, value: int(argument)? },
        Name::Add => MicroOp::Add { key, value: int(argument)? },
        Name::Rem => MicroOp::Rem { key, value: int(argument)? },
        Name::Inc => MicroOp::Inc { key, delta: int(argument)? },
        Name::Cas => match argument {
            Some(Observed::List(pair)) if pair.len() == 2 => {
                MicroOp::Cas { key, old: pair[0], new: pair[1] }
            }
            _ => return Err(E::custom("\"cas\" takes [old,new]")),
        },
    })
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Name {
    R,
    W,
    Append,
    Cas,
    Add,
    Rem,
    Inc,
}

impl<'de> Deserialize<'de> for Observed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Observed, D::Error> {
        deserializer.deserialize_any(ObservedVisitor)
    }
}

struct ObservedVisitor;

impl<'de> Visitor<'de> for ObservedVisitor {
    type Value = Observed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer or a list of integers")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Observed, E> {
        Ok(Observed::Int(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Observed, E> {
        i64::try_from(value)
            .map(Observed::Int)
            .map_err(|_| E::custom("value is beyond 64 signed bits"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Observed, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = seq.next_element::<i64>()? {
            list.push(value);
        }
        Ok(Observed::List(list))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_every_kind() {
        let text = r#"[["r",9,null],["r",9,[4,7]],["r","x",3],["w",1,2],["append",5,12],["cas",1,[2,3]],["add",1,1],["rem",1,1],["inc",1,-4]]"#;
        let mops: Vec<MicroOp> = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&mops).unwrap(), text);
    }

    #[test]
    fn names_what_is_wrong() {
        for (text, part) in [
            (r#"["append",1,null]"#, "integer"),
            (r#"["jump",1,2]"#, "unknown variant `jump`"),
            (r#"["r",1]"#, "invalid length 2"),
            (r#"["r",1.5,null]"#, "key"),
            (r#"["w",1,2,3]"#, "three parts"),
        ] {
            let error = serde_json::from_str::<MicroOp>(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
