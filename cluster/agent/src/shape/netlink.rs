//! An NFQUEUE, spoken to over netlink as linux/netfilter/nfnetlink_queue.h says.
//!
//! Our own, and no crate: the one that is kept (nfq 0.2.5) offers no descriptor to poll, and
//! a shaper must wait for packets, its orders and the next packet that is due, all at once.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
    setsockopt, socket, sockopt,
};

const HEADER: usize = 16;
/// A netlink header and an nfnetlink one.
const HEADERS: usize = HEADER + 4;
/// Subsystem of nfnetlink, in the high byte of a message's type.
const QUEUE: u16 = 3 << 8;
const MSG_PACKET: u16 = QUEUE;
const MSG_VERDICT: u16 = QUEUE | 1;
const MSG_CONFIG: u16 = QUEUE | 2;
const MSG_ERROR: u16 = 2;
const FLAG_REQUEST: u16 = 1;
const FLAG_ACK: u16 = 4;
const CONFIG_COMMAND: u16 = 1;
const CONFIG_PARAMETERS: u16 = 2;
const CONFIG_LENGTH: u16 = 3;
const COMMAND_BIND: u8 = 1;
const COPY_PACKET: u8 = 2;
const ATTRIBUTE_HEADER: u16 = 1;
const ATTRIBUTE_VERDICT: u16 = 2;
const ATTRIBUTE_PAYLOAD: u16 = 10;
const VERDICT_DROP: u32 = 0;
const VERDICT_ACCEPT: u32 = 1;
/// To another queue (in the high half), or on if nobody takes from that one.
const VERDICT_QUEUE: u32 = 3 | 0x8000;

/// How many packets may wait for a verdict; more are dropped by the kernel.
const LENGTH: u32 = 65_536;
/// How many bytes may wait to be read, so that a burst is not lost.
const BUFFER: usize = 16 << 20;

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is gone.
    Drop,
    /// It goes on, as it is or with this content.
    Accept(Option<Vec<u8>>),
    /// It goes to another queue, or on if nobody is there.
    Forward(u16, Option<Vec<u8>>),
}

/// A packet that waits for its verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The kernel's number for it.
    pub id: u32,
    /// Its first bytes, from the IP header.
    pub bytes: Vec<u8>,
}

impl Packet {
    /// Who sent it; nothing if it is no IP packet.
    pub fn source(&self) -> Option<IpAddr> {
        match self.bytes.first()? >> 4 {
            4 => {
                let bytes: [u8; 4] = self.bytes.get(12..16)?.try_into().ok()?;
                Some(Ipv4Addr::from(bytes).into())
            }
            6 => {
                let bytes: [u8; 16] = self.bytes.get(8..24)?.try_into().ok()?;
                Some(Ipv6Addr::from(bytes).into())
            }
            _ => None,
        }
    }

    /// How long it is on the wire, from its IP header.
    pub fn length(&self) -> usize {
        let word = |at: usize| match self.bytes.get(at..at + 2) {
            Some(bytes) => usize::from(u16::from_be_bytes([bytes[0], bytes[1]])),
            None => 0,
        };
        match self.bytes.first().map(|byte| byte >> 4) {
            Some(4) => word(2),
            Some(6) => 40 + word(4),
            _ => self.bytes.len(),
        }
    }

    /// Where what the checksum of TCP, UDP or ICMP covers begins.
    pub fn payload_at(&self) -> usize {
        match self.bytes.first() {
            Some(byte) if byte >> 4 == 4 => usize::from(byte & 15) * 4,
            _ => 40,
        }
    }
}

/// A queue that this process takes from.
pub struct Queue {
    socket: OwnedFd,
    number: u16,
    buffer: Vec<u8>,
}

impl Queue {
    /// Takes the first free one of `numbers`. Of each packet `copy` bytes are seen.
    pub fn open(numbers: impl Iterator<Item = u16>, copy: u16) -> io::Result<Queue> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let protocol = SockProtocol::NetlinkNetFilter;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        setsockopt(&socket, sockopt::RcvBufForce, &BUFFER)?;
        let mut queue = Queue { socket, number: 0, buffer: vec![0; 128 << 10] };
        let mut last = io::Error::other("no queue's number was tried");
        for number in numbers {
            queue.number = number;
            match queue.configure(CONFIG_COMMAND, &[COMMAND_BIND, 0, 0, 0]) {
                Ok(()) => {
                    let [a, b, c, d] = u32::from(copy).to_be_bytes();
                    queue.configure(CONFIG_PARAMETERS, &[a, b, c, d, COPY_PACKET])?;
                    queue.configure(CONFIG_LENGTH, &LENGTH.to_be_bytes())?;
                    return Ok(queue);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }

    fn configure(&mut self, attribute: u16, body: &[u8]) -> io::Result<()> {
        let flags = FLAG_REQUEST | FLAG_ACK;
        send(
            self.socket.as_raw_fd(),
            &message(MSG_CONFIG, flags, self.number, &[(attribute, body)]),
            MsgFlags::empty(),
        )?;
        // The kernel has answered by the time that the call returns; packets may be in between.
        for _ in 0..1_000 {
            let length = recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty())?;
            if let Some(code) = error_of(&self.buffer[..length]) {
                return if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-code)) };
            }
        }
        Err(io::Error::other("netlink did not answer"))
    }

    /// The next packets, if any wait.
    pub fn take(&mut self) -> io::Result<Vec<Packet>> {
        match recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty()) {
            Ok(length) => Ok(packets(&self.buffer[..length])),
            // Some were lost to a full buffer: that is what a slow host does to packets.
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ENOBUFS) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// Decides on a packet. One that the kernel has given up is no error.
    pub fn give(&self, id: u32, verdict: &Verdict) -> io::Result<()> {
        let (code, content) = match verdict {
            Verdict::Drop => (VERDICT_DROP, None),
            Verdict::Accept(content) => (VERDICT_ACCEPT, content.as_ref()),
            Verdict::Forward(to, content) => {
                (VERDICT_QUEUE | u32::from(*to) << 16, content.as_ref())
            }
        };
        let mut header = [0; 8];
        header[..4].copy_from_slice(&code.to_be_bytes());
        header[4..].copy_from_slice(&id.to_be_bytes());
        let mut attributes = vec![(ATTRIBUTE_VERDICT, &header[..])];
        attributes.extend(content.map(|bytes| (ATTRIBUTE_PAYLOAD, &bytes[..])));
        let message = message(MSG_VERDICT, FLAG_REQUEST, self.number, &attributes);
        match send(self.socket.as_raw_fd(), &message, MsgFlags::empty()) {
            Ok(_) | Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn message(kind: u16, flags: u16, queue: u16, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0; HEADERS];
    for (attribute, body) in attributes {
        bytes.extend_from_slice(&(4 + body.len() as u16).to_ne_bytes());
        bytes.extend_from_slice(&attribute.to_ne_bytes());
        bytes.extend_from_slice(body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    let length = bytes.len() as u32;
    bytes[..4].copy_from_slice(&length.to_ne_bytes());
    bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
    bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
    // Of any family, version 0, for this queue.
    bytes[18..20].copy_from_slice(&queue.to_be_bytes());
    bytes
}

/// The messages of a datagram: type and what follows the netlink header.
fn messages(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    while let Some(head) = bytes.get(..HEADER) {
        let length = u32::from_ne_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let Some(body) = bytes.get(HEADER..length) else { break };
        found.push((u16::from_ne_bytes([head[4], head[5]]), body));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

/// The code of an acknowledgement: 0, or an error number below it.
fn error_of(datagram: &[u8]) -> Option<i32> {
    let (_, body) = messages(datagram).into_iter().find(|(kind, _)| *kind == MSG_ERROR)?;
    Some(i32::from_ne_bytes(body.get(..4)?.try_into().ok()?))
}

fn packets(datagram: &[u8]) -> Vec<Packet> {
    let ours = messages(datagram).into_iter().filter(|(kind, _)| *kind == MSG_PACKET);
    ours.filter_map(|(_, body)| packet(body.get(4..)?)).collect()
}

fn packet(mut attributes: &[u8]) -> Option<Packet> {
    let (mut id, mut payload) = (None, Vec::new());
    while let Some(head) = attributes.get(..4) {
        let length = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let body = attributes.get(4..length)?;
        match u16::from_ne_bytes([head[2], head[3]]) & 0x3fff {
            ATTRIBUTE_HEADER => id = Some(u32::from_be_bytes(body.get(..4)?.try_into().ok()?)),
            ATTRIBUTE_PAYLOAD => payload = body.to_vec(),
            _ => {}
        }
        attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(Packet { id: id?, bytes: payload })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_read_and_torn_ones_are_not() {
        let mut ip = vec![0x45, 0, 0x05, 0xdc, 0, 0, 0, 0, 64, 6, 0, 0];
        ip.extend([198, 19, 0, 12, 198, 19, 0, 11]);
        let header = [0, 0, 0, 9, 8, 0, 1];
        let attributes = [(ATTRIBUTE_HEADER, &header[..]), (ATTRIBUTE_PAYLOAD, &ip[..])];
        let datagram = message(MSG_PACKET, 0, 7, &attributes);
        let found = packets(&datagram);
        assert_eq!(found.len(), 1);
        let packet = &found[0];
        assert_eq!((packet.id, packet.length(), packet.payload_at()), (9, 1_500, 20));
        assert_eq!(packet.source(), Some("198.19.0.12".parse().unwrap()));
        for cut in 0..datagram.len() {
            assert!(packets(&datagram[..cut]).is_empty(), "cut at {cut}");
        }
        let mut v6 = vec![0x60, 0, 0, 0, 0, 100, 6, 64];
        v6.extend([0xfd; 32]);
        let packet = Packet { id: 1, bytes: v6 };
        assert_eq!((packet.length(), packet.payload_at()), (140, 40));
        let source = packet.source().unwrap();
        assert_eq!(source.to_string(), "fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd");
        assert_eq!(Packet { id: 1, bytes: Vec::new() }.source(), None);
    }

    #[test]
    fn an_answer_has_its_code() {
        let mut answer = message(MSG_ERROR, 0, 0, &[]);
        answer[HEADER..HEADERS].copy_from_slice(&(-1_i32).to_ne_bytes());
        assert_eq!(error_of(&answer), Some(-1));
        assert_eq!(error_of(&message(MSG_PACKET, 0, 0, &[])), None);
    }
}
