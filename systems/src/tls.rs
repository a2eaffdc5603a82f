//! How connections to a cluster that exists are encrypted: the words of an inventory, and its
//! files, looked at before anything connects.

use std::path::{Path, PathBuf};

use openssl::error::ErrorStack;
use openssl::ssl::{SslConnector, SslConnectorBuilder, SslFiletype, SslMethod, SslVerifyMode};

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
    /// Client certificate and key; both may be in one file.
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

/// A connector's makings. An error names the file that is not there, or is not what it should be.
pub fn builder(mode: Mode, files: &Files) -> Result<SslConnectorBuilder, String> {
    let library = |error: ErrorStack| format!("OpenSSL: {error}");
    let file = |what: &str, path: &Path, error: ErrorStack| {
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
    Ok(builder)
}
