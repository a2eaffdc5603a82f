//! TLS to a server, by `postgres-openssl`: the driver's own authors keep it, and OpenSSL is linked
//! already, by ssh2.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use openssl::ssl::{SslConnector, SslFiletype, SslMethod, SslVerifyMode};
use postgres_openssl::MakeTlsConnector;

/// Whether and how connections are encrypted. The default is not at all.
#[derive(Clone, Default)]
pub struct Tls {
    connector: Option<MakeTlsConnector>,
    names: BTreeMap<SocketAddr, String>,
}

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The certificate is checked, and that it names the server that was asked for.
    VerifyFull,
    /// Encrypted. With an authority the certificate is checked, its name is not; without, nothing
    /// is: as libpq has it.
    Require,
    /// In the clear.
    Disable,
}

/// The files that a connection needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Certificate authority; without it the system's.
    pub ca: Option<PathBuf>,
    /// Client certificate and key.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl Mode {
    /// Reads `sslmode`.
    pub fn by_name(name: &str) -> Option<Mode> {
        match name {
            "verify-full" => Some(Mode::VerifyFull),
            "require" => Some(Mode::Require),
            "disable" => Some(Mode::Disable),
            _ => None,
        }
    }
}

impl Tls {
    /// As wanted; `names` are what the certificates of the servers at these addresses must name.
    pub fn new(
        mode: Mode,
        files: &Files,
        names: BTreeMap<SocketAddr, String>,
    ) -> Result<Tls, String> {
        if mode == Mode::Disable {
            return Ok(Tls { connector: None, names });
        }
        let library = |error: openssl::error::ErrorStack| format!("OpenSSL: {error}");
        let file = |what: &str, path: &Path, error: openssl::error::ErrorStack| {
            let why = match std::fs::metadata(path) {
                Err(missing) => missing.to_string(),
                Ok(_) => error.to_string(),
            };
            format!("{what} {}: {why}", path.display())
        };
        let mut builder = SslConnector::builder(SslMethod::tls_client()).map_err(library)?;
        if let Some(ca) = &files.ca {
            builder.set_ca_file(ca).map_err(|error| file("ca", ca, error))?;
        }
        if let Some((cert, key)) = &files.client {
            let set = builder.set_certificate_chain_file(cert);
            set.map_err(|error| file("client_cert", cert, error))?;
            let set = builder.set_private_key_file(key, SslFiletype::PEM);
            set.map_err(|error| file("client_key", key, error))?;
            builder.check_private_key().map_err(|error| file("client_key", key, error))?;
        }
        if mode == Mode::Require && files.ca.is_none() {
            builder.set_verify(SslVerifyMode::NONE);
        }
        let mut connector = MakeTlsConnector::new(builder.build());
        if mode == Mode::Require {
            connector.set_callback(|config, _| {
                config.set_verify_hostname(false);
                Ok(())
            });
        }
        Ok(Tls { connector: Some(connector), names })
    }

    /// What makes connections, if they are encrypted.
    pub fn connector(&self) -> Option<MakeTlsConnector> {
        self.connector.clone()
    }

    /// The name that the server at this address goes by.
    pub fn name(&self, address: SocketAddr) -> String {
        self.names.get(&address).cloned().unwrap_or_else(|| address.ip().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let files = Files { ca: Some("/nowhere/ca.pem".into()), client: None };
        let error = Tls::new(Mode::VerifyFull, &files, BTreeMap::new()).err().unwrap();
        assert!(error.starts_with("ca /nowhere/ca.pem: No such file"), "{error}");
        assert!(Tls::new(Mode::Disable, &files, BTreeMap::new()).is_ok(), "not looked at");
    }
}
