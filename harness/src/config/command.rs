//! The exact command that repeats a test.

use cluster::shell_quote;

use super::fault_text::{duration_text, fault_text};
use super::spec::{FailoverSpec, LabSpec, ReplicationSpec, TestSpec};

/// Every setting as a flag, so that the line says all there is to say.
pub fn command(spec: &TestSpec) -> String {
    let mut words = vec!["splitbrain".to_owned(), "run".to_owned()];
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
    match spec.store.replication {
        ReplicationSpec::Async => flag("replication", "async".to_owned()),
        ReplicationSpec::Sync { k } => flag("replication", format!("sync:{k}")),
    }
    let failover = match spec.store.failover {
        FailoverSpec::None => "none",
        FailoverSpec::Vote => "vote",
        FailoverSpec::Timeout => "timeout",
    };
    flag("failover", failover.to_owned());
    flag("shards", spec.store.shards.to_string());
    flag("read", if spec.store.committed_reads { "committed" } else { "local" }.to_owned());
    flag("workload", spec.workload.name.clone());
    flag("policy", spec.workload.policy.clone());
    flag("sessions", spec.workload.sessions.to_string());
    flag("rate", spec.workload.rate.to_string());
    flag("time-limit", duration_text(spec.duration_ms));
    flag("recovery", duration_text(spec.recovery_ms));
    flag("op-timeout", duration_text(spec.workload.op_timeout_ms));
    for fault in &spec.faults {
        flag("fault", fault_text(fault));
    }
    let quoted: Vec<String> = words.iter().map(|word| shell_quote(word)).collect();
    quoted.join(" ")
}
