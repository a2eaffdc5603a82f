//! The exact command that repeats a test.
//!
//! Built from the test file that comes to the test: what has a flag is told by it, and whatever
//! else differs from its default by `--set`. So a setting that is new is told without a word here.

use cluster::shell_quote;
use toml::{Table, Value};

use super::fault_text::{duration_text, fault_text};
use super::spec::{FailoverSpec, LabSpec, ReplicationSpec, StoreSpec, SystemKind, TestSpec};
use super::stay::StaySpec;
use super::toml_file::{file_of, setting};
use crate::engine::captures::size_text;

/// Fields of the test file that have a flag.
const BY_FLAG: [&str; 17] = [
    "name",
    "seed",
    "hosts",
    "system",
    "workload",
    "policy",
    "sessions",
    "rate",
    "op_timeout",
    "duration",
    "recovery",
    "faults",
    "fault",
    "canary",
    "pcap",
    "latency",
    "regions",
];

/// Fields of the store that have a flag, where the store is what is tested.
const OF_STORE: [&str; 5] = ["replication", "k", "failover", "shards", "read"];

/// Words of a command line. What a shell would take for something else is quoted, and a value that
/// clap would take for a flag stays with its own.
#[derive(Debug)]
pub struct Words(Vec<String>);

impl Words {
    /// Of this subcommand of ours.
    pub fn of(subcommand: &str) -> Words {
        Words(vec![subcommand.to_owned()])
    }

    /// `--name value`.
    pub fn flag(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        match value.starts_with('-') || value.is_empty() {
            true => self.word(name, &value),
            false => self.0.extend([format!("--{name}"), value]),
        }
    }

    /// `--name=value`.
    pub fn word(&mut self, name: &str, value: &str) {
        self.0.push(format!("--{name}={value}"));
    }

    /// `--name`.
    pub fn switch(&mut self, name: &str) {
        self.0.push(format!("--{name}"));
    }

    /// A file by itself, in a form that no flag has.
    pub fn file(&mut self, path: &str) {
        self.0.push(if path.starts_with('-') { format!("./{path}") } else { path.to_owned() });
    }

    /// What follows the program's name.
    pub fn arguments(self) -> Vec<String> {
        self.0
    }

    /// What to type.
    pub fn line(&self) -> String {
        let quoted: Vec<String> = self.0.iter().map(|word| shell_quote(word)).collect();
        format!("splitbrain {}", quoted.join(" "))
    }
}

/// The command that comes to this test, whatever files and flags it came from.
pub fn command(spec: &TestSpec) -> String {
    let mut words = Words::of("run");
    words.flag("name", &spec.name);
    words.flag("seed", spec.seed.to_string());
    match &spec.lab {
        LabSpec::Local => {}
        LabSpec::Kept(id) => words.flag("lab", id),
        LabSpec::Sim => words.flag("lab", "sim"),
        LabSpec::Hosts(path) => words.flag("hosts-file", path),
    }
    words.flag("hosts", spec.hosts.to_string());
    match spec.system {
        SystemKind::Store => store_flags(&spec.store, &mut words),
        other => words.flag("system", other.name()),
    }
    for set in settings(spec) {
        words.flag("set", set);
    }
    words.flag("workload", &spec.workload.name);
    words.flag("policy", &spec.workload.policy);
    if spec.workload.stay != StaySpec::default() {
        words.flag("set", format!("policy.stay={}", spec.workload.stay));
    }
    words.flag("sessions", spec.workload.sessions.to_string());
    words.flag("rate", spec.workload.rate.to_string());
    words.flag("time-limit", duration_text(spec.duration_ms));
    words.flag("recovery", duration_text(spec.recovery_ms));
    words.flag("op-timeout", duration_text(spec.workload.op_timeout_ms));
    if let Some(ms) = spec.max_duration_ms {
        words.flag("max-duration", duration_text(ms));
    }
    if let Some(canary) = spec.canary {
        words.flag("canary", format!("drop-writes:{}", canary.share()));
    }
    for (region, nodes) in &spec.regions.members {
        words.flag("region", format!("{region}={}", nodes.join("+")));
    }
    for trip in &spec.regions.latency {
        words.flag("latency", trip);
    }
    for fault in &spec.faults {
        words.flag("fault", fault_text(fault));
    }
    if let Some(bytes) = spec.pcap_bytes {
        // Its value is optional, so it is one word.
        words.word("pcap", &size_text(bytes));
    }
    words.line()
}

fn store_flags(store: &StoreSpec, words: &mut Words) {
    match store.replication {
        ReplicationSpec::Async => words.flag("replication", "async"),
        ReplicationSpec::Sync { k } => words.flag("replication", format!("sync:{k}")),
    }
    let failover = match store.failover {
        FailoverSpec::None => "none",
        FailoverSpec::Vote => "vote",
        FailoverSpec::Timeout => "timeout",
    };
    words.flag("failover", failover);
    words.flag("shards", store.shards.to_string());
    words.flag("read", if store.committed_reads { "committed" } else { "local" });
}

/// Everything that has no flag and is not as it is by default, as `--set` takes it.
fn settings(spec: &TestSpec) -> Vec<String> {
    // Plain structs of plain values always have a table.
    let table = |spec: &TestSpec| Table::try_from(file_of(spec, true)).unwrap_or_default();
    let (given, default) = (table(spec), table(&TestSpec::default()));
    let mut said = Vec::new();
    for (name, value) in given.iter().filter(|(name, _)| !BY_FLAG.contains(&name.as_str())) {
        let mut value = value.clone();
        if let (true, Some(store)) = (name == "store", value.as_table_mut()) {
            let confirmed = store.contains_key("k");
            store.retain(|field, _| match spec.system {
                SystemKind::Store => !OF_STORE.contains(&field),
                // How many confirm says that they must.
                _ => field != "replication" || !confirmed,
            });
        }
        differing(key(name), &value, default.get(name), &mut said);
    }
    said
}

/// The leaves of `given` that `default` has not, or has otherwise.
fn differing(path: String, given: &Value, default: Option<&Value>, said: &mut Vec<String>) {
    match (given, default) {
        (given, Some(default)) if given == default => {}
        (Value::Table(given), default) => {
            for (name, value) in given {
                let default = default.and_then(|table| table.get(name));
                differing(format!("{path}.{}", key(name)), value, default, said);
            }
        }
        (Value::String(text), _) => said.push(of_text(&path, text)),
        (given, _) => said.push(format!("{path}={given}")),
    }
}

/// A text without its quotes, where it reads back as the same text.
fn of_text(path: &str, text: &str) -> String {
    let (plain, quoted) = (format!("{path}={text}"), format!("{path}={}", value_of(text)));
    let same = setting(&plain).is_ok_and(|one| setting(&quoted).is_ok_and(|other| one == other));
    match text.trim() == text && same {
        true => plain,
        false => quoted,
    }
}

fn value_of(text: &str) -> Value {
    Value::String(text.to_owned())
}

/// A key, quoted if it has to be: a node may be called `db1.example`.
fn key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    match !name.is_empty() && name.chars().all(bare) {
        true => name.to_owned(),
        false => value_of(name).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_for_the_shell_reads_back_and_none_is_taken_for_a_flag() {
        let mut words = Words::of("run");
        words.flag("name", "-x");
        words.flag("set", "mongodb.binary=/opt/mongo db/mongod");
        words.flag("rate", "0");
        words.switch("json");
        let line = "splitbrain run --name=-x --set 'mongodb.binary=/opt/mongo db/mongod' --rate 0 \
                    --json";
        assert_eq!(words.line(), line);
    }

    #[test]
    fn a_text_has_quotes_only_where_it_would_read_as_something_else() {
        for (text, told) in [
            ("/opt/mongo db/mongod", "mongodb.binary=/opt/mongo db/mongod"),
            ("true", "mongodb.binary=\"true\""),
            ("15", "mongodb.binary=\"15\""),
            (" padded", "mongodb.binary=\" padded\""),
            ("it's # \"so\"", "mongodb.binary=it's # \"so\""),
        ] {
            assert_eq!(of_text("mongodb.binary", text), told);
        }
        assert_eq!(key("db1.example"), "\"db1.example\"");
    }
}
