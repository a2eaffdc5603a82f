//! From an inventory to addresses and a login.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use cluster::inventory::{Attach, Places};

use crate::password;
use crate::postgres::connection::Login;
use crate::postgres::tls::Tls;
use crate::servers::{Servers, at};
use crate::system::SystemError;
use crate::tls::{Files, Mode};
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
    let servers = Servers::of(&FORM, PORT, attach, places)?;
    let missing = |what: &str| {
        let why = format!("no {what}: expected {}", FORM.expected);
        at(places, "attach.uri", why)
    };
    let shared = &servers.shared;
    let user = shared.user.clone().ok_or_else(|| missing("user"))?;
    let database = shared.database.clone().ok_or_else(|| missing("database"))?;
    let password = servers.password(attach, places, &user, &database)?;
    let addresses = servers.resolve(attach, places)?;
    let hosts = servers.hosts.iter().map(|(host, _)| host.clone());
    let names = addresses.iter().copied().zip(hosts).collect();
    let login = Login {
        user,
        password,
        database,
        tls: tls(attach, shared, names).map_err(|why| at(places, "attach", why))?,
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
