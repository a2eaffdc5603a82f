//! An inventory: remote hosts in a TOML file.

use std::net::{IpAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

use crate::host::HostAddress;

/// See the module's doc. Parsed with unknown fields refused, so that a mistyped one is named.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    cluster_id: Option<String>,
    #[serde(default)]
    allow: Vec<String>,
    #[serde(default)]
    data_is_disposable: bool,
    #[serde(rename = "host")]
    hosts: Vec<HostEntry>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HostEntry {
    name: String,
    address: String,
    #[serde(default = "ssh_port")]
    port: u16,
    #[serde(default = "root")]
    user: String,
    key: PathBuf,
    known_hosts: PathBuf,
    #[serde(default)]
    data_address: Option<IpAddr>,
}

fn ssh_port() -> u16 {
    22
}

fn root() -> String {
    "root".to_owned()
}

/// The hosts of an inventory and what may be done to them.
#[derive(Clone, Debug)]
pub struct Inventory {
    /// Names the cluster; the hosts' marker must say the same.
    pub cluster_id: Option<String>,
    /// Families of faults that are allowed; none by default.
    pub allow: Vec<String>,
    /// Whether what is on the hosts may be lost.
    pub data_is_disposable: bool,
    /// The hosts.
    pub hosts: Vec<HostAddress>,
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
        let file: File = toml::from_str(&text).map_err(|error| {
            let line = error.span().map(|span| 1 + text[..span.start].matches('\n').count());
            let line = line.map_or(String::new(), |line| format!("line {line}: "));
            fail(format!("{line}{}", error.message()))
        })?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut hosts: Vec<HostAddress> = Vec::new();
        for entry in file.hosts {
            if hosts.iter().any(|host| host.name == entry.name) {
                return Err(fail(format!("host {} is there twice: names must differ", entry.name)));
            }
            let data_address = match entry.data_address {
                Some(address) => address,
                None => resolve(&entry).map_err(fail)?,
            };
            hosts.push(HostAddress {
                name: entry.name,
                address: entry.address,
                port: entry.port,
                user: entry.user,
                key: folder.join(entry.key),
                known_hosts: folder.join(entry.known_hosts),
                data_address,
            });
        }
        Ok(Inventory {
            cluster_id: file.cluster_id,
            allow: file.allow,
            data_is_disposable: file.data_is_disposable,
            hosts,
        })
    }
}

fn resolve(entry: &HostEntry) -> Result<IpAddr, String> {
    let found = (entry.address.as_str(), entry.port).to_socket_addrs();
    let mut found = found.map_err(|error| {
        format!("host {}: address {} cannot be resolved: {error}", entry.name, entry.address)
    })?;
    let first = found.next().map(|address| address.ip());
    first.ok_or_else(|| format!("host {}: {} has no address", entry.name, entry.address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Inventory, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("inventory.toml");
        std::fs::write(&path, text).unwrap();
        Inventory::load(&path)
            .map_err(|error| error.to_string().replace(&*dir.path().to_string_lossy(), "DIR"))
    }

    #[test]
    fn reads_hosts_and_allows_nothing_by_default() {
        let inventory = load(
            "[[host]]\nname = \"a\"\naddress = \"127.0.0.1\"\nkey = \"id\"\nknown_hosts = \"kh\"\n",
        );
        let inventory = inventory.unwrap();
        assert!(inventory.allow.is_empty() && !inventory.data_is_disposable);
        assert_eq!((inventory.hosts[0].port, inventory.hosts[0].user.as_str()), (22, "root"));
    }

    #[test]
    fn names_the_line_and_the_field() {
        let error = load("[[host]]\nname = \"a\"\nadress = \"x\"\n").unwrap_err();
        assert!(error.starts_with("DIR/inventory.toml: line 3: unknown field `adress`"), "{error}");
    }
}
