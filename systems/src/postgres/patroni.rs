//! PostgreSQL under Patroni, with etcd: as Debian ships them and as users run them.
//!
//! splitbrain writes a `patroni.yml` a host, starts three etcd members and then Patroni; all that
//! follows (`initdb`, roles, base backups, slots, synchronous standbys, promotion, `pg_rewind`) is
//! Patroni's doing. Peers know one another by their data addresses, so partitions cut etcd and
//! Patroni's own API as well.

use std::time::{Duration, Instant};

use agent::proto::{Answer, Ask, Start};
use cluster::{AgentLink, Host};
use serde_json::{Value, json};

use super::provision::{self, FOLDER, LOG, PIDFILE, Programs, USER};
use super::spec::{EtcdApi, PostgresSpec, Replication, SynchronousCommit};
use super::{Cluster, PostgresSystem};
use crate::system::{LogFile, Nodes, SystemError};

/// Where etcd's output is kept on a host.
const ETCD_LOG: &str = "/var/log/splitbrain-etcd.log";
/// Where etcd's process is named.
pub(super) const ETCD_PIDFILE: &str = "/run/splitbrain/etcd.pid";
/// Members of etcd: the first hosts.
const ETCD_MEMBERS: usize = 3;
/// Where etcd serves clients, and its peers on the next port.
const ETCD_PORT: u16 = 2379;
/// Where Patroni's API listens.
const API_PORT: u16 = 8008;
/// How long etcd may take to elect, and Patroni to make or copy a server and to agree on roles.
const LIMIT: Duration = Duration::from_secs(40);
/// The role that standbys stream as.
const REPLICATOR: &str = "replicator";

/// Its version.
const FIND: &str = "command -v patroni > /dev/null && patroni --version";
/// Whether its modules are there. Both of its etcd clients are built upon python3-etcd, which it
/// can do without.
const FIND_MODULES: &str =
    "$(sed -n '1s/^#!//p' \"$(command -v patroni)\") -c 'import etcd, psycopg2'";
/// etcd's version.
const FIND_ETCD: &str = "command -v etcd > /dev/null && etcd --version";

/// What Patroni was found to be on a host, for the record.
pub(super) fn find_programs(nodes: &Nodes, node: usize) -> Result<String, SystemError> {
    let name = &nodes.names[node];
    let missing = |what: &str, package: &str| {
        SystemError::new(format!("host {name}: {what}"))
            .hint(format!("install it there: apt-get install {package}"))
    };
    let ask = |doing: &str, line: &str| nodes.shell(node, doing, line, Duration::from_secs(20));
    let patroni = ask("looking for Patroni", FIND)
        .map_err(|_| missing("there is no patroni on the PATH", "patroni"))?;
    ask("looking for Patroni's modules", FIND_MODULES).map_err(|error| {
        let what = format!("Patroni lacks a Python module: {error}");
        missing(&what, "python3-etcd python3-psycopg2")
    })?;
    if ETCD_MEMBERS <= node {
        return Ok(patroni.trim().to_owned());
    }
    let etcd = ask("looking for etcd", FIND_ETCD)
        .map_err(|_| missing("there is no etcd on the PATH", "etcd-server"))?;
    let etcd = etcd.lines().next().unwrap_or("").replace("etcd Version:", "etcd");
    Ok(format!("{}, {}", patroni.trim(), etcd.trim()))
}

/// A node's `patroni.yml`. It is written as JSON, which is YAML in its flow style.
fn configuration(cluster: &Cluster, node: usize, programs: &Programs) -> Value {
    let (spec, nodes) = (&cluster.spec, &cluster.nodes);
    let own = nodes.data(node);
    let members = (0..members(nodes.count())).map(|n| format!("{}:{ETCD_PORT}", nodes.data(n)));
    let section = match spec.patroni_etcd {
        EtcdApi::V2 => "etcd",
        EtcdApi::V3 => "etcd3",
    };
    let name = &nodes.names[node];
    let mut settings = json!({
        "scope": "splitbrain",
        "name": name,
        "restapi": {
            "listen": format!("{own}:{API_PORT}"),
            "connect_address": format!("{own}:{API_PORT}"),
        },
        section: { "hosts": members.collect::<Vec<_>>() },
        "bootstrap": {
            "dcs": shared(spec),
            "initdb": [{ "encoding": "UTF8" }, { "locale": "C" }, "data-checksums"],
        },
        "postgresql": {
            "listen": format!("*:{}", spec.port),
            "connect_address": format!("{own}:{}", spec.port),
            "data_dir": format!("{FOLDER}/data"),
            "bin_dir": programs.bin,
            "pgpass": format!("{FOLDER}/pgpass"),
            "authentication": {
                "superuser": { "username": USER, "password": cluster.password },
                "replication": { "username": REPLICATOR, "password": cluster.password },
            },
            "pg_hba": provision::HBA.lines().collect::<Vec<_>>(),
            "basebackup": [{ "checkpoint": "fast" }, "no-sync"],
            "parameters": { "unix_socket_directories": FOLDER },
        },
        "watchdog": { "mode": "off" },
    });
    if let Some(delay) = spec.apply_delay_ms.get(name) {
        settings["postgresql"]["recovery_conf"] =
            json!({ "recovery_min_apply_delay": format!("{delay}ms") });
    }
    settings
}

/// What all nodes share through etcd: Patroni's dynamic configuration.
fn shared(spec: &PostgresSpec) -> Value {
    let on = |flag: bool| if flag { "on" } else { "off" };
    let mut shared = json!({
        "ttl": spec.patroni_ttl_s,
        "loop_wait": spec.patroni_loop_wait_s,
        "retry_timeout": spec.patroni_retry_timeout_s,
        "maximum_lag_on_failover": spec.patroni_maximum_lag_bytes,
        "synchronous_mode": spec.replication != Replication::Async,
        "synchronous_node_count": spec.k,
        "postgresql": {
            "use_pg_rewind": true,
            "use_slots": spec.slots,
            "parameters": {
                "max_connections": 600,
                "shared_buffers": "64MB",
                "wal_level": "logical",
                "max_wal_senders": 20,
                "max_replication_slots": 20,
                "wal_keep_size": "256MB",
                "fsync": on(spec.fsync),
                "full_page_writes": on(spec.full_page_writes),
                "synchronous_commit": spec.synchronous_commit.as_str(),
                "log_line_prefix": "%m [%p] ",
                "lc_messages": "C",
            },
        },
    });
    for (setting, value) in spec.timeouts.settings() {
        shared["postgresql"]["parameters"][*setting] = json!(value);
    }
    shared
}

fn members(hosts: usize) -> usize {
    hosts.min(ETCD_MEMBERS)
}

/// How etcd is started on a host.
fn etcd_start(names: &[String], addresses: &[String], node: usize) -> Start {
    let (own, name) = (&addresses[node], &names[node]);
    let peer = |n: usize| format!("http://{}:{}", addresses[n], ETCD_PORT + 1);
    let peers: Vec<String> =
        (0..members(names.len())).map(|n| format!("{}={}", names[n], peer(n))).collect();
    let client = format!("http://{own}:{ETCD_PORT}");
    let words = [
        format!("setpriv --reuid={USER} --regid={USER} --init-groups etcd --name {name}"),
        format!("--data-dir {FOLDER}/etcd --listen-peer-urls {0}", peer(node)),
        format!("--initial-advertise-peer-urls {} --listen-client-urls {client}", peer(node)),
        format!("--advertise-client-urls {client} --initial-cluster {}", peers.join(",")),
        "--initial-cluster-state new --initial-cluster-token splitbrain --enable-v2".to_owned(),
    ];
    Start {
        argv: words.join(" ").split(' ').map(str::to_owned).collect(),
        log: ETCD_LOG.to_owned(),
        pidfile: ETCD_PIDFILE.to_owned(),
        ..Start::default()
    }
}

/// What is needed beside the folder of a node.
fn prepare_line() -> String {
    format!(
        "chown {USER}: {FOLDER}/patroni.yml; : > {ETCD_LOG}; \
         install -d -o {USER} -g {USER} -m 700 {FOLDER}/etcd"
    )
}

/// What building does beside preparing the folders, for a dry run; as [`super::building::steps`].
pub(super) fn steps(names: &[String], addresses: &[String]) -> Vec<String> {
    let mut steps = Vec::new();
    for (node, name) in names.iter().enumerate() {
        steps.push(format!("{name}: {FIND}"));
        steps.push(format!("{name}: {FIND_MODULES}"));
        if node < members(names.len()) {
            steps.push(format!("{name}: {FIND_ETCD}"));
        }
        steps.push(format!("{name}: write {FOLDER}/{{patroni.yml,patroni.sh}}"));
        steps.push(format!("{name}: {}", prepare_line()));
    }
    for (node, name) in names.iter().enumerate().take(members(names.len())) {
        let argv = etcd_start(names, addresses, node).argv;
        steps.push(format!("{name}: start: {}", argv.join(" ")));
    }
    steps.extend(names.iter().map(|name| format!("{name}: start: {}", start().argv.join(" "))));
    steps.push(format!("{}: SQL: the schema splitbrain with its tables", names[0]));
    steps
}

/// How Patroni is started on a host, now and after a kill: below a keeper, because the server that
/// it starts leaves its process tree.
pub(super) fn start() -> Start {
    let script = format!("{FOLDER}/patroni.sh");
    let argv = [&AgentLink::program(), "keep", "/bin/sh", &script].map(str::to_owned);
    let (log, pidfile) = (LOG.to_owned(), PIDFILE.to_owned());
    Start { argv: argv.to_vec(), log, pidfile, ..Start::default() }
}

fn start_script() -> String {
    format!(
        "#!/bin/sh\ncd {FOLDER}\nexec setpriv --reuid={USER} --regid={USER} --init-groups \
         env -i PATH=\"$PATH\" HOME={FOLDER} LC_ALL=C patroni {FOLDER}/patroni.yml\n"
    )
}

/// etcd's log.
pub(super) fn log() -> LogFile {
    LogFile { path: ETCD_LOG.to_owned(), name: "etcd.log" }
}

/// Ends etcd on all hosts.
pub(super) fn stop_etcd(nodes: &Nodes) {
    crate::ended::stop_all(nodes, ETCD_PIDFILE);
}

/// Why reads from a leader are not promised: a paused leader wakes up a leader.
pub(super) const NO_WATCHDOG: &str = "a watchdog, which splitbrain runs Patroni without: a leader \
    whose Patroni does not get to run may serve past its lock \
    (patroni.readthedocs.io/en/latest/watchdog.html)";

/// Whether an acknowledged write survives a failover by Patroni, and why or what is missing.
pub(super) fn keeps_acknowledged(spec: &PostgresSpec) -> Result<String, String> {
    const MODES: &str = "patroni.readthedocs.io/en/latest/replication_modes.html";
    if spec.replication == Replication::Async {
        return Err(format!(
            "replication = \"any\" or \"first\", which is Patroni's synchronous_mode: without it a \
             standby that lags by up to maximum_lag_on_failover = {} bytes, and by what was \
             written in the last ttl = {} s, may be promoted ({MODES})",
            spec.patroni_maximum_lag_bytes, spec.patroni_ttl_s
        ));
    }
    match spec.synchronous_commit {
        SynchronousCommit::On | SynchronousCommit::RemoteApply => Ok(format!(
            "synchronous_mode promotes only a standby that is certain to hold all transactions \
             that may have been reported as committed ({MODES})"
        )),
        _ => Err(format!(
            "synchronous_commit = on: Patroni says that what was committed with less may be lost \
             in a failover ({MODES})"
        )),
    }
}

impl PostgresSystem {
    /// etcd, then the first leader, then the others. Folders are prepared already.
    pub(super) fn bring_up_patroni(&self) -> Result<(), SystemError> {
        let (cluster, nodes) = (&self.cluster, &self.cluster.nodes);
        let found = nodes.each(|node, _| find_programs(nodes, node))?;
        // A second bring-up finds the same.
        let _ = cluster.patroni.set(found[0].clone());
        nodes.each(|node, host| {
            let text = configuration(cluster, node, cluster.programs(node));
            let yaml = serde_json::to_vec_pretty(&text).unwrap_or_default();
            host.upload(&yaml, &format!("{FOLDER}/patroni.yml"), 0o600)?;
            host.upload(start_script().as_bytes(), &format!("{FOLDER}/patroni.sh"), 0o755)?;
            let line = prepare_line();
            nodes.shell(node, "preparing Patroni", line, Duration::from_secs(5)).map(drop)
        })?;
        let addresses: Vec<String> =
            (0..nodes.count()).map(|node| nodes.data(node).to_string()).collect();
        nodes.each(|node, _| match node {
            node if node < members(nodes.count()) => {
                self.start_process(node, etcd_start(&nodes.names, &addresses, node))
            }
            _ => Ok(()),
        })?;
        self.wait_until("etcd has a leader", ETCD_LOG, || {
            (0..members(nodes.count())).find(|node| !self.says(*node, ETCD_PORT, "/health", "true"))
        })?;
        self.start_process(0, start())?;
        let leads = |node| !self.says(node, API_PORT, "/primary", "\"state\"");
        self.wait_until("Patroni leads", LOG, || Some(0).filter(|node| leads(*node)))?;
        self.wait_for(0)?;
        self.schema(0)?;
        nodes.each(|node, _| match node {
            0 => Ok(()),
            node => self.start_process(node, start()),
        })?;
        let waits = |node: &usize| !self.says(*node, API_PORT, "/replica", "\"state\"");
        self.wait_until("Patroni follows", LOG, || (1..nodes.count()).find(waits))?;
        self.wait_for_standbys()?;
        self.wait_for_synchronous()
    }

    fn start_process(&self, node: usize, start: Start) -> Result<(), SystemError> {
        let log = start.log.clone();
        let nodes = &self.cluster.nodes;
        let ask = Ask::Start { start, settle_ms: 50 };
        let started = nodes.ask(node, ask, Duration::from_secs(5));
        started.map(drop).map_err(|error| {
            let name = &nodes.names[node];
            SystemError::new(format!("{error}; host {name}: log: {}", nodes.tail(node, &log)))
        })
    }

    /// Whether an HTTP server of a node answers with 200 and a body that holds this.
    fn says(&self, node: usize, port: u16, path: &str, part: &str) -> bool {
        let address = (self.cluster.nodes.data(node), port).into();
        let ask = Ask::HttpGet { post: false, address, path: path.to_owned(), timeout_ms: 500 };
        let answer = self.cluster.nodes.ask(node, ask, Duration::from_secs(2));
        matches!(answer, Ok(Answer::Http { status: 200, body }) if body.contains(part))
    }

    /// Waits until no node is missing; else an error that quotes the missing one's log.
    fn wait_until(
        &self,
        what: &str,
        log: &str,
        missing: impl Fn() -> Option<usize>,
    ) -> Result<(), SystemError> {
        let started = Instant::now();
        while let Some(node) = missing() {
            if LIMIT < started.elapsed() {
                let (name, waited) = (&self.cluster.nodes.names[node], LIMIT.as_secs());
                let log = self.cluster.nodes.tail(node, log);
                return Err(SystemError::new(format!(
                    "host {name}: not within {waited} s: {what}; its log ends: {log}"
                )));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Until Patroni has made as many standbys synchronous as the settings want: before that it
    /// lets commits go without them.
    fn wait_for_synchronous(&self) -> Result<(), SystemError> {
        let spec = &self.cluster.spec;
        if spec.replication == Replication::Async {
            return Ok(());
        }
        let ready = || {
            let sample = crate::System::sample(self, 0, &|| 0);
            let standbys = sample.details.get("standbys").and_then(|list| list.as_array());
            let sync = |standby: &&Value| standby["sync"] == "sync" || standby["sync"] == "quorum";
            spec.k <= standbys.map_or(0, |list| list.iter().filter(sync).count())
                // Patroni writes to etcd whom it may promote only after that.
                && (1..self.cluster.nodes.count())
                    .filter(|node| self.says(*node, API_PORT, "/synchronous", "\"state\""))
                    .count()
                    >= spec.k
        };
        let what = format!("Patroni has {} synchronous standbys", spec.k);
        self.wait_until(&what, LOG, || if ready() { None } else { Some(0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn synchronous_mode_follows_the_replication_setting() {
        let spec = PostgresSpec { replication: Replication::Any, k: 2, ..Default::default() };
        let shared_settings = shared(&spec);
        assert_eq!(shared_settings["synchronous_mode"], true);
        assert_eq!(shared_settings["synchronous_node_count"], 2);
        assert_eq!(shared(&PostgresSpec::default())["synchronous_mode"], false);
        let names = shared_settings["postgresql"]["parameters"].as_object().unwrap();
        assert!(!names.contains_key("synchronous_standby_names"), "that is Patroni's to set");
    }

    #[test]
    fn only_synchronous_mode_keeps_acknowledged_writes() {
        let lagging = keeps_acknowledged(&PostgresSpec::default()).unwrap_err();
        assert!(lagging.contains("maximum_lag_on_failover"), "{lagging}");
        let any = PostgresSpec { replication: Replication::Any, ..Default::default() };
        assert!(keeps_acknowledged(&any).is_ok());
        let local = PostgresSpec { synchronous_commit: SynchronousCommit::Local, ..any };
        assert!(keeps_acknowledged(&local).is_err());
    }

    #[test]
    fn the_servers_own_timeouts_are_left_as_they_are() {
        use crate::postgres::spec::Timeouts;
        let of = |timeouts| shared(&PostgresSpec { timeouts, ..PostgresSpec::default() });
        let (server, lab) = (of(Timeouts::Server), of(Timeouts::Lab));
        for (name, value) in Timeouts::Lab.settings() {
            assert_eq!(server["postgresql"]["parameters"][*name], Value::Null, "{name}");
            assert_eq!(lab["postgresql"]["parameters"][*name], *value, "{name}");
        }
    }

    #[test]
    fn a_killed_patroni_takes_its_server_along() {
        let start = start();
        assert_eq!(start.argv[1], "keep");
        assert_eq!(start.pidfile, PIDFILE);
    }
}
