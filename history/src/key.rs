//! Keys of a history: integers or strings, as docs/histories.md says.

use std::fmt;
use std::sync::Arc;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A key of a micro-operation. Integers sort before strings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// An integer key, the common case.
    Int(i64),
    /// A string key; shared, because histories repeat keys.
    Str(Arc<str>),
}

impl From<i64> for Key {
    fn from(key: i64) -> Key {
        Key::Int(key)
    }
}

impl From<&str> for Key {
    fn from(key: &str) -> Key {
        Key::Str(key.into())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Int(key) => write!(f, "{key}"),
            Key::Str(key) => f.write_str(key),
        }
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Key::Int(key) => serializer.serialize_i64(*key),
            Key::Str(key) => serializer.serialize_str(key),
        }
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_any(KeyVisitor)
    }
}

struct KeyVisitor;

impl Visitor<'_> for KeyVisitor {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key: an integer or a string")
    }

    fn visit_i64<E: Error>(self, key: i64) -> Result<Key, E> {
        Ok(Key::Int(key))
    }

    fn visit_u64<E: Error>(self, key: u64) -> Result<Key, E> {
        i64::try_from(key).map(Key::Int).map_err(|_| E::custom("key is beyond 64 signed bits"))
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Key, E> {
        Ok(Key::Str(key.into()))
    }
}
