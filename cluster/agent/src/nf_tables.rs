//! A table of nf_tables, made and deleted over netlink, as linux/netfilter/nf_tables.h says.
//!
//! The program `nft` does the same, but starting it takes longer than all the rest of a partition,
//! and a host may lack it.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
    setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

/// Subsystem of nfnetlink, in the high byte of a message's type.
const TABLES: u16 = 10 << 8;
const NEW_TABLE: u16 = TABLES;
const DELETE_TABLE: u16 = TABLES | 2;
const NEW_CHAIN: u16 = TABLES | 3;
const NEW_RULE: u16 = TABLES | 6;
const DELETE_RULE: u16 = TABLES | 8;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const ERROR: u16 = 2;
const REQUEST: u16 = 1;
const ACK: u16 = 4;
/// Make it, unless it is there.
const CREATE: u16 = 0x400;
/// Behind those that are there.
const APPEND: u16 = 0x800;
const FAMILY_INET: u8 = 1;
/// Behind table `mangle` (-150), where shapers take their packets from, and before `filter` (0). A
/// packet that a shaper held goes on behind the place that it was taken from: only there does it
/// meet a cut that was made meanwhile.
const PRIORITY: i32 = -140;
const HOOK_INPUT: u32 = 1;
const NESTED: u16 = 0x8000;
const REGISTER: u32 = 1;
const VERDICT: u32 = 0;
const META_PROTOCOL: u32 = 16;
const META_INTERFACE: u32 = 6;
const META_FAMILY: u32 = 15;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
const TCP: u8 = 6;
/// How long the kernel may take, s: it waits until nobody uses what is deleted.
const ANSWER_S: i64 = 5;

/// What a packet must be like.
#[derive(Clone, Copy, Debug)]
pub enum Match<'a> {
    /// It came by this interface.
    Interface(&'a str),
    /// From this address.
    From(IpAddr),
    /// To this port of TCP.
    ToPort(u16),
}

/// What becomes of it.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    /// It is gone.
    Drop = 0,
    /// It goes on to the host's own rules.
    Accept = 1,
}

/// Makes a table with a chain `input` and these rules; what it held before is gone.
pub fn install(name: &str, rules: &[(Vec<Match<'_>>, Fate)]) -> io::Result<()> {
    let hook = [number(1, HOOK_INPUT), number(2, PRIORITY as u32)].concat();
    let of = [text(1, name), text(2, "input")].concat();
    let mut batch = Batch::default();
    batch.add(NEW_TABLE, CREATE, &text(1, name));
    let chain =
        [text(1, name), text(3, "input"), nested(4, &hook), number(5, 1), text(7, "filter")];
    batch.add(NEW_CHAIN, CREATE, &chain.concat());
    batch.add(DELETE_RULE, 0, &of);
    for (matches, fate) in rules {
        let all: Vec<u8> = matches.iter().flat_map(|wanted| expressions(*wanted)).collect();
        let body = [of.clone(), nested(4, &[all, verdict(*fate)].concat())].concat();
        batch.add(NEW_RULE, CREATE | APPEND, &body);
    }
    batch.send()
}

/// Deletes a table; `false` if there was none.
pub fn delete(name: &str) -> io::Result<bool> {
    let mut batch = Batch::default();
    batch.add(DELETE_TABLE, 0, &text(1, name));
    match batch.send() {
        Ok(()) => Ok(true),
        Err(error) => match error.raw_os_error().map(Errno::from_raw) {
            // The kernel has no such table, or no tables at all.
            Some(Errno::ENOENT | Errno::EOPNOTSUPP | Errno::EPROTONOSUPPORT) => Ok(false),
            _ => Err(error),
        },
    }
}

/// Messages of which all count or none.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    count: u32,
}

impl Batch {
    fn add(&mut self, kind: u16, flags: u16, body: &[u8]) {
        self.count += 1;
        message(&mut self.bytes, (kind, REQUEST | ACK | flags), self.count, FAMILY_INET, body);
    }

    fn send(self) -> io::Result<()> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let protocol = SockProtocol::NetlinkNetFilter;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(ANSWER_S))?;
        let mut bytes = Vec::new();
        message(&mut bytes, (BATCH_BEGIN, REQUEST), 0, 0, &[]);
        bytes.extend_from_slice(&self.bytes);
        message(&mut bytes, (BATCH_END, REQUEST), 0, 0, &[]);
        send(socket.as_raw_fd(), &bytes, MsgFlags::empty())?;
        // One answer a message; where one is refused, the others may have none.
        let mut left = self.count;
        let mut buffer = vec![0; 64 << 10];
        while 0 < left {
            let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
            let codes = codes(&buffer[..length]);
            if let Some(code) = codes.iter().find(|code| **code != 0) {
                return Err(io::Error::from_raw_os_error(-code));
            }
            left = left.saturating_sub(codes.len().max(1) as u32);
        }
        Ok(())
    }
}

fn message(bytes: &mut Vec<u8>, (kind, flags): (u16, u16), sequence: u32, family: u8, body: &[u8]) {
    let length = 20 + body.len() as u32;
    bytes.extend_from_slice(&length.to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&flags.to_ne_bytes());
    bytes.extend_from_slice(&sequence.to_ne_bytes());
    // To the kernel; version 0; a batch says whose it is.
    bytes.extend_from_slice(&[0, 0, 0, 0, family, 0]);
    let subsystem = if kind & TABLES == TABLES { 0 } else { TABLES >> 8 };
    bytes.extend_from_slice(&subsystem.to_be_bytes());
    bytes.extend_from_slice(body);
}

/// The codes of the acknowledgements in a datagram: 0, or an error number below it.
fn codes(mut bytes: &[u8]) -> Vec<i32> {
    let mut found = Vec::new();
    while let Some(head) = bytes.get(..20) {
        let word = |at: usize| [head[at], head[at + 1], head[at + 2], head[at + 3]];
        if u16::from_ne_bytes([head[4], head[5]]) == ERROR {
            found.push(i32::from_ne_bytes(word(16)));
        }
        let length = (u32::from_ne_bytes(word(0)) as usize).next_multiple_of(4).max(20);
        bytes = bytes.get(length..).unwrap_or_default();
    }
    found
}

fn attribute(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = (4 + body.len() as u16).to_ne_bytes().to_vec();
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(body);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn nested(kind: u16, body: &[u8]) -> Vec<u8> {
    attribute(kind | NESTED, body)
}

fn number(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_be_bytes())
}

fn text(kind: u16, value: &str) -> Vec<u8> {
    attribute(kind, &[value.as_bytes(), &[0]].concat())
}

fn expression(name: &str, data: &[Vec<u8>]) -> Vec<u8> {
    nested(1, &[text(1, name), nested(2, &data.concat())].concat())
}

fn meta(key: u32) -> Vec<u8> {
    expression("meta", &[number(2, key), number(1, REGISTER)])
}

fn payload(base: u32, offset: u32, length: u32) -> Vec<u8> {
    let read = [number(1, REGISTER), number(2, base), number(3, offset), number(4, length)];
    expression("payload", &read)
}

fn equals(value: &[u8]) -> Vec<u8> {
    let value = nested(3, &attribute(1, value));
    expression("cmp", &[number(1, REGISTER), number(2, 0), value])
}

fn verdict(fate: Fate) -> Vec<u8> {
    let code = nested(2, &nested(2, &number(1, fate as u32)));
    expression("immediate", &[number(1, VERDICT), code])
}

fn expressions(wanted: Match<'_>) -> Vec<u8> {
    let parts = match wanted {
        Match::Interface(name) => {
            let mut padded = name.as_bytes().to_vec();
            padded.resize(16, 0);
            vec![meta(META_INTERFACE), equals(&padded)]
        }
        Match::From(address) => {
            let (family, offset, bytes) = match address {
                IpAddr::V4(address) => (2, 12, address.octets().to_vec()),
                IpAddr::V6(address) => (10, 8, address.octets().to_vec()),
            };
            let length = bytes.len() as u32;
            let read = payload(NETWORK_HEADER, offset, length);
            vec![meta(META_FAMILY), equals(&[family]), read, equals(&bytes)]
        }
        Match::ToPort(port) => {
            let read = payload(TRANSPORT_HEADER, 2, 2);
            vec![meta(META_PROTOCOL), equals(&[TCP]), read, equals(&port.to_be_bytes())]
        }
    };
    parts.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_answers_are_read() {
        assert_eq!(text(1, "lo"), [7, 0, 1, 0, b'l', b'o', 0, 0]);
        assert_eq!(number(2, 7), [8, 0, 2, 0, 0, 0, 0, 7]);
        let mut answers = Vec::new();
        for code in [0_i32, -2] {
            // An answer's code is where a request has its family and subsystem.
            message(&mut answers, (ERROR, 0), 1, 0, &[]);
            let at = answers.len() - 4;
            answers[at..].copy_from_slice(&code.to_ne_bytes());
        }
        assert_eq!(codes(&answers), [0, -2]);
        assert_eq!(codes(&answers[..30]), [0]);
    }
}
