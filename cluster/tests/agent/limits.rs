//! What limits a process tree, and who puts it back.

use std::fs;
use std::path::{Path, PathBuf};

use agent::cgroup::{Controller, Hierarchy, Limit, limit};
use agent::press::PressAsk;
use agent::proto::{Answer, Ask, Start};
use nix::sys::signal::{Signal, kill};

use super::{Agent, until};

/// A shell that starts one child after another, and one that stays in a group of its own making.
fn family(agent: &mut Agent) -> Start {
    let line = "sleep 300 & while true; do sleep 0.01; done";
    let start = Start {
        argv: ["/bin/sh", "-c", line].map(str::to_owned).to_vec(),
        log: agent.path("log"),
        pidfile: agent.path("pid"),
        ..Start::default()
    };
    agent.ask(Ask::Start { start: start.clone(), settle_ms: 50 }).unwrap();
    start
}

/// Where each of a tree is.
fn homes(start: &Start, tree: &Hierarchy) -> Vec<PathBuf> {
    let root = agent::process::from_pidfile(&start.pidfile).unwrap();
    let all = agent::process::tree(&root).into_iter();
    all.filter_map(|member| tree.home(member.pid).ok()).collect()
}

#[test]
fn a_limit_holds_for_children_too_and_all_go_back_where_they_were() {
    let able = limit::trial(Limit::Cpu { percent: 50 });
    if let Err(why) = able {
        eprintln!("skipped: {why}");
        return;
    }
    let mut agent = Agent::start(60_000);
    let start = family(&mut agent);
    let tree = Hierarchy::of(Controller::Cpu).unwrap();
    let home = tree.home(std::process::id() as i32).unwrap();
    let back =
        |folder: &Path| !folder.exists() && homes(&start, &tree).iter().all(|now| *now == home);
    // Others may test on this machine too.
    let fault = format!("f{}", std::process::id());
    let folder = tree.place(&home).unwrap().join(limit::name(&fault));
    let (pidfile, limit) = (start.pidfile.clone(), Limit::Cpu { percent: 20 });
    let about = PressAsk::Limit { fault, pidfile, limit, restart: None };
    let ask = || Ask::Press { about: about.clone() };
    assert!(back(&folder));
    agent.ask(ask()).unwrap();
    until("all are limited", || homes(&start, &tree).iter().all(|now| *now == folder));
    let set = ["cpu.max", "cpu.cfs_quota_us"].map(|file| fs::read_to_string(folder.join(file)));
    assert!(set.iter().flatten().all(|set| set.starts_with("20000")), "{set:?}");
    let Ok(Answer::Healed { undone }) = agent.ask(Ask::HealAll) else { panic!("not healed") };
    let back_in = format!("processes back in the cgroup {}: ", home.display());
    assert!(undone[0].contains(&back_in), "{undone:?}");
    until("all are back", || back(&folder));
    // Nobody asks: the guardian does it.
    agent.ask(ask()).unwrap();
    assert!(folder.exists());
    kill(agent.worker(), Signal::SIGKILL).unwrap();
    until("all are back", || back(&folder));
}
