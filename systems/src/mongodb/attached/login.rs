//! From an inventory to members and a login.

use std::net::SocketAddr;
use std::path::Path;

use ::mongodb::options::{AuthMechanism, TlsOptions};
use cluster::inventory::{Attach, PasswordFrom, Places};
use openssl::x509::X509;

use crate::mongodb::connect::{Account, Login};
use crate::password;
use crate::servers::{Servers, at};
use crate::system::SystemError;
use crate::tls::{self, Files, Mode};
use crate::uri::{Form, Uri};

/// Its connection strings.
const FORM: Form = Form {
    schemes: &["mongodb://"],
    expected: "mongodb://user@host:port/?replicaSet=name",
    parameters: &["replicaSet", "authSource", "authMechanism", "tls"],
};
/// Where MongoDB listens unless told otherwise.
const PORT: u16 = 27_017;

/// How all nodes are reached.
pub struct Logins {
    /// Each node's host, as it is written, and port: certificates are checked by it.
    pub hosts: Vec<(String, u16)>,
    /// What they stand for.
    pub addresses: Vec<SocketAddr>,
    /// For all of them.
    pub login: Login,
    /// The replica set's name, if it was said.
    pub set: Option<String>,
}

/// Works them out; reads the password and looks at the certificates. Errors name file, line and
/// field.
pub fn logins(attach: &Attach, places: &Places) -> Result<Logins, SystemError> {
    let srv = |text: &Option<String>| text.as_ref().is_some_and(|t| t.starts_with("mongodb+srv:"));
    if srv(&attach.uri) || attach.nodes.iter().any(|node| srv(&node.uri)) {
        let why =
            "mongodb+srv:// is not looked up: expected mongodb://, and a node for each member";
        return Err(at(places, "attach.uri", why));
    }
    if attach.failover.is_some() {
        let why = "a replica set elects its primary by itself: leave failover out";
        return Err(at(places, "attach.failover", why));
    }
    let servers = Servers::of(&FORM, PORT, attach, places)?;
    let account = account(attach, places, &servers)?;
    let mode = mode(attach, &servers.shared).map_err(|why| at(places, "attach", why))?;
    let tls = tls(attach, mode).map_err(|why| at(places, "attach", why))?;
    let x509 = Some(AuthMechanism::MongoDbX509);
    if account.as_ref().is_some_and(|account| account.mechanism == x509)
        && tls.as_ref().is_none_or(|tls| tls.cert_key_file_path.is_none())
    {
        let why = "authMechanism=MONGODB-X509 needs client_cert, and TLS";
        return Err(at(places, "attach", why));
    }
    Ok(Logins {
        addresses: servers.resolve(attach, places)?,
        login: Login { account, tls, ..Login::default() },
        set: servers.shared.parameters.get("replicaSet").cloned(),
        hosts: servers.hosts,
    })
}

/// Who logs in; nobody, where there is no access control.
fn account(
    attach: &Attach,
    places: &Places,
    servers: &Servers,
) -> Result<Option<Account>, SystemError> {
    let Uri { user, database, parameters, .. } = &servers.shared;
    let mechanism = match parameters.get("authMechanism").map(String::as_str) {
        None => None,
        Some("SCRAM-SHA-1") => Some(AuthMechanism::ScramSha1),
        Some("SCRAM-SHA-256") => Some(AuthMechanism::ScramSha256),
        Some("MONGODB-X509") => Some(AuthMechanism::MongoDbX509),
        Some(other) => {
            let why = format!("authMechanism \"{other}\": expected SCRAM-SHA-1, SCRAM-SHA-256 or ");
            return Err(at(places, "attach.uri", why + "MONGODB-X509"));
        }
    };
    if mechanism == Some(AuthMechanism::MongoDbX509) {
        if attach.password != PasswordFrom::Nowhere {
            let why = "MONGODB-X509 needs a certificate, and no password";
            return Err(at(places, "attach", why));
        }
        let source = "$external".to_owned();
        return Ok(Some(Account { user: user.clone(), source, password: None, mechanism }));
    }
    let Some(user) = user else {
        if mechanism.is_none() && attach.password == PasswordFrom::Nowhere {
            return Ok(None);
        }
        let why = format!("no user: expected {}", FORM.expected);
        return Err(at(places, "attach.uri", why));
    };
    let source = parameters.get("authSource").or(database.as_ref()).cloned();
    let source = source.unwrap_or_else(|| "admin".to_owned());
    let password = servers.password(attach, places, user, &source)?;
    if password.is_none() {
        let why = format!("no password for {user}: expected password_env, password_file or ");
        return Err(at(places, "attach", why + "passfile"));
    }
    Ok(Some(Account { user: Some(user.clone()), source, password, mechanism }))
}

/// `sslmode`, and the uri's `tls`, which must not contradict it.
fn mode(attach: &Attach, shared: &Uri) -> Result<Mode, String> {
    let given = attach.sslmode.as_deref();
    let tls = match shared.parameters.get("tls").map(String::as_str) {
        None => None,
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(other) => return Err(format!("tls={other} in the uri: expected true or false")),
    };
    match (given, tls) {
        (Some("disable"), Some(true)) | (Some("verify-full" | "require"), Some(false)) => {
            let (given, tls) = (given.unwrap_or_default(), tls == Some(true));
            Err(format!("sslmode is \"{given}\" there and tls={tls} in the uri"))
        }
        (None, Some(false)) => Ok(Mode::Disable),
        // Whoever wants less says so.
        (None, _) => Ok(Mode::VerifyFull),
        (Some(mode), _) => Mode::by_name(mode)
            .ok_or_else(|| format!("sslmode \"{mode}\": expected verify-full, require or disable")),
    }
}

/// The driver's options. It takes certificate and key from one file, and checks a certificate with
/// its name, or not at all.
fn tls(attach: &Attach, mode: Mode) -> Result<Option<TlsOptions>, String> {
    if mode == Mode::Disable {
        return Ok(None);
    }
    if mode == Mode::Require && attach.ca.is_some() {
        return Err("sslmode = \"require\" checks no certificate of MongoDB: with a ca expected \
                    verify-full"
            .to_owned());
    }
    let client = attach.client_cert.clone();
    if let Some(pem) = &client {
        if attach.client_key.as_ref().is_some_and(|key| key != pem) {
            return Err("client_key: MongoDB's driver reads both from client_cert: put the key \
                        into that file"
                .to_owned());
        }
        password::private(pem, "client_cert")?;
    }
    let files = Files { ca: attach.ca.clone(), client: client.clone().map(|c| (c.clone(), c)) };
    // Only looked at: the driver reads them for itself, and says less.
    tls::builder(mode, &files)?;
    client.as_deref().map_or(Ok(()), version)?;
    let options = TlsOptions::builder()
        .ca_file_path(attach.ca.clone())
        .cert_key_file_path(client)
        .allow_invalid_certificates((mode == Mode::Require).then_some(true))
        .build();
    Ok(Some(options))
}

/// The driver's TLS knows certificates of version 3 alone, and calls others invalid peers.
fn version(pem: &Path) -> Result<(), String> {
    let fail = |why: String| format!("client_cert {}: {why}", pem.display());
    let bytes = std::fs::read(pem).map_err(|error| fail(error.to_string()))?;
    let certificate = X509::from_pem(&bytes).map_err(|error| fail(error.to_string()))?;
    match certificate.version() + 1 {
        3 => Ok(()),
        other => Err(format!(
            "client_cert {}: its certificate is of X.509 version {other}: expected 3, as openssl \
             makes them with extensions",
            pem.display()
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use cluster::Inventory;

    use super::*;

    const HOST: &str = "[[host]]\nname = \"a\"\naddress = \"127.0.0.1\"\n";

    /// What is said of an `[attach]` with these lines.
    fn told(lines: &str) -> Result<Logins, String> {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            path
        };
        write("pw", "hunter2\n");
        let text = format!("[attach]\nsystem = \"mongodb\"\n{lines}\n{HOST}");
        let inventory = Inventory::load(&write("inventory.toml", &text));
        let inventory = inventory.map_err(|error| error.to_string())?;
        let attach = inventory.attach.as_ref().unwrap();
        logins(attach, &inventory.places).map_err(|error| error.what)
    }

    #[test]
    fn a_string_says_who_logs_in_and_how() {
        let with = "password_file = \"pw\"\nsslmode = \"disable\"";
        let uri = |uri: &str| told(&format!("uri = \"mongodb://{uri}\"\n{with}")).unwrap();
        let logins = uri("app@/?replicaSet=rs0");
        assert_eq!(logins.set.as_deref(), Some("rs0"));
        assert_eq!(logins.addresses, ["127.0.0.1:27017".parse::<SocketAddr>().unwrap()]);
        let account = logins.login.account.unwrap();
        assert_eq!((account.source.as_str(), account.mechanism), ("admin", None));
        assert_eq!(account.password.as_deref(), Some("hunter2"));
        assert!(logins.login.tls.is_none());
        let source = |text| uri(text).login.account.unwrap().source;
        assert_eq!(source("app@127.0.0.1:27018/orders"), "orders");
        assert_eq!(source("app@/orders?authSource=users"), "users");
        let mechanism = uri("app@/?authMechanism=SCRAM-SHA-1").login.account.unwrap().mechanism;
        assert_eq!(mechanism, Some(AuthMechanism::ScramSha1));
        let nobody = told("uri = \"mongodb://127.0.0.1/?tls=false\"").unwrap();
        assert!(nobody.login.account.is_none() && nobody.login.tls.is_none());
        assert!(told("").unwrap().login.tls.is_some(), "whoever wants less says so");
    }

    #[test]
    fn what_cannot_be_meant_is_said_with_its_place() {
        for (lines, part) in [
            ("uri = \"mongodb+srv://x\"", "inventory.toml:3: attach.uri: mongodb+srv:// is not"),
            ("uri = \"mongodb://a:hunter2@/\"", "attach.uri: a password does not belong"),
            ("uri = \"mongodb://a@/?w=1\"", "unknown parameter w: expected replicaSet, auth"),
            ("uri = \"mongodb://a@/?authMechanism=PLAIN\"", "authMechanism \"PLAIN\": expected"),
            ("uri = \"mongodb://a@/\"", "no password for a: expected password_env"),
            ("password_file = \"pw\"", "attach.uri: no user: expected mongodb://user@host"),
            ("failover = \"none\"", "inventory.toml:3: attach.failover: a replica set elects"),
            ("uri = \"mongodb:///?tls=true\"\nsslmode = \"disable\"", "and tls=true in the uri"),
            ("uri = \"mongodb:///?tls=maybe\"", "tls=maybe in the uri: expected true or false"),
            ("sslmode = \"require\"\nca = \"pw\"", "with a ca expected verify-full"),
            ("ca = \"nowhere.pem\"", "nowhere.pem: No such file"),
            ("client_cert = \"pw\"\nclient_key = \"other\"", "client_key: MongoDB's driver reads"),
            ("client_cert = \"pw\"", "client_cert "),
            ("uri = \"mongodb:///?authMechanism=MONGODB-X509\"", "needs client_cert, and TLS"),
            (
                "uri = \"mongodb:///?authMechanism=MONGODB-X509\"\npassword_file = \"pw\"",
                "needs a certificate, and no password",
            ),
        ] {
            let error = told(lines).err().unwrap_or_default();
            assert!(error.contains(part), "{lines}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
