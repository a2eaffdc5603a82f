//! The official driver, pointed at one member and nobody else.

use std::net::SocketAddr;
use std::time::Duration;

use ::mongodb::Client;
use ::mongodb::error::Error;
use ::mongodb::options::{AuthMechanism, ClientOptions, Credential, ServerAddress};

/// Longest wait for a connection, and how often the driver looks after a member: its shortest.
const CONNECT: Duration = Duration::from_millis(500);
/// How long the driver may look for a member that it believes to be gone: less than an operation's
/// deadline, so that another can be asked.
const SELECT: Duration = Duration::from_millis(300);
/// Most connections to a member.
const POOL_MAX: u32 = 2_000;
/// Most connections that are made at once.
const CONNECTING_MAX: u32 = 16;

/// Whom to log in as.
#[derive(Clone)]
pub struct Login {
    /// The user.
    pub user: &'static str,
    /// The database that knows it.
    pub source: &'static str,
    /// The password; never written to a run's folder.
    pub password: String,
}

impl Login {
    /// The members' own user, whose password is the key file: there before anybody else is.
    pub fn internal(key: &str) -> Login {
        Login { user: "__system", source: "local", password: key.to_owned() }
    }

    /// The user of a run's sessions.
    pub fn sessions(password: &str) -> Login {
        Login { user: "splitbrain", source: "admin", password: password.to_owned() }
    }
}

/// A client of the member at this address. Must be called within a runtime, which the driver's
/// tasks run on from then on.
pub fn direct(address: SocketAddr, login: &Login, retryable_writes: bool) -> Result<Client, Error> {
    let host = ServerAddress::Tcp { host: address.ip().to_string(), port: Some(address.port()) };
    let credential = Credential::builder()
        .username(login.user.to_owned())
        .source(login.source.to_owned())
        .password(login.password.clone())
        .mechanism(AuthMechanism::ScramSha256)
        .build();
    let options = ClientOptions::builder()
        .hosts(vec![host])
        .direct_connection(true)
        .app_name("splitbrain".to_owned())
        .credential(credential)
        .connect_timeout(CONNECT)
        .heartbeat_freq(CONNECT)
        .server_selection_timeout(SELECT)
        .retry_reads(false)
        .retry_writes(retryable_writes)
        .max_adaptive_retries(0)
        .max_pool_size(POOL_MAX)
        .max_connecting(CONNECTING_MAX)
        .build();
    Client::with_options(options)
}
