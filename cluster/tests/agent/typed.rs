//! What a person is told to type when nothing else undoes a fault: it undoes it, and whoever heals
//! afterwards finds nothing left to do.

use std::fs;
use std::path::Path;
use std::process::Command;

use agent::disk::asks::DiskAsk;
use agent::journal::Journal;
use agent::process;
use agent::proto::{Answer, Ask, ProcessState};

use super::{Agent, disk, layers_work, mounted, state, wait_for};

/// Types what the open entries of a fault say.
fn type_it(agent: &Agent, fault: &str) {
    let folder = agent.path("agent");
    let open = Journal::open(Path::new(&folder)).unwrap().open_entries().unwrap();
    let lines: Vec<String> =
        open.iter().filter(|(id, _)| id == fault).map(|(_, undo)| undo.by_hand()).collect();
    assert!(!lines.is_empty(), "{fault} is in the journal");
    for line in lines {
        let output = Command::new("sh").args(["-c", &line]).output().unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
    }
}

fn healed(agent: &mut Agent, fault: &str) -> String {
    match agent.ask(Ask::Heal { fault: fault.to_owned() }).unwrap() {
        Answer::Healed { undone } => undone.join("; "),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_process_is_started_once() {
    let mut agent = Agent::start(60_000);
    let start = agent.sleeper();
    let (pidfile, restart) = (start.pidfile.clone(), Some(start.clone()));
    agent.ask(Ask::Kill { fault: "f1".to_owned(), pidfile, restart }).unwrap();
    wait_for(&start, ProcessState::Absent);
    type_it(&agent, "f1");
    wait_for(&start, ProcessState::Running);
    let typed = process::from_pidfile(&start.pidfile).unwrap();
    assert!(healed(&mut agent, "f1").contains("already runs"));
    assert_eq!(process::from_pidfile(&start.pidfile), Some(typed), "no second one");
    assert_eq!(state(&start), ProcessState::Running);
}

#[test]
fn a_disk_layer_goes() {
    if !layers_work() {
        return;
    }
    let mut agent = Agent::start(60_000);
    let folder = agent.path("data");
    fs::create_dir(&folder).unwrap();
    disk(&mut agent, DiskAsk::Lay { folder: folder.clone() });
    assert!(mounted(&folder));
    let fault = format!("disk layer of {folder}");
    type_it(&agent, &fault);
    assert!(!mounted(&folder));
    assert!(healed(&mut agent, &fault).contains("no layer over"));
}
