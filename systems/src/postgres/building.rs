//! The lines by which a cluster is built on its hosts, and for a dry run all of them in their
//! order.

use super::patroni;
use super::provision::{self, FOLDER, LOG, USER, as_server};
use super::spec::{Failover, PostgresSpec, ReplicationKind};
use super::versions;
use crate::system::{LogFile, Steps, emptied};

/// What a node needs on a host at least, KiB: a cluster, and its log.
const SPACE_MIN_KIB: u64 = 200 << 10;
/// What stands in a dry run for the folder that only a host can name.
const BIN: &str = "BIN";

/// Empties a node's folder, if there is space for one.
pub fn prepare_line() -> String {
    format!(
        "set -e; id -u {USER} > /dev/null; \
         have=$(df -Pk /var/lib | awk 'NR==2 {{print $4}}'); \
         if [ \"$have\" -lt {SPACE_MIN_KIB} ]; then \
         echo \"only $have KiB are free under /var/lib, {SPACE_MIN_KIB} are needed\" >&2; \
         exit 28; fi; \
         {}; : > {LOG}; chown {USER}: {FOLDER} {LOG}; chmod 700 {FOLDER}",
        emptied(FOLDER)
    )
}

/// Gives a node's files to its server.
pub fn own_line() -> String {
    format!("chown {USER}: {FOLDER}/*")
}

/// Makes a fresh cluster.
pub fn init_line(bin: &str) -> String {
    as_server(&format!(
        "{bin}/initdb -D {FOLDER}/data -U {USER} -E UTF8 --locale=C -k -N \
         --auth=scram-sha-256 --pwfile={FOLDER}/password"
    ))
}

/// Copies the leader at this address and port.
pub fn copy_line(bin: &str, leader: &str, port: u16) -> String {
    format!(
        "rm -rf {FOLDER}/data; {} && touch {FOLDER}/data/standby.signal \
         && chown {USER}: {FOLDER}/data/standby.signal",
        as_server(&format!(
            "{bin}/pg_basebackup -h {leader} -p {port} -U {USER} -D {FOLDER}/data -X stream \
             -c fast --no-sync"
        ))
    )
}

/// Makes a replication slot for every node, where there is none.
pub fn slots(names: &[String]) -> String {
    let one = |name: &String| {
        let slot = provision::slot(name);
        format!(
            "SELECT pg_create_physical_replication_slot('{slot}', true) WHERE NOT EXISTS \
             (SELECT FROM pg_replication_slots WHERE slot_name = '{slot}');"
        )
    };
    names.iter().map(one).collect()
}

/// What is done on hosts. Where only a host knows its folder of programs, `BIN` stands for it.
pub fn steps(spec: &PostgresSpec, names: &[String], addresses: &[String]) -> Steps {
    let mut steps = Steps { build: build(spec, names, addresses), ..Steps::default() };
    let (patroni, triggers) =
        (spec.failover == Failover::Patroni, spec.replication_kind == ReplicationKind::Trigger);
    let mut pidfiles = vec![provision::PIDFILE];
    pidfiles.extend(patroni.then_some(super::patroni::ETCD_PIDFILE));
    pidfiles.extend(triggers.then_some(super::changes::PIDFILE));
    steps.ended(names, &logs(patroni, triggers), &pidfiles);
    steps
}

/// What is fetched from every host after a run.
pub fn logs(patroni: bool, triggers: bool) -> Vec<LogFile> {
    let mut logs = vec![LogFile { path: LOG.to_owned(), name: "postgres.log" }];
    logs.extend(patroni.then(super::patroni::log));
    logs.extend(triggers.then(super::changes::log));
    logs
}

fn build(spec: &PostgresSpec, names: &[String], addresses: &[String]) -> Vec<String> {
    let mut steps = vec![format!("{BIN} is the folder that a host names by the first line")];
    let files = "{password,passfile,postgresql.conf,pg_hba.conf,follow.conf,start.sh}";
    for name in names {
        steps.push(format!("{name}: {}", versions::find_line(spec)));
        steps.push(format!("{name}: {}", prepare_line()));
        steps.push(format!("{name}: write {FOLDER}/{files}"));
        steps.push(format!("{name}: {}", own_line()));
    }
    let start = provision::start().argv.join(" ");
    if spec.failover == Failover::Patroni {
        steps.extend(patroni::steps(names, addresses));
        return steps;
    }
    let (first, others) = (&names[0], &names[1..]);
    let schema = "SQL: the schema splitbrain with its tables";
    if spec.replication_kind == ReplicationKind::Streaming {
        let slots = if spec.slots { ", a replication slot for each standby" } else { "" };
        steps.push(format!("{first}: {}", init_line(BIN)));
        steps.push(format!("{first}: start: {start}"));
        steps.push(format!("{first}: {schema}{slots}"));
        for name in others {
            steps.push(format!("{name}: write {FOLDER}/follow.conf"));
            steps.push(format!("{name}: {}", copy_line(BIN, &addresses[0], spec.port)));
            steps.push(format!("{name}: start: {start}"));
        }
        return steps;
    }
    for name in names {
        steps.push(format!("{name}: {}", init_line(BIN)));
        if name != first {
            steps.push(format!("{name}: write {FOLDER}/follow.conf"));
        }
        steps.push(format!("{name}: start: {start}"));
        steps.push(format!("{name}: {schema}"));
    }
    let (at_first, at_others) = match spec.replication_kind {
        ReplicationKind::Trigger => (
            "SQL: a table of changes, and triggers that fill it".to_owned(),
            format!("SQL: dblink, what applies changes; write and start {FOLDER}/applier.sh"),
        ),
        _ => (
            "SQL: CREATE PUBLICATION for the schema".to_owned(),
            format!("SQL: CREATE SUBSCRIPTION to {first}"),
        ),
    };
    steps.push(format!("{first}: {at_first}"));
    steps.extend(others.iter().map(|name| format!("{name}: {at_others}")));
    steps
}
