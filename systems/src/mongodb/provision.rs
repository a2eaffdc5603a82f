//! Puts MongoDB on a host over SSH: the server that is there, a folder, configuration, a key file.

use std::time::Duration;

use agent::proto::Start;
use cluster::{Host, shell_quote};

use super::spec::MongoSpec;
use super::{replica_set, rollback};
use crate::system::{LogFile, Nodes, Steps, SystemError, emptied};

/// Where all of it is.
pub const FOLDER: &str = "/var/lib/splitbrain-mongodb";
/// The server's output.
pub const LOG: &str = "/var/log/splitbrain-mongodb.log";
/// What was rolled back, packed after the run.
pub const ROLLBACK: &str = "/var/log/splitbrain-mongodb-rollback.tar.gz";
/// Where the server is named.
pub const PIDFILE: &str = "/run/splitbrain/mongodb.pid";
/// What `splitbrain lab install mongodb` fills: one folder a version.
pub const CACHE: &str = "/var/cache/splitbrain/mongodb";
/// The replica set's name.
pub const SET: &str = "splitbrain";
/// Oldest version that is supported.
const VERSION_MIN: u32 = 6;
/// What a member needs on a host at least, KiB: its journal alone is 300 MB.
const SPACE_MIN_KIB: u64 = 500 << 10;

/// The server of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its path.
    pub binary: String,
    /// The first line of `mongod --version`.
    pub version: String,
}

/// Names the server and its version.
fn find_line(given: Option<&str>) -> String {
    let candidates = match given {
        Some(path) => shell_quote(path),
        None => {
            format!("$(command -v mongod) $(ls -d {CACHE}/*/bin/mongod 2>/dev/null | sort -rV)")
        }
    };
    format!(
        "for binary in {candidates}; do if [ -x \"$binary\" ]; then \
         echo \"$binary\"; \"$binary\" --version 2>&1; exit 0; fi; done; exit 3"
    )
}

/// Empties a member's folder, if there is space for one and nobody has its port.
fn prepare_line(port: u16) -> String {
    format!(
        "set -e; have=$(df -Pk /var/lib | awk 'NR==2 {{print $4}}'); \
         if [ \"$have\" -lt {SPACE_MIN_KIB} ]; then \
         echo \"only $have KiB are free under /var/lib, {SPACE_MIN_KIB} are needed\" >&2; \
         exit 28; fi; \
         if command -v ss > /dev/null && ss -Hltn 'sport = :{port}' | grep -q .; then \
         echo \"port {port} is taken: see mongodb.port\" >&2; exit 98; fi; \
         {}; rm -f {ROLLBACK}; mkdir {FOLDER}/data; : > {LOG}; chmod 700 {FOLDER}",
        emptied(FOLDER)
    )
}

/// What is done on hosts. Where only a host knows its server, `MONGOD` stands for it.
pub fn steps(spec: &MongoSpec, names: &[String], addresses: &[String]) -> Steps {
    let mut build = vec!["MONGOD is the path that a host names by the first line".to_owned()];
    let server = Server { binary: "MONGOD".to_owned(), version: String::new() };
    for name in names {
        let find = find_line(spec.binary.as_deref());
        build.push(format!("{name}: {find}"));
        build.push(format!("{name}: {}", prepare_line(spec.port)));
        build.push(format!("{name}: write {FOLDER}/{{key,mongod.conf}}"));
        build.push(format!("{name}: start: {}", start(&server).argv.join(" ")));
    }
    let addresses: Vec<String> =
        addresses.iter().map(|address| format!("{address}:{}", spec.port)).collect();
    let config = replica_set::configuration(spec, names, &addresses);
    build.push(format!("{}: replSetInitiate {config}", names[0]));
    build.push("the primary: the users and collections of the run".to_owned());
    let mut steps = Steps { build, ..Steps::default() };
    for name in names {
        steps.after.extend(rollback::lines().map(|line| format!("{name}: {line}")));
    }
    steps.ended(names, &[log()], &[PIDFILE]);
    steps
}

/// The server's log.
pub fn log() -> LogFile {
    LogFile { path: LOG.to_owned(), name: "mongodb.log" }
}

/// Finds the server on a host: the given one, or that of the PATH, or an installed one.
pub fn find_server(nodes: &Nodes, node: usize, given: Option<&str>) -> Result<Server, SystemError> {
    let name = &nodes.names[node];
    let found = nodes.shell(node, "looking for MongoDB", find_line(given), Duration::from_secs(10));
    let hint = "splitbrain lab install mongodb, or mongodb.binary = \"/path/of/mongod\"";
    let text = found.map_err(|error| {
        if !error.what.contains("ended with 3") {
            return error;
        }
        let what = match given {
            Some(path) => format!("host {name}: {path} is no program"),
            None => format!("host {name}: no mongod on the PATH or in {CACHE}"),
        };
        SystemError::new(what).hint(hint)
    })?;
    let (binary, said) = text.split_once('\n').unwrap_or((&text, ""));
    let version = said.lines().find(|line| line.starts_with("db version")).unwrap_or("");
    let number = version.rsplit('v').next().and_then(|v| v.split('.').next());
    let major: u32 = number.and_then(|major| major.parse().ok()).unwrap_or(0);
    if major < VERSION_MIN {
        let said = said.lines().next().unwrap_or("nothing");
        let what = format!("host {name}: {binary} --version says \"{said}\"");
        return Err(SystemError::new(what)
            .hint(format!("version {VERSION_MIN} or later that runs there is needed: {hint}")));
    }
    Ok(Server { binary: binary.to_owned(), version: version.to_owned() })
}

/// Refuses servers of several versions: nothing asks for a mix.
pub fn check_mix(names: &[String], servers: &[Server]) -> Result<(), SystemError> {
    if servers.iter().all(|server| server.version == servers[0].version) {
        return Ok(());
    }
    let each = names.iter().zip(servers);
    let all: Vec<String> = each
        .map(|(name, server)| format!("{name} has {} in {}", server.version, server.binary))
        .collect();
    let what = format!("MongoDB of several versions, and no mix was asked for: {}", all.join(", "));
    Err(SystemError::new(what)
        .hint("give every host the same, and name it: mongodb.binary = \"/path/of/mongod\""))
}

/// An empty folder with the member's configuration. `key` is what members know each other by.
pub fn prepare(nodes: &Nodes, node: usize, spec: &MongoSpec, key: &str) -> Result<(), SystemError> {
    nodes.shell(node, "preparing its folder", prepare_line(spec.port), Duration::from_secs(10))?;
    let host = &nodes.hosts[node];
    host.upload(key.as_bytes(), &format!("{FOLDER}/key"), 0o600)?;
    host.upload(configuration(spec).as_bytes(), &format!("{FOLDER}/mongod.conf"), 0o644)?;
    Ok(())
}

/// The server's configuration file.
fn configuration(spec: &MongoSpec) -> String {
    format!(
        "net:\n  port: {port}\n  bindIp: 0.0.0.0\n  unixDomainSocket:\n    enabled: false\n\
         storage:\n  dbPath: {FOLDER}/data\n  wiredTiger:\n    engineConfig:\n      \
         cacheSizeGB: 0.25\n\
         replication:\n  replSetName: {SET}\n  oplogSizeMB: 512\n\
         security:\n  keyFile: {FOLDER}/key\n\
         systemLog:\n  quiet: true\n\
         setParameter:\n  diagnosticDataCollectionEnabled: false\n",
        port = spec.port,
    )
}

/// How the server is started.
pub fn start(server: &Server) -> Start {
    let config = format!("{FOLDER}/mongod.conf");
    Start {
        argv: vec![server.binary.clone(), "--config".to_owned(), config],
        log: LOG.to_owned(),
        pidfile: PIDFILE.to_owned(),
        preload: true,
        ..Start::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_of_versions_is_refused_with_every_nodes_own() {
        let names = ["n1", "n2"].map(str::to_owned);
        let server = |number: &str| Server {
            binary: format!("/opt/{number}/mongod"),
            version: format!("db version v{number}"),
        };
        assert_eq!(check_mix(&names, &[server("6.0.5"), server("6.0.5")]), Ok(()));
        let error = check_mix(&names, &[server("6.0.5"), server("7.0.1")]).unwrap_err();
        assert!(error.what.contains("n2 has db version v7.0.1 in /opt/7.0.1/mongod"), "{error}");
    }
}
