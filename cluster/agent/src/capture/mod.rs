//! `splitbrain-agent capture`: writes the packets of an interface to files, within a bound.
//!
//! Two files, each at most half of the bound: the newer one, and the one before it. So the last
//! part of what passed is always there. It begins when it is told to on its standard input and
//! ends with it, or when asked to by SIGTERM. [`keeper`] is the worker's end.

pub mod keeper;

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::mem;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::setsid;
use serde::{Deserialize, Serialize};

/// The newer file, and the one before it.
pub const FILES: [&str; 2] = ["packets.pcap", "packets-before.pcap"];
/// Of a file's head, and of a packet's.
const HEAD: u64 = 24;
const PACKET_HEAD: u64 = 16;
/// Longest part of a packet that is kept, bytes.
const SNAP: usize = 65_535;
/// What waits in the kernel for us to read it, bytes.
const BUFFER: libc::c_int = 4 << 20;
/// Packets that are taken before anything else is looked at.
const BATCH: usize = 256;
/// How often what was written is handed to the file at least, ms.
const FLUSH_MS: u16 = 200;

/// What was captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captured {
    /// Packets that were written.
    pub packets: u64,
    /// Packets that came too fast to be read.
    pub missed: u64,
}

/// Two files that grow in turn.
struct Files {
    folder: PathBuf,
    link_type: u32,
    each: u64,
    file: BufWriter<File>,
    written: u64,
}

impl Files {
    fn create(folder: &Path, link_type: u32, bound: u64) -> io::Result<Files> {
        let each = bound / 2;
        let file = Files::begin(&folder.join(FILES[0]), link_type)?;
        Ok(Files { folder: folder.to_owned(), link_type, each, file, written: HEAD })
    }

    fn begin(path: &Path, link_type: u32) -> io::Result<BufWriter<File>> {
        let mut file = BufWriter::new(File::create(path)?);
        // Magic, version 2.4, no time zone, and what the packets begin with.
        for word in [0xa1b2_c3d4_u32, 2 | 4 << 16, 0, 0, SNAP as u32, link_type] {
            file.write_all(&word.to_le_bytes())?;
        }
        Ok(file)
    }

    /// Writes a packet, of which so many bytes were there.
    fn write(&mut self, at_us: u64, packet: &[u8], length: usize) -> io::Result<()> {
        let room = self.each.saturating_sub(HEAD + PACKET_HEAD) as usize;
        let packet = &packet[..packet.len().min(room)];
        let more = PACKET_HEAD + packet.len() as u64;
        if self.each < self.written + more {
            self.file.flush()?;
            fs::rename(self.folder.join(FILES[0]), self.folder.join(FILES[1]))?;
            self.file = Files::begin(&self.folder.join(FILES[0]), self.link_type)?;
            self.written = HEAD;
        }
        let (seconds, us) = (at_us / 1_000_000, at_us % 1_000_000);
        for word in [seconds as u32, us as u32, packet.len() as u32, length as u32] {
            self.file.write_all(&word.to_le_bytes())?;
        }
        self.file.write_all(packet)?;
        self.written += more;
        Ok(())
    }
}

/// Captures until it is told to end; says what it captured on its standard output.
pub fn run(folder: &str, interface: &str, bound: &str) -> Result<(), String> {
    // Out of the worker's session. It fails for one that leads a group, which has its own already.
    let _ = setsid();
    let bound: u64 = bound.parse().map_err(|_| format!("\"{bound}\" is no number of bytes"))?;
    let asked = SigSet::from(Signal::SIGTERM);
    asked.thread_block().map_err(|error| format!("blocking signals: {error}"))?;
    let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
    let signals =
        SignalFd::with_flags(&asked, flags).map_err(|error| format!("signals: {error}"))?;
    let stdin = io::stdin();
    let mut begin = [0; 1];
    if stdin.lock().read(&mut begin).unwrap_or(0) == 0 {
        return Ok(());
    }
    let text = |error: io::Error| format!("{interface}: {error}");
    let socket = open(interface).map_err(text)?;
    let mut files = Files::create(Path::new(folder), link_type(interface), bound).map_err(text)?;
    let mut captured = Captured::default();
    let moments = Moments::begin();
    loop {
        let mut fds = [socket.as_fd(), stdin.as_fd(), signals.as_fd()]
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        let ready = poll(&mut fds, PollTimeout::from(FLUSH_MS)).unwrap_or(0);
        let happened = fds.map(|fd| ready != 0 && fd.revents().is_some_and(|e| !e.is_empty()));
        if happened[0] {
            captured.packets += take(&socket, &mut files, &moments).map_err(text)?;
        } else {
            files.file.flush().map_err(text)?;
        }
        if happened[1] || happened[2] {
            captured.packets += take(&socket, &mut files, &moments).map_err(text)?;
            files.file.flush().map_err(text)?;
            captured.missed = missed(&socket);
            let said = serde_json::to_string(&captured).map_err(|error| error.to_string())?;
            say::outln!("{said}");
            return Ok(());
        }
    }
}

/// When packets came, by the host's clock as it was in the beginning: a fault may set it meanwhile.
struct Moments {
    began: SystemTime,
    at: Instant,
}

impl Moments {
    fn begin() -> Moments {
        Moments { began: SystemTime::now(), at: Instant::now() }
    }

    /// µs since 1970.
    fn now_us(&self) -> u64 {
        let now = self.began + self.at.elapsed();
        now.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64
    }
}

/// What packets of an interface begin with, as pcap numbers it: Ethernet's head, or IP's.
fn link_type(interface: &str) -> u32 {
    let kind = fs::read_to_string(format!("/sys/class/net/{interface}/type"));
    match kind.unwrap_or_default().trim() {
        "1" | "772" => 1,
        _ => 101,
    }
}

/// A socket that is given every packet of the interface, both ways.
fn open(interface: &str) -> io::Result<OwnedFd> {
    let index = nix::net::if_::if_nametoindex(interface)?;
    let every = (libc::ETH_P_ALL as u16).to_be();
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: socket(2) takes numbers only.
    let fd = unsafe { libc::socket(libc::AF_PACKET, kind, i32::from(every)) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was made above, and nothing else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let buffer = BUFFER;
    let size = mem::size_of_val(&buffer) as libc::socklen_t;
    // SAFETY: the option's value is a c_int that lives through the call. A smaller buffer is no
    // error: what is missed is counted.
    let _ = unsafe {
        let value = (&raw const buffer).cast();
        libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, value, size)
    };
    // SAFETY: all-zero is a valid sockaddr_ll, a struct of numbers.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = every;
    address.sll_ifindex = index as i32;
    let size = mem::size_of_val(&address) as libc::socklen_t;
    // SAFETY: the address lives through the call, and its size is right.
    match unsafe { libc::bind(fd, (&raw const address).cast(), size) } {
        0 => Ok(socket),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Writes what has come; says how many packets.
fn take(socket: &OwnedFd, files: &mut Files, moments: &Moments) -> io::Result<u64> {
    let mut packet = vec![0_u8; SNAP];
    for taken in 0..BATCH {
        let fd = socket.as_raw_fd();
        // SAFETY: the buffer is as long as is said, and lives through the call.
        let length =
            unsafe { libc::recv(fd, packet.as_mut_ptr().cast(), packet.len(), libc::MSG_TRUNC) };
        let Ok(length) = usize::try_from(length) else {
            return match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::WouldBlock => Ok(taken as u64),
                // An interface that goes down comes back.
                error if error.raw_os_error() == Some(libc::ENETDOWN) => Ok(taken as u64),
                error => Err(error),
            };
        };
        files.write(moments.now_us(), &packet[..length.min(SNAP)], length)?;
    }
    Ok(BATCH as u64)
}

/// Packets that the kernel had no room for.
fn missed(socket: &OwnedFd) -> u64 {
    // Two counters: packets, and those that were dropped.
    let mut counters = [0_u32; 2];
    let mut size = mem::size_of_val(&counters) as libc::socklen_t;
    // SAFETY: the counters live through the call, and their size is right.
    let told = unsafe {
        let value = counters.as_mut_ptr().cast();
        let fd = socket.as_raw_fd();
        libc::getsockopt(fd, libc::SOL_PACKET, libc::PACKET_STATISTICS, value, &raw mut size)
    };
    if told == 0 { u64::from(counters[1]) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_packets_are_kept_within_the_bound() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Files::create(folder.path(), 1, 2_000).unwrap();
        for number in 0..100_u8 {
            files.write(u64::from(number) * 1_500_000, &[number; 100], 1_500).unwrap();
        }
        // Longer than half of the bound: cut.
        files.write(0, &[7; 5_000], 5_000).unwrap();
        files.file.flush().unwrap();
        let [newer, before] = FILES.map(|name| fs::read(folder.path().join(name)).unwrap());
        assert!(newer.len() + before.len() <= 2_000);
        let word =
            |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        for file in [&newer, &before] {
            assert_eq!((word(file, 0), word(file, 4)), (0xa1b2_c3d4, 0x0004_0002));
        }
        assert_eq!((word(&newer, 32), word(&newer, 36)), (960, 5_000));
        // The one before ends with the last of the hundred.
        assert_eq!(before[before.len() - 100..], [99; 100]);
        assert_eq!(word(&before, before.len() - 116), 148, "seconds");
        assert_eq!(word(&before, before.len() - 112), 500_000, "and µs");
        assert_eq!(word(&before, before.len() - 104), 1_500, "as long as it was");
    }
}
