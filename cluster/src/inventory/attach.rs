//! A cluster that exists: how its nodes are reached, who logs in, how they are started.
//!
//! What the fields mean to a system is that system's own business; the same fields serve all.

use std::path::{Path, PathBuf};

use super::at;
use super::file::{AttachTable, File};
use super::places::Places;

/// `[attach]`, with the nodes that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attach {
    /// The system: `postgres` or `mongodb`.
    pub system: String,
    /// Connection string that all nodes share; without a password.
    pub uri: Option<String>,
    /// `verify-full`, `require` or `disable`.
    pub sslmode: Option<String>,
    /// Certificate authority, PEM.
    pub ca: Option<PathBuf>,
    /// Client certificate, PEM; for MongoDB its key too.
    pub client_cert: Option<PathBuf>,
    /// Its key, PEM.
    pub client_key: Option<PathBuf>,
    /// Where the password comes from.
    pub password: PasswordFrom,
    /// Which node leads, if it is not to be found by asking.
    pub leader: Option<String>,
    /// `none` if nobody replaces a dead leader; unknown otherwise.
    pub failover: Option<String>,
    /// The nodes: hosts, then endpoints.
    pub nodes: Vec<AttachNode>,
}

/// Where a password is read from when it is needed. It is never part of the inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasswordFrom {
    /// None is needed.
    Nowhere,
    /// A variable of the harness's environment.
    Environment(String),
    /// The first line of a file that only its owner can read.
    File(PathBuf),
    /// A file in the format of PostgreSQL's `.pgpass`.
    Passfile(PathBuf),
}

/// A node of a cluster that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachNode {
    /// Its name.
    pub name: String,
    /// Where it is, if its string does not say.
    pub address: String,
    /// A string of its own.
    pub uri: Option<String>,
    /// The table that it is written in: `host[0]`.
    pub table: String,
    /// Whether it can be reached by SSH.
    pub ssh: bool,
    /// How its server is found, started and stopped.
    pub service: Service,
}

/// How a server is found, started and stopped on its host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// A unit of systemd.
    pub unit: Option<String>,
    /// Program and arguments that start it, and return.
    pub start: Option<Vec<String>>,
    /// Program and arguments that stop it, and return.
    pub stop: Option<Vec<String>>,
    /// Its data directory.
    pub data_dir: Option<String>,
}

/// The words of `sslmode`.
pub const SSLMODES: [&str; 3] = ["verify-full", "require", "disable"];

pub(super) fn build(
    table: &AttachTable,
    file: &File,
    folder: &Path,
    places: &Places,
) -> Result<Attach, String> {
    let fail = |field: &str, why: &str| Err(format!("{}{why}", places.line(field)));
    if let Some(mode) = &table.sslmode
        && !SSLMODES.contains(&mode.as_str())
    {
        let why = format!("\"{mode}\": expected one of {}", SSLMODES.join(", "));
        return fail("attach.sslmode", &why);
    }
    // MongoDB's driver reads both from one file.
    let one_file = table.system == "mongodb" && table.client_key.is_none();
    if table.client_cert.is_some() != table.client_key.is_some() && !one_file {
        return fail("attach.client_cert", "client_cert and client_key come together");
    }
    if let Some(other) = table.failover.as_deref().filter(|failover| *failover != "none") {
        let why = format!("\"{other}\": expected \"none\", if nobody replaces a dead leader");
        return fail("attach.failover", &why);
    }
    let shared = Service {
        unit: table.unit.clone(),
        start: table.start.clone(),
        stop: table.stop.clone(),
        data_dir: table.data_dir.clone(),
    };
    shared.check().map_err(|(field, why)| places.line(&format!("attach.{field}")) + &why)?;
    let nodes = nodes(file, &shared, places)?;
    if let Some(leader) = &table.leader
        && !nodes.iter().any(|node| node.name == *leader)
    {
        return fail("attach.leader", &format!("there is no node {leader}"));
    }
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| at(folder, path));
    Ok(Attach {
        system: table.system.clone(),
        uri: table.uri.clone(),
        sslmode: table.sslmode.clone(),
        ca: path(&table.ca),
        client_cert: path(&table.client_cert),
        client_key: path(&table.client_key),
        password: password(table, folder).map_err(|why| places.line("attach") + &why)?,
        leader: table.leader.clone(),
        failover: table.failover.clone(),
        nodes,
    })
}

fn password(table: &AttachTable, folder: &Path) -> Result<PasswordFrom, String> {
    Ok(match (&table.password_env, &table.password_file, &table.passfile) {
        (None, None, None) => PasswordFrom::Nowhere,
        (Some(name), None, None) => PasswordFrom::Environment(name.clone()),
        (None, Some(path), None) => PasswordFrom::File(at(folder, path)),
        (None, None, Some(path)) => PasswordFrom::Passfile(at(folder, path)),
        _ => {
            let why = "expected one of password_env, password_file and passfile, not several";
            return Err(why.to_owned());
        }
    })
}

fn nodes(file: &File, shared: &Service, places: &Places) -> Result<Vec<AttachNode>, String> {
    let mut nodes = Vec::new();
    for (number, host) in file.hosts.iter().enumerate() {
        let table = format!("host[{number}]");
        let own = Service {
            unit: host.unit.clone(),
            start: host.start.clone(),
            stop: host.stop.clone(),
            data_dir: host.data_dir.clone(),
        };
        own.check().map_err(|(field, why)| places.line(&format!("{table}.{field}")) + &why)?;
        let address = host.data_address.map(|address| address.to_string());
        nodes.push(AttachNode {
            name: host.name.clone(),
            address: address.or(host.address.clone()).unwrap_or_else(|| host.name.clone()),
            uri: host.uri.clone(),
            table,
            ssh: true,
            service: own.or(shared),
        });
    }
    for (number, endpoint) in file.endpoints.iter().enumerate() {
        nodes.push(AttachNode {
            name: endpoint.name.clone(),
            address: endpoint.address.clone(),
            uri: endpoint.uri.clone(),
            table: format!("endpoint[{number}]"),
            ssh: false,
            service: Service::default(),
        });
    }
    Ok(nodes)
}

impl Service {
    fn check(&self) -> Result<(), (&'static str, String)> {
        let dash = |unit: &String| unit.is_empty() || unit.starts_with('-');
        if self.unit.as_ref().is_some_and(dash) {
            return Err(("unit", "expected a unit's name, such as postgresql@15-main".to_owned()));
        }
        for (field, argv) in [("start", &self.start), ("stop", &self.stop)] {
            if argv.as_ref().is_some_and(Vec::is_empty) {
                let why = "expected a program and its arguments, such as [\"pg_ctlcluster\", ..]";
                return Err((field, why.to_owned()));
            }
        }
        if self.data_dir.as_ref().is_some_and(|path| !path.starts_with('/')) {
            return Err(("data_dir", "expected an absolute path on the host".to_owned()));
        }
        Ok(())
    }

    fn or(self, shared: &Service) -> Service {
        Service {
            unit: self.unit.or_else(|| shared.unit.clone()),
            start: self.start.or_else(|| shared.start.clone()),
            stop: self.stop.or_else(|| shared.stop.clone()),
            data_dir: self.data_dir.or_else(|| shared.data_dir.clone()),
        }
    }
}
