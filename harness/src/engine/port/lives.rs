//! Acts that end a process otherwise than by one kill: agents are asked until it has come to pass.

use std::thread;
use std::time::{Duration, Instant};

use agent::life::{Plan, Story};
use agent::proto::{Answer, Ask, ProcessId, ProcessState};
use history::{Evidence, FaultResult};
use nemesis::ActReport;
use nemesis::life::{Life, Rolling};

use super::HostPort;

/// How often an agent is asked what has become of a process.
const ASK_EVERY: Duration = Duration::from_millis(10);
/// What killing and starting may take besides: more than a server's own start command may.
const START_LIMIT: Duration = Duration::from_secs(15);

impl HostPort {
    /// Begins it on all nodes at once, and waits until it has come to pass on each.
    pub(super) fn live(
        &self,
        id: &str,
        nodes: &[usize],
        life: Life,
        set: Option<&str>,
    ) -> ActReport {
        if let Life::Rolling(rolling) = life {
            return self.roll(id, nodes, rolling, set);
        }
        let started = Instant::now();
        let stories = self.at_once(nodes, &|node| {
            self.change(node, set)?;
            self.live_one(id, node, life)
        });
        let mut mechanism = "signal".to_owned();
        let (mut evidence, mut errors) = (Vec::new(), Vec::new());
        for (node, story) in stories {
            match story {
                Ok(story) => {
                    if !story.sent.starts_with("SIG") {
                        mechanism = "command".to_owned();
                    }
                    evidence.extend(of_life(self.name(node), life, &story));
                    evidence.extend(self.changed(node, set));
                    errors.extend(story.error);
                }
                Err(error) => errors.push(error),
            }
        }
        report(mechanism, started, evidence, errors)
    }

    pub(super) fn live_one(&self, id: &str, node: usize, life: Life) -> Result<Story, String> {
        let (start, plan) = (self.system.start(node), self.plan(node, life));
        let until = Instant::now() + limit(life);
        let mut story = self.story(node, Ask::Live { fault: id.to_owned(), start, plan })?;
        while !story.settled {
            if until <= Instant::now() {
                return Err(format!("{}: not over in time: {story:?}", self.name(node)));
            }
            thread::sleep(ASK_EVERY);
            story = self.story(node, Ask::LifeOf { fault: id.to_owned() })?;
        }
        Ok(story)
    }

    /// Lets every node's process live again.
    pub(super) fn revive(&self, id: &str, nodes: &[usize], life: Life) -> ActReport {
        let started = Instant::now();
        let revived = self.at_once(nodes, &|node| {
            // An agent that was healed meanwhile knows nothing of it any more.
            let story = self.story(node, Ask::LifeOf { fault: id.to_owned() }).ok();
            self.ask_one(node, Ask::Heal { fault: id.to_owned() })?;
            let pidfile = self.system.start(node).pidfile;
            match self.ask_one(node, Ask::State { pidfile })? {
                Answer::Process { process, state } => {
                    let (name, process) = (self.name(node), process.as_ref());
                    let first = story.as_ref().map(|story| &story.first);
                    let mut probes = vec![of_revived(name, first, process, state)];
                    if let (Life::CrashLoop { .. }, Some(story)) = (life, &story) {
                        probes.push(of_loop(name, story));
                    }
                    Ok(probes)
                }
                other => Err(format!("unexpected answer {other:?}")),
            }
        });
        let (mut evidence, mut errors) = (Vec::new(), Vec::new());
        for (_, probes) in revived {
            match probes {
                Ok(probes) => evidence.extend(probes),
                Err(error) => errors.push(error),
            }
        }
        report("agent".to_owned(), started, evidence, errors)
    }

    fn plan(&self, node: usize, life: Life) -> Plan {
        let graceful = self.system.graceful(node);
        match life {
            Life::Stop { grace_ms } => Plan::Stop { graceful, grace_ms },
            Life::Restart { grace_ms } | Life::Rolling(Rolling { grace_ms, .. }) => {
                Plan::Restart { graceful, grace_ms }
            }
            Life::CrashLoop { period_ms } => Plan::CrashLoop { period_ms },
            Life::KillInStart { after_ms } => {
                Plan::KillInStart { after_ms, address: self.system.address(node) }
            }
        }
    }

    fn story(&self, node: usize, ask: Ask) -> Result<Story, String> {
        match self.ask_one(node, ask)? {
            Answer::Life { story } => Ok(*story),
            other => Err(format!("unexpected answer {other:?}")),
        }
    }
}

/// How long it may take until it has come to pass.
fn limit(life: Life) -> Duration {
    let ms = match life {
        Life::Stop { grace_ms: ms } | Life::Restart { grace_ms: ms } => ms,
        Life::CrashLoop { period_ms: ms } | Life::KillInStart { after_ms: ms } => ms,
        Life::Rolling(rolling) => rolling.grace_ms,
    };
    Duration::from_millis(ms) + START_LIMIT
}

pub(super) fn report(
    mechanism: String,
    started: Instant,
    evidence: Vec<Evidence>,
    errors: Vec<String>,
) -> ActReport {
    let error = (!errors.is_empty()).then(|| errors.join("; "));
    let result = match error {
        Some(_) => FaultResult::Indeterminate,
        None => ActReport::judge(&evidence),
    };
    let took = started.elapsed().as_nanos() as i64;
    ActReport { mechanism, result, evidence, took, error, ..ActReport::default() }
}

fn gone(state: ProcessState) -> bool {
    matches!(state, ProcessState::Absent | ProcessState::Zombie)
}

/// A process as evidence names it: its number is given anew one day, with its start it is not.
fn named(process: &ProcessId) -> String {
    format!("process {} (started at tick {})", process.pid, process.start)
}

fn evidence(probe: String, expected: &str, observed: String, holds: bool) -> Evidence {
    Evidence { probe, expected: expected.to_owned(), observed, holds }
}

/// What the process table must show of a life.
pub(super) fn of_life(name: &str, life: Life, story: &Story) -> Vec<Evidence> {
    let state = story.first_state;
    let probe = format!("{name} {}", named(&story.first));
    let mut all = vec![evidence(probe, "absent", state.as_str().to_owned(), gone(state))];
    let now = story.latest.as_ref().filter(|_| !gone(story.latest_state));
    let seen = now.map_or_else(|| "none".to_owned(), named);
    let probe = format!("{name} process");
    match life {
        Life::Stop { grace_ms } => {
            all.push(of_end(name, grace_ms, story));
            all.push(evidence(probe, "none", seen, now.is_none()));
        }
        Life::Restart { grace_ms } | Life::Rolling(Rolling { grace_ms, .. }) => {
            all.push(of_end(name, grace_ms, story));
            let holds = now.is_some_and(|process| *process != story.first);
            all.push(evidence(probe, "another", seen, holds));
        }
        Life::CrashLoop { .. } => all.push(of_loop(name, story)),
        Life::KillInStart { .. } => {
            let listened = match story.listened {
                Some(true) => "it listened already",
                Some(false) => "it did not listen yet",
                None => "it was not killed in its start",
            };
            let (kills, starts) = (story.kills, story.starts);
            all.push(evidence(
                format!("{name} killed in its start"),
                "kills 2, starts 1",
                format!("kills {kills}, starts {starts}; {listened}"),
                (kills, starts) == (2, 1) && story.listened.is_some(),
            ));
            all.push(evidence(probe, "none", seen, now.is_none()));
        }
    }
    all
}

/// Whether a process ended in good order.
fn of_end(name: &str, grace_ms: u64, story: &Story) -> Evidence {
    let observed = match story.ended_ms {
        Some(ms) if story.forced => format!("ended after {ms} ms, killed"),
        Some(ms) => format!("ended after {ms} ms"),
        None => "not ended".to_owned(),
    };
    evidence(
        format!("{name} {} sent to {}", story.sent, story.first.pid),
        &format!("ended within {grace_ms} ms, not killed"),
        observed,
        story.ended_ms.is_some() && !story.forced,
    )
}

/// Whether a loop has come round.
fn of_loop(name: &str, story: &Story) -> Evidence {
    let Story { kills, starts, age_ms, .. } = story;
    let mut observed = format!("kills {kills}, starts {starts}, in {age_ms} ms");
    if let Some(error) = &story.error {
        observed.push_str(&format!("; {error}"));
    }
    evidence(format!("{name} killed again"), "kills 2 or more", observed, 2 <= *kills)
}

/// Of a node whose process lives again.
fn of_revived(
    name: &str,
    first: Option<&ProcessId>,
    now: Option<&ProcessId>,
    state: ProcessState,
) -> Evidence {
    let another = now.is_some() && now != first;
    let which = now.map_or_else(|| "no process".to_owned(), named);
    Evidence {
        probe: format!("{name} process"),
        expected: "another, running".to_owned(),
        observed: format!("{which}: {}", state.as_str()),
        holds: another && state == ProcessState::Running,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn story() -> Story {
        Story {
            first: ProcessId { pid: 7, start: 70 },
            first_state: ProcessState::Absent,
            sent: "SIGINT".to_owned(),
            ended_ms: Some(12),
            forced: false,
            latest: Some(ProcessId { pid: 7, start: 70 }),
            latest_state: ProcessState::Absent,
            kills: 0,
            starts: 0,
            listened: None,
            age_ms: 12,
            settled: true,
            error: None,
        }
    }

    fn holds(life: Life, story: &Story) -> Vec<bool> {
        of_life("n1", life, story).iter().map(|probe| probe.holds).collect()
    }

    #[test]
    fn a_stop_has_ended_by_itself_and_stays_down() {
        let stop = Life::Stop { grace_ms: 500 };
        assert_eq!(holds(stop, &story()), [true, true, true]);
        let killed = Story { forced: true, ..story() };
        assert_eq!(holds(stop, &killed), [true, false, true]);
        let said = of_life("n1", stop, &killed);
        assert_eq!(said[1].observed, "ended after 12 ms, killed");
        assert_eq!(said[1].expected, "ended within 500 ms, not killed");
        let came_back = Story {
            latest: Some(ProcessId { pid: 7, start: 80 }),
            latest_state: ProcessState::Running,
            ..story()
        };
        assert_eq!(holds(stop, &came_back), [true, true, false]);
        assert_eq!(holds(Life::Restart { grace_ms: 500 }, &came_back), [true, true, true]);
        assert_eq!(holds(Life::Restart { grace_ms: 500 }, &story()), [true, true, false]);
    }

    #[test]
    fn what_is_killed_again_was_killed_twice() {
        let crash_loop = Life::CrashLoop { period_ms: 100 };
        let once = Story { sent: "SIGKILL".to_owned(), kills: 1, starts: 1, ..story() };
        assert_eq!(holds(crash_loop, &once), [true, false]);
        assert_eq!(holds(crash_loop, &Story { kills: 2, ..once.clone() }), [true, true]);
        let in_start = Life::KillInStart { after_ms: 50 };
        assert_eq!(holds(in_start, &once), [true, false, true]);
        let killed = Story { kills: 2, listened: Some(false), ..once };
        assert_eq!(holds(in_start, &killed), [true, true, true]);
        let said = of_life("n1", in_start, &killed);
        assert_eq!(said[1].observed, "kills 2, starts 1; it did not listen yet");
    }

    #[test]
    fn who_lives_again_is_another_process_with_the_same_number_or_not() {
        let (old, new) = (ProcessId { pid: 7, start: 70 }, ProcessId { pid: 7, start: 80 });
        let running = ProcessState::Running;
        assert!(of_revived("n1", Some(&old), Some(&new), running).holds);
        assert!(!of_revived("n1", Some(&old), Some(&old), running).holds);
        assert!(!of_revived("n1", Some(&old), Some(&new), ProcessState::Zombie).holds);
        assert!(!of_revived("n1", Some(&old), None, ProcessState::Absent).holds);
    }
}
