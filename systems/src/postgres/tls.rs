//! TLS to a server, by `postgres-openssl`: the driver's own authors keep it, and OpenSSL is linked
//! already, by ssh2.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use postgres_openssl::MakeTlsConnector;

use crate::tls::{Files, Mode, builder};

/// Whether and how connections are encrypted. The default is not at all.
#[derive(Clone, Default)]
pub struct Tls {
    connector: Option<MakeTlsConnector>,
    names: BTreeMap<SocketAddr, String>,
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
        let builder = builder(mode, files)?;
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
