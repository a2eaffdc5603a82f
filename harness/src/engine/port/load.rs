//! Pressure on the processor, and what the system gets of it before and meanwhile.

use std::thread;
use std::time::{Duration, Instant};

use agent::press::PressAsk;
use agent::proto::{Answer, Ask};
use history::Evidence;
use nemesis::ActReport;

use super::HostPort;
use super::lives::report;

/// How long is measured, before and meanwhile.
const WINDOW: Duration = Duration::from_millis(500);
/// What wants less than this in a window wants nothing that could be taken from it, ns.
const WANTS_MIN: u64 = 1_000_000;

/// What a system got of what it wanted, in thousandths; nothing if it wanted nothing.
type Share = Option<u64>;

impl HostPort {
    /// Starts busy processes on all these nodes at once; measures before and after.
    pub(super) fn load(&self, id: &str, nodes: &[usize], cores: u32) -> ActReport {
        let started = Instant::now();
        let shares = self.at_once(nodes, &|node| {
            let before = self.share(node)?;
            let pidfile = self.system.start(node).pidfile;
            let began = Instant::now();
            self.ask_one(
                node,
                Ask::Press {
                    about: PressAsk::Burn { fault: id.to_owned(), pidfile, count: cores },
                },
            )?;
            let took = began.elapsed();
            Ok((before, took, self.share(node)?))
        });
        let (mut evidence, mut errors, mut longest) = (Vec::new(), Vec::new(), Duration::ZERO);
        for (node, shares) in shares {
            match shares {
                Ok((before, took, now)) => {
                    longest = longest.max(took);
                    evidence.push(of_load(self.name(node), before, now));
                }
                Err(error) => errors.push(error),
            }
        }
        // Measuring takes longer than the act.
        let took = longest.as_nanos() as i64;
        let report = report("busy processes".to_owned(), started, evidence, errors);
        ActReport { took, ..report }
    }

    fn share(&self, node: usize) -> Result<Share, String> {
        let (ran, waited) = self.processor_times(node)?;
        thread::sleep(WINDOW);
        let (ran_now, waited_now) = self.processor_times(node)?;
        let (ran, waited) = (ran_now.saturating_sub(ran), waited_now.saturating_sub(waited));
        Ok((WANTS_MIN <= ran + waited).then(|| ran * 1_000 / (ran + waited)))
    }

    /// How long a node's processes have run, and waited to run, ns.
    pub(super) fn processor_times(&self, node: usize) -> Result<(u64, u64), String> {
        let pidfile = self.system.start(node).pidfile;
        match self.ask_one(node, Ask::Press { about: PressAsk::ProcessorTimes { pidfile } })? {
            Answer::ProcessorTimes { ran_ns, waited_ns } => Ok((ran_ns, waited_ns)),
            other => Err(format!("unexpected answer {other:?}")),
        }
    }
}

/// It must get a tenth less of what it wants than before, or the pressure was none.
fn of_load(name: &str, before: Share, now: Share) -> Evidence {
    let percent = |share: Share| match share {
        Some(share) => format!("{}.{} %", share / 10, share % 10),
        None => "nothing was wanted".to_owned(),
    };
    let less = before.zip(now).is_some_and(|(before, now)| now * 10 <= before * 9);
    Evidence {
        probe: format!("{name} got of the processor time that it wanted"),
        expected: format!("a tenth less than before: {}", percent(before)),
        observed: percent(now),
        holds: less,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_takes_a_tenth_at_least() {
        assert!(of_load("n1", Some(900), Some(810)).holds);
        assert!(!of_load("n1", Some(900), Some(811)).holds);
        assert!(!of_load("n1", None, Some(300)).holds);
        let said = of_load("n1", Some(955), None);
        assert_eq!((said.holds, &*said.observed), (false, "nothing was wanted"));
        assert_eq!(said.expected, "a tenth less than before: 95.5 %");
    }
}
