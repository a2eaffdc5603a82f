//! A fault as a table: `[[fault]]` of a test file. It says what the text form says.
//!
//! `kind`, `target`, `shard`, `at`, `for`, `count`, `required`, and the parameters of its kind:
//! each a key.

use std::collections::BTreeMap;

use nemesis::{Fault, Kind};
use toml::{Table, Value};

use super::fault_text::{REQUIRED, duration_text, parameters_of, parse_duration, unknown};
use super::spec::FaultSpec;
use crate::error::UserError;
use crate::names::nearest;

/// The keys that every fault has.
const KEYS: [&str; 7] = ["kind", "target", "shard", "at", "for", "count", REQUIRED];

/// Reads a table. The place of an error is its key; whether its target names a node is checked
/// where the nodes are known.
pub fn read_table(table: &Table) -> Result<FaultSpec, UserError> {
    let name = match table.get("kind") {
        Some(value) => text("kind", value, "a fault's name such as \"kill\"")?,
        None => {
            return Err(UserError::usage("kind is missing: which fault it is")
                .hint("splitbrain list faults shows them: kind = \"kill\""));
        }
    };
    let fault = Fault::by_name(name).ok_or_else(|| unknown(name).at("kind"))?;
    let mut told = BTreeMap::new();
    for (key, value) in table.iter().filter(|(key, _)| !KEYS.contains(&key.as_str())) {
        let parameter = fault.parameters().iter().find(|parameter| parameter.name == key);
        let parameter = parameter.ok_or_else(|| no_such_key(fault, key))?;
        let written = written(value, parameter.kind).ok_or_else(|| {
            let what = format!("{}: {key} is {}", fault.name(), parameter.expected());
            UserError::usage(format!("{what}, not {value}")).at(key.as_str())
        })?;
        let one = BTreeMap::from([(key.clone(), written.clone())]);
        parameters_of(fault, &one).map_err(|error| error.at(key.as_str()))?;
        told.insert(key.clone(), written);
    }
    // What does not fit together though each value would do.
    parameters_of(fault, &told)?;
    let duration = |key: &str| match table.get(key) {
        None => Ok(None),
        Some(value) => {
            let read = value.as_str().and_then(parse_duration);
            read.map(Some).ok_or_else(|| expected(key, value, "a duration such as \"2s\""))
        }
    };
    let count = |key: &str, default: u32| match table.get(key) {
        None => Ok(default),
        Some(value) => {
            let read = value.as_integer().and_then(|count| u32::try_from(count).ok());
            read.ok_or_else(|| expected(key, value, "a whole number"))
        }
    };
    let required = match table.get(REQUIRED) {
        None => None,
        Some(value) => {
            Some(value.as_bool().ok_or_else(|| expected(REQUIRED, value, "true or false"))?)
        }
    };
    let selector = match table.get("target") {
        None => fault.default_selector(),
        Some(value) => text("target", value, "a role such as \"leader\", or a node")?,
    };
    Ok(FaultSpec {
        fault: fault.name().to_owned(),
        selector: selector.to_owned(),
        start_ms: duration("at")?,
        duration_ms: duration("for")?,
        count: count("count", 1)?,
        shard: count("shard", 0)?,
        required,
        parameters: told,
    })
}

/// The table that reads back as this fault.
pub fn fault_table(fault: &FaultSpec) -> Table {
    let FaultSpec { fault, selector, start_ms, duration_ms, count, shard, required, parameters } =
        fault;
    let mut table = Table::new();
    let mut set = |key: &str, value: Value| drop(table.insert(key.to_owned(), value));
    set("kind", fault.as_str().into());
    set("target", selector.as_str().into());
    if *shard != 0 {
        set("shard", i64::from(*shard).into());
    }
    if let Some(start) = start_ms {
        set("at", duration_text(*start).into());
    }
    if let Some(duration) = duration_ms {
        set("for", duration_text(*duration).into());
    }
    if *count != 1 {
        set("count", i64::from(*count).into());
    }
    if let Some(required) = required {
        set(REQUIRED, (*required).into());
    }
    for (name, value) in parameters {
        set(name, value.as_str().into());
    }
    table
}

/// A parameter's value as the text form has it; numbers need no quotes.
fn written(value: &Value, kind: Kind) -> Option<String> {
    match (value, kind) {
        (Value::String(text), _) => Some(text.clone()),
        (Value::Boolean(yes), Kind::Word(words)) if words.contains(&"yes") => {
            Some(if *yes { "yes" } else { "no" }.to_owned())
        }
        (Value::Integer(_) | Value::Float(_), _) => Some(value.to_string()),
        _ => None,
    }
}

fn text<'a>(key: &str, value: &'a Value, what: &str) -> Result<&'a str, UserError> {
    value.as_str().ok_or_else(|| expected(key, value, what))
}

fn expected(key: &str, value: &Value, what: &str) -> UserError {
    UserError::usage(format!("{key} is {what}, not {value}")).at(key)
}

fn no_such_key(fault: Fault, key: &str) -> UserError {
    let own: Vec<&str> = fault.parameters().iter().map(|parameter| parameter.name).collect();
    let all: Vec<&str> = KEYS.iter().copied().chain(own.iter().copied()).collect();
    let near = nearest(key, &all).map_or(String::new(), |near| format!("did you mean {near}? "));
    let takes = if own.is_empty() { "it takes none".to_owned() } else { own.join(", ") };
    UserError::usage(format!("{} has no parameter \"{key}\"", fault.name()))
        .at(key)
        .hint(format!("{near}every fault has {}; of its own: {takes}", KEYS.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fault_text::parse_fault;

    #[test]
    fn a_table_says_what_the_text_says() {
        for (table, text) in [
            ("kind = \"kill\"", "kill"),
            (
                "kind = \"kill\"\ntarget = \"n3\"\nat = \"3s\"\nfor = \"1500ms\"",
                "kill:n3@3s+1500ms",
            ),
            ("kind = \"cut\"\nshard = 1\ncount = 2\nat = \"1s\"", "cut:a-follower/1@1sx2"),
            ("kind = \"slow\"\nstopped = 50", "slow,stopped=50"),
            ("kind = \"kill\"\nrequired = false", "kill,required=no"),
            ("kind = \"torn-tail\"\nbytes = 7", "torn-tail,bytes=7"),
            ("kind = \"lose-unsynced\"\ntorn = true", "lose-unsynced,torn=yes"),
            ("kind = \"delay\"\ndelay = \"80ms\"\njitter = \"5ms\"", "delay,delay=80ms,jitter=5ms"),
        ] {
            let read = read_table(&toml::from_str(table).unwrap()).unwrap();
            assert_eq!(read, parse_fault(text).unwrap(), "{table}");
            assert_eq!(read_table(&fault_table(&read)).unwrap(), read, "{table}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_key() {
        for (table, place, what, hint) in [
            ("target = \"n1\"", None, "kind is missing", "list faults"),
            ("kind = \"kil\"", Some("kind"), "unknown fault \"kil\"", "did you mean kill?"),
            ("kind = 3", Some("kind"), "a fault's name such as \"kill\", not 3", ""),
            ("kind = \"slow\"\nstoped = 5", Some("stoped"), "no parameter", "mean stopped?"),
            ("kind = \"kill\"\ntarge = \"n1\"", Some("targe"), "no parameter", "mean target?"),
            ("kind = \"slow\"\nstopped = 200", Some("stopped"), "from 1% to 99%", ""),
            ("kind = \"slow\"\nstopped = []", Some("stopped"), "from 1% to 99%, not []", ""),
            ("kind = \"kill\"\nat = 3", Some("at"), "a duration such as \"2s\", not 3", ""),
            ("kind = \"kill\"\nfor = \"soon\"", Some("for"), "a duration such as \"2s\"", ""),
            ("kind = \"kill\"\nrequired = \"yes\"", Some("required"), "true or false", ""),
            ("kind = \"kill\"\ncount = -1", Some("count"), "a whole number, not -1", ""),
            ("kind = \"halves\"\nside = \"mayority\"", Some("side"), "one of", "majority?"),
        ] {
            let error = read_table(&toml::from_str(table).unwrap()).unwrap_err();
            assert_eq!(error.place.as_deref(), place, "{table}");
            assert!(error.what.contains(what), "{table}: {}", error.what);
            assert!(error.hint.unwrap_or_default().contains(hint), "{table}");
        }
    }
}
