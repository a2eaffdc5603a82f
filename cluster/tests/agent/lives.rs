//! Processes that are ended otherwise than by one kill.

use std::fs;
use std::io::Write;
use std::path::Path;

use agent::disk::asks::DiskAsk;
use agent::disk::served::Served;
use agent::frame;
use agent::journal::Journal;
use agent::life::{Graceful, Plan, Story};
use agent::press::PressAsk;
use agent::process;
use agent::proto::{Answer, Ask, ProcessId, ProcessState, Request, Start};
use nix::sys::signal::{Signal, kill};

use super::{Agent, state, until, wait_for};

impl Agent {
    /// A process under the agent's care that ends on SIGTERM after this shell line, and says so.
    fn obedient(&mut self, line: &str) -> Start {
        let script = format!(
            "trap '{line}; exit 0' TERM; echo up >> {}; while :; do sleep 0.05; done",
            self.path("ups")
        );
        let start = Start {
            argv: ["/bin/sh", "-c", &script].map(str::to_owned).to_vec(),
            log: self.path("log"),
            pidfile: self.path("pid"),
            ..Start::default()
        };
        self.ask(Ask::Start { start: start.clone(), settle_ms: 20 }).unwrap();
        let ups = self.path("ups");
        // Only now is its trap set.
        until("it is up", || fs::read_to_string(&ups).is_ok_and(|ups| !ups.is_empty()));
        start
    }

    fn live(&mut self, start: &Start, plan: Plan) -> Story {
        let ask = Ask::Live { fault: "f1".to_owned(), start: start.clone(), plan };
        let Ok(Answer::Life { story }) = self.ask(ask) else { panic!("no story") };
        assert!(!story.settled, "nothing is waited for");
        self.story_until("it is settled", |story| story.settled)
    }

    fn story_until(&mut self, what: &str, mut holds: impl FnMut(&Story) -> bool) -> Story {
        let mut last = None;
        until(what, || {
            let Ok(Answer::Life { story }) = self.ask(Ask::LifeOf { fault: "f1".to_owned() })
            else {
                panic!("no story")
            };
            let done = holds(&story);
            last = Some(*story);
            done
        });
        last.unwrap()
    }

    fn heal(&mut self) -> Vec<String> {
        let Ok(Answer::Healed { undone }) = self.ask(Ask::Heal { fault: "f1".to_owned() }) else {
            panic!("not healed")
        };
        undone
    }
}

const TERM: Graceful = Graceful::Term;

#[test]
fn a_process_ends_in_good_order_and_is_started_again() {
    let mut agent = Agent::start(60_000);
    let start = agent.obedient("sleep 0.3");
    let first = process::from_pidfile(&start.pidfile).unwrap();
    let story = agent.live(&start, Plan::Stop { graceful: TERM, grace_ms: 60_000 });
    assert_eq!((&story.first, story.forced, &*story.sent), (&first, false, "SIGTERM"));
    assert!(300 <= story.ended_ms.unwrap(), "{story:?}");
    let down = [ProcessState::Absent, ProcessState::Zombie];
    assert!(down.contains(&story.first_state) && down.contains(&story.latest_state));
    assert_eq!(agent.heal().len(), 1);
    wait_for(&start, ProcessState::Running);
    assert_eq!(agent.heal(), [""; 0], "twice is once");

    let second = process::from_pidfile(&start.pidfile).unwrap();
    let story = agent.live(&start, Plan::Restart { graceful: TERM, grace_ms: 60_000 });
    assert_eq!((story.starts, story.latest_state), (1, ProcessState::Running));
    assert_ne!(story.latest, Some(second));
    // What already runs again is left alone.
    assert!(agent.heal()[0].contains("already runs"));
    assert_eq!(process::from_pidfile(&start.pidfile), story.latest);
}

#[test]
fn who_does_not_obey_is_killed_after_its_grace() {
    let mut agent = Agent::start(60_000);
    let start = agent.obedient("sleep 300");
    let story = agent.live(&start, Plan::Stop { graceful: TERM, grace_ms: 200 });
    assert!(story.forced && 200 <= story.ended_ms.unwrap(), "{story:?}");
    agent.heal();
    wait_for(&start, ProcessState::Running);
}

#[test]
fn what_was_asked_to_end_runs_again_though_its_worker_dies_before_it_has_ended() {
    let mut agent = Agent::start(60_000);
    let start = agent.obedient("sleep 0.5");
    let first = process::from_pidfile(&start.pidfile).unwrap();
    let plan = Plan::Stop { graceful: TERM, grace_ms: 60_000 };
    let ask = Ask::Live { fault: "f1".to_owned(), start: start.clone(), plan };
    agent.ask(ask).unwrap();
    kill(agent.worker(), Signal::SIGKILL).unwrap();
    until("another runs", || {
        process::from_pidfile(&start.pidfile).is_some_and(|now| now != first)
            && state(&start) == ProcessState::Running
    });
}

impl Agent {
    /// A server that ends once nothing holds it, the file that holds it, and what asks it to make
    /// room for a layer.
    fn slow_to_go(&mut self) -> (Start, String, Ask) {
        let (hold, folder) = (self.path("hold"), self.path("data"));
        fs::write(&hold, "").unwrap();
        fs::create_dir(&folder).unwrap();
        let asked = self.path("asked");
        let line = format!("echo >{asked}; while [ -e {hold} ]; do sleep 0.02; done");
        let start = self.obedient(&line);
        let served = Served { start: start.clone(), graceful: TERM };
        let about = DiskAsk::Vacate { folder, served, again: false };
        (start, hold, Ask::Disk { about })
    }
}

fn another_runs(start: &Start, first: &ProcessId) -> bool {
    let now = process::from_pidfile(&start.pidfile);
    now.is_some_and(|now| now != *first) && state(start) == ProcessState::Running
}

#[test]
fn who_makes_room_for_a_layer_runs_again_though_it_obeys_after_all_was_undone() {
    let mut agent = Agent::start(60_000);
    let (start, hold, body) = agent.slow_to_go();
    let first = process::from_pidfile(&start.pidfile).unwrap();
    let frame = frame::encode(&Request { id: 1_000, body }).unwrap();
    agent.stdin.as_mut().unwrap().write_all(&frame).unwrap();
    let (asked, folder) = (agent.path("asked"), agent.path("agent"));
    until("it was asked to end", || Path::new(&asked).exists());
    kill(agent.worker(), Signal::SIGKILL).unwrap();
    let journal = Journal::open(Path::new(&folder)).unwrap();
    until("all is undone", || journal.open_entries().unwrap().is_empty());
    fs::remove_file(hold).unwrap();
    until("another runs", || another_runs(&start, &first));
}

#[test]
fn a_worker_that_was_stuck_in_an_act_says_that_all_was_undone() {
    let mut agent = Agent::start(1_500);
    let (start, _, vacate) = agent.slow_to_go();
    let first = process::from_pidfile(&start.pidfile).unwrap();
    let said = agent.ask(vacate).unwrap_err();
    assert!(said.contains("stuck for longer than its lease"), "{said}");
    until("another runs", || another_runs(&start, &first));
}

#[test]
fn a_loop_kills_again_and_again_until_it_is_healed() {
    let mut agent = Agent::start(60_000);
    let start = agent.sleeper();
    let story = agent.live(&start, Plan::CrashLoop { period_ms: 50 });
    assert_eq!((story.kills, &*story.sent), (2, "SIGKILL"), "{story:?}");
    let story = agent.story_until("it goes on", |story| 5 <= story.kills);
    assert!(4 <= story.starts && story.error.is_none(), "{story:?}");
    agent.heal();
    wait_for(&start, ProcessState::Running);
    let left = process::from_pidfile(&start.pidfile);
    assert!(agent.ask(Ask::LifeOf { fault: "f1".to_owned() }).is_err(), "it is over");
    assert_eq!(process::from_pidfile(&start.pidfile), left);
}

#[test]
fn what_is_killed_in_its_start_stays_down_until_it_is_healed() {
    let mut agent = Agent::start(60_000);
    let start = agent.sleeper();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let plan = Plan::KillInStart { after_ms: 30, address: listener.local_addr().unwrap() };
    let story = agent.live(&start, plan);
    assert_eq!((story.kills, story.starts, story.listened), (2, 1, Some(true)), "{story:?}");
    assert_ne!(story.latest, Some(story.first));
    assert_ne!(story.latest_state, ProcessState::Running);
    kill(agent.worker(), Signal::SIGKILL).unwrap();
    wait_for(&start, ProcessState::Running);
}

#[test]
fn what_keeps_processors_busy_ends_with_its_fault_and_with_its_worker() {
    let mut agent = Agent::start(60_000);
    let start = agent.sleeper();
    let worker = agent.worker();
    let busy = || -> Vec<agent::proto::ProcessId> {
        let of = agent::proto::ProcessId { pid: worker.as_raw(), start: 0 };
        let tree = process::tree(&of).into_iter().skip(1);
        let burns = |pid: i32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        tree.filter(|child| burns(child.pid).ends_with(b"burn\0")).collect()
    };
    let pidfile = start.pidfile.clone();
    let about = PressAsk::Burn { fault: "f1".to_owned(), pidfile, count: 2 };
    let burn = || Ask::Press { about: about.clone() };
    agent.ask(burn()).unwrap();
    let first = busy();
    assert_eq!(first.len(), 2);
    let about = PressAsk::ProcessorTimes { pidfile: start.pidfile.clone() };
    let times = Ask::Press { about };
    assert!(matches!(agent.ask(times), Ok(Answer::ProcessorTimes { .. })));
    assert_eq!(agent.heal(), ["f1: ended 2 busy processes"]);
    let gone = |process| process::state(process) != ProcessState::Running;
    until("they are gone", || first.iter().all(gone));
    agent.ask(burn()).unwrap();
    let second = busy();
    assert_eq!(second.len(), 2);
    kill(worker, Signal::SIGKILL).unwrap();
    until("the others are gone", || second.iter().all(gone));
}
