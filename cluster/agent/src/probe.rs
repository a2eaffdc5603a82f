//! Probes: what a host sees of itself and of others.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

/// Largest body that is read, bytes.
const BODY_MAX: u64 = 4 << 20;

/// A plain `GET`: status code and body. HTTP/1.0, so that the body ends with the connection.
pub fn http(
    address: SocketAddr,
    request: &str,
    timeout: Duration,
) -> Result<(u16, String), String> {
    let fail = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => "no answer".to_owned(),
        std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        _ => error.to_string(),
    };
    let mut stream = TcpStream::connect_timeout(&address, timeout).map_err(fail)?;
    stream.set_read_timeout(Some(timeout)).map_err(fail)?;
    stream.set_write_timeout(Some(timeout)).map_err(fail)?;
    let request = format!(
        "{request} HTTP/1.0\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).map_err(fail)?;
    let mut text = Vec::new();
    stream.take(BODY_MAX).read_to_end(&mut text).map_err(fail)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").ok_or("not an HTTP answer")?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((status.ok_or("not an HTTP answer")?, body.to_owned()))
}

/// Whether a connection to each address can be made, tried all at once.
pub fn reach(targets: &[SocketAddr], timeout: Duration) -> Vec<String> {
    let try_one = |target: SocketAddr| match TcpStream::connect_timeout(&target, timeout) {
        Ok(_) => "connected".to_owned(),
        Err(error) => match error.kind() {
            std::io::ErrorKind::ConnectionRefused => "refused".to_owned(),
            std::io::ErrorKind::TimedOut | std::io::ErrorKind::WouldBlock => "timeout".to_owned(),
            _ => error.to_string(),
        },
    };
    thread::scope(|scope| {
        let tries = targets.iter().map(|target| scope.spawn(move || try_one(*target)));
        let tries: Vec<_> = tries.collect();
        tries.into_iter().map(|t| t.join().unwrap_or_else(|_| "failed".to_owned())).collect()
    })
}
