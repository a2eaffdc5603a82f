//! A process tree in a control group of our own, and back to where it came from.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;

use super::{Controller, Hierarchy, Limit, Seen};
use crate::journal::Journal;
use crate::packet_filter;
use crate::process;
use crate::proto::ProcessId;
use crate::quote::shell_quote;
use crate::undo::Undo;

/// How often a tree, or a group, is looked through for children that were born meanwhile.
const ROUNDS: usize = 64;
/// How often, and with what pause, a group is taken away that the kernel still counts as in use.
const TRIES: usize = 50;
const PAUSE: Duration = Duration::from_millis(10);
/// The length of a period, us: the kernel's own choice, and that of containers.
const PERIOD_US: u64 = 100_000;

/// A fault's group. Hosts of one lab share a tree of groups, so that the name tells them apart, by
/// their namespace of processes.
pub fn name(fault: &str) -> String {
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let number: String = namespace.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
    format!("{}_{number}", packet_filter::name(fault))
}

/// Puts a process and its children into a group of this limit; says by what mechanism.
pub fn begin(
    journal: &mut Journal,
    fault: &str,
    process: &ProcessId,
    limit: Limit,
) -> Result<String, String> {
    let tree = Hierarchy::of(limit.controller())?;
    let home = tree.home(process.pid)?;
    let folder = tree.place(&home)?.join(name(fault));
    // Others of its children may be elsewhere; who is not told of is where its parent is.
    let elsewhere = |member: &ProcessId| {
        let at = tree.home(member.pid).ok().filter(|at| *at != home)?;
        Some((member.clone(), text(&at)))
    };
    let strays = process::tree(process).iter().filter_map(elsewhere).collect();
    let undo = Undo::Cgroup { folder: text(&folder), home: text(&home), strays };
    journal.before(fault, &undo).map_err(|error| format!("journal: {error}"))?;
    // One of this name is left from a lab that has ended since, if any.
    drop(fs::remove_dir(&folder));
    fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for (file, value) in settings(&tree, limit) {
        write(&folder.join(file), &value).map_err(|error| format!("{file}: {error}"))?;
    }
    enter(&folder, process)?;
    Ok(tree.version().to_owned())
}

/// What is written to which file for a limit.
fn settings(tree: &Hierarchy, limit: Limit) -> Vec<(&'static str, String)> {
    match limit {
        Limit::Cpu { percent } => {
            let quota = u64::from(percent) * PERIOD_US / 100;
            match tree.second {
                true => vec![("cpu.max", format!("{quota} {PERIOD_US}"))],
                false => vec![
                    ("cpu.cfs_period_us", PERIOD_US.to_string()),
                    ("cpu.cfs_quota_us", quota.to_string()),
                ],
            }
        }
        // That of version 2 slows down; that of version 1 ends a process if nothing else helps.
        Limit::Memory { bytes } => {
            let file = if tree.second { "memory.high" } else { "memory.limit_in_bytes" };
            vec![(file, bytes.to_string())]
        }
    }
}

/// Moves a process and all its children, until none is found that was born outside meanwhile.
fn enter(folder: &Path, process: &ProcessId) -> Result<(), String> {
    let procs = folder.join("cgroup.procs");
    let mut moved: Vec<ProcessId> = Vec::new();
    for _ in 0..ROUNDS {
        let mut new = process::tree(process);
        new.retain(|member| !moved.contains(member));
        if new.is_empty() {
            return Ok(());
        }
        for member in new {
            match write(&procs, &member.pid.to_string()) {
                Ok(()) => {}
                Err(error) if ended(&error) && member != *process => {}
                Err(error) => return Err(format!("process {}: {error}", member.pid)),
            }
            moved.push(member);
        }
    }
    Err(format!("process {} has children faster than they can be moved", process.pid))
}

/// Whether a process could not be moved because it has ended.
fn ended(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(Errno::ESRCH as i32)
}

/// Puts every process of a group of ours back to where it came from, and takes the group away.
pub fn undo(folder: &str, home: &str, strays: &[(ProcessId, String)]) -> Result<String, String> {
    let folder = Path::new(folder);
    let mut moved = 0;
    for _ in 0..ROUNDS {
        let members = match members(folder) {
            Ok(members) => members,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(format!("the cgroup {} is gone", folder.display()));
            }
            Err(error) => return Err(format!("{}: {error}", folder.display())),
        };
        if members.is_empty() {
            remove(folder)?;
            return Ok(format!("processes back in the cgroup {home}: {moved}"));
        }
        for pid in members {
            let home = home_of(pid, strays).unwrap_or(home);
            match write(&there(home)?.join("cgroup.procs"), &pid.to_string()) {
                Ok(()) => moved += 1,
                Err(error) if ended(&error) => {}
                Err(error) => return Err(format!("process {pid} back to {home}: {error}")),
            }
        }
    }
    Err(format!("{} has children faster than they can be moved", folder.display()))
}

/// What a person would type.
pub fn by_hand(folder: &str, home: &str, strays: &[(ProcessId, String)]) -> String {
    let procs = |folder: &str| shell_quote(&format!("{folder}/cgroup.procs"));
    let mut line = String::new();
    for (stray, home) in strays {
        line.push_str(&format!("echo {} >{}; ", stray.pid, procs(home)));
    }
    line.push_str(&format!(
        "for p in $(cat {}); do echo $p >{}; done; rmdir {}",
        procs(folder),
        procs(home),
        shell_quote(folder)
    ));
    line
}

/// Takes away groups of ours that labs have left which were killed: empty, and older than any that
/// is about to be filled.
pub fn sweep(age: Duration) {
    let own = std::process::id() as i32;
    let place =
        |controller| Hierarchy::of(controller).and_then(|tree| tree.place(&tree.home(own)?));
    let places = [Controller::Cpu, Controller::Memory].into_iter().filter_map(|c| place(c).ok());
    for entry in places.filter_map(|place| fs::read_dir(place).ok()).flatten().flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with("splitbrain_");
        let made = entry.metadata().and_then(|metadata| metadata.modified());
        let old = made.is_ok_and(|made| made.elapsed().is_ok_and(|since| age < since));
        if ours && old {
            // The kernel refuses for one that is not empty.
            drop(fs::remove_dir(entry.path()));
        }
    }
}

/// The group that a process is in, and what has become of it there.
pub fn seen(controller: Controller, process: &ProcessId) -> Result<Seen, String> {
    let tree = Hierarchy::of(controller)?;
    Ok(seen_at(tree.version(), &tree.home(process.pid)?))
}

/// The group of a fault, and what has become of its processes there, those that live no more too.
pub fn seen_by_fault(journal: &Journal, fault: &str) -> Result<Seen, String> {
    let open = journal.open_entries().map_err(|error| format!("journal: {error}"))?;
    let folder = open.into_iter().find_map(|(id, undo)| match undo {
        Undo::Cgroup { folder, .. } if id == fault => Some(folder),
        _ => None,
    });
    let folder = folder.ok_or_else(|| format!("{fault} limits nothing"))?;
    let second = Path::new(&folder).join("memory.high").exists();
    Ok(seen_at(if second { "cgroup v2" } else { "cgroup v1" }, Path::new(&folder)))
}

fn seen_at(version: &str, folder: &Path) -> Seen {
    let read = |file: &str| fs::read_to_string(folder.join(file)).unwrap_or_default();
    let count = |file: &str, name: &str| {
        let text = read(file);
        let mut lines = text.lines().filter_map(|line| line.split_once(' '));
        let found = lines.find(|(word, _)| *word == name);
        found.and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(0)
    };
    // Each version has its files; the others' are not there and count nothing.
    let failed: u64 = read("memory.failcnt").trim().parse().unwrap_or(0);
    Seen {
        version: version.to_owned(),
        folder: text(folder),
        periods: count("cpu.stat", "nr_periods"),
        throttled: count("cpu.stat", "nr_throttled"),
        met: failed + count("memory.events", "high"),
        killed: count("memory.oom_control", "oom_kill") + count("memory.events", "oom_kill"),
    }
}

/// Whether groups of ours can be made on this host: by making one.
pub fn trial(limit: Limit) -> Result<(), String> {
    let tree = Hierarchy::of(limit.controller())?;
    let own = std::process::id() as i32;
    let folder = tree.place(&tree.home(own)?)?.join(name(&format!("trial_{own}")));
    let said = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::create_dir(&folder).map_err(said)?;
    let set = settings(&tree, limit).into_iter().try_for_each(|(file, value)| {
        write(&folder.join(file), &value).map_err(|error| format!("{file}: {error}"))
    });
    fs::remove_dir(&folder).map_err(said)?;
    set
}

fn members(folder: &Path) -> std::io::Result<Vec<i32>> {
    let text = fs::read_to_string(folder.join("cgroup.procs"))?;
    Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
}

/// Where a process, or the nearest of those above it that has one, has a home of its own.
fn home_of(pid: i32, strays: &[(ProcessId, String)]) -> Option<&str> {
    let mut above = Some(pid);
    // Bounded: a line of parents that is longer is not this system's.
    for _ in 0..ROUNDS {
        let process = above.and_then(process::by_pid)?;
        if let Some((_, home)) = strays.iter().find(|(stray, _)| *stray == process) {
            return Some(home);
        }
        above = process::parent(process.pid);
    }
    None
}

/// A group that is there: this one, or the nearest above, where its unit was taken away meanwhile.
fn there(home: &str) -> Result<PathBuf, String> {
    let found = Path::new(home).ancestors().find(|folder| folder.join("cgroup.procs").exists());
    found.map(Path::to_owned).ok_or_else(|| format!("the cgroup {home} is gone"))
}

fn remove(folder: &Path) -> Result<(), String> {
    let mut last = None;
    for _ in 0..TRIES {
        match fs::remove_dir(folder) {
            Err(error) if error.raw_os_error() == Some(Errno::EBUSY as i32) => last = Some(error),
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(format!("{}: {error}", folder.display()));
            }
            _ => return Ok(()),
        }
        thread::sleep(PAUSE);
    }
    let why = last.map(|error| error.to_string()).unwrap_or_default();
    Err(format!("{}: {why}", folder.display()))
}

/// In one write, as the kernel wants it.
fn write(path: &Path, value: &str) -> std::io::Result<()> {
    use std::io::Write;
    fs::OpenOptions::new().write(true).open(path)?.write_all(value.as_bytes())
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
