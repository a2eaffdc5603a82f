//! Echo requests: what a link does to packets, measured from outside of whatever shapes it.
//!
//! The kernel of the other host answers, so no agent there, and no port, is needed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, connect,
    recv, send, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeSpec;
use serde::{Deserialize, Serialize};

use crate::proto::Answer;

/// Most requests of a plan: their numbers have 16 bits.
const MOST: u32 = 60_000;
/// Bytes of an echo's own header.
const ECHO: usize = 8;
/// Bytes that are kept for answers that nobody has read yet.
const BUFFER: usize = 8 << 20;

/// How many requests, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PingPlan {
    /// How many.
    pub count: u32,
    /// From one to the next, µs.
    pub gap_us: u64,
    /// Bytes of each behind its header.
    pub size: usize,
    /// How long after the last request answers are awaited, ms.
    pub wait_ms: u64,
}

/// What came back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pings {
    /// Requests that were sent.
    pub sent: u32,
    /// Those that were answered.
    pub answered: u32,
    /// Answers beyond the first to a request.
    pub duplicates: u32,
    /// Answers that came after one to a later request.
    pub overtaken: u32,
    /// Time until an answer, µs: a tenth took no longer.
    pub low_us: u64,
    /// Half took no longer.
    pub median_us: u64,
    /// Nine tenths took no longer.
    pub high_us: u64,
    /// From the first answer to the last, µs.
    pub span_us: u64,
    /// Bytes of a request or an answer, with the IP header.
    pub bytes: u64,
}

/// Measures all targets at once.
pub fn answer(targets: &[IpAddr], plan: PingPlan) -> Answer {
    let outcomes = thread::scope(|scope| {
        let pings = targets.iter().map(|target| scope.spawn(move || ping(*target, plan)));
        let pings: Vec<_> = pings.collect();
        let failed = |_| Err("failed".to_owned());
        pings.into_iter().map(|p| p.join().unwrap_or_else(failed)).collect()
    });
    Answer::Pinged { outcomes }
}

/// Measures one target.
pub fn ping(target: IpAddr, plan: PingPlan) -> Result<Pings, String> {
    let fail = |error: Errno| format!("{target}: {error}");
    let mut echo = Echo::open(target).map_err(fail)?;
    let plan = PingPlan { count: plan.count.min(MOST), ..plan };
    let gap = Duration::from_micros(plan.gap_us);
    let mut seen = Seen::new(plan.count);
    let started = Instant::now();
    // Bounded: a plan has an end.
    loop {
        let now = started.elapsed();
        let sent = seen.sent.len() as u32;
        let due = if sent < plan.count {
            gap * sent
        } else {
            gap * plan.count + Duration::from_millis(plan.wait_ms)
        };
        if due <= now && sent < plan.count {
            seen.sent.push(now);
            echo.send(sent as u16, plan.size).map_err(fail)?;
            continue;
        }
        if due <= now || (sent == plan.count && seen.answered == sent) {
            break;
        }
        echo.wait(due - now);
        while let Some(number) = echo.take().map_err(fail)? {
            seen.answer(number, started.elapsed());
        }
    }
    let header = if target.is_ipv4() { 20 } else { 40 };
    Ok(seen.sum((header + ECHO + plan.size) as u64))
}

struct Echo {
    socket: OwnedFd,
    v4: bool,
    name: u16,
    buffer: Vec<u8>,
}

impl Echo {
    fn open(target: IpAddr) -> Result<Echo, Errno> {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let v4 = target.is_ipv4();
        let (family, protocol, any) = match v4 {
            true => (AddressFamily::Inet, SockProtocol::Icmp, Ipv4Addr::UNSPECIFIED.into()),
            false => (AddressFamily::Inet6, SockProtocol::IcmpV6, Ipv6Addr::UNSPECIFIED.into()),
        };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(family, SockType::Raw, flags, protocol)?;
        // A machine that does not let us have a larger buffer has its usual one.
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &BUFFER);
        let address = |ip: IpAddr| SockaddrStorage::from(SocketAddr::new(ip, 0));
        bind(socket.as_raw_fd(), &address(any))?;
        connect(socket.as_raw_fd(), &address(target))?;
        let turn = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = (std::process::id() as u16).rotate_left(8) ^ turn;
        Ok(Echo { socket, v4, name, buffer: vec![0; 64 << 10] })
    }

    fn send(&mut self, number: u16, size: usize) -> Result<(), Errno> {
        let mut bytes = vec![0; ECHO + size.min(60_000)];
        bytes[0] = if self.v4 { 8 } else { 128 };
        bytes[4..6].copy_from_slice(&self.name.to_be_bytes());
        bytes[6..8].copy_from_slice(&number.to_be_bytes());
        if self.v4 {
            // For IPv6 the kernel does it: its sum covers addresses too.
            let sum = checksum(&bytes);
            bytes[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        match send(self.socket.as_raw_fd(), &bytes, MsgFlags::empty()) {
            Ok(_) => Ok(()),
            // Lost before it went out: it counts as sent, and has no answer.
            Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::EINTR | Errno::EPERM) => Ok(()),
            Err(Errno::EHOSTUNREACH | Errno::ENETUNREACH | Errno::ECONNREFUSED) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn wait(&self, limit: Duration) {
        let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        let _ = ppoll(&mut fds, Some(TimeSpec::from_duration(limit)), None);
    }

    /// The number of the next answer that waits to be read.
    fn take(&mut self) -> Result<Option<u16>, Errno> {
        // Bounded by what waits: others' answers come to this socket too.
        loop {
            let length = match recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty()) {
                Ok(length) => length,
                Err(Errno::EAGAIN) => return Ok(None),
                Err(Errno::EINTR | Errno::EHOSTUNREACH | Errno::ECONNREFUSED) => continue,
                Err(error) => return Err(error),
            };
            let bytes = &self.buffer[..length];
            if let Some(number) = answered(bytes, self.v4, self.name) {
                return Ok(Some(number));
            }
        }
    }
}

/// Which of our requests this is the answer to.
fn answered(mut bytes: &[u8], v4: bool, name: u16) -> Option<u16> {
    if v4 {
        let header = usize::from(bytes.first()? & 15) * 4;
        bytes = bytes.get(header..)?;
        // For IPv6 the kernel has looked at it.
        if checksum(bytes) != 0 {
            return None;
        }
    }
    let [kind, _, _, _, a, b, c, d, ..] = *bytes else { return None };
    let reply = if v4 { 0 } else { 129 };
    (kind == reply && u16::from_be_bytes([a, b]) == name).then(|| u16::from_be_bytes([c, d]))
}

fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from));
    let sum = words.fold(0_u64, |sum, word| sum + u64::from(word));
    let folded = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

struct Seen {
    sent: Vec<Duration>,
    took: Vec<Option<Duration>>,
    answered: u32,
    duplicates: u32,
    overtaken: u32,
    latest: Option<u16>,
    first_at: Option<Duration>,
    last_at: Duration,
}

impl Seen {
    fn new(count: u32) -> Seen {
        Seen {
            sent: Vec::new(),
            took: vec![None; count as usize],
            answered: 0,
            duplicates: 0,
            overtaken: 0,
            latest: None,
            first_at: None,
            last_at: Duration::ZERO,
        }
    }

    fn answer(&mut self, number: u16, at: Duration) {
        let place = usize::from(number);
        let Some(sent) = self.sent.get(place) else { return };
        if self.took[place].is_some() {
            self.duplicates += 1;
            return;
        }
        self.took[place] = Some(at.saturating_sub(*sent));
        self.answered += 1;
        self.overtaken += u32::from(self.latest.is_some_and(|latest| number < latest));
        self.latest = self.latest.max(Some(number));
        self.first_at.get_or_insert(at);
        self.last_at = at;
    }

    fn sum(self, bytes: u64) -> Pings {
        let mut took: Vec<u64> =
            self.took.iter().flatten().map(|took| took.as_micros() as u64).collect();
        took.sort_unstable();
        let share = |tenths: usize| {
            let place = (took.len() * tenths).div_ceil(10).saturating_sub(1);
            took.get(place).copied().unwrap_or(0)
        };
        let span = self.first_at.map_or(Duration::ZERO, |first| self.last_at - first);
        Pings {
            sent: self.sent.len() as u32,
            answered: self.answered,
            duplicates: self.duplicates,
            overtaken: self.overtaken,
            low_us: share(1),
            median_us: share(5),
            high_us: share(9),
            span_us: span.as_micros() as u64,
            bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart_and_summed_up() {
        let mut seen = Seen::new(5);
        let ms = Duration::from_millis;
        seen.sent = (0..5).map(ms).collect();
        for (number, at) in [(0, 10), (2, 12), (1, 13), (2, 14), (3, 33), (9, 40)] {
            seen.answer(number, ms(at));
        }
        let pings = seen.sum(92);
        assert_eq!((pings.sent, pings.answered), (5, 4));
        assert_eq!((pings.duplicates, pings.overtaken), (1, 1));
        assert_eq!((pings.low_us, pings.median_us, pings.high_us), (10_000, 10_000, 30_000));
        assert_eq!((pings.span_us, pings.bytes), (23_000, 92));
        assert_eq!(Seen::new(2).sum(92).median_us, 0);
    }

    #[test]
    fn others_answers_and_corrupt_ones_are_none_of_ours() {
        let mut reply = vec![0x45; 20];
        reply.extend([0, 0, 0, 0, 1, 2, 0, 7, 9]);
        let sum = checksum(&reply[20..]).to_be_bytes();
        reply[22..24].copy_from_slice(&sum);
        assert_eq!(answered(&reply, true, 0x0102), Some(7));
        assert_eq!(answered(&reply, true, 0x0103), None);
        for bit in 0..9 * 8 {
            reply[20 + bit / 8] ^= 1 << (bit % 8);
            assert_eq!(answered(&reply, true, 0x0102), None, "bit {bit}");
            reply[20 + bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(answered(&reply[..25], true, 0x0102), None);
        assert_eq!(answered(&[129, 0, 0, 0, 1, 2, 0, 8], false, 0x0102), Some(8));
        assert_eq!(checksum(&[8, 0, 0, 0, 1, 2, 0, 7]), !(0x0800 + 0x0102 + 0x0007));
    }
}
