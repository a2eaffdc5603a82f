//! Limits of what a system's processes get, and what of it they ran into.

use std::thread;
use std::time::{Duration, Instant};

use agent::cgroup::{self, Seen};
use agent::press::PressAsk;
use agent::proto::{Answer, Ask};
use history::Evidence;
use nemesis::{ActReport, Limit};

use super::HostPort;
use super::lives::report;

/// How long is measured, before and meanwhile: ten of the kernel's periods.
const WINDOW: Duration = Duration::from_millis(1_000);

/// How long a limit of memory may take to be met, and how often that is looked at.
const MET: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What a process tree did in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ran {
    /// In how many periods.
    periods: u64,
    /// In how many of these it had to wait for the next.
    throttled: u64,
    /// How much of one processor it got, in thousandths.
    share: u64,
}

/// What is known once a limit was undone.
struct Back {
    /// In the agent's words.
    undone: Vec<String>,
    /// The group just before.
    held: Option<Seen>,
    /// And after, if the process runs.
    now: Option<Seen>,
}

impl HostPort {
    /// Limits all these nodes at once; measures before and after.
    pub(super) fn limit(&self, id: &str, nodes: &[usize], limit: Limit) -> ActReport {
        let started = Instant::now();
        let done = self.at_once(nodes, &|node| {
            let before = match limit {
                Limit::Cpu { .. } => self.ran(node)?,
                Limit::Memory { .. } => Ran::default(),
            };
            let (start, began) = (self.system.start(node), Instant::now());
            let about = PressAsk::Limit {
                fault: id.to_owned(),
                pidfile: start.pidfile.clone(),
                limit: of_agent(limit),
                restart: matches!(limit, Limit::Memory { .. }).then_some(start),
            };
            let mechanism = match self.ask_one(node, Ask::Press { about })? {
                Answer::Limited { mechanism } => mechanism,
                other => return Err(format!("unexpected answer {other:?}")),
            };
            let (took, name) = (began.elapsed(), self.name(node));
            let evidence = match limit {
                Limit::Cpu { percent } => of_cpu(name, percent, before, self.ran(node)?),
                Limit::Memory { bytes } => of_memory(name, bytes, &self.met(id, node)?),
            };
            Ok((mechanism, took, evidence))
        });
        let (mut mechanism, mut longest) = ("cgroup".to_owned(), Duration::ZERO);
        let (mut evidence, mut errors) = (Vec::new(), Vec::new());
        for (_, done) in done {
            match done {
                Ok((by, took, seen)) => {
                    mechanism = by;
                    longest = longest.max(took);
                    evidence.push(seen);
                }
                Err(error) => errors.push(error),
            }
        }
        // Measuring takes longer than the act.
        let took = longest.as_nanos() as i64;
        ActReport { took, ..report(mechanism, started, evidence, errors) }
    }

    /// Lets them have again what there is.
    pub(super) fn unlimit(&self, id: &str, nodes: &[usize], limit: Limit) -> ActReport {
        let started = Instant::now();
        let done = self.at_once(nodes, &|node| {
            // An agent may have healed already.
            let held = self.limited(id, node).ok();
            let began = Instant::now();
            let undone = match self.ask_one(node, Ask::Heal { fault: id.to_owned() })? {
                Answer::Healed { undone } => undone,
                other => return Err(format!("unexpected answer {other:?}")),
            };
            let back = Back { undone, held, now: self.group(node, limit).ok() };
            Ok((began.elapsed(), back))
        });
        let (mut evidence, mut errors, mut longest) = (Vec::new(), Vec::new(), Duration::ZERO);
        for (node, done) in done {
            match done {
                Ok((took, back)) => {
                    longest = longest.max(took);
                    evidence.push(of_return(self.name(node), id, limit, back));
                }
                Err(error) => errors.push(error),
            }
        }
        let took = longest.as_nanos() as i64;
        ActReport { took, ..report("agent".to_owned(), started, evidence, errors) }
    }

    /// The group that a node's process is in.
    fn group(&self, node: usize, limit: Limit) -> Result<Seen, String> {
        let pidfile = self.system.start(node).pidfile;
        let controller = of_agent(limit).controller();
        self.group_of(node, PressAsk::Cgroup { pidfile, controller })
    }

    /// The group that a fault has a node in, whoever is left there.
    fn limited(&self, id: &str, node: usize) -> Result<Seen, String> {
        self.group_of(node, PressAsk::Limited { fault: id.to_owned() })
    }

    fn group_of(&self, node: usize, about: PressAsk) -> Result<Seen, String> {
        match self.ask_one(node, Ask::Press { about })? {
            Answer::Cgroup { seen } => Ok(seen),
            other => Err(format!("unexpected answer {other:?}")),
        }
    }

    /// Waits until a limit of memory is met, for a while.
    fn met(&self, id: &str, node: usize) -> Result<Seen, String> {
        let until = Instant::now() + MET;
        loop {
            let seen = self.limited(id, node)?;
            if 0 < seen.met || until <= Instant::now() {
                return Ok(seen);
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    fn ran(&self, node: usize) -> Result<Ran, String> {
        let limit = Limit::Cpu { percent: 100 };
        let (since, (ran, _)) = (Instant::now(), self.processor_times(node)?);
        let group = self.group(node, limit)?;
        thread::sleep(WINDOW);
        let (group_now, (ran_now, _)) = (self.group(node, limit)?, self.processor_times(node)?);
        let wall = since.elapsed().as_nanos().max(1) as u64;
        Ok(Ran {
            periods: group_now.periods.saturating_sub(group.periods),
            throttled: group_now.throttled.saturating_sub(group.throttled),
            share: ran_now.saturating_sub(ran) * 1_000 / wall,
        })
    }
}

fn of_agent(limit: Limit) -> cgroup::Limit {
    match limit {
        Limit::Cpu { percent } => cgroup::Limit::Cpu { percent },
        Limit::Memory { bytes } => cgroup::Limit::Memory { bytes },
    }
}

fn percent(share: u64) -> String {
    format!("{}.{} %", share / 10, share % 10)
}

/// It must have been made to wait, and have got no more: a limit that was never met is none.
fn of_cpu(name: &str, limit: u32, before: Ran, now: Ran) -> Evidence {
    // A window has a period more or less in it, and the kernel hands time out in slices.
    let most = u64::from(limit) * 12 + 20;
    Evidence {
        probe: format!("{name} made to wait for its next period"),
        expected: format!("at least once, and no more than {limit} % of a processor"),
        observed: format!(
            "in {} of {} periods, {} of a processor ({} before)",
            now.throttled,
            now.periods,
            percent(now.share),
            percent(before.share)
        ),
        holds: 1 <= now.throttled && now.share <= most,
    }
}

/// How often a limit of memory was met, and who died of it.
fn of_memory(name: &str, bytes: u64, seen: &Seen) -> Evidence {
    Evidence {
        probe: format!("{name} met its limit of {} KiB", bytes >> 10),
        expected: "at least once".to_owned(),
        observed: format!("{} times, {} processes killed for it", seen.met, seen.killed),
        holds: 0 < seen.met,
    }
}

/// Whether it is where it was, and how often it had to wait in all.
fn of_return(name: &str, id: &str, limit: Limit, back: Back) -> Evidence {
    let ours = |seen: &Seen| seen.folder.contains(&agent::packet_filter::name(id));
    let held = back.held.map_or_else(String::new, |seen| match limit {
        Limit::Cpu { .. } => {
            format!(" (waited in {} of {} periods in all)", seen.throttled, seen.periods)
        }
        Limit::Memory { .. } => {
            format!(" (met {} times, {} processes killed for it in all)", seen.met, seen.killed)
        }
    });
    let said = back.undone.first().map_or("undone before", |said| said);
    let said = said.strip_prefix(&format!("{id}: ")).unwrap_or(said);
    Evidence {
        probe: format!("{name} process in a cgroup of ours"),
        expected: "no more".to_owned(),
        holds: back.now.as_ref().is_some_and(|now| !ours(now)),
        observed: match back.now {
            Some(now) if ours(&now) => now.folder,
            Some(_) => format!("{said}{held}"),
            None => "it does not run".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_was_never_met_is_no_effect() {
        let limit = 20;
        let holds = |throttled, share| {
            let now = Ran { periods: 10, throttled, share };
            of_cpu("n1", limit, Ran::default(), now).holds
        };
        assert!(holds(1, 200) && holds(10, 220));
        assert!(!holds(0, 150), "it never waited");
        assert!(!holds(4, 400), "it got twice as much");
        let now = Ran { periods: 10, throttled: 4, share: 198 };
        let said = of_cpu("n1", limit, Ran { share: 431, ..now }, now);
        assert_eq!(said.observed, "in 4 of 10 periods, 19.8 % of a processor (43.1 % before)");
    }

    #[test]
    fn a_limit_of_memory_has_to_be_met() {
        let seen = |met, killed| Seen { met, killed, ..Seen::default() };
        assert!(!of_memory("n1", 65_536, &seen(0, 0)).holds);
        let said = of_memory("n1", 65_536, &seen(7, 1));
        assert!(said.holds);
        assert_eq!(said.probe, "n1 met its limit of 64 KiB");
        assert_eq!(said.observed, "7 times, 1 processes killed for it");
    }

    #[test]
    fn who_is_still_limited_has_not_returned() {
        let group = |folder: &str| Seen { folder: folder.to_owned(), ..Seen::default() };
        let ours = group("/sys/fs/cgroup/cpu/splitbrain_f1_7");
        let cpu = Limit::Cpu { percent: 5 };
        let of = |undone: &[&str], now: Option<&str>| {
            let undone = undone.iter().map(|said| (*said).to_owned()).collect();
            of_return(
                "n1",
                "f1",
                cpu,
                Back { undone, held: Some(ours.clone()), now: now.map(group) },
            )
        };
        let said = of(&["f1: processes back in the cgroup /a: 2"], Some("/a"));
        assert!(said.holds);
        let expected = "processes back in the cgroup /a: 2 (waited in 0 of 0 periods in all)";
        assert_eq!(said.observed, expected);
        assert!(of(&[], Some("/a")).observed.starts_with("undone before"));
        assert!(!of(&[], Some(&ours.folder)).holds);
        assert!(!of(&[], None).holds);
    }
}
