//! The official driver, pointed at one member and nobody else.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::mongodb::Client;
use ::mongodb::error::{Error, ErrorKind};
use ::mongodb::event::EventHandler;
use ::mongodb::event::sdam::SdamEvent;
use ::mongodb::options::{
    AuthMechanism, ClientOptions, Credential, ServerAddress, Tls, TlsOptions,
};

use super::errors::describe;
use crate::refusals::Refusals;

/// Longest wait for a connection, and how often the driver looks after a member: its shortest.
pub const CONNECT: Duration = Duration::from_millis(500);
/// The same for a connection that must agree on keys first.
const CONNECT_TLS: Duration = Duration::from_secs(2);
/// How long the driver may look for a member that it believes to be gone: less than an operation's
/// deadline, so that another can be asked.
const SELECT: Duration = Duration::from_millis(300);
/// The same where connections must agree on keys first.
const SELECT_TLS: Duration = Duration::from_millis(800);
/// Most connections to a member.
const POOL_MAX: u32 = 2_000;
/// Most connections that are made at once.
const CONNECTING_MAX: u32 = 16;

/// How to get in.
#[derive(Clone, Default)]
pub struct Login {
    /// Whom to log in as; nobody, where there is no access control.
    pub account: Option<Account>,
    /// How connections are encrypted, if they are.
    pub tls: Option<TlsOptions>,
    /// Members, by their numbers, that have refused the log-in.
    pub refusals: Refusals<usize>,
}

/// Whom to log in as.
#[derive(Clone)]
pub struct Account {
    /// The user; a certificate may say it.
    pub user: Option<String>,
    /// The database that knows it.
    pub source: String,
    /// The password; never written to a run's folder.
    pub password: Option<String>,
    /// How it is proved; without one the server's best is taken, as drivers do.
    pub mechanism: Option<AuthMechanism>,
}

/// The user of a run's sessions, where splitbrain built the replica set.
pub const SESSIONS: &str = "splitbrain";

impl Login {
    /// The members' own user, whose password is the key file: there before anybody else is.
    pub fn internal(key: &str) -> Login {
        Login::scram("__system", "local", key)
    }

    /// The user of a run's sessions.
    pub fn sessions(password: &str) -> Login {
        Login::scram(SESSIONS, "admin", password)
    }

    fn scram(user: &str, source: &str, password: &str) -> Login {
        let account = Account {
            user: Some(user.to_owned()),
            source: source.to_owned(),
            password: Some(password.to_owned()),
            mechanism: Some(AuthMechanism::ScramSha256),
        };
        Login { account: Some(account), ..Login::default() }
    }

    /// The same connections, with nobody logged in.
    pub fn nobody(&self) -> Login {
        Login { account: None, ..self.clone() }
    }

    /// Notes whether the member has refused the log-in.
    pub fn heed(&self, node: usize, error: &Error) {
        if matches!(*error.kind, ErrorKind::Authentication { .. }) {
            self.refusals.refused(node);
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

/// The last error of a driver that looks after a member: what it says of an operation is only that
/// nobody was there.
#[derive(Clone, Default)]
pub struct LastWords(Arc<Mutex<Option<String>>>);

impl LastWords {
    fn hear(&self, event: SdamEvent) {
        if let SdamEvent::ServerHeartbeatFailed(event) = event {
            let said = describe(&event.failure);
            *self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(said);
        }
    }

    /// What an error says, and where it says nothing what was heard last.
    pub fn of(&self, error: &Error) -> String {
        let heard = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        match (error.kind.as_ref(), heard) {
            (ErrorKind::ServerSelection { .. }, Some(heard)) => heard,
            _ => describe(error),
        }
    }
}

/// A client of this member. Must be called within a runtime, which the driver's tasks run on from
/// then on.
pub fn direct(member: &Peer, login: &Login, retryable_writes: bool) -> Result<Client, Error> {
    let mut options = direct_options(member, login);
    options.retry_writes = Some(retryable_writes);
    Client::with_options(options)
}

/// The same, with its last words.
pub fn direct_heard(member: &Peer, login: &Login) -> Result<(Client, LastWords), Error> {
    let words = LastWords::default();
    let heard = words.clone();
    let mut options = direct_options(member, login);
    options.sdam_event_handler = Some(EventHandler::callback(move |event| heard.hear(event)));
    Ok((Client::with_options(options)?, words))
}

fn direct_options(member: &Peer, login: &Login) -> ClientOptions {
    let host = ServerAddress::Tcp { host: member.host.clone(), port: Some(member.port) };
    let mut options = options(vec![host], login);
    options.direct_connection = Some(true);
    let select = if login.tls.is_some() { SELECT_TLS } else { SELECT };
    options.server_selection_timeout = Some(select);
    options
}

/// What every client is set to: nothing is sent again.
pub fn options(hosts: Vec<ServerAddress>, login: &Login) -> ClientOptions {
    let connect = if login.tls.is_some() { CONNECT_TLS } else { CONNECT };
    let mut options = ClientOptions::builder()
        .hosts(hosts)
        .app_name("splitbrain".to_owned())
        .connect_timeout(connect)
        .heartbeat_freq(CONNECT)
        .retry_reads(false)
        .retry_writes(false)
        .max_adaptive_retries(0)
        .max_pool_size(POOL_MAX)
        .max_connecting(CONNECTING_MAX)
        .build();
    options.credential = login.account.as_ref().map(credential);
    options.tls = login.tls.clone().map(Tls::Enabled);
    options
}

fn credential(account: &Account) -> Credential {
    let mut credential = Credential::builder().source(account.source.clone()).build();
    credential.username = account.user.clone();
    credential.password = account.password.clone();
    credential.mechanism = account.mechanism.clone();
    credential
}
