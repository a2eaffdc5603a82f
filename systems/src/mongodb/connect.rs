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
    pub user: String,
    /// The database that knows it.
    pub source: String,
    /// The password; never written to a run's folder.
    pub password: String,
    /// How it is proved; without one the server's best is taken, as drivers do.
    pub mechanism: Option<AuthMechanism>,
}

impl Login {
    /// The members' own user, whose password is the key file: there before anybody else is.
    pub fn internal(key: &str) -> Login {
        Login::scram("__system", "local", key)
    }

    /// The user of a run's sessions.
    pub fn sessions(password: &str) -> Login {
        Login::scram("splitbrain", "admin", password)
    }

    fn scram(user: &str, source: &str, password: &str) -> Login {
        Login {
            user: user.to_owned(),
            source: source.to_owned(),
            password: password.to_owned(),
            mechanism: Some(AuthMechanism::ScramSha256),
        }
    }
}

/// A member as it is reached, and as the replica set calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where it is reached.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Its `host` in the set's configuration.
    pub known_as: String,
}

impl From<SocketAddr> for Peer {
    /// One that is known by its address.
    fn from(address: SocketAddr) -> Peer {
        let (host, port) = (address.ip().to_string(), address.port());
        Peer { host, port, known_as: address.to_string() }
    }
}

/// A client of this member. Must be called within a runtime, which the driver's tasks run on from
/// then on.
pub fn direct(member: &Peer, login: &Login, retryable_writes: bool) -> Result<Client, Error> {
    let host = ServerAddress::Tcp { host: member.host.clone(), port: Some(member.port) };
    let mut options = options(vec![host], login);
    options.direct_connection = Some(true);
    options.server_selection_timeout = Some(SELECT);
    options.retry_writes = Some(retryable_writes);
    Client::with_options(options)
}

/// What every client is set to: nothing is sent again.
pub fn options(hosts: Vec<ServerAddress>, login: &Login) -> ClientOptions {
    let mut credential = Credential::builder()
        .username(login.user.clone())
        .source(login.source.clone())
        .password(login.password.clone())
        .build();
    credential.mechanism = login.mechanism.clone();
    ClientOptions::builder()
        .hosts(hosts)
        .app_name("splitbrain".to_owned())
        .credential(credential)
        .connect_timeout(CONNECT)
        .heartbeat_freq(CONNECT)
        .retry_reads(false)
        .retry_writes(false)
        .max_adaptive_retries(0)
        .max_pool_size(POOL_MAX)
        .max_connecting(CONNECTING_MAX)
        .build()
}
