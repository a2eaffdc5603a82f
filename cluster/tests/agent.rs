//! The agent as a process: whatever becomes of harness, worker or guardian, the host is healed.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

#[path = "agent/limits.rs"]
mod limits;
#[path = "agent/lives.rs"]
mod lives;
#[path = "agent/typed.rs"]
mod typed;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use agent::disk::asks::DiskAsk;
use agent::disk::trouble::{Trouble, Troubled};
use agent::frame;
use agent::process;
use agent::proto::{Answer, Ask, ClockChange, ProcessState, Request, Response, Start};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The static agent that was built with this crate.
const AGENT: &str = env!("SPLITBRAIN_AGENT");
/// Shorter than the leases of tests that are not about leases.
const GONE: Duration = Duration::from_secs(8);

struct Agent {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    folder: tempfile::TempDir,
    next: u64,
}

impl Agent {
    fn start(lease_ms: u64) -> Agent {
        Agent::limited(lease_ms, 0)
    }

    fn limited(lease_ms: u64, limit_ms: u64) -> Agent {
        Agent::at(tempfile::tempdir().unwrap(), "agent", lease_ms, limit_ms)
    }

    fn at(folder: tempfile::TempDir, run: &str, lease_ms: u64, limit_ms: u64) -> Agent {
        let mut child = Command::new(AGENT)
            .args(["serve", &folder.path().join(run).display().to_string()])
            .args([&lease_ms.to_string(), &limit_ms.to_string(), "ann@east pid 7"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().unwrap());
        Agent { child, stdin, stdout, folder, next: 0 }
    }

    fn ask(&mut self, ask: Ask) -> Result<Answer, String> {
        self.next += 1;
        let request = Request { id: self.next, body: ask };
        self.stdin.as_mut().unwrap().write_all(&frame::encode(&request).unwrap()).unwrap();
        let response: Response = frame::read(&mut self.stdout).unwrap().unwrap();
        assert_eq!(response.id, self.next);
        response.body
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// A process under the agent's care.
    fn sleeper(&mut self) -> Start {
        let start = Start {
            argv: vec!["/bin/sleep".to_owned(), "300".to_owned()],
            log: self.path("log"),
            pidfile: self.path("pid"),
            ..Start::default()
        };
        self.ask(Ask::Start { start: start.clone(), settle_ms: 20 }).unwrap();
        start
    }

    fn pause(&mut self, start: &Start) {
        let pidfile = start.pidfile.clone();
        let answer = self.ask(Ask::Pause { fault: "f1".to_owned(), pidfile }).unwrap();
        assert!(matches!(answer, Answer::Process { state: ProcessState::Stopped, .. }));
    }

    fn worker(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// One of the other processes that serve this agent's folder.
    fn other(&self, name: &str) -> Pid {
        let mark = self.path("agent");
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let numbers = entries.filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
        let mut ours = numbers.filter(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            comm.trim() == name && String::from_utf8_lossy(&line).contains(&mark)
        });
        Pid::from_raw(ours.next().unwrap())
    }

    fn guardian(&self) -> Pid {
        self.other("sb-guardian")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(process) = process::from_pidfile(&self.path("pid")) {
            let _ = process::signal(&process, Signal::SIGKILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn state(start: &Start) -> ProcessState {
    process::from_pidfile(&start.pidfile).map_or(ProcessState::Absent, |p| process::state(&p))
}

fn wait_for(start: &Start, wanted: ProcessState) {
    let until = Instant::now() + GONE;
    while state(start) != wanted {
        assert!(Instant::now() < until, "{:?}, should be {wanted:?}", state(start));
        std::thread::yield_now();
    }
}

#[test]
fn a_fault_is_healed_when_asked_twice_if_you_like() {
    let mut agent = Agent::start(60_000);
    let start = agent.sleeper();
    agent.pause(&start);
    let heal = || Ask::Heal { fault: "f1".to_owned() };
    let Ok(Answer::Healed { undone }) = agent.ask(heal()) else { panic!("not healed") };
    assert_eq!(undone.len(), 1);
    wait_for(&start, ProcessState::Running);
    assert_eq!(agent.ask(heal()), Ok(Answer::Healed { undone: Vec::new() }));
}

#[test]
fn the_end_of_the_channel_heals() {
    let mut agent = Agent::start(60_000);
    let start = agent.sleeper();
    agent.pause(&start);
    agent.stdin = None;
    wait_for(&start, ProcessState::Running);
}

#[test]
fn a_lease_that_is_not_renewed_heals() {
    let mut agent = Agent::start(600);
    let start = agent.sleeper();
    agent.pause(&start);
    wait_for(&start, ProcessState::Running);
}

#[test]
fn the_guardian_heals_after_the_worker() {
    let mut agent = Agent::start(60_000);
    let start = agent.sleeper();
    agent.pause(&start);
    kill(agent.worker(), Signal::SIGKILL).unwrap();
    wait_for(&start, ProcessState::Running);
}

#[test]
fn the_guardian_heals_for_a_worker_that_is_stuck() {
    let mut agent = Agent::start(800);
    let start = agent.sleeper();
    agent.pause(&start);
    kill(agent.worker(), Signal::SIGSTOP).unwrap();
    wait_for(&start, ProcessState::Running);
}

#[test]
fn the_sentry_heals_after_both() {
    let mut agent = Agent::start(60_000);
    let start = agent.sleeper();
    agent.pause(&start);
    let sentry = agent.other("sb-sentry");
    // The guardian first stopped, so that it cannot be the one.
    kill(agent.guardian(), Signal::SIGSTOP).unwrap();
    kill(agent.worker(), Signal::SIGKILL).unwrap();
    kill(agent.guardian(), Signal::SIGKILL).unwrap();
    wait_for(&start, ProcessState::Running);
    let gone = || fs::read(format!("/proc/{sentry}/cmdline")).is_ok_and(|line| line.is_empty());
    let until = Instant::now() + GONE;
    while !gone() && Path::new(&format!("/proc/{sentry}")).exists() {
        assert!(Instant::now() < until, "the sentry ends when it has undone");
    }
}

#[test]
fn the_worker_heals_after_the_guardian() {
    let mut agent = Agent::start(60_000);
    let start = agent.sleeper();
    agent.pause(&start);
    kill(agent.guardian(), Signal::SIGKILL).unwrap();
    wait_for(&start, ProcessState::Running);
}

#[test]
fn a_killed_process_is_started_again() {
    let mut agent = Agent::start(60_000);
    let start = agent.sleeper();
    let first = process::from_pidfile(&start.pidfile).unwrap();
    let (fault, pidfile) = ("f2".to_owned(), start.pidfile.clone());
    let ask = Ask::Kill { fault: fault.clone(), pidfile, restart: Some(start.clone()) };
    agent.ask(ask).unwrap();
    agent.ask(Ask::Heal { fault }).unwrap();
    wait_for(&start, ProcessState::Running);
    assert_ne!(process::from_pidfile(&start.pidfile).unwrap(), first);
}

#[test]
fn a_slowed_process_stops_and_goes_on() {
    let mut agent = Agent::start(60_000);
    let start = agent.sleeper();
    let (fault, pidfile) = ("f3".to_owned(), start.pidfile.clone());
    agent.ask(Ask::Slow { fault: fault.clone(), pidfile, stopped_percent: 50 }).unwrap();
    wait_for(&start, ProcessState::Stopped);
    wait_for(&start, ProcessState::Running);
    wait_for(&start, ProcessState::Stopped);
    agent.ask(Ask::Heal { fault }).unwrap();
    wait_for(&start, ProcessState::Running);
}

/// Waits until something holds.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + GONE;
    while !holds() {
        assert!(Instant::now() < end, "not within {GONE:?}: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_killed_keeper_takes_along_what_has_left_its_program() {
    let mut agent = Agent::start(30_000);
    let orphan = agent.path("orphan");
    let script = format!("(setsid sleep 300 & echo $! > {orphan}); exec sleep 300");
    let argv = [AGENT, "keep", "/bin/sh", "-c", &script].map(str::to_owned).to_vec();
    let (log, pidfile) = (agent.path("log"), agent.path("pid"));
    let start = Start { argv, log, pidfile, ..Start::default() };
    agent.ask(Ask::Start { start: start.clone(), settle_ms: 20 }).unwrap();
    let number = || fs::read_to_string(&orphan).ok()?.trim().parse::<i32>().ok();
    until("the orphan has said its number", || number().is_some());
    let process = process::by_pid(number().unwrap()).unwrap();
    // It has a session of its own, and the shell that started it is gone.
    let pidfile = start.pidfile.clone();
    agent.ask(Ask::Kill { fault: "f1".to_owned(), pidfile, restart: None }).unwrap();
    let gone = |state| matches!(state, ProcessState::Absent | ProcessState::Zombie);
    until("the orphan is gone", || gone(process::state(&process)));
}

#[test]
fn the_agent_never_signals_itself() {
    let mut agent = Agent::start(60_000);
    let own = process::by_pid(agent.worker().as_raw()).unwrap();
    let pidfile = agent.path("own");
    fs::write(&pidfile, format!("{} {}\n", own.pid, own.start)).unwrap();
    let refused = agent.ask(Ask::Pause { fault: "f4".to_owned(), pidfile }).unwrap_err();
    assert!(refused.contains("is not the system's"), "{refused}");
}

#[test]
fn the_agent_is_static() {
    let bytes = fs::read(AGENT).unwrap();
    let word = |at: usize, length: usize| {
        bytes[at..at + length].iter().rev().fold(0_usize, |word, byte| word << 8 | *byte as usize)
    };
    // ELF64: the program headers, none of which may name an interpreter (type 3).
    let (offset, size, count) = (word(0x20, 8), word(0x36, 2), word(0x38, 2));
    let kinds: Vec<usize> = (0..count).map(|header| word(offset + header * size, 4)).collect();
    assert!(kinds.contains(&1), "no program in {AGENT}");
    assert!(!kinds.contains(&3), "{AGENT} wants an interpreter: it is dynamic");
}

#[test]
fn the_longest_duration_heals_though_the_harness_goes_on_renewing() {
    let mut agent = Agent::limited(60_000, 700);
    let start = agent.sleeper();
    agent.pause(&start);
    let until = Instant::now() + GONE;
    let renew = |agent: &mut Agent| {
        let request = Request { id: 1_000, body: Ask::Renew };
        agent.stdin.as_mut().unwrap().write_all(&frame::encode(&request).unwrap())
    };
    while state(&start) != ProcessState::Running {
        assert!(Instant::now() < until, "not healed");
        // Its end closes the pipe.
        let _ = renew(&mut agent);
        std::thread::yield_now();
    }
    assert!(!agent.child.wait().unwrap().success(), "it ends, and says why");
}

#[test]
fn a_worker_that_is_stuck_past_the_longest_duration_is_ended() {
    let mut agent = Agent::limited(60_000, 700);
    let start = agent.sleeper();
    agent.pause(&start);
    kill(agent.worker(), Signal::SIGSTOP).unwrap();
    wait_for(&start, ProcessState::Running);
    assert!(!agent.child.wait().unwrap().success());
}

#[test]
fn a_host_has_one_harness_until_it_lets_go() {
    let mut first = Agent::start(60_000);
    let hello = first.ask(Ask::Hello);
    assert_eq!(hello, Ok(Answer::Welcome { note: None, timer: None }));
    let serve = |run: &str| {
        Command::new(AGENT)
            .args(["serve", &first.path(run), "60000", "0", "bob@west pid 9"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let hello = |child: &mut Child| -> Result<Answer, String> {
        let frame = frame::encode(&Request { id: 1, body: Ask::Hello }).unwrap();
        child.stdin.as_mut().unwrap().write_all(&frame).unwrap();
        let response: Response = frame::read(child.stdout.as_mut().unwrap()).unwrap().unwrap();
        response.body
    };
    let mut second = serve("second");
    let refused = hello(&mut second).unwrap_err();
    assert!(refused.contains("held by run agent of ann@east pid 7"), "{refused}");
    assert!(refused.contains("run second of bob@west pid 9"), "{refused}");
    drop(second.stdin.take());
    second.wait().unwrap();
    // Both die without a word: the kernel lets go, the name stays. The worker first: one that sees
    // its guardian's end takes the name out, as at any end in good order.
    let guardian = first.guardian();
    for pid in [first.worker(), guardian] {
        kill(pid, Signal::SIGKILL).unwrap();
    }
    let mut third = serve("third");
    let Ok(Answer::Welcome { note: Some(note), .. }) = hello(&mut third) else { panic!("no note") };
    assert!(note.contains("ann@east pid 7") && note.contains("dead"), "{note}");
    drop(third.stdin.take());
    third.wait().unwrap();
}

/// A server that says what it takes for the time, again and again. No shell: bash has an
/// environment of its own, which preloaded libraries do not see.
const TELLER: &str = "use Time::HiRes qw(time sleep); my $f = shift; while (1) { \
    open(my $o, '>', \"$f.new\"); printf $o '%.6f', time; close $o; \
    rename \"$f.new\", $f; sleep 0.02; }";

/// How far ahead of this machine's clock a teller is, s.
fn ahead(told: &str) -> Option<f64> {
    let said: f64 = fs::read_to_string(told).ok()?.trim().parse().ok()?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(said - now.as_secs_f64())
}

#[test]
fn a_server_has_a_clock_of_its_own_until_whoever_is_left_puts_it_right() {
    if agent::fake_clock::library().is_none() {
        assert!(std::env::var_os("CI").is_none(), "CI must have libfaketime");
        eprintln!("skipped: libfaketime is not installed");
        return;
    }
    let mut agent = Agent::start(30_000);
    let (told, file) = (agent.path("told"), agent.path("clock/time"));
    let set = |change| {
        let (fault, pidfile) = ("f1".to_owned(), agent.path("pid"));
        Ask::SetClock { fault, pidfile, change }
    };
    let drift = set(ClockChange::Drift { rate: 1_200 });
    let jump = set(ClockChange::Offset { offset_ms: -60_000 });
    let refused = agent.ask(jump.clone()).unwrap_err();
    assert!(refused.contains("the host's own clock"), "{refused}");
    agent.ask(Ask::FakeClock { file: file.clone() }).unwrap();
    let argv = ["/usr/bin/perl", "-e", TELLER, &told].map(str::to_owned).to_vec();
    let (log, pidfile) = (agent.path("log"), agent.path("pid"));
    let start = Start { argv, log, pidfile, preload: true, ..Start::default() };
    agent.ask(Ask::Start { start, settle_ms: 20 }).unwrap();
    let near = |there: f64| ahead(&told).is_some_and(|ahead| (ahead - there).abs() < 0.5);
    until("the server has the right time", || near(0.0));
    agent.ask(drift).unwrap();
    let mut seen = 0.0;
    until("the clock drifts", || {
        seen = ahead(&told).unwrap_or(seen);
        assert!(seen < 1.5, "it jumped to {seen} s");
        0.2 < seen
    });
    agent.ask(jump).unwrap();
    until("the clock jumps", || near(-60.0));
    kill(agent.worker(), Signal::SIGKILL).unwrap();
    until("the guardian puts it right", || near(0.0));
    assert_eq!(fs::read_to_string(&file).unwrap(), "+0.000 x1.000\n");
}

/// Whether a disk layer can be laid here; says loudly if not.
fn layers_work() -> bool {
    let works = nix::unistd::geteuid().is_root() && Path::new("/dev/fuse").exists();
    if !works {
        eprintln!("skipped: a disk layer needs root and /dev/fuse");
    }
    works
}

/// The mount table's lines of a folder.
fn mounted(folder: &str) -> bool {
    fs::read_to_string("/proc/self/mounts").unwrap().contains(&format!(" {folder} fuse"))
}

fn disk(agent: &mut Agent, about: DiskAsk) -> (String, u64) {
    match agent.ask(Ask::Disk { about }).unwrap() {
        Answer::Disk { said, count, .. } => (said, count),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_disk_layer_goes_with_its_agent_and_leaves_whole_files() {
    if !layers_work() {
        return;
    }
    let mut agent = Agent::start(60_000);
    let folder = agent.path("data");
    fs::create_dir(&folder).unwrap();
    fs::write(format!("{folder}/before"), "was there").unwrap();
    disk(&mut agent, DiskAsk::Lay { folder: folder.clone() });
    assert!(mounted(&folder));
    assert_eq!(fs::read_to_string(format!("{folder}/before")).unwrap(), "was there");

    // Names, and content that was not synced.
    fs::create_dir(format!("{folder}/a")).unwrap();
    fs::write(format!("{folder}/a/new"), [7; 10_000]).unwrap();
    fs::rename(format!("{folder}/a/new"), format!("{folder}/a/renamed")).unwrap();
    assert_eq!(fs::read(format!("{folder}/a/renamed")).unwrap(), [7; 10_000]);
    let full = Troubled { fault: "f1".to_owned(), trouble: Trouble::Full, files: Vec::new() };
    let restart = agent.sleeper();
    disk(&mut agent, DiskAsk::Trouble { folder: folder.clone(), troubled: full, restart });
    let refused = fs::write(format!("{folder}/more"), "x").unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(nix::libc::ENOSPC));

    // Worker and harness are gone: the guardian takes the layer away, and nothing is lost by it.
    kill(Pid::from_raw(agent.child.id() as i32), Signal::SIGKILL).unwrap();
    agent.child.wait().unwrap();
    until("the layer is gone", || !mounted(&folder));
    assert_eq!(fs::read(format!("{folder}/a/renamed")).unwrap(), [7; 10_000]);
    fs::write(format!("{folder}/more"), "x").unwrap();
}
