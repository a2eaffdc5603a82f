//! An inventory: remote hosts in a TOML file, the cluster that runs on them already, if one does,
//! and what may be done to them. The reference is `docs/hosts.md`.
//!
//! Read next: [`file`] (what is written), [`attach`] (a cluster that exists), [`ssh_config`].

pub mod attach;
mod file;
mod places;
mod ssh_config;

use std::net::{IpAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::host::HostAddress;
pub use attach::{Attach, AttachNode, PasswordFrom, Service};
pub use places::Places;

/// The families of faults that an inventory can allow.
pub const FAMILIES: [&str; 6] = ["network", "process", "clock", "disk", "membership", "failover"];

/// The hosts of an inventory and what may be done to them.
#[derive(Clone, Debug)]
pub struct Inventory {
    /// Names the cluster; the hosts' marker must say the same.
    pub cluster_id: Option<String>,
    /// Families of faults that are allowed; none by default.
    pub allow: Vec<String>,
    /// Whether what is on the hosts may be lost.
    pub data_is_disposable: bool,
    /// How many nodes may be hurt at once; without it, as many as leave a majority.
    pub max_hurt: Option<usize>,
    /// How long faults may be in force in all, a duration; without it an hour.
    pub max_duration: Option<String>,
    /// A command that is run every second: when it fails, everything is healed and the run ends.
    pub abort_if: Option<String>,
    /// The host that runs it; without one this machine does.
    pub abort_if_host: Option<String>,
    /// The hosts that are reached by SSH.
    pub hosts: Vec<HostAddress>,
    /// Nodes that cannot be reached by SSH, after the hosts in order.
    pub endpoints: Vec<String>,
    /// The cluster that runs there already.
    pub attach: Option<Attach>,
    /// Where each field is, for messages.
    pub places: Places,
}

/// What is wrong with an inventory: where, and what.
#[derive(Debug, Error)]
#[error("{}: {why}", .path.display())]
pub struct InventoryError {
    /// The file.
    pub path: PathBuf,
    /// Line, field and what was expected.
    pub why: String,
}

impl Inventory {
    /// Reads a file; relative paths in it are relative to it.
    pub fn load(path: &Path) -> Result<Inventory, InventoryError> {
        let fail = |why: String| InventoryError { path: path.to_owned(), why };
        let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
        let file = file::parse(&text).map_err(fail)?;
        let places = Places::of(path, &text);
        let folder = path.parent().unwrap_or(Path::new("."));
        build(file, folder, places).map_err(fail)
    }

    /// Every node's name: hosts, then endpoints.
    pub fn names(&self) -> Vec<String> {
        let hosts = self.hosts.iter().map(|host| host.name.clone());
        hosts.chain(self.endpoints.iter().cloned()).collect()
    }
}

fn build(file: file::File, folder: &Path, places: Places) -> Result<Inventory, String> {
    let mut names: Vec<String> = Vec::new();
    let mut hosts = Vec::new();
    for (number, entry) in file.hosts.iter().enumerate() {
        let place = |field: &str| places.line(&format!("host[{number}].{field}"));
        unique(&mut names, &entry.name).map_err(|why| place("name") + &why)?;
        entry.check().map_err(|(field, why)| place(field) + &why)?;
        let host = host(entry, folder).map_err(|(field, why)| place(field) + &why)?;
        apart(&hosts, &host).map_err(|why| place("address") + &why)?;
        hosts.push(host);
    }
    for (number, entry) in file.endpoints.iter().enumerate() {
        let place = |field: &str| places.line(&format!("endpoint[{number}].{field}"));
        unique(&mut names, &entry.name).map_err(|why| place("name") + &why)?;
    }
    for family in &file.allow {
        if !FAMILIES.contains(&family.as_str()) {
            let at = places.line("allow");
            let families = FAMILIES.join(", ");
            return Err(format!("{at}unknown family \"{family}\": expected some of {families}"));
        }
    }
    if let Some(name) = &file.abort_if_host
        && !file.hosts.iter().any(|host| host.name == *name)
    {
        let at = places.line("abort_if_host");
        return Err(format!("{at}\"{name}\" is no [[host]] of this inventory"));
    }
    let attach = match &file.attach {
        Some(table) => Some(attach::build(table, &file, folder, &places)?),
        None if !file.endpoints.is_empty() => {
            let at = places.line("endpoint[0].name");
            let why = "an endpoint is a node of a cluster that exists: expected a table [attach]";
            return Err(format!("{at}{why}"));
        }
        None => None,
    };
    let endpoints: Vec<String> = file.endpoints.iter().map(|e| e.name.clone()).collect();
    if hosts.is_empty() && endpoints.is_empty() {
        return Err("no nodes: expected [[host]], or [attach] with [[endpoint]]".to_owned());
    }
    Ok(Inventory {
        cluster_id: file.cluster_id,
        allow: file.allow,
        data_is_disposable: file.data_is_disposable,
        max_hurt: file.max_hurt,
        max_duration: file.max_duration,
        abort_if: file.abort_if,
        abort_if_host: file.abort_if_host,
        hosts,
        endpoints,
        attach,
        places,
    })
}

/// Hosts are machines of their own: of one that is named twice a fault would hit both.
fn apart(others: &[HostAddress], host: &HostAddress) -> Result<(), String> {
    let same = |other: &&HostAddress| {
        let place = (&other.address, other.port) == (&host.address, host.port);
        let data = (other.data_address, other.port) == (host.data_address, host.port);
        (place || data) && other.jump == host.jump
    };
    match others.iter().find(same) {
        None => Ok(()),
        Some(other) => Err(format!(
            "host {} is the machine of host {} ({} port {}): each needs a machine of its own",
            host.name, other.name, host.address, host.port
        )),
    }
}

fn unique(names: &mut Vec<String>, name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || !name.chars().all(plain) || name.starts_with(['-', '.']) {
        return Err(format!("\"{name}\" is no name: expected letters, digits, -, _ and ."));
    }
    if names.iter().any(|other| other == name) {
        return Err(format!("host {name} is there twice: names must differ"));
    }
    names.push(name.to_owned());
    Ok(())
}

fn host(entry: &file::HostEntry, folder: &Path) -> Result<HostAddress, (&'static str, String)> {
    let known = match &entry.ssh_config {
        Some(name) => ssh_config::look_up(name).map_err(|why| ("ssh_config", why))?,
        None => ssh_config::Known::default(),
    };
    let address = entry.address.clone().or(known.address).ok_or_else(|| {
        ("name", "missing field `address`: expected a name or an address, or ssh_config".to_owned())
    })?;
    let port = entry.port.or(known.port).unwrap_or(22);
    let data_address = match entry.data_address {
        Some(address) => address,
        None => resolve(&entry.name, &address, port).map_err(|why| ("address", why))?,
    };
    let own = entry.key.as_ref().map(|path| at(folder, path));
    let key = own.or(known.key);
    let known_hosts = entry.known_hosts.as_ref().map(|path| at(folder, path));
    let known_hosts = known_hosts.or(known.known_hosts);
    Ok(HostAddress {
        name: entry.name.clone(),
        address,
        port,
        user: entry.user.clone().or(known.user).unwrap_or_else(|| "root".to_owned()),
        ssh_agent: key.is_none(),
        key: key.unwrap_or_default(),
        known_hosts: known_hosts.unwrap_or_else(|| at(folder, Path::new("~/.ssh/known_hosts"))),
        data_address,
        sudo: entry.r#become.is_some(),
        jump: entry.proxy_jump.clone().or(known.jump),
        region: entry.region.clone(),
    })
}

/// A path of the file: `~/` is the user's home, all else is relative to the file's folder.
fn at(folder: &Path, path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::var_os("HOME")) {
        (Ok(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => folder.join(path),
    }
}

fn resolve(name: &str, address: &str, port: u16) -> Result<IpAddr, String> {
    let found = (address, port).to_socket_addrs();
    let mut found = found
        .map_err(|error| format!("host {name}: address {address} cannot be resolved: {error}"))?;
    let first = found.next().map(|address| address.ip());
    first.ok_or_else(|| format!("host {name}: {address} has no address"))
}

#[cfg(test)]
mod tests;
