//! Which settings and flags there are, asked of the types that read them.

use clap::CommandFactory;
use serde::de::value::Error;
use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};
use serde::forward_to_deserialize_any;
use systems::mongodb::MongoSpec;
use systems::postgres::PostgresSpec;

use crate::cli::Cli;
use crate::config::{CanaryFile, CoverageFile, PackageFile, PolicyTable, StoreFile, TestFile};

/// Keeps the names of the fields that a struct asks for.
struct Asked<'a>(&'a mut Option<&'static [&'static str]>);

impl<'de> Deserializer<'de> for Asked<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("nothing is read"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        *self.0 = Some(fields);
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// The fields of a struct by the names that files have for them.
fn fields<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut asked = None;
    assert!(T::deserialize(Asked(&mut asked)).is_err());
    asked.expect("a struct")
}

/// Every setting of a test file: `seed`, `store.fsync`.
pub fn settings() -> Vec<String> {
    let tables: [(&str, &[&str]); 7] = [
        ("store", fields::<StoreFile>()),
        ("postgres", fields::<PostgresSpec>()),
        ("mongodb", fields::<MongoSpec>()),
        ("coverage", fields::<CoverageFile>()),
        ("package", fields::<PackageFile>()),
        ("canary", fields::<CanaryFile>()),
        ("policy", fields::<PolicyTable>()),
    ];
    let mut all = Vec::new();
    for name in fields::<TestFile>() {
        match tables.iter().find(|(table, _)| table == name) {
            Some((_, fields)) => all.extend(fields.iter().map(|field| format!("{name}.{field}"))),
            None => all.push((*name).to_owned()),
        }
    }
    all
}

/// Every flag of a command of ours, the hidden ones too: `seed`, `fault`.
pub fn flags(command: &str) -> Vec<String> {
    let cli = Cli::command();
    let command = cli.find_subcommand(command).expect("a command of ours");
    let long = |argument: &clap::Arg| argument.get_long().map(str::to_owned);
    command.get_arguments().filter_map(long).filter(|name| name != "help").collect()
}
