//! The exact command that repeats a test.

use cluster::shell_quote;
use serde::Serialize;
use systems::mongodb::MongoSpec;
use systems::postgres::PostgresSpec;

use super::fault_text::{duration_text, fault_text};
use super::spec::{FailoverSpec, LabSpec, ReplicationSpec, StoreSpec, SystemKind, TestSpec};
use crate::engine::captures::size_text;

fn store_flags(store: &StoreSpec, flag: &mut impl FnMut(&str, String)) {
    match store.replication {
        ReplicationSpec::Async => flag("replication", "async".to_owned()),
        ReplicationSpec::Sync { k } => flag("replication", format!("sync:{k}")),
    }
    let failover = match store.failover {
        FailoverSpec::None => "none",
        FailoverSpec::Vote => "vote",
        FailoverSpec::Timeout => "timeout",
    };
    flag("failover", failover.to_owned());
    flag("shards", store.shards.to_string());
    flag("read", if store.committed_reads { "committed" } else { "local" }.to_owned());
}

/// Settings that differ from their defaults.
fn settings<T: Serialize>(
    table: &str,
    given: &T,
    default: &T,
    flag: &mut impl FnMut(&str, String),
) {
    // Plain structs of plain values always have a table.
    let as_table = |value: &T| toml::Table::try_from(value).unwrap_or_default();
    let default = as_table(default);
    for (name, value) in as_table(given) {
        if default.get(&name) == Some(&value) {
            continue;
        }
        match value {
            toml::Value::String(text) => flag("set", format!("{table}.{name}={text}")),
            toml::Value::Table(inner) => {
                for (key, value) in inner {
                    flag("set", format!("{table}.{name}.{key}={value}"));
                }
            }
            value => flag("set", format!("{table}.{name}={value}")),
        }
    }
}

/// Every setting as a flag, so that the line says all there is to say.
pub fn command(spec: &TestSpec) -> String {
    let mut words = vec!["splitbrain".to_owned(), "run".to_owned()];
    let mut pcap = None;
    let mut flag = |name: &str, value: String| words.extend([format!("--{name}"), value]);
    flag("name", spec.name.clone());
    flag("seed", spec.seed.to_string());
    match &spec.lab {
        LabSpec::Local => {}
        LabSpec::Kept(id) => flag("lab", id.clone()),
        LabSpec::Sim => flag("lab", "sim".to_owned()),
        LabSpec::Hosts(path) => flag("hosts-file", path.clone()),
    }
    flag("hosts", spec.hosts.to_string());
    match spec.system {
        SystemKind::Store => store_flags(&spec.store, &mut flag),
        SystemKind::Postgres => {
            flag("system", "postgres".to_owned());
            settings("postgres", &spec.postgres, &PostgresSpec::default(), &mut flag);
        }
        SystemKind::Mongodb => {
            flag("system", "mongodb".to_owned());
            settings("mongodb", &spec.mongodb, &MongoSpec::default(), &mut flag);
        }
    }
    flag("workload", spec.workload.name.clone());
    flag("policy", spec.workload.policy.clone());
    flag("sessions", spec.workload.sessions.to_string());
    flag("rate", spec.workload.rate.to_string());
    flag("time-limit", duration_text(spec.duration_ms));
    flag("recovery", duration_text(spec.recovery_ms));
    flag("op-timeout", duration_text(spec.workload.op_timeout_ms));
    if let Some(ms) = spec.max_duration_ms {
        flag("max-duration", duration_text(ms));
    }
    if let Some(canary) = spec.canary {
        flag("canary", format!("drop-writes:{}", canary.share()));
    }
    if let Some(package) = &spec.package {
        // A plain table of plain values always has a text.
        for (name, value) in toml::Table::try_from(package.file()).unwrap_or_default() {
            flag("set", format!("package.{name}={value}"));
        }
    }
    if let Some(bytes) = spec.pcap_bytes {
        pcap = Some(format!("--pcap={}", size_text(bytes)));
    }
    for (region, nodes) in &spec.regions.members {
        flag("region", format!("{region}={}", nodes.join("+")));
    }
    for trip in &spec.regions.latency {
        flag("latency", trip.clone());
    }
    for fault in &spec.faults {
        flag("fault", fault_text(fault));
    }
    // Its value is optional, so it is one word.
    words.extend(pcap);
    let quoted: Vec<String> = words.iter().map(|word| shell_quote(word)).collect();
    quoted.join(" ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use systems::mongodb::spec::{ReadConcern, WriteConcern};

    use super::*;
    use crate::config::{PackageSpec, setting};

    #[test]
    fn every_setting_reads_back_from_its_flag() {
        let mongodb = MongoSpec {
            write_concern: WriteConcern::Nodes(1),
            read_concern: ReadConcern::Majority,
            causal: true,
            priorities: BTreeMap::from([("n1".to_owned(), 2), ("n2".to_owned(), 5)]),
            hidden: vec!["n3".to_owned()],
            binary: Some("/opt/mongo db/mongod".to_owned()),
            ..MongoSpec::default()
        };
        let (mut flags, mut read) = (Vec::new(), TestSpec::default());
        settings("mongodb", &mongodb, &MongoSpec::default(), &mut |_, value| flags.push(value));
        for flag in &flags {
            setting(flag).unwrap().apply(&mut read).unwrap();
        }
        assert_eq!(read.mongodb, mongodb, "{flags:?}");
        let spec = TestSpec { system: SystemKind::Mongodb, mongodb, ..TestSpec::default() };
        let faults = vec!["network".to_owned(), "slow,stopped=50%".to_owned()];
        let package = PackageSpec { faults, max_faults: 2, ..PackageSpec::default() };
        let spec = TestSpec { package: Some(package), ..spec };
        let mut read = TestSpec::default();
        for (name, value) in toml::Table::try_from(spec.package.clone().unwrap().file()).unwrap() {
            setting(&format!("package.{name}={value}")).unwrap().apply(&mut read).unwrap();
        }
        assert_eq!(read.package, spec.package);
        let line = command(&spec);
        assert!(line.contains("--set package.max_faults=2"), "{line}");
        assert!(line.contains("--set 'mongodb.binary=/opt/mongo db/mongod'"), "{line}");
    }
}
