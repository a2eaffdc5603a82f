//! Hosts that never let a connection come about: each is given up in time, and at once when asked.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use splitbrain_cluster::ssh::{CONNECT_LIMIT, interruptible};
use splitbrain_cluster::{HostAddress, HostError, SshHost};

/// How a server keeps a client waiting.
type Manner = fn(&mut TcpStream);

fn talk(stream: &mut TcpStream, words: &[u8]) {
    while stream.write_all(words).is_ok() {}
}

const MANNERS: [(&str, Manner); 5] = [
    ("one line without end", |stream| talk(stream, &[b'x'; 60_000])),
    ("lines without end", |stream| talk(stream, &b"hello there\r\n".repeat(5_000))),
    ("silence", |_| {}),
    ("a banner and no more", |stream| drop(stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n"))),
    ("half a banner", |stream| drop(stream.write_all(b"SSH-2.0-Ope"))),
];

/// Serves in its own way until the test ends.
fn server(manner: Manner) -> HostAddress {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut held = Vec::new();
        for mut stream in listener.incoming().flatten() {
            manner(&mut stream);
            held.push(stream);
        }
    });
    HostAddress {
        name: "n1".to_owned(),
        address: "127.0.0.1".to_owned(),
        port,
        user: "root".to_owned(),
        key: PathBuf::from("/nowhere"),
        ssh_agent: false,
        sudo: false,
        jump: None,
        region: None,
        known_hosts: PathBuf::from("/nowhere"),
        data_address: "127.0.0.1".parse().unwrap(),
    }
}

/// An error and how long it took.
fn refused(address: HostAddress) -> (HostError, Duration) {
    let begun = Instant::now();
    let error = SshHost::connect(address).err().unwrap();
    (error, begun.elapsed())
}

#[test]
fn a_host_that_keeps_a_client_waiting_is_given_up_within_the_limit_whatever_its_way() {
    thread::scope(|scope| {
        let tries =
            MANNERS.map(|(what, manner)| (what, scope.spawn(move || refused(server(manner)))));
        for (what, found) in tries {
            let (error, took) = found.join().unwrap();
            assert!(matches!(error, HostError::Timeout { .. }), "{what}: {error}");
            assert!(took < CONNECT_LIMIT + Duration::from_secs(2), "{what}: {took:?}");
        }
    });
}

#[test]
fn a_connection_is_given_up_at_once_when_the_user_wants_the_end() {
    let asked = Arc::new(AtomicBool::new(false));
    let wants = Arc::clone(&asked);
    interruptible(
        move || wants.load(Ordering::SeqCst),
        || {
            thread::scope(|scope| {
                let tries = MANNERS.map(|(what, manner)| {
                    let address = server(manner);
                    (what, scope.spawn(move || refused(address)))
                });
                asked.store(true, Ordering::SeqCst);
                for (what, found) in tries {
                    let (error, took) = found.join().unwrap();
                    assert!(error.to_string().contains("interrupted while"), "{what}: {error}");
                    assert!(took < CONNECT_LIMIT / 2, "{what}: {took:?}");
                }
            });
        },
    );
}
