//! The clocks of hosts themselves, as their agents tell them: the other half of the proof of a
//! clock fault on hosts of one's own.

use std::time::{Duration, Instant};

use agent::proto::{self, Answer, Ask, HostClock};
use agent::real_clock;
use history::Evidence;
use nemesis::clock::ClockChange;

use super::HostPort;
use super::clocks::{NEAR_US, any, factor, is_rate, seconds};
use crate::engine::clocks::When;

impl HostPort {
    /// By what clocks are moved.
    pub(super) fn moved_by(&self, change: ClockChange) -> &'static str {
        match change {
            _ if !self.clocks.of_hosts() => "libfaketime",
            ClockChange::Drift { .. } => "adjtimex",
            _ => "clock_settime",
        }
    }

    /// How the host's clock is before a fault, where it is the host's that is moved.
    pub(super) fn host_before(&self, node: usize) -> Result<Option<Evidence>, String> {
        if !self.clocks.of_hosts() {
            return Ok(None);
        }
        let clock = self.host_clock(node)?;
        let ppm = clock.frequency as f64 / 65_536.0;
        let rate = format!("tick {}, frequency {ppm:+.3} ppm", clock.tick);
        self.clocks.remember_host(node, When::Before, clock);
        Ok(Some(any(format!("{} host's clock before", self.name(node)), rate)))
    }

    /// Moves it; adds what became of the services that keep it, and where it is.
    pub(super) fn set_host_clock(
        &self,
        id: &str,
        node: usize,
        change: proto::ClockChange,
        evidence: &mut Vec<Evidence>,
    ) -> Result<Duration, String> {
        let ahead = match change {
            proto::ClockChange::Offset { offset_ms }
            | proto::ClockChange::Strobe { offset_ms, .. } => Some(offset_ms * 1_000),
            proto::ClockChange::Drift { .. } => None,
        };
        let fault = id.to_owned();
        let started = Instant::now();
        let now = told(self.ask_one(node, Ask::SetHostClock { fault, change })?)?;
        let took = started.elapsed();
        let services = || format!("{} time-sync services", self.name(node));
        evidence.extend(now.said.iter().map(|said| any(services(), said.clone())));
        match ahead {
            Some(ahead) => evidence.push(self.host_is(node, &now, ahead)?),
            None => self.clocks.remember_host(node, When::Drifting, now),
        }
        Ok(took)
    }

    /// How fast it has gone since a drift began.
    pub(super) fn host_goes(&self, node: usize, rate: u32) -> Result<Option<Evidence>, String> {
        let Some(since) = self.clocks.host_at(node, When::Drifting) else {
            return Ok(None);
        };
        let seen = rate_between(&since, &self.host_clock(node)?);
        let probe = format!("{} host's clock's rate", self.name(node));
        let holds = seen.is_some_and(|seen| is_rate(seen, rate));
        let observed = seen.map_or("unknown".to_owned(), factor);
        Ok(Some(Evidence { probe, expected: factor(i64::from(rate)), observed, holds }))
    }

    /// Whether it is where it was after a fault was healed, and what the agent did for that.
    pub(super) fn host_is_right(
        &self,
        node: usize,
        healed: &Answer,
    ) -> Result<Vec<Evidence>, String> {
        if !self.clocks.of_hosts() {
            return Ok(Vec::new());
        }
        let mut evidence = Vec::new();
        if let Answer::Healed { undone } = healed {
            let probe = || format!("{} host's clock undone", self.name(node));
            evidence.extend(undone.iter().map(|said| any(probe(), said.clone())));
        }
        // One that was not moved is held against nothing.
        if self.clocks.host_at(node, When::Before).is_some() {
            evidence.push(self.host_is(node, &self.host_clock(node)?, 0)?);
        }
        Ok(evidence)
    }

    /// What a person would type on the host to put its clock right.
    pub(super) fn host_clock_by_hand(&self, node: usize) -> Vec<String> {
        let since_boot = |clock: HostClock| (clock.realtime_us - clock.boottime_us) * 1_000;
        let line = |clock: HostClock| {
            let rate = (clock.tick, clock.frequency);
            format!(
                "{}; adjtimex --tick {} --frequency {}; then start its time-sync service",
                real_clock::by_hand(since_boot(clock)),
                rate.0,
                rate.1
            )
        };
        self.clocks.host_at(node, When::Before).map(line).into_iter().collect()
    }

    fn host_clock(&self, node: usize) -> Result<HostClock, String> {
        told(self.ask_one(node, Ask::HostClock)?)
    }

    fn host_is(&self, node: usize, now: &HostClock, ahead_us: i64) -> Result<Evidence, String> {
        let before =
            self.clocks.host_at(node, When::Before).ok_or("its clock before is not known")?;
        let off = ahead_of(&before, now);
        let probe = format!("{} host's clock", self.name(node));
        let (expected, observed) = (seconds(ahead_us), seconds(off));
        let holds = (off - ahead_us).abs() <= NEAR_US;
        Ok(Evidence { probe, expected, observed, holds })
    }
}

fn told(answer: Answer) -> Result<HostClock, String> {
    match answer {
        Answer::HostClock { clock } => Ok(clock),
        other => Err(format!("unexpected answer {other:?}")),
    }
}

/// How far a clock has gone ahead of one that nobody can set, µs.
fn ahead_of(before: &HostClock, now: &HostClock) -> i64 {
    (now.realtime_us - before.realtime_us) - (now.steady_us - before.steady_us)
}

/// How fast a clock went in between, in thousandths.
fn rate_between(since: &HostClock, now: &HostClock) -> Option<i64> {
    let steady = now.steady_us - since.steady_us;
    (0 < steady).then(|| 1_000 + ahead_of(since, now) * 1_000 / steady)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(realtime_us: i64, steady_us: i64) -> HostClock {
        HostClock { realtime_us, steady_us, ..HostClock::default() }
    }

    #[test]
    fn a_clock_is_held_against_one_that_nobody_can_set() {
        let before = clock(1_800_000_000_000_000, 70_000_000);
        let later = |realtime: i64, steady: i64| {
            clock(before.realtime_us + realtime, before.steady_us + steady)
        };
        assert_eq!(ahead_of(&before, &later(32_000_000, 2_000_000)), 30_000_000);
        assert_eq!(ahead_of(&before, &later(-58_000_000, 2_000_000)), -60_000_000);
        assert_eq!(rate_between(&before, &later(2_200_000, 2_000_000)), Some(1_100));
        assert_eq!(rate_between(&before, &later(1_800_000, 2_000_000)), Some(900));
        assert_eq!(rate_between(&before, &before), None);
    }
}
