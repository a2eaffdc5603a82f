//! Packets shaped between two agents, each in a network namespace of its own: what was asked for
//! against what echo requests measure, and what is left whatever becomes of worker and shaper.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

#[path = "shaping/tcp.rs"]
mod tcp;

use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use agent::frame;
use agent::journal::Journal;
use agent::ping::{PingPlan, Pings};
use agent::process;
use agent::proto::{Answer, Ask, ProcessId, ProcessState, Request, Response};
use agent::shape::{Counters, Distribution, Flap, PeerShape, Shape};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};

const AGENT: &str = env!("SPLITBRAIN_AGENT");
/// How long anything may take that should happen soon.
const SOON: Duration = Duration::from_secs(8);

struct Agent {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    folder: tempfile::TempDir,
    next: u64,
}

impl Agent {
    fn start() -> Agent {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new("unshare")
            .args(["--net", AGENT, "serve", &folder.path().join("agent").display().to_string()])
            .args(["20000", "0", "ann@east pid 7"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().unwrap());
        let mut agent = Agent { child, stdin, stdout, folder, next: 0 };
        agent.ask(Ask::Hello).unwrap();
        agent
    }

    fn ask(&mut self, ask: Ask) -> Result<Answer, String> {
        let id = self.send(ask);
        self.await_answer(id)
    }

    fn send(&mut self, ask: Ask) -> u64 {
        self.next += 1;
        let request = Request { id: self.next, body: ask };
        self.stdin.as_mut().unwrap().write_all(&frame::encode(&request).unwrap()).unwrap();
        self.next
    }

    fn await_answer(&mut self, id: u64) -> Result<Answer, String> {
        let response: Response = frame::read(&mut self.stdout).unwrap().unwrap();
        assert_eq!(response.id, id);
        response.body
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// Runs a command in its namespace; says what it printed.
    fn inside(&self, words: &[&str]) -> String {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.pid().to_string(), "-n"]).args(words);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn shape(&mut self, fault: &str, from: &[IpAddr], shape: Shape) {
        let peers = vec![PeerShape { from: from.to_vec(), shape }];
        let ask = Ask::Shape { fault: fault.to_owned(), peers, seed: 5 };
        let shaping = Answer::Shaping { mechanism: "NFQUEUE".to_owned() };
        assert_eq!(self.ask(ask), Ok(shaping));
    }

    /// Types what the journal's open entries say, as a person there would.
    fn type_all(&self) {
        let folder = self.folder.path().join("agent");
        let open = Journal::open(&folder).unwrap().open_entries().unwrap();
        assert!(!open.is_empty());
        for (_, undo) in open {
            self.inside(&["sh", "-c", &format!("{}; true", undo.by_hand())]);
        }
    }

    fn ping(&mut self, target: IpAddr, count: u32, gap_us: u64, size: usize) -> Pings {
        let plan = PingPlan { count, gap_us, size, wait_ms: 400 };
        match self.ask(Ask::Ping { targets: vec![target], plan }).unwrap() {
            Answer::Pinged { outcomes } => outcomes[0].clone().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn counters(&mut self, fault: &str) -> Counters {
        match self.ask(Ask::Shaped { fault: fault.to_owned() }).unwrap() {
            Answer::Shaped { counters: Some(counters), ended: None } => counters,
            other => panic!("{other:?}"),
        }
    }

    fn heal(&mut self, fault: &str) {
        let Ok(Answer::Healed { undone }) = self.ask(Ask::Heal { fault: fault.to_owned() }) else {
            panic!("{fault} is not healed")
        };
        assert_eq!(undone.len(), 1, "{undone:?}");
    }

    /// Processes that it started: its shapers, and nothing else here.
    fn shapers(&self) -> Vec<ProcessId> {
        let path = format!("/proc/{0}/task/{0}/children", self.pid());
        let text = fs::read_to_string(path).unwrap_or_default();
        let pids = text.split_whitespace().filter_map(|pid| process::by_pid(pid.parse().ok()?));
        let is_shaper = |process: &ProcessId| {
            let line = fs::read_to_string(format!("/proc/{}/cmdline", process.pid));
            line.is_ok_and(|line| line.ends_with("\0shape\0"))
        };
        pids.filter(is_shaper).collect()
    }

    /// No chain of ours, in either family.
    fn assert_no_rules(&self) {
        for save in ["iptables-save", "ip6tables-save"] {
            let rules = self.inside(&[save, "-t", "mangle"]);
            assert!(!rules.contains("splitbrain"), "{rules}");
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two agents with a link between them, and the addresses of the second.
fn pair() -> Option<(Agent, Agent, [IpAddr; 2])> {
    if !Uid::effective().is_root() {
        assert!(std::env::var_os("CI").is_none(), "CI must be able to make namespaces");
        eprintln!("skipped: these tests need root, for network namespaces");
        return None;
    }
    let (one, other) = (Agent::start(), Agent::start());
    let (a, b) = (one.pid().to_string(), other.pid().to_string());
    let made = Command::new("ip")
        .args(["link", "add", "data0", "netns", &a, "type", "veth", "peer", "data0", "netns", &b])
        .status();
    assert!(made.unwrap().success());
    for (agent, number) in [(&one, 1), (&other, 2)] {
        let (v4, v6) = (format!("198.19.0.{number}/24"), format!("fd00::{number}/64"));
        agent.inside(&["ip", "addr", "add", &v4, "dev", "data0"]);
        agent.inside(&["ip", "addr", "add", &v6, "dev", "data0", "nodad"]);
        for device in ["lo", "data0"] {
            agent.inside(&["ip", "link", "set", device, "up"]);
        }
    }
    let addresses = ["198.19.0.2", "fd00::2"].map(|address| address.parse().unwrap());
    let (mut one, until) = (one, Instant::now() + SOON);
    for address in addresses {
        while one.ping(address, 1, 0, 56).answered == 0 {
            assert!(Instant::now() < until, "{address} does not answer");
        }
    }
    Some((one, other, addresses))
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < end, "not within {SOON:?}: {what}");
        std::thread::yield_now();
    }
}

fn gone(process: &ProcessId) -> bool {
    matches!(process::state(process), ProcessState::Absent | ProcessState::Zombie)
}

/// Within six standard deviations of what chance gives: of so many, each hit with `share`.
fn by_chance(measured: u32, of: u32, share: f64) -> bool {
    let mean = f64::from(of) * share;
    (f64::from(measured) - mean).abs() <= 6.0 * (mean * (1.0 - share)).sqrt()
}

/// Within a fifth of what was asked for.
fn about(measured: u64, asked: u64) -> bool {
    (asked * 4 / 5..=asked * 6 / 5).contains(&measured)
}

#[test]
fn what_is_measured_is_what_was_asked_for() {
    let Some((mut one, mut other, addresses)) = pair() else { return };
    let (v4, shape) = (addresses[0], Shape::default());
    let calm = one.ping(v4, 100, 500, 56);
    assert_eq!((calm.answered, calm.duplicates), (100, 0));
    // Both families of a peer are one link.
    let slow = Shape { delay_us: 100_000, jitter_us: 20_000, ..shape };
    one.shape("f1", &addresses, slow);
    for address in addresses {
        let seen = one.ping(address, 200, 1_000, 56);
        assert_eq!(seen.answered, 200);
        assert!(about(seen.median_us - calm.median_us, 100_000), "{address}: {seen:?}");
        // Eight tenths of it, and what a busy machine adds.
        let spread = seen.high_us - seen.low_us;
        assert!((24_000..80_000).contains(&spread), "{address}: {seen:?}");
    }
    one.heal("f1");
    one.shape("f2", &[v4], Shape { distribution: Distribution::Normal, ..slow });
    let seen = one.ping(v4, 400, 1_000, 56);
    // Eight tenths of a normal distribution are within 1.28 deviations.
    let spread = seen.high_us - seen.low_us;
    assert!((40_000..100_000).contains(&spread), "{seen:?}");
    one.heal("f2");
    one.shape("f3", &[v4], Shape { loss: 100_000, ..shape });
    let seen = one.ping(v4, 2_000, 300, 56);
    assert!(by_chance(seen.sent - seen.answered, 2_000, 0.1), "{seen:?}");
    let counters = one.counters("f3");
    assert_eq!(counters.lost, u64::from(seen.sent - seen.answered), "{counters:?}");
    one.heal("f3");
    one.shape("f4", &[v4], Shape { reorder: 250_000, hold_us: 20_000, ..shape });
    let seen = one.ping(v4, 1_600, 1_000, 56);
    assert_eq!(seen.answered, 1_600);
    assert!(by_chance(seen.overtaken, 1_600, 0.25), "{seen:?}");
    one.heal("f4");
    // The bit breaks the checksum: the kernel drops what is corrupt.
    one.shape("f5", &[v4], Shape { corrupt: 200_000, ..shape });
    let seen = one.ping(v4, 1_600, 500, 56);
    let counters = one.counters("f5");
    assert_eq!(counters.corrupted, u64::from(seen.sent - seen.answered), "{counters:?}");
    assert!(by_chance(seen.sent - seen.answered, 1_600, 0.2), "{seen:?}");
    one.heal("f5");
    one.shape("f6", &[v4], Shape { rate: 1_000_000, ..shape });
    let seen = one.ping(v4, 100, 2_500, 600);
    let rate = seen.bytes * 8 * 1_000_000 * u64::from(seen.answered - 1) / seen.span_us;
    assert!(about(rate, 1_000_000), "{rate} bit/s: {seen:?}");
    one.heal("f6");
    let flap = Some(Flap { period_ms: 200, down_ms: 100 });
    one.shape("f7", &[v4], Shape { flap, ..shape });
    let seen = one.ping(v4, 400, 1_000, 56);
    assert!((140..260).contains(&seen.answered), "{seen:?}");
    one.heal("f7");
    let ask = Ask::Duplicate { fault: "f8".to_owned(), to: addresses.to_vec(), share: 300_000 };
    assert!(one.ask(ask).is_ok());
    let seen = one.ping(v4, 1_600, 500, 56);
    assert_eq!(seen.answered, 1_600);
    assert!(by_chance(seen.duplicates, 1_600, 0.3), "{seen:?}");
    one.heal("f8");
    let seen = one.ping(v4, 100, 500, 56);
    assert_eq!((seen.answered, seen.duplicates), (100, 0));
    assert!(seen.median_us < 20_000, "{seen:?}");
    assert!(one.shapers().is_empty());
    one.assert_no_rules();
    other.assert_no_rules();
    assert!(other.ask(Ask::Renew).is_ok());
}

#[test]
fn shapers_add_up_and_each_is_undone_alone() {
    let Some((mut one, _other, [v4, _])) = pair() else { return };
    let slow = |ms: u64| Shape { delay_us: ms * 1_000, ..Shape::default() };
    one.shape("f1", &[v4], slow(50));
    one.shape("f2", &[v4], slow(100));
    let took = |one: &mut Agent| one.ping(v4, 20, 1_000, 56).median_us;
    until("both delay", || about(took(&mut one), 150_000));
    one.heal("f1");
    assert!(about(took(&mut one), 100_000));
    one.heal("f2");
    assert!(took(&mut one) < 20_000);
}

#[test]
fn a_packet_that_a_shaper_holds_never_arrives_after_a_cut() {
    // Whichever came first, and by whatever end the shaper lets go of what it holds.
    for (cut_first, heal) in [(false, None), (false, Some("f1")), (true, None)] {
        let Some((mut one, _other, addresses)) = pair() else { return };
        let slow = Shape { delay_us: 400_000, ..Shape::default() };
        let cut = Ask::Drop { fault: "f2".to_owned(), from: addresses.to_vec() };
        if cut_first {
            one.ask(cut.clone()).unwrap();
        }
        one.shape("f1", &addresses, slow);
        for address in addresses {
            let before = one.counters("f1").seen;
            let plan = PingPlan { count: 20, gap_us: 0, size: 56, wait_ms: 1_000 };
            let ping = one.send(Ask::Ping { targets: vec![address], plan });
            let held = |one: &mut Agent| 20 <= one.counters("f1").seen - before;
            until("the answers are held", || held(&mut one));
            one.ask(cut.clone()).unwrap();
            if let Some(fault) = heal.filter(|_| address == addresses[1]) {
                one.heal(fault);
            }
            match one.await_answer(ping) {
                Ok(Answer::Pinged { outcomes }) => {
                    let seen = outcomes[0].clone().unwrap();
                    assert_eq!((seen.sent, seen.answered), (20, 0), "{cut_first} {heal:?}");
                }
                other => panic!("{other:?}"),
            }
            if !cut_first && address == addresses[0] {
                one.heal("f2");
            }
        }
    }
}

#[test]
fn traffic_flows_and_no_rule_stays_whatever_dies() {
    for who in ["worker", "shaper", "stuck shaper", "channel"] {
        let Some((mut one, mut other, addresses)) = pair() else { return };
        let back: IpAddr = "198.19.0.1".parse().unwrap();
        one.shape("f1", &addresses, Shape { loss: 1_000_000, ..Shape::default() });
        assert_eq!(other.ping(back, 5, 1_000, 56).answered, 0);
        // Held open: the namespace outlives the agent.
        let mut held = Command::new("nsenter")
            .args(["-t", &one.pid().to_string(), "-n", "sleep", "60"])
            .spawn()
            .unwrap();
        let net = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        until("it is inside", || net(held.id()) == net(one.child.id()));
        let shaper = one.shapers().pop().unwrap();
        let pid = Pid::from_raw(shaper.pid);
        match who {
            "worker" => kill(one.pid(), Signal::SIGKILL).unwrap(),
            "shaper" => kill(pid, Signal::SIGKILL).unwrap(),
            "channel" => one.stdin = None,
            _ => kill(pid, Signal::SIGSTOP).unwrap(),
        }
        until(who, || other.ping(back, 1, 0, 56).answered == 1);
        until(who, || gone(&shaper));
        let inside = || {
            let mut save = Command::new("nsenter");
            save.args(["-t", &held.id().to_string(), "-n", "iptables-save", "-t", "mangle"]);
            String::from_utf8(save.output().unwrap().stdout).unwrap()
        };
        until(who, || !inside().contains("splitbrain"));
        if who.contains("shaper") {
            let Ok(Answer::Shaped { counters: None, ended: Some(why) }) =
                one.ask(Ask::Shaped { fault: "f1".to_owned() })
            else {
                panic!("{who}: the fault is not said to be cut short")
            };
            let expected = if who == "shaper" { "has ended" } else { "did not answer" };
            assert!(why.contains(expected), "{why}");
        }
        held.kill().unwrap();
        held.wait().unwrap();
    }
}

#[test]
fn what_a_person_types_lets_packets_flow_again() {
    let Some((mut one, _other, addresses)) = pair() else { return };
    one.shape("f1", &addresses, Shape { delay_us: 300_000, ..Shape::default() });
    let shapers = one.shapers();
    assert_eq!(shapers.len(), 1);
    one.ask(Ask::Drop { fault: "f2".to_owned(), from: vec![addresses[1]] }).unwrap();
    assert_eq!(one.ping(addresses[1], 2, 1_000, 56).answered, 0);
    one.type_all();
    one.assert_no_rules();
    assert!(!one.inside(&["nft", "list", "tables"]).contains("splitbrain"));
    until("the shaper has ended", || gone(&shapers[0]));
    for address in addresses {
        let seen = one.ping(address, 5, 1_000, 56);
        assert!(seen.answered == 5 && seen.median_us < 100_000, "{address}: {seen:?}");
    }
    // Whoever heals afterwards finds nothing left to do.
    let healed = one.ask(Ask::HealAll);
    assert!(matches!(&healed, Ok(Answer::Healed { .. })), "{healed:?}");
}
