//! From an inventory to addresses and a login.
//!
//! Roles, passwords and databases are replicated, so all nodes share them; only hosts and ports
//! are each node's own.

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};

use cluster::inventory::{Attach, AttachNode, Places};

use crate::password::{self, Account};
use crate::postgres::connection::Login;
use crate::postgres::tls::{Files, Mode, Tls};
use crate::system::SystemError;
use crate::uri::{Form, Uri};

/// Its connection strings.
const FORM: Form = Form {
    schemes: &["postgres://", "postgresql://"],
    expected: "postgres://user@host:port/database",
    parameters: &["sslmode"],
};
/// Where PostgreSQL listens unless told otherwise.
const PORT: u16 = 5432;

/// How all nodes are reached.
pub struct Logins {
    /// Per node.
    pub addresses: Vec<SocketAddr>,
    /// For all of them.
    pub login: Login,
}

/// Works them out; reads the password and the certificates. Errors name file, line and field.
pub fn logins(attach: &Attach, places: &Places) -> Result<Logins, SystemError> {
    let at = |field: &str, why: String| SystemError::new(format!("{}: {why}", places.at(field)));
    let mut shared = match &attach.uri {
        Some(text) => FORM.parse(text).map_err(|why| at("attach.uri", why))?,
        None => Uri::default(),
    };
    let mut servers = Vec::new();
    for node in &attach.nodes {
        let field = format!("{}.uri", node.table);
        let server = server(node, &mut shared).map_err(|why| at(&field, why))?;
        servers.push(server);
    }
    let missing = |what: &str| {
        let why = format!("no {what}: expected postgres://user@host:port/database");
        at("attach.uri", why)
    };
    let user = shared.user.clone().ok_or_else(|| missing("user"))?;
    let database = shared.database.clone().ok_or_else(|| missing("database"))?;
    let mut password = None;
    for (host, port) in &servers {
        let account = Account { host, port: *port, database: &database, user: &user };
        let found = password::read(&attach.password, &account).map_err(|why| at("attach", why))?;
        if password.as_ref().is_some_and(|other| *other != found) {
            let why = "the nodes' passwords differ, though roles are replicated".to_owned();
            return Err(at("attach", why));
        }
        password = Some(found);
    }
    let mut addresses = Vec::new();
    let mut names = BTreeMap::new();
    for ((host, port), node) in servers.iter().zip(&attach.nodes) {
        let found = (host.as_str(), *port).to_socket_addrs();
        let address = found.map(|mut found| found.next());
        let address = match address {
            Ok(Some(address)) => address,
            Ok(None) => return Err(at(&node.table, format!("{host} has no address"))),
            Err(error) => {
                return Err(at(&node.table, format!("{host} cannot be resolved: {error}")));
            }
        };
        names.insert(address, host.clone());
        addresses.push(address);
    }
    let login = Login {
        user,
        password: password.flatten(),
        database,
        tls: tls(attach, &shared, names).map_err(|why| at("attach", why))?,
        ..Login::default()
    };
    Ok(Logins { addresses, login })
}

fn tls(attach: &Attach, shared: &Uri, names: BTreeMap<SocketAddr, String>) -> Result<Tls, String> {
    let mode = match (&attach.sslmode, shared.parameters.get("sslmode")) {
        (Some(one), Some(other)) if one != other => {
            return Err(format!("sslmode is \"{one}\" there and \"{other}\" in the uri"));
        }
        (Some(mode), _) | (None, Some(mode)) => mode.as_str(),
        // Whoever wants less says so.
        (None, None) => "verify-full",
    };
    let mode = Mode::by_name(mode)
        .ok_or_else(|| format!("sslmode \"{mode}\": expected verify-full, require or disable"))?;
    if let Some(key) = &attach.client_key {
        password::private(key, "client_key")?;
    }
    let client = attach.client_cert.clone().zip(attach.client_key.clone());
    Tls::new(mode, &Files { ca: attach.ca.clone(), client }, names)
}

/// Host and port of a node: its own string, else the shared one's host that is this node's
/// address or name, else its address. What its own string says beyond that goes to all.
fn server(node: &AttachNode, shared: &mut Uri) -> Result<(String, u16), String> {
    let Some(text) = &node.uri else {
        let mine = |(host, _): &&(String, Option<u16>)| *host == node.address || *host == node.name;
        return match (shared.hosts.iter().find(mine), &shared.hosts[..]) {
            (Some((host, port)), _) => Ok((host.clone(), port.unwrap_or(PORT))),
            (None, []) => Ok((node.address.clone(), PORT)),
            (None, _) => Err(format!(
                "attach.uri names hosts, but neither {} nor {}: expected all nodes in it, or none",
                node.address, node.name
            )),
        };
    };
    let own = FORM.parse(text)?;
    shared.merge(&own)?;
    match &own.hosts[..] {
        [] => Ok((node.address.clone(), PORT)),
        [(host, port)] => Ok((host.clone(), port.unwrap_or(PORT))),
        _ => Err("several hosts: expected the one of this node".to_owned()),
    }
}
