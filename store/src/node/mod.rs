//! The real process around a core: HTTP to clients and other nodes, a log on disk.
//!
//! One thread owns the core and the log ([`engine`]); axum handlers hand it inputs and wait for
//! answers; one task a peer carries messages ([`peers`]).
//!
//! Read next: [`engine`], [`wal`].

mod engine;
mod http;
mod peers;
mod wal;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::config::CoreConfig;

/// What a node process is started with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeConfig {
    /// The core's settings.
    pub core: CoreConfig,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where each node listens, by number, itself included.
    pub peers: Vec<SocketAddr>,
    /// Where the log is kept.
    pub data_dir: PathBuf,
    /// Whether the log is synced to disk before it counts as written.
    pub fsync: bool,
}

/// Why a node cannot run.
#[derive(Debug, Error)]
pub enum NodeError {
    /// The configuration file.
    #[error("cannot read the configuration {path}")]
    Config {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The configuration's text.
    #[error("the configuration {path} is not valid: {why}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The port.
    #[error("cannot listen on {address}: is another node running there?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The log.
    #[error("cannot use the log {path}")]
    Log {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl NodeConfig {
    /// Reads a configuration file.
    pub fn load(path: &Path) -> Result<NodeConfig, NodeError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| NodeError::Config { path: path.to_owned(), source })?;
        serde_json::from_str(&text)
            .map_err(|error| NodeError::Invalid { path: path.to_owned(), why: error.to_string() })
    }
}

/// Runs a node until the process is ended. `ready` is called with the address once it listens.
pub async fn run(config: NodeConfig, ready: impl FnOnce(SocketAddr)) -> Result<(), NodeError> {
    let address = config.listen;
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .map_err(|source| NodeError::Listen { address, source })?;
    let peers = peers::start(&config);
    let handle = engine::start(&config, peers)?;
    ready(address);
    axum::serve(listener, http::router(handle))
        .await
        .map_err(|source| NodeError::Listen { address, source })
}
