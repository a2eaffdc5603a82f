//! Processes: started under the host's init, named by number and start time, signalled as a group.

use std::fs::{self, OpenOptions};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getpid, getppid, setsid};

use crate::external::{External, Starting};
use crate::hold;
use crate::proto::{ProcessId, ProcessState, Start};
use crate::quote::shell_quote;

/// How often a tree is looked through for children that were born while it was being stopped.
const STOP_ROUNDS: usize = 16;

/// This boot's name.
pub fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// State letter and start time of a process number.
fn stat(pid: i32) -> Option<(char, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in parentheses and may hold anything; fields are counted from its end.
    let rest = &text[text.rfind(')')? + 2..];
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    let start = fields.nth(18)?.parse().ok()?;
    Some((state, start))
}

/// The process that now has this number.
pub fn by_pid(pid: i32) -> Option<ProcessId> {
    stat(pid).map(|(_, start)| ProcessId { pid, start })
}

/// The process that a pidfile names, `PID START`; or that of a server that is not ours.
pub fn from_pidfile(path: &str) -> Option<ProcessId> {
    if let Some(external) = External::parse(path) {
        return external.find();
    }
    let text = fs::read_to_string(path).ok()?;
    let mut parts = text.split_whitespace();
    let pid = parts.next()?.parse().ok()?;
    let start = parts.next()?.parse().ok()?;
    Some(ProcessId { pid, start })
}

/// How a process is.
pub fn state(process: &ProcessId) -> ProcessState {
    match stat(process.pid) {
        Some((_, start)) if start != process.start => ProcessState::Absent,
        // Its first thread has ended. While another has not, its files and ports are still open.
        Some(('Z' | 'X', _)) if 1 < threads(process.pid) => ProcessState::Running,
        Some(('Z' | 'X', _)) => ProcessState::Zombie,
        Some(('T' | 't', _)) => ProcessState::Stopped,
        Some(_) => ProcessState::Running,
        None => ProcessState::Absent,
    }
}

fn threads(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count)
}

/// Signals a process, its group and all its descendants: a database server's children lead groups
/// of their own. Never this process, its parent or init.
///
/// A tree is stopped from its root, until no child that was born meanwhile goes on. One that is to
/// be killed is stopped first, so that nothing is born or sent behind our back; a tree goes on from
/// its leaves.
pub fn signal(process: &ProcessId, signal: Signal) -> Result<(), String> {
    if matches!(signal, Signal::SIGKILL | Signal::SIGSTOP) {
        signal_group(process, Signal::SIGSTOP)?;
        stop_descendants(process.pid);
    }
    if signal == Signal::SIGSTOP {
        return Ok(());
    }
    let children = descendants(process.pid);
    if signal != Signal::SIGCONT {
        signal_group(process, signal)?;
    }
    for child in children.iter().rev() {
        // One that has ended meanwhile needs no signal.
        let _ = kill(Pid::from_raw(*child), signal);
    }
    if signal == Signal::SIGCONT {
        signal_group(process, signal)?;
    }
    Ok(())
}

/// Stops all descendants, parents first, until no new ones are found: one that was not stopped yet
/// may have had a child in the meantime.
fn stop_descendants(pid: i32) {
    let mut stopped: Vec<i32> = Vec::new();
    for _ in 0..STOP_ROUNDS {
        let found = descendants(pid);
        let new: Vec<i32> = found.into_iter().filter(|pid| !stopped.contains(pid)).collect();
        if new.is_empty() {
            return;
        }
        for child in new {
            // One that has ended meanwhile needs no signal.
            let _ = kill(Pid::from_raw(child), Signal::SIGSTOP);
            stopped.push(child);
        }
    }
}

/// Signals a process and its group alone: what a request to end in good order is sent to.
pub fn signal_one(process: &ProcessId, signal: Signal) -> Result<(), String> {
    signal_group(process, signal)
}

/// A process and all its descendants, as they are now.
pub fn tree(process: &ProcessId) -> Vec<ProcessId> {
    let children = descendants(process.pid).into_iter().filter_map(by_pid);
    std::iter::once(process.clone()).chain(children).collect()
}

/// All that this process started, and they in turn, parents before children.
fn descendants(pid: i32) -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let parents: Vec<(i32, i32)> =
        numbers.filter_map(|pid| parent(pid).map(|parent| (pid, parent))).collect();
    let mut found = vec![pid];
    let mut place = 0;
    // Bounded: a process has one parent, so each is found once at most.
    while place < found.len() {
        let above = found[place];
        let new = parents.iter().filter(|(pid, p)| *p == above && !found.contains(pid));
        let new: Vec<i32> = new.map(|(pid, _)| *pid).collect();
        found.extend(new);
        place += 1;
    }
    found.remove(0);
    found
}

/// The number of the process that started it, or that took its place.
pub fn parent(pid: i32) -> Option<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text[text.rfind(')')? + 2..].split(' ').nth(1)?.parse().ok()
}

fn signal_group(process: &ProcessId, signal: Signal) -> Result<(), String> {
    let own = [1, getpid().as_raw(), getppid().as_raw()];
    if own.contains(&process.pid) {
        return Err(format!("process {} is not the system's", process.pid));
    }
    if state(process) == ProcessState::Absent {
        return Err(format!("process {} does not run", process.pid));
    }
    let pid = Pid::from_raw(process.pid);
    killpg(pid, signal).or_else(|_| kill(pid, signal)).map_err(|error| {
        format!("process {} cannot be sent {}: {error}", process.pid, signal.as_str())
    })
}

/// Waits until `done` holds for the process's state; says the last state.
pub fn wait(
    process: &ProcessId,
    limit: Duration,
    done: impl Fn(ProcessState) -> bool,
) -> ProcessState {
    let until = Instant::now() + limit;
    loop {
        let now = state(process);
        if done(now) || until <= Instant::now() {
            return now;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Starts a process in a session of its own. It is a grandchild: when the one in between ends, the
/// host's init adopts it, and the agent's end does not touch it. Fails if it does not live for
/// `settle_ms`.
pub fn start(start: &Start, settle_ms: u64) -> Result<ProcessId, String> {
    if External::parse(&start.pidfile).is_some() {
        return Starting::begin(start)?.wait();
    }
    let [program, arguments @ ..] = &start.argv[..] else {
        return Err("no program to start".to_owned());
    };
    let open = || OpenOptions::new().create(true).append(true).open(&start.log);
    let log = open().map_err(|error| format!("log {}: {error}", start.log))?;
    let errors = log.try_clone().map_err(|error| format!("log {}: {error}", start.log))?;
    // A shell in between would need quoting; a re-exec of the agent itself does not.
    let own = std::env::current_exe().map_err(|error| format!("own path: {error}"))?;
    let mut command = Command::new(own);
    command.arg("spawn").arg(&start.pidfile).arg(program).args(arguments).envs(&start.env);
    command.stdin(Stdio::null()).stdout(log).stderr(errors);
    hold::while_it_acts(&mut command);
    let status = command.status().map_err(|error| format!("{program}: {error}"))?;
    let process = from_pidfile(&start.pidfile).filter(|_| status.success());
    let process = process.ok_or_else(|| format!("{program} did not start: {}", tail(start)))?;
    let limit = Duration::from_millis(settle_ms);
    let ended = |state| matches!(state, ProcessState::Absent | ProcessState::Zombie);
    if ended(wait(&process, limit, ended)) {
        return Err(format!("{program} ended at once: {}", tail(start)));
    }
    Ok(process)
}

/// What a person would type to start it so, with its pidfile: whoever heals after that finds that
/// it runs.
pub fn start_by_hand(start: &Start) -> String {
    let env = start.env.iter().map(|(name, value)| shell_quote(&format!("{name}={value}")));
    let words: Vec<String> = env.chain(start.argv.iter().map(|word| shell_quote(word))).collect();
    let (words, log) = (words.join(" "), shell_quote(&start.log));
    if External::parse(&start.pidfile).is_some() {
        return format!("setsid env {words} </dev/null >>{log} 2>&1 &");
    }
    let pidfile = shell_quote(&start.pidfile);
    let named = format!("echo $$ $(cut -d \" \" -f 22 /proc/$$/stat) >{pidfile}");
    let line = shell_quote(&format!("{named}; exec env {words}"));
    format!("setsid sh -c {line} </dev/null >>{log} 2>&1 &")
}

/// What a person would type to let a process and its children go on.
pub fn continue_by_hand(pid: i32) -> String {
    format!("kill -CONT $(pgrep -P {pid}) {pid}")
}

fn tail(start: &Start) -> String {
    last_lines(&start.log, 5).unwrap_or_default().trim().to_owned()
}

/// The last lines of a file, of at most its last 64 KiB.
pub fn last_lines(path: &str, lines: usize) -> Result<String, String> {
    let bytes = fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    let from = bytes.len().saturating_sub(64 << 10);
    let text = String::from_utf8_lossy(&bytes[from..]);
    let all: Vec<&str> = text.lines().collect();
    Ok(all[all.len().saturating_sub(lines)..].join("\n"))
}

/// `splitbrain-agent spawn PIDFILE PROGRAM ARGS...`: the process in between.
pub fn spawn(pidfile: &str, program: &str, arguments: &[String]) -> Result<(), String> {
    setsid().map_err(|error| format!("setsid: {error}"))?;
    hold::nothing();
    let mut command = Command::new(program);
    // A group of its own, so that a signal reaches all of it and nothing else.
    command.args(arguments).process_group(0);
    let child = command.spawn().map_err(|error| format!("{program}: {error}"))?;
    let pid = child.id() as i32;
    let process = by_pid(pid).ok_or_else(|| format!("{program} ended at once"))?;
    let text = format!("{} {}\n", process.pid, process.start);
    fs::write(pidfile, text).map_err(|error| format!("{pidfile}: {error}"))
}
