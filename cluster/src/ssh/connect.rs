//! Makes a session: connection, host key, user key; each failure with its own error.

use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use ssh2::{CheckResult, ErrorCode, KnownHostFileKind, Session};

use super::limit::{Ended, Limit, Shut};
use super::{CONNECT_LIMIT, jump};
use crate::host::{HostAddress, HostError};

/// libssh2's code for a limit of time that has passed.
const LIBSSH2_ERROR_TIMEOUT: i32 = -9;

/// A verified and authenticated session, blocking, and what shuts its socket down. All of it, from
/// the name's look-up to the log-in, takes no longer than [`CONNECT_LIMIT`].
pub(super) fn connect(address: &HostAddress) -> Result<(Session, Shut), HostError> {
    let started = Instant::now();
    let left = || CONNECT_LIMIT.saturating_sub(started.elapsed()).max(Duration::from_millis(1));
    let fail = |error: std::io::Error| unreachable(address, &error);
    let mut session = Session::new().map_err(|error| unreachable(address, &error))?;
    let shut: Shut = match &address.jump {
        Some(jump) => {
            let stream = jump::dial(address, jump)?;
            let own = stream.try_clone().map_err(fail)?;
            session.set_tcp_stream(stream);
            Arc::new(move || drop(own.shutdown(Shutdown::Both)))
        }
        None => {
            let stream = dial(address, &left)?;
            stream.set_nodelay(true).map_err(fail)?;
            let own = stream.try_clone().map_err(fail)?;
            session.set_tcp_stream(stream);
            Arc::new(move || drop(own.shutdown(Shutdown::Both)))
        }
    };
    let limit = Limit::start(Arc::clone(&shut), left(), CONNECT_LIMIT);
    session.set_timeout(left().as_millis() as u32);
    session.handshake().map_err(|error| {
        cut_short(address, "connecting", &limit, &error)
            .unwrap_or_else(|| unreachable(address, &error))
    })?;
    check_host_key(address, &session)?;
    log_in(address, &session).map_err(|error| {
        cut_short(address, "logging in", &limit, &error).unwrap_or_else(|| HostError::Auth {
            host: address.name.clone(),
            user: address.user.clone(),
            key: if address.ssh_agent { "(ssh-agent)".into() } else { address.key.clone() },
            why: why_refused(address, &error),
        })
    })?;
    match limit.ended() {
        Some(Ended::Interrupted) => return Err(interrupted(address, "logging in")),
        Some(Ended::Late) => return Err(timeout(address, "logging in")),
        None => {}
    }
    session.set_keepalive(true, 2);
    Ok((session, shut))
}

/// What ended a phase, if it was a limit of time or the user.
fn cut_short(
    address: &HostAddress,
    doing: &str,
    limit: &Limit,
    error: &ssh2::Error,
) -> Option<HostError> {
    match (limit.ended(), error.code()) {
        (Some(Ended::Interrupted), _) => Some(interrupted(address, doing)),
        (Some(Ended::Late), _) | (None, ErrorCode::Session(LIBSSH2_ERROR_TIMEOUT)) => {
            Some(timeout(address, doing))
        }
        _ => None,
    }
}

/// The user wanted the end.
pub(super) fn interrupted(address: &HostAddress, doing: &str) -> HostError {
    HostError::Local { host: address.name.clone(), why: format!("interrupted while {doing}") }
}

/// libssh2 says of a key with a passphrase that its format is unsupported, which sends one looking
/// in the wrong place.
fn why_refused(address: &HostAddress, error: &ssh2::Error) -> String {
    let why = error.message().to_owned();
    match !address.ssh_agent && is_encrypted(&address.key) {
        true => format!(
            "the key has a passphrase ({why}); ssh-add it and leave `key` out, so that ssh-agent's \
             keys are tried, or name one without a passphrase"
        ),
        false => why,
    }
}

/// Whether a private key has a passphrase: said in its first lines, or, in OpenSSH's own format, by
/// the name of a cipher that is not `none`.
fn is_encrypted(key: &std::path::Path) -> bool {
    let text = std::fs::read_to_string(key).unwrap_or_default();
    if text.contains("ENCRYPTED") {
        return true;
    }
    // base64 of "openssh-key-v1\0", the length of "none" and "none" itself.
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    body.starts_with("b3BlbnNzaC1rZXktdjE") && !body.starts_with("b3BlbnNzaC1rZXktdjEAAAAABG5vbmU")
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

fn dial(address: &HostAddress, left: &dyn Fn() -> Duration) -> Result<TcpStream, HostError> {
    let (found, look_up) = channel();
    let target = (address.address.clone(), address.port);
    // The system's look-up of names knows no limit: it is left behind when it takes too long.
    thread::spawn(move || {
        let targets = (target.0.as_str(), target.1).to_socket_addrs();
        let _ = found.send(targets.map(Iterator::collect::<Vec<SocketAddr>>));
    });
    let found = look_up.recv_timeout(left());
    let found = found.map_err(|_| timeout(address, "looking its name up"))?;
    let found = found.map_err(|error| unreachable(address, &error))?;
    let mut last = None;
    for target in found {
        match TcpStream::connect_timeout(&target, left()) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_with_a_passphrase_is_known_by_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        for (text, encrypted) in [
            ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAE\n", false),
            ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1j\n", true),
            ("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIE\n", true),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIE\n", true),
            ("-----BEGIN PRIVATE KEY-----\nMIIE\n", false),
            ("ssh-ed25519 AAAA\n", false),
        ] {
            std::fs::write(&key, text).unwrap();
            assert_eq!(is_encrypted(&key), encrypted, "{text}");
        }
        assert!(!is_encrypted(&folder.path().join("none")));
    }
}
