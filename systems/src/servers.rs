//! From an inventory to the servers of a cluster that exists: where they listen, who logs in.
//!
//! Users, passwords and databases are replicated, so all nodes share them; only hosts and ports are
//! each node's own.

use std::net::{SocketAddr, ToSocketAddrs};

use cluster::inventory::{Attach, AttachNode, Places};

use crate::password::{self, Account};
use crate::system::SystemError;
use crate::uri::{Form, Uri};

/// See the module's doc.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Servers {
    /// What all nodes share.
    pub shared: Uri,
    /// Each node's host, as it is written, and port.
    pub hosts: Vec<(String, u16)>,
}

/// An error at a field of the inventory: file, line and field are named.
pub fn at(places: &Places, field: &str, why: impl std::fmt::Display) -> SystemError {
    SystemError::new(format!("{}: {why}", places.at(field)))
}

impl Servers {
    /// Reads the strings of an inventory; a server listens at `port` unless it says otherwise.
    pub fn of(
        form: &Form,
        port: u16,
        attach: &Attach,
        places: &Places,
    ) -> Result<Servers, SystemError> {
        let mut shared = match &attach.uri {
            Some(text) => form.parse(text).map_err(|why| at(places, "attach.uri", why))?,
            None => Uri::default(),
        };
        let mut hosts = Vec::new();
        for node in &attach.nodes {
            let field = format!("{}.uri", node.table);
            let server = server(form, port, node, &mut shared);
            hosts.push(server.map_err(|why| at(places, &field, why))?);
        }
        Ok(Servers { shared, hosts })
    }

    /// What the hosts' names stand for, asked once.
    pub fn resolve(
        &self,
        attach: &Attach,
        places: &Places,
    ) -> Result<Vec<SocketAddr>, SystemError> {
        let each = self.hosts.iter().zip(&attach.nodes);
        let found = each.map(|((host, port), node)| {
            let found = (host.as_str(), *port).to_socket_addrs();
            match found.map(|mut found| found.next()) {
                Ok(Some(address)) => Ok(address),
                Ok(None) => Err(at(places, &node.table, format!("{host} has no address"))),
                Err(error) => {
                    Err(at(places, &node.table, format!("{host} cannot be resolved: {error}")))
                }
            }
        });
        found.collect()
    }

    /// The one password of this user; `database` is the one that it belongs to, or is used in.
    pub fn password(
        &self,
        attach: &Attach,
        places: &Places,
        user: &str,
        database: &str,
    ) -> Result<Option<String>, SystemError> {
        let mut password = None;
        for (host, port) in &self.hosts {
            let account = Account { host, port: *port, database, user };
            let found = password::read(&attach.password, &account);
            let found = found.map_err(|why| at(places, "attach", why))?;
            if password.as_ref().is_some_and(|other| *other != found) {
                let why = "the nodes' passwords differ, though roles are replicated";
                return Err(at(places, "attach", why));
            }
            password = Some(found);
        }
        Ok(password.flatten())
    }
}

/// Host and port of a node: its own string, else the shared one's host that is this node's
/// address or name, else its address. What its own string says beyond that goes to all.
fn server(
    form: &Form,
    default: u16,
    node: &AttachNode,
    shared: &mut Uri,
) -> Result<(String, u16), String> {
    let Some(text) = &node.uri else {
        let mine = |(host, _): &&(String, Option<u16>)| *host == node.address || *host == node.name;
        return match (shared.hosts.iter().find(mine), &shared.hosts[..]) {
            (Some((host, port)), _) => Ok((host.clone(), port.unwrap_or(default))),
            (None, []) => Ok((node.address.clone(), default)),
            (None, _) => Err(format!(
                "attach.uri names hosts, but neither {} nor {}: expected all nodes in it, or none",
                node.address, node.name
            )),
        };
    };
    let own = form.parse(text)?;
    shared.merge(&own)?;
    match &own.hosts[..] {
        [] => Ok((node.address.clone(), default)),
        [(host, port)] => Ok((host.clone(), port.unwrap_or(default))),
        _ => Err("several hosts: expected the one of this node".to_owned()),
    }
}
