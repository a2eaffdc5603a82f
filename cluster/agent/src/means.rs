//! What acts need on a host, found out by trying: before a run starts, not in the middle of it.
//!
//! Firewall rules are tried in a network namespace of the trial's own, so that nothing of them is
//! ever in force on the host.

use std::fs::File;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use serde::{Deserialize, Serialize};

use crate::cgroup::{self, Limit};
use crate::external::PATH;
use crate::fake_clock;
use crate::nf_tables::{self, Fate, Match};
use crate::real_clock::kernel;

/// Something that acts need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Means {
    /// Packets can be dropped by source.
    Drop,
    /// Packets can be taken from the kernel, to be shaped.
    Queue,
    /// Packets can be sent twice.
    Duplicate,
    /// Servers can have a clock of their own.
    Clock,
    /// The clock of the host itself can be set.
    HostClock,
    /// A process can be left no more than a share of a processor.
    CpuLimit,
    /// A process can be left little memory.
    MemoryLimit,
    /// A layer can be mounted over a folder.
    Disk,
    /// A server can be started as another user.
    Users,
    /// Units of the service manager can be found, started and stopped.
    Units,
}

/// All of them, in the order in which lists show them.
pub const ALL: [Means; 10] = [
    Means::Drop,
    Means::Queue,
    Means::Duplicate,
    Means::Clock,
    Means::HostClock,
    Means::CpuLimit,
    Means::MemoryLimit,
    Means::Disk,
    Means::Users,
    Means::Units,
];

/// Something that is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lack {
    /// What.
    pub means: Means,
    /// What was looked for, and what was found instead.
    pub why: String,
    /// What would help: `install PACKAGE`, or a command.
    pub help: String,
}

impl Means {
    /// What it is, in words.
    pub fn what(self) -> &'static str {
        match self {
            Means::Drop => "dropping packets (nf_tables, or iptables)",
            Means::Queue => "shaping packets (iptables with NFQUEUE)",
            Means::Duplicate => "duplicating packets (iptables with TEE and statistic)",
            Means::Clock => "clocks of servers (libfaketime)",
            Means::HostClock => "the host's clock (CAP_SYS_TIME, adjtimex; not tried)",
            Means::CpuLimit => "limits of the processor (a cgroup)",
            Means::MemoryLimit => "limits of memory (a cgroup)",
            Means::Disk => "disk layers (FUSE)",
            Means::Users => "servers of another user (setpriv)",
            Means::Units => "units of the service manager (systemctl)",
        }
    }

    /// What is missing for it on this host, if anything is.
    pub fn lack(self) -> Option<Lack> {
        let found = match self {
            Means::Drop => filter(),
            Means::Queue => iptables(
                "-s 198.18.0.1 -j NFQUEUE --queue-num 7 --queue-bypass",
                "modprobe xt_NFQUEUE nfnetlink_queue",
            ),
            Means::Duplicate => iptables(
                "-d 198.18.0.1 -m statistic --mode random --probability 0.5 \
                 -j TEE --gateway 198.18.0.1",
                "modprobe xt_TEE xt_statistic",
            ),
            Means::Clock => match fake_clock::library() {
                Some(_) => Ok(()),
                None => Err(("its library is not there".to_owned(), "install libfaketime")),
            },
            Means::HostClock => kernel::lack().map_or(Ok(()), Err),
            Means::CpuLimit => cgroup::limit::trial(Limit::Cpu { percent: 50 }).map_err(|why| {
                (why, "mount the cgroup controller cpu, or let its root hand it down")
            }),
            Means::MemoryLimit => {
                cgroup::limit::trial(Limit::Memory { bytes: 1 << 20 }).map_err(|why| {
                    (why, "mount the cgroup controller memory, or let its root hand it down")
                })
            }
            Means::Disk => match File::options().read(true).write(true).open("/dev/fuse") {
                Ok(_) => Ok(()),
                Err(error) => Err((format!("/dev/fuse: {error}"), "modprobe fuse")),
            },
            Means::Users => program("setpriv", "install util-linux"),
            Means::Units => program("systemctl", "install systemd"),
        };
        found.err().map(|(why, help)| Lack { means: self, why, help: help.to_owned() })
    }
}

/// What is missing of these.
pub fn lacking(needed: &[Means]) -> Vec<Lack> {
    needed.iter().filter_map(|means| means.lack()).collect()
}

type Found = Result<(), (String, &'static str)>;

/// By nf_tables, or else by iptables, as [`crate::packet_filter`] does.
fn filter() -> Found {
    let Err(tables) = in_own_network(tables) else {
        return Ok(());
    };
    let script = "*filter\n:splitbrain_trial - [0:0]\n-I INPUT 1 -j splitbrain_trial\n\
                  -A splitbrain_trial -s 198.18.0.1 -j DROP\nCOMMIT\n";
    match trial("iptables-restore", &["--noflush", "--wait"], script) {
        Ok(()) => Ok(()),
        Err(iptables) => Err((
            format!("nf_tables: {tables}; iptables: {iptables}"),
            "modprobe nf_tables, or install iptables",
        )),
    }
}

fn tables() -> Result<(), String> {
    let from = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 1));
    let rules = [(vec![Match::From(from)], Fate::Drop)];
    nf_tables::install("splitbrain_trial", &rules).map_err(|error| error.to_string())
}

/// Does it in a thread that has a network namespace of its own, which ends with it.
fn in_own_network(act: fn() -> Result<(), String>) -> Result<(), String> {
    let thread = thread::spawn(move || match unshare(CloneFlags::CLONE_NEWNET) {
        Ok(()) => act(),
        // No right to one: nothing can be tried.
        Err(Errno::EPERM) => Ok(()),
        Err(error) => Err(error.to_string()),
    });
    thread.join().unwrap_or_else(|_| Err("the trial panicked".to_owned()))
}

fn iptables(rule: &str, modules: &'static str) -> Found {
    let script = format!(
        "*mangle\n:splitbrain_trial - [0:0]\n-I POSTROUTING 1 -j splitbrain_trial\n\
         -A splitbrain_trial {rule}\nCOMMIT\n"
    );
    match trial("iptables-restore", &["--noflush", "--wait"], &script) {
        Ok(()) => Ok(()),
        Err(why) if why == ABSENT => Err((format!("iptables {why}"), "install iptables")),
        // The program is there, and the kernel knows no such target.
        Err(why) => Err((why, modules)),
    }
}

const ABSENT: &str = "is not there";

fn program(name: &str, help: &'static str) -> Found {
    match PATH.split(':').any(|folder| Path::new(folder).join(name).exists()) {
        true => Ok(()),
        false => Err((format!("{name} {ABSENT}"), help)),
    }
}

/// Runs a program with this input where what it does to the network is gone with it.
fn trial(name: &str, arguments: &[&str], stdin: &str) -> Result<(), String> {
    if !PATH.split(':').any(|folder| Path::new(folder).join(name).exists()) {
        return Err(ABSENT.to_owned());
    }
    let mut command = Command::new(name);
    command.args(arguments).env("PATH", PATH);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    // SAFETY: between fork and exec only unshare(2) is called.
    unsafe {
        command.pre_exec(|| unshare(CloneFlags::CLONE_NEWNET).map_err(io::Error::from));
    }
    let mut child = match command.spawn() {
        Ok(child) => child,
        // No right to a namespace of one's own. That it is there must do.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
        Err(error) => return Err(error.to_string()),
    };
    if let Some(mut pipe) = child.stdin.take() {
        // A program that ended early says why on its standard error.
        drop(pipe.write_all(stdin.as_bytes()));
    }
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().replace('\n', " ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_said_with_what_would_help() {
        let (why, help) = program("no-such-program", "install nothing").unwrap_err();
        assert_eq!((why.as_str(), help), ("no-such-program is not there", "install nothing"));
        assert_eq!(program("sh", "install dash"), Ok(()));
        assert_eq!(trial("no-such-program", &[], ""), Err(ABSENT.to_owned()));
        // Whatever this machine has, each is there or says what would help.
        for lack in lacking(&ALL) {
            assert!(!lack.why.is_empty() && !lack.help.is_empty(), "{lack:?}");
        }
    }
}
