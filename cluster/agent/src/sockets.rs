//! What the kernel says of TCP connections: which of them wait for a retransmission, and how long.
//!
//! After a cut the kernel tries again at times that double (back-off): a connection that is whole
//! again says nothing until the next of them. Who asks the kernel (sock_diag, as
//! linux/inet_diag.h says) can tell that wait from one for the system.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
    setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};
use serde::{Deserialize, Serialize};

/// A netlink header.
const HEADER: usize = 16;
/// What is said of a connection before its attributes.
const BODY: usize = 72;
const BY_FAMILY: u16 = 20;
const DONE: u16 = 3;
const ERROR: u16 = 2;
const REQUEST: u16 = 1;
const DUMP: u16 = 0x300;
const TCP: u8 = 6;
/// The attribute with `struct tcp_info`, and the bit that asks for it.
const INFO: u16 = 2;
const WANT_INFO: u8 = 1 << (INFO - 1);
const ESTABLISHED: u8 = 1;
const SYN_SENT: u8 = 2;
const CLOSE_WAIT: u8 = 8;
/// Of the timers that a connection can wait for: a retransmission.
const RETRANSMISSION: u8 = 1;
const FAMILIES: [u8; 2] = [2, 10];
/// How long the kernel may take, s.
const ANSWER_S: i64 = 1;

/// A connection that waits for a retransmission, at least the second of the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Our end.
    pub local: SocketAddr,
    /// The other.
    pub peer: SocketAddr,
    /// Whether it is a connection that was asked for and is not made yet.
    #[serde(default)]
    pub connecting: bool,
    /// How often the same bytes were sent again by now.
    pub retransmits: u32,
    /// How often the time until the next was doubled.
    pub backoff: u32,
    /// From one to the next, µs.
    pub rto_us: u64,
    /// Until the next, ms.
    pub next_ms: u64,
    /// Bytes that the other end has not acknowledged.
    pub unacked: u64,
}

/// The connections of this host with these peers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sockets {
    /// How many are open.
    pub open: u64,
    /// Those that wait.
    pub waiting: Vec<Waiting>,
}

/// Asks the kernel.
pub fn of_peers(peers: &[IpAddr]) -> Result<Sockets, String> {
    let mut sockets = Sockets::default();
    for family in FAMILIES {
        match dump(family, &mut |body| sockets.take(body, peers)) {
            // Without the protocol there are no connections of it.
            Ok(()) | Err(Errno::EAFNOSUPPORT) => {}
            Err(Errno::ENOENT) => return Err("the kernel tells nothing of its sockets".to_owned()),
            Err(error) => return Err(format!("sock_diag: {error}")),
        }
    }
    Ok(sockets)
}

/// Every connection of a family that has bytes to send or is being made.
fn dump(family: u8, take: &mut dyn FnMut(&[u8])) -> Result<(), Errno> {
    let protocol = SockProtocol::NetlinkSockDiag;
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(ANSWER_S))?;
    let mut request = Vec::with_capacity(BODY);
    request.extend_from_slice(&(HEADER as u32 + 56).to_ne_bytes());
    request.extend_from_slice(&BY_FAMILY.to_ne_bytes());
    request.extend_from_slice(&(REQUEST | DUMP).to_ne_bytes());
    request.extend_from_slice(&[0; 8]);
    let states = 1_u32 << ESTABLISHED | 1 << SYN_SENT | 1 << CLOSE_WAIT;
    request.extend_from_slice(&[family, TCP, WANT_INFO, 0]);
    request.extend_from_slice(&states.to_ne_bytes());
    // Of any socket.
    request.resize(HEADER + 56, 0);
    send(socket.as_raw_fd(), &request, MsgFlags::empty())?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        if walk(&buffer[..length], take)? {
            return Ok(());
        }
    }
}

/// Takes the connections out of a datagram; whether it was the last.
fn walk(mut bytes: &[u8], take: &mut dyn FnMut(&[u8])) -> Result<bool, Errno> {
    while let Some(length) = word(bytes, 0) {
        let message = bytes.get(..length as usize).unwrap_or(bytes);
        match half(message, 4) {
            Some(DONE) => return Ok(true),
            Some(ERROR) => {
                let code = word(message, HEADER).unwrap_or(0) as i32;
                return Err(Errno::from_raw(-code));
            }
            Some(BY_FAMILY) => take(message.get(HEADER..).unwrap_or_default()),
            _ => {}
        }
        let next = (length as usize).next_multiple_of(4).max(HEADER);
        bytes = bytes.get(next..).unwrap_or_default();
    }
    Ok(false)
}

impl Sockets {
    fn take(&mut self, body: &[u8], peers: &[IpAddr]) {
        let Some((local, peer)) = ends(body).filter(|(_, peer)| peers.contains(&peer.ip())) else {
            return;
        };
        self.open += 1;
        let info = info(body);
        // struct tcp_info: retransmits at 2, backoff at 4, rto at 8.
        let byte = |at: usize| info.get(at).copied().map_or(0, u32::from);
        let (retransmits, backoff) = (byte(2).max(u32::from(body[3])), byte(4));
        if body[2] == RETRANSMISSION && 0 < retransmits {
            self.waiting.push(Waiting {
                local,
                peer,
                connecting: body[1] == SYN_SENT,
                retransmits,
                backoff,
                rto_us: word(info, 8).map_or(0, u64::from),
                next_ms: word(body, 52).map_or(0, u64::from),
                unacked: word(body, 60).map_or(0, u64::from),
            });
        }
    }
}

/// Both ends of a connection; nothing where the kernel's words are too short.
fn ends(body: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    if body.len() < BODY {
        return None;
    }
    let port = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
    let address = |at: usize| -> Option<IpAddr> {
        let bytes: [u8; 16] = body.get(at..at + 16)?.try_into().ok()?;
        Some(match body[0] {
            2 => IpAddr::V4(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3])),
            // A socket of both protocols speaks the older one by an address of the newer.
            _ => IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical(),
        })
    };
    Some((SocketAddr::new(address(8)?, port(4)), SocketAddr::new(address(24)?, port(6))))
}

/// The attribute with `struct tcp_info`; empty if there is none.
fn info(body: &[u8]) -> &[u8] {
    let mut rest = body.get(BODY..).unwrap_or_default();
    while let (Some(length), Some(kind)) = (half(rest, 0), half(rest, 2)) {
        let length = usize::from(length).max(4);
        if kind == INFO {
            return rest.get(4..length).unwrap_or_default();
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    &[]
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_kernel_tells_of_a_connection_by_either_protocol() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else {
                assert!(address.starts_with('['), "loopback has an address of IPv4");
                continue;
            };
            let there = listener.local_addr().unwrap();
            let stream = TcpStream::connect(there).unwrap();
            let (ends_of, own) = (listener.accept().unwrap(), stream.local_addr().unwrap());
            let mut seen = Vec::new();
            let family = if there.is_ipv4() { 2 } else { 10 };
            dump(family, &mut |body| seen.extend(ends(body))).unwrap();
            assert!(seen.contains(&(own, there)) && seen.contains(&(there, own)), "{seen:?}");
            let sockets = of_peers(&[there.ip()]).unwrap();
            assert!(2 <= sockets.open, "{sockets:?}");
            drop(ends_of);
        }
    }

    #[test]
    fn words_that_are_cut_short_are_no_connection() {
        let mut sockets = Sockets::default();
        for length in 0..BODY {
            sockets.take(&vec![2; length], &[IpAddr::from([2, 2, 2, 2])]);
        }
        assert_eq!(sockets, Sockets::default());
        assert_eq!(walk(&[1, 0, 0], &mut |_| ()), Ok(false));
        let mut body = vec![2; BODY];
        body[2] = RETRANSMISSION;
        body.extend_from_slice(&[255, 255, 2, 0, 1]);
        sockets.take(&body, &[IpAddr::from([2, 2, 2, 2])]);
        assert_eq!((sockets.open, sockets.waiting.len()), (1, 1), "told by the body alone");
    }
}
