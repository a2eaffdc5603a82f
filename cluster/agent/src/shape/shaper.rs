//! `splitbrain-agent shape`: the process that holds packets until they are due.
//!
//! It is told what to do on its standard input and ends with it, or when asked to by SIGTERM: then
//! whatever it holds passes at once.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::Instant;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;
use nix::unistd::{getpid, setsid};

use super::decide::{Decision, Link};
use super::netlink::{Packet, Queue, Verdict};
use super::{Counters, Order, PeerShape, Said};
use crate::frame;

/// Queues are taken from here on: far from the small numbers that people write down.
const FIRST_QUEUE: u16 = 28_600;
/// How many are tried.
const QUEUES: u16 = 200;
/// Enough of a packet for its IP header.
const HEADERS: u16 = 64;
/// Longest wait, ns: nothing depends on it.
const IDLE_NS: u64 = 1_000_000_000;
/// Rounds of taking what the kernel holds before verdicts that are due go out again.
const TAKES: usize = 256;

/// A packet that waits: when it is due, in the order of arrival.
type Held = Reverse<(u64, u64, u32, Option<Vec<u8>>)>;

struct Shaper {
    queue: Queue,
    links: Vec<Link>,
    by_source: BTreeMap<IpAddr, usize>,
    held: BinaryHeap<Held>,
    arrived: u64,
    next: Option<u16>,
    started: Instant,
}

/// Shapes until its standard input ends.
pub fn run() -> Result<(), String> {
    // Out of the worker's session. It fails for one that leads a group, which has its own already.
    let _ = setsid();
    let asked = SigSet::from(Signal::SIGTERM);
    asked.thread_block().map_err(|error| format!("blocking signals: {error}"))?;
    let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
    let signals =
        SignalFd::with_flags(&asked, flags).map_err(|error| format!("signals: {error}"))?;
    let first = frame::read::<Order>(&mut io::stdin().lock()).map_err(|error| error.to_string())?;
    let Some(Order::Begin { peers, seed }) = first else {
        return Ok(());
    };
    let mut shaper = match Shaper::new(&peers, seed) {
        Ok(shaper) => shaper,
        Err(error) => return say(&Said::Failed { why: format!("NFQUEUE: {error}") }),
    };
    prefer();
    let stdin = io::stdin();
    fcntl(stdin.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(|e| e.to_string())?;
    say(&Said::Ready { queue: shaper.queue.number() })?;
    let mut orders: Vec<u8> = Vec::new();
    loop {
        let wait = shaper.release().map_err(|error| format!("verdicts: {error}"))?;
        let mut fds = [shaper.queue.as_fd(), stdin.as_fd(), signals.as_fd()]
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        let ready = ppoll(&mut fds, Some(TimeSpec::from_duration(wait)), None).unwrap_or(0);
        let happened = fds.map(|fd| ready != 0 && fd.revents().is_some_and(|e| !e.is_empty()));
        if happened[0] {
            shaper.take().map_err(|error| format!("packets: {error}"))?;
        }
        if happened[2] || (happened[1] && !shaper.obey(&mut orders)?) {
            return shaper.let_go().map_err(|error| format!("verdicts: {error}"));
        }
    }
}

/// Held up by others it would add delays of its own. Without the right to it goes on as it is.
fn prefer() {
    let own = getpid().as_raw() as nix::libc::id_t;
    // SAFETY: setpriority(2) takes numbers only, and names this very process.
    let _ = unsafe { nix::libc::setpriority(nix::libc::PRIO_PROCESS, own, -10) };
}

fn say(said: &Said) -> Result<(), String> {
    frame::write(&mut io::stdout().lock(), said).map_err(|error| format!("the worker: {error}"))
}

impl Shaper {
    fn new(peers: &[PeerShape], seed: u64) -> io::Result<Shaper> {
        let (mut links, mut by_source) = (Vec::new(), BTreeMap::new());
        for peer in peers {
            // Bits of the address, so that each link has a chance of its own and keeps it.
            let own = peer.from.first().map_or(0, |address| match address {
                IpAddr::V4(address) => u64::from(u32::from(*address)),
                IpAddr::V6(address) => address.to_bits() as u64,
            });
            by_source.extend(peer.from.iter().map(|address| (*address, links.len())));
            links.push(Link::new(peer.shape, seed ^ own.rotate_left(32)));
        }
        let whole = links.iter().any(Link::changes_packets);
        let numbers = FIRST_QUEUE..FIRST_QUEUE + QUEUES;
        let queue = Queue::open(numbers, if whole { u16::MAX } else { HEADERS })?;
        let (held, started) = (BinaryHeap::new(), Instant::now());
        Ok(Shaper { queue, links, by_source, held, arrived: 0, next: None, started })
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    /// Gives the verdicts that are due; says how long until the next is.
    fn release(&mut self) -> io::Result<std::time::Duration> {
        let now = self.now();
        while let Some(Reverse((at, ..))) = self.held.peek()
            && *at <= now
        {
            if let Some(Reverse((_, _, id, content))) = self.held.pop() {
                self.pass(id, content)?;
            }
        }
        let due = self.held.peek().map_or(IDLE_NS, |Reverse((at, ..))| at.saturating_sub(now));
        Ok(std::time::Duration::from_nanos(due.min(IDLE_NS)))
    }

    fn pass(&self, id: u32, content: Option<Vec<u8>>) -> io::Result<()> {
        let verdict = match self.next {
            Some(next) => Verdict::Forward(next, content),
            None => Verdict::Accept(content),
        };
        self.queue.give(id, &verdict)
    }

    /// Takes what the kernel holds and decides on it.
    fn take(&mut self) -> io::Result<()> {
        for _ in 0..TAKES {
            let packets = self.queue.take()?;
            if packets.is_empty() {
                break;
            }
            for packet in packets {
                self.decide(packet)?;
            }
        }
        Ok(())
    }

    fn decide(&mut self, mut packet: Packet) -> io::Result<()> {
        let now = self.now();
        let place = packet.source().and_then(|source| self.by_source.get(&source));
        let Some(link) = place.map(|place| &mut self.links[*place]) else {
            return self.pass(packet.id, None);
        };
        let (at, flip) = match link.decide(now, packet.length()) {
            Decision::Drop => return self.queue.give(packet.id, &Verdict::Drop),
            Decision::Pass { at, flip } => (at, flip),
        };
        let content = flip.and_then(|bit| flipped(&mut packet, bit));
        if at <= now && self.held.is_empty() {
            return self.pass(packet.id, content);
        }
        self.arrived += 1;
        self.held.push(Reverse((at, self.arrived, packet.id, content)));
        Ok(())
    }

    /// Does what the worker says; `false` when it says no more.
    fn obey(&mut self, orders: &mut Vec<u8>) -> Result<bool, String> {
        let mut chunk = [0; 4096];
        match io::stdin().lock().read(&mut chunk) {
            Ok(0) => return Ok(false),
            Ok(length) => orders.extend_from_slice(&chunk[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(_) => return Ok(false),
        }
        while let Some(order) = frame::take::<Order>(orders).map_err(|error| error.to_string())? {
            if let Order::Ping { next } = order {
                self.next = next;
                let counters = total(self.links.iter().map(|link| link.counters));
                say(&Said::Here { counters })?;
            }
        }
        Ok(true)
    }

    /// Lets everything pass that is held.
    fn let_go(&mut self) -> io::Result<()> {
        while let Some(Reverse((_, _, id, content))) = self.held.pop() {
            self.pass(id, content)?;
        }
        for _ in 0..TAKES {
            let packets = self.queue.take()?;
            if packets.is_empty() {
                break;
            }
            packets.into_iter().try_for_each(|packet| self.pass(packet.id, None))?;
        }
        Ok(())
    }
}

fn total(counters: impl Iterator<Item = Counters>) -> Counters {
    counters.fold(Counters::default(), |sum, next| Counters {
        seen: sum.seen + next.seen,
        passed: sum.passed + next.passed,
        lost: sum.lost + next.lost,
        down: sum.down + next.down,
        full: sum.full + next.full,
        corrupted: sum.corrupted + next.corrupted,
        held: sum.held + next.held,
    })
}

/// The packet with a bit flipped that its checksum covers; nothing if there is none such.
fn flipped(packet: &mut Packet, bit: u64) -> Option<Vec<u8>> {
    let from = packet.payload_at();
    let bits = packet.bytes.len().checked_sub(from).filter(|bytes| *bytes != 0)? as u64 * 8;
    let bit = bit % bits;
    packet.bytes[from + (bit / 8) as usize] ^= 1 << (bit % 8);
    Some(std::mem::take(&mut packet.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bit_is_flipped_behind_the_header() {
        for bit in 0..200 {
            let mut bytes = vec![0; 28];
            bytes[0] = 0x45;
            let mut packet = Packet { id: 1, bytes: bytes.clone() };
            let changed = flipped(&mut packet, bit).unwrap();
            assert_eq!(changed[..20], bytes[..20]);
            assert_eq!(changed[20..].iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
        }
        assert_eq!(flipped(&mut Packet { id: 1, bytes: vec![0x45; 20] }, 3), None);
    }
}
