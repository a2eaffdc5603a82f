//! Makes a session: connection, host key, user key; each failure with its own error.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Instant;

use ssh2::{CheckResult, ErrorCode, KnownHostFileKind, Session};

use super::{CONNECT_LIMIT, jump};
use crate::host::{HostAddress, HostError};

/// libssh2's code for a limit of time that has passed.
const LIBSSH2_ERROR_TIMEOUT: i32 = -9;

/// A verified and authenticated session, blocking.
pub(super) fn connect(address: &HostAddress) -> Result<Session, HostError> {
    let started = Instant::now();
    let mut session = Session::new().map_err(|error| unreachable(address, &error))?;
    match &address.jump {
        Some(jump) => session.set_tcp_stream(jump::dial(address, jump)?),
        None => {
            let stream = dial(address)?;
            stream.set_nodelay(true).map_err(|error| unreachable(address, &error))?;
            session.set_tcp_stream(stream);
        }
    }
    let left = CONNECT_LIMIT.saturating_sub(started.elapsed()).as_millis().max(1);
    session.set_timeout(left as u32);
    session.handshake().map_err(|error| match error.code() {
        ErrorCode::Session(LIBSSH2_ERROR_TIMEOUT) => timeout(address, "connecting"),
        _ => unreachable(address, &error),
    })?;
    check_host_key(address, &session)?;
    log_in(address, &session).map_err(|error| match error.code() {
        ErrorCode::Session(LIBSSH2_ERROR_TIMEOUT) => timeout(address, "logging in"),
        _ => HostError::Auth {
            host: address.name.clone(),
            user: address.user.clone(),
            key: if address.ssh_agent { "(ssh-agent)".into() } else { address.key.clone() },
            why: error.message().to_owned(),
        },
    })?;
    session.set_keepalive(true, 2);
    Ok(session)
}

/// By the key file, or by each of the agent's identities in turn.
fn log_in(address: &HostAddress, session: &Session) -> Result<(), ssh2::Error> {
    if !address.ssh_agent {
        return session.userauth_pubkey_file(&address.user, None, &address.key, None);
    }
    let mut agent = session.agent()?;
    agent.connect()?;
    agent.list_identities()?;
    let mut last = ssh2::Error::new(ErrorCode::Session(-1), "the agent has no identity");
    for identity in agent.identities()? {
        match agent.userauth(&address.user, &identity) {
            Ok(()) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn dial(address: &HostAddress) -> Result<TcpStream, HostError> {
    let target = (address.address.as_str(), address.port);
    let found = target.to_socket_addrs().map_err(|error| unreachable(address, &error))?;
    let found: Vec<SocketAddr> = found.collect();
    let mut last = None;
    for target in found {
        match TcpStream::connect_timeout(&target, CONNECT_LIMIT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    match last {
        Some(error) => Err(unreachable(address, &error)),
        None => Err(unreachable(address, &"the name has no address")),
    }
}

fn check_host_key(address: &HostAddress, session: &Session) -> Result<(), HostError> {
    let fail = |error: ssh2::Error| unreachable(address, &error);
    let unknown = || HostError::UnknownKey {
        host: address.name.clone(),
        address: format!("{}:{}", address.address, address.port),
        known_hosts: address.known_hosts.clone(),
    };
    let mut known = session.known_hosts().map_err(fail)?;
    if known.read_file(&address.known_hosts, KnownHostFileKind::OpenSSH).is_err() {
        return Err(unknown());
    }
    let (key, _) = session.host_key().ok_or_else(unknown)?;
    match known.check_port(&address.address, address.port, key) {
        CheckResult::Match => Ok(()),
        CheckResult::NotFound | CheckResult::Failure => Err(unknown()),
        CheckResult::Mismatch => Err(HostError::ChangedKey {
            host: address.name.clone(),
            address: format!("{}:{}", address.address, address.port),
            known_hosts: address.known_hosts.clone(),
        }),
    }
}

pub(super) fn unreachable(address: &HostAddress, why: &dyn std::fmt::Display) -> HostError {
    HostError::Unreachable {
        host: address.name.clone(),
        address: format!("{}:{}", address.address, address.port),
        why: why.to_string(),
    }
}

fn timeout(address: &HostAddress, doing: &str) -> HostError {
    HostError::Timeout { host: address.name.clone(), doing: doing.to_owned(), limit: CONNECT_LIMIT }
}
