//! Puts MongoDB on a host over SSH: the server that is there, a folder, configuration, a key file.

use std::time::Duration;

use agent::proto::Start;
use cluster::{Host, shell_quote};

use super::spec::MongoSpec;
use crate::system::{Nodes, SystemError, emptied};

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

/// Finds the server on a host: the given one, or that of the PATH, or an installed one.
pub fn find_server(nodes: &Nodes, node: usize, given: Option<&str>) -> Result<Server, SystemError> {
    let name = &nodes.names[node];
    let candidates = match given {
        Some(path) => shell_quote(path),
        None => {
            format!("$(command -v mongod) $(ls -d {CACHE}/*/bin/mongod 2>/dev/null | sort -rV)")
        }
    };
    let line = format!(
        "for binary in {candidates}; do if [ -x \"$binary\" ]; then \
         echo \"$binary\"; \"$binary\" --version 2>&1; exit 0; fi; done; exit 3"
    );
    let found = nodes.shell(node, "looking for MongoDB", line, Duration::from_secs(10));
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

/// An empty folder with the member's configuration. `key` is what members know each other by.
pub fn prepare(nodes: &Nodes, node: usize, spec: &MongoSpec, key: &str) -> Result<(), SystemError> {
    let port = spec.port;
    let line = format!(
        "set -e; have=$(df -Pk /var/lib | awk 'NR==2 {{print $4}}'); \
         if [ \"$have\" -lt {SPACE_MIN_KIB} ]; then \
         echo \"only $have KiB are free under /var/lib, {SPACE_MIN_KIB} are needed\" >&2; \
         exit 28; fi; \
         if command -v ss > /dev/null && ss -Hltn 'sport = :{port}' | grep -q .; then \
         echo \"port {port} is taken: see mongodb.port\" >&2; exit 98; fi; \
         {}; rm -f {ROLLBACK}; mkdir {FOLDER}/data; : > {LOG}; chmod 700 {FOLDER}",
        emptied(FOLDER)
    );
    nodes.shell(node, "preparing its folder", line, Duration::from_secs(10))?;
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
