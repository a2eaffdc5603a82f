//! kill -9 at random moments: of the harness, of an agent's worker, of its guardian, of both, of
//! all three, while a fault is injected, in force and healed. Each host is then as it was, within
//! its lease.
//!
//! `SPLITBRAIN_ROUNDS` is how many rounds (by default one of each family), `SPLITBRAIN_SEED` the
//! seed, `SPLITBRAIN_FIRST` the number of the first round: a round is drawn from seed and number.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use support::site::Site;
use support::{errors, lab_works};

/// How long an agent holds faults without its harness, and what a slow machine may add: healing
/// starts servers, and looking at a host takes a log-in.
const LEASE: Duration = Duration::from_secs(10);
const MARGIN: Duration = Duration::from_secs(4);
const LONG: Duration = Duration::from_secs(40);
/// How often agents are looked for.
const SCAN_EVERY: Duration = Duration::from_millis(100);
const HOSTS: [&str; 3] = ["n1", "n2", "n3"];

/// A family, and faults of it.
const FAMILIES: [(&str, &[&str]); 6] = [
    ("network", &["isolate:n1", "one-way:n2", "halves:n3"]),
    ("packets", &["delay:n1", "loss:n2", "duplicate:n3", "flapping:n1"]),
    ("process", &["pause:leader", "kill:leader", "stop:leader", "slow:n2", "restart:leader"]),
    (
        "load",
        &[
            "load:n1",
            "cpu-limit:n3,cpu=1%",
            "crash-loop:n2,period=200ms",
            "kill-in-start:leader,after=30ms",
        ],
    ),
    ("disk", &["disk-full:leader", "lose-unsynced:leader", "slow-sync:n2", "bit-flip:n3"]),
    ("clock", &["clock-bump:n1", "clock-strobe:n2", "clock-drift:n3"]),
];

/// Who is killed.
const VICTIMS: [&[Who]; 5] = [
    &[Who::Harness],
    &[Who::Worker],
    &[Who::Guardian],
    &[Who::Worker, Who::Guardian],
    &[Who::Guardian, Who::Harness, Who::Worker],
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Harness,
    Worker,
    Guardian,
}

/// Rules of somebody else's, which stay as they are.
const FOREIGN: &str = "nft add table inet shop && \
    nft add chain inet shop input '{ type filter hook input priority -5; policy accept; }' && \
    nft add rule inet shop input ip saddr 203.0.113.7 drop && \
    iptables -A INPUT -s 203.0.113.0/24 -j DROP && \
    iptables -t mangle -A INPUT -s 203.0.113.9 -j MARK --set-mark 7 && \
    iptables -t mangle -A POSTROUTING -d 203.0.113.9 -j MARK --set-mark 8 && \
    ip6tables -t mangle -A INPUT -s 2001:db8::1 -j DROP";

/// Everything that a fault could leave: rules, queueing, mounts, agents and their helpers, stopped
/// processes, the servers' clock, files of agents.
const STATE: &str = "iptables-save | sed -e '/^#/d' -e 's/\\[[0-9:]*\\]//'; \
    ip6tables-save | sed -e '/^#/d' -e 's/\\[[0-9:]*\\]//'; \
    nft list ruleset 2>/dev/null | sed -e 's/counter packets [0-9]* bytes [0-9]*/counter/'; \
    tc qdisc show; echo mounts; sort /proc/mounts; \
    echo processes; ps -eo stat=,args= | grep -e '/run/splitbrain/agent-' -e '^T' | grep -v grep; \
    echo clock; cat /run/splitbrain-clock/time 2>/dev/null | grep -v '^+0.* x1\\.0*$'; \
    echo files; ls -A /run/splitbrain 2>/dev/null | \
    grep -v -E '^(agent-|store-|t[0-9]+r)|^host.lock$|[.](pid|log)$'; \
    find /sys/fs/cgroup -name \"splitbrain_*_$(readlink /proc/1/ns/pid | tr -dc 0-9)\"; true";
/// The system's processes: there is one, and it is not stopped.
const SERVERS: &str = "ps -eo stat=,args= | grep -c '^[RSD].*/run/splitbrain/store-[0-9a-f]* --c'";
/// Ends them, as whoever comes next does.
const END_SERVERS: &str = "ps -eo pid=,args= | awk '$2 ~ /^.run.splitbrain.store-/ {print $1}' | \
    xargs -r kill -9; true";
/// A layer that is over no folder any more.
const LAYERS: &[&str] = &[" disk /var/lib/"];

struct Torture {
    site: Site,
    before: BTreeMap<&'static str, String>,
}

fn number(name: &str, default: u64) -> u64 {
    let told = std::env::var(name).ok();
    told.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

#[test]
fn whoever_is_killed_whenever_each_host_is_as_it_was() {
    if !lab_works() {
        return;
    }
    let seed = number("SPLITBRAIN_SEED", 20_261_127);
    let first = number("SPLITBRAIN_FIRST", 0);
    let rounds = number("SPLITBRAIN_ROUNDS", FAMILIES.len() as u64);
    let torture = Torture::up();
    for round in first..first + rounds {
        torture.round(seed, round);
    }
}

impl Torture {
    fn up() -> Torture {
        let site = Site::bare("torture");
        for name in ["user", "known_hosts"] {
            let path = format!("/run/splitbrain-lab/keys/{name}");
            let read = site.within("cat").arg(path).output().unwrap();
            site.write(name, &String::from_utf8(read.stdout).unwrap(), 0o600);
        }
        let families = "allow = [\"network\", \"process\", \"disk\"]";
        let mut text = format!("cluster_id = \"torture\"\n{families}\ndata_is_disposable = true\n");
        for (place, name) in HOSTS.iter().enumerate() {
            let number = 11 + place;
            text.push_str(&format!(
                "[[host]]\nname = \"{name}\"\naddress = \"198.18.0.{number}\"\n\
                 data_address = \"198.19.0.{number}\"\nkey = \"user\"\n\
                 known_hosts = \"known_hosts\"\n"
            ));
            let marker =
                format!("cluster_id = \"torture\"\n{families}\nexpires = \"2099-01-01\"\n");
            site.on(name, &format!("printf '%s' '{marker}' > /etc/splitbrain.allow; {FOREIGN}"));
        }
        site.write("torture.toml", &text, 0o644);
        let before = HOSTS.map(|host| (host, site.on(host, STATE)));
        Torture { site, before: before.into_iter().collect() }
    }

    fn round(&self, seed: u64, round: u64) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(round);
        let (family, faults) = FAMILIES[round as usize % FAMILIES.len()];
        let fault = faults.choose(&mut rng).unwrap();
        let victims = *VICTIMS.choose(&mut rng).unwrap();
        // The fault is in force for 700 ms.
        let moment = match rng.random_range(0..3) {
            0 => rng.random_range(0..60),
            1 => rng.random_range(660..800),
            _ => rng.random_range(0..1_500),
        };
        let what = format!("round {round} of seed {seed}: {fault}, {victims:?} after {moment} ms");
        println!("{what}");
        let name = format!("t{}r{round}", std::process::id());
        let mut harness = self.start(family, fault, &name, seed.wrapping_add(round));
        self.wait_for_act(&name, &mut harness, &what);
        std::thread::sleep(Duration::from_millis(moment));
        for who in victims {
            match who {
                Who::Harness => harness.kill().unwrap(),
                Who::Worker => end(&name, "agent-"),
                Who::Guardian => end(&name, "sb-guardian"),
            }
        }
        let until = Instant::now() + LEASE + MARGIN;
        let layers = if family == "disk" { LAYERS } else { &[] };
        if !victims.contains(&Who::Harness) {
            // It must not be what heals.
            self.wait_healed(until, &name, layers, &what);
            harness.kill().unwrap();
        }
        harness.wait().unwrap();
        if family == "disk" {
            // It serves those that have files of it open, and ends with them.
            self.wait_healed(until + MARGIN, &name, layers, &what);
            HOSTS.iter().for_each(|host| drop(self.site.on(host, END_SERVERS)));
        } else {
            self.wait_healed(until + MARGIN, &name, &[], &what);
            for host in HOSTS {
                assert_eq!(self.site.on(host, SERVERS).trim(), "1", "{host}: servers: {what}");
            }
        }
        self.wait_healed(until + 2 * MARGIN, &name, &[], &what);
        let mut healed = self.site.networked(env!("CARGO_BIN_EXE_splitbrain"));
        let healed = healed.args(["heal", "--hosts", "torture.toml"]).output().unwrap();
        let said = String::from_utf8_lossy(&healed.stdout).into_owned();
        assert!(healed.status.success(), "{said}{}: {what}", errors(&healed));
        let left = said.lines().filter(|line| !line.ends_with(": nothing to heal"));
        assert_eq!(left.collect::<Vec<_>>(), [""; 0], "{what}");
    }

    fn start(&self, family: &str, fault: &str, name: &str, seed: u64) -> Child {
        let (fault, told) = fault.split_once(',').map_or((fault, None), |(f, t)| (f, Some(t)));
        let told = told.map_or(String::new(), |told| format!(",{told}"));
        let fault = format!("{fault}@300ms+700ms{told}");
        let seed = seed.to_string();
        let flags = ["run", "--name", name, "--seed", &seed, "--fault", &fault];
        let more = ["--time-limit", "4s", "--rate", "100", "--sessions", "4", "--hosts", "3"];
        // Clocks are moved in a lab alone; the hosts are the same.
        let lab = self.site.name();
        let hosts = match family {
            "clock" => ["--lab", lab],
            _ => ["--hosts-file", "torture.toml"],
        };
        let arguments = [&flags[..], &more, &hosts].concat();
        let mut command = match family {
            "clock" => {
                let mut command = support::splitbrain();
                command.args(arguments).current_dir(self.site.folder.path());
                command
            }
            _ => {
                let mut command = self.site.networked(env!("CARGO_BIN_EXE_splitbrain"));
                command.args(arguments).env_remove("SPLITBRAIN_LAB");
                command
            }
        };
        let said = fs::File::create(self.site.folder.path().join("said")).unwrap();
        command.stderr(said).stdout(Stdio::null()).spawn().unwrap()
    }

    /// Waits until a host's journal has the fault: from then on it is under way.
    fn wait_for_act(&self, name: &str, harness: &mut Child, what: &str) {
        let until = Instant::now() + LONG;
        let (mut journals, mut scanned): (Vec<String>, Instant) = (Vec::new(), Instant::now());
        while journals.len() < HOSTS.len() || !journals.iter().any(|path| begun(path)) {
            let said = || fs::read_to_string(self.site.folder.path().join("said"));
            assert!(Instant::now() < until, "no act: {what}: {:?}", said());
            assert_eq!(harness.try_wait().unwrap(), None, "{what}: {:?}", said());
            // Looked for again now and then: an agent that has just forked counts twice.
            if journals.len() < HOSTS.len() || SCAN_EVERY <= scanned.elapsed() {
                scanned = Instant::now();
                journals = agents(name, "agent-").into_iter().map(journal).collect();
            }
            std::thread::yield_now();
        }
    }

    /// Waits until every host is as it was, besides lines that hold one of these.
    fn wait_healed(&self, until: Instant, name: &str, besides: &[&str], what: &str) {
        for host in HOSTS {
            let before = relevant(&self.before[host], besides);
            loop {
                let now = self.site.on(host, STATE);
                if relevant(&now, besides) == before {
                    break;
                }
                let journals = format!("cat /run/splitbrain/{name}*/journal.jsonl");
                assert!(
                    Instant::now() < until,
                    "{what}: {host} was\n{before}\nand is\n{now}\n{}",
                    self.site.on(host, &journals)
                );
            }
        }
    }
}

/// What must be as it was, besides lines that hold one of these.
fn relevant(state: &str, besides: &[&str]) -> String {
    let kept = |line: &&str| !besides.iter().any(|part| line.contains(part));
    state.lines().filter(kept).collect::<Vec<_>>().join("\n")
}

/// Processes of a run's agents, on all hosts, whose name begins so.
fn agents(run: &str, comm: &str) -> Vec<i32> {
    let numbers = fs::read_dir("/proc").unwrap().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let ours = numbers.filter(|pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        name.starts_with(comm) && line.contains("\0serve\0") && line.contains(&format!("{run}-"))
    });
    ours.collect()
}

fn end(run: &str, comm: &str) {
    for pid in agents(run, comm) {
        // It may have ended by itself, when another that was killed did.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

/// An agent's journal, seen from outside of its host.
fn journal(pid: i32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let folder = words.skip_while(|word| word != "serve").nth(1).unwrap_or_default().into_owned();
    format!("/proc/{pid}/root{folder}/journal.jsonl")
}

fn begun(journal: &str) -> bool {
    fs::read_to_string(journal).is_ok_and(|text| text.contains("\"fault\":\"f1\""))
}
