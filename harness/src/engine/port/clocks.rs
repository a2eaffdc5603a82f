//! Acts on clocks, proved by what the servers themselves take for the time.

use std::time::{Duration, Instant};

use agent::proto::{self, Answer, Ask};
use history::{Evidence, FaultResult};
use nemesis::ActReport;
use nemesis::clock::ClockChange;

use super::HostPort;

/// How long a server may take to show a change: its library looks every other second.
const SEEN: Duration = Duration::from_secs(6);
/// How often it is asked meanwhile.
const EVERY: Duration = Duration::from_millis(20);
/// How near to what it should be a clock counts as there, µs.
pub(super) const NEAR_US: i64 = 250_000;
/// Over how long a rate is measured, µs.
const WINDOW_US: i64 = 1_000_000;

type Done = Result<(Duration, Vec<Evidence>), String>;

impl HostPort {
    /// Moves the clocks of these nodes, and waits until their servers show it.
    pub(super) fn move_clocks(&self, id: &str, nodes: &[usize], change: ClockChange) -> ActReport {
        if change.ahead() {
            self.remember_cluster_time();
        }
        let done = self.at_once(nodes, &|node| self.move_clock(id, node, change));
        report(done, self.moved_by(change))
    }

    /// Puts them right again.
    pub(super) fn right_clocks(&self, id: &str, nodes: &[usize], change: ClockChange) -> ActReport {
        let done = self.at_once(nodes, &|node| {
            let started = Instant::now();
            let healed = self.ask_one(node, Ask::Heal { fault: id.to_owned() })?;
            let took = started.elapsed();
            let mut evidence = self.host_is_right(node, &healed)?;
            evidence.push(self.see(node, 0, SEEN));
            Ok((took, evidence))
        });
        report(done, self.moved_by(change))
    }

    fn move_clock(&self, id: &str, node: usize, change: ClockChange) -> Done {
        let before = self.clocks.offset_us(&*self.system, node).map_err(|error| {
            format!("{}: what its server takes for the time: {error}", self.name(node))
        })?;
        self.clocks.remember(node, before);
        let probe = format!("{} server's clock before", self.name(node));
        let mut evidence = vec![any(probe, seconds(before))];
        evidence.extend(self.host_before(node)?);
        let jump = |offset_ms| proto::ClockChange::Offset { offset_ms };
        let took = match change {
            ClockChange::Jump { offset_ms } => {
                let took = self.set_clock(id, node, jump(offset_ms), &mut evidence)?;
                evidence.push(self.see(node, offset_ms, SEEN));
                took
            }
            ClockChange::Strobe { offset_ms, period_ms } => {
                let strobe = proto::ClockChange::Strobe { offset_ms, period_ms };
                let took = self.set_clock(id, node, strobe, &mut evidence)?;
                evidence.push(self.see(node, offset_ms, SEEN));
                evidence.push(self.see(node, 0, SEEN + Duration::from_millis(period_ms)));
                took
            }
            ClockChange::Drift { rate } => {
                let drift = proto::ClockChange::Drift { rate };
                let took = self.set_clock(id, node, drift, &mut evidence)?;
                evidence.push(self.see_rate(node, rate));
                evidence.extend(self.host_goes(node, rate)?);
                took
            }
            ClockChange::Back { leap_ms, offset_ms } => {
                let leapt = self.set_clock(id, node, jump(leap_ms), &mut evidence)?;
                evidence.push(self.see(node, leap_ms, SEEN));
                let back = self.set_clock(id, node, jump(offset_ms), &mut evidence)?;
                evidence.push(self.see(node, offset_ms, SEEN));
                leapt + back
            }
        };
        Ok((took, evidence))
    }

    fn set_clock(
        &self,
        id: &str,
        node: usize,
        change: proto::ClockChange,
        evidence: &mut Vec<Evidence>,
    ) -> Result<Duration, String> {
        if self.clocks.of_hosts() {
            return self.set_host_clock(id, node, change, evidence);
        }
        let (fault, pidfile) = (id.to_owned(), self.system.start(node).pidfile);
        let started = Instant::now();
        match self.ask_one(node, Ask::SetClock { fault, pidfile, change })? {
            Answer::Done => Ok(started.elapsed()),
            other => Err(format!("unexpected answer {other:?}")),
        }
    }

    /// Waits until the server's clock is so far ahead of where it was; says where it is at last.
    fn see(&self, node: usize, ahead_ms: i64, limit: Duration) -> Evidence {
        let before = self.clocks.before(node);
        let until = Instant::now() + limit;
        let (observed, holds) = loop {
            let seen = self.clocks.offset_us(&*self.system, node).map(|offset| offset - before);
            let near = |seen: &i64| (*seen - ahead_ms * 1_000).abs() <= NEAR_US;
            let there = seen.as_ref().is_ok_and(near);
            if there || until <= Instant::now() {
                break (seen.map_or_else(|error| error, seconds), there);
            }
            std::thread::sleep(EVERY);
        };
        let probe = format!("{} server's clock", self.name(node));
        Evidence { probe, expected: seconds(ahead_ms * 1_000), observed, holds }
    }

    /// Waits until the server's clock goes as fast as that, in thousandths, for a while.
    fn see_rate(&self, node: usize, rate: u32) -> Evidence {
        let until = Instant::now() + SEEN;
        let mut readings: Vec<(i64, i64)> = Vec::new();
        let (observed, holds) = loop {
            let at = self.clocks.now_us();
            match self.clocks.offset_us(&*self.system, node) {
                Ok(offset) => readings.push((at, offset)),
                Err(error) if until <= Instant::now() => break (error, false),
                Err(_) => {}
            }
            let seen = measured(&readings);
            let there = seen.is_some_and(|seen| is_rate(seen, rate));
            if there || until <= Instant::now() {
                break (seen.map_or("unknown".to_owned(), factor), there);
            }
            std::thread::sleep(EVERY);
        };
        let probe = format!("{} server's clock's rate", self.name(node));
        Evidence { probe, expected: factor(i64::from(rate)), observed, holds }
    }
}

/// The rate that readings of (our time, offset), µs, show at their end, in thousandths.
fn measured(readings: &[(i64, i64)]) -> Option<i64> {
    let (at, offset) = *readings.last()?;
    let earlier = readings.iter().rev().find(|(then, _)| WINDOW_US <= at - then)?;
    Some(1_000 + (offset - earlier.1) * 1_000 / (at - earlier.0))
}

/// Whether a measured rate, in thousandths, is the one asked for: within a fifth of its change.
pub(super) fn is_rate(seen: i64, rate: u32) -> bool {
    let rate = i64::from(rate);
    (seen - rate).abs() * 5 <= (rate - 1_000).abs()
}

/// What was seen, whatever it is.
pub(super) fn any(probe: String, observed: String) -> Evidence {
    Evidence { probe, expected: "any".to_owned(), observed, holds: true }
}

/// µs, as seconds.
pub(super) fn seconds(us: i64) -> String {
    format!("{:+.3} s", us as f64 / 1e6)
}

/// Thousandths, as a factor.
pub(super) fn factor(rate: i64) -> String {
    format!("x{:.3}", rate as f64 / 1e3)
}

fn report(done: Vec<(usize, Done)>, mechanism: &str) -> ActReport {
    let (mut evidence, mut errors, mut took) = (Vec::new(), Vec::new(), Duration::ZERO);
    for (_, done) in done {
        match done {
            Ok((longest, mut probes)) => {
                took = took.max(longest);
                evidence.append(&mut probes);
            }
            Err(error) => errors.push(error),
        }
    }
    let error = (!errors.is_empty()).then(|| errors.join("; "));
    let result = match error {
        Some(_) => FaultResult::Indeterminate,
        None => ActReport::judge(&evidence),
    };
    let mechanism = mechanism.to_owned();
    ActReport {
        mechanism,
        result,
        evidence,
        took: took.as_nanos() as i64,
        error,
        ..ActReport::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_measured_over_a_second_and_a_jump_is_none() {
        let drifting = |rate: i64, at: i64| (at, at * (rate - 1_000) / 1_000);
        let readings = |rate| (0..60).map(|n| drifting(rate, n * 20_000)).collect::<Vec<_>>();
        assert_eq!(measured(&readings(1_100)), Some(1_100));
        assert_eq!(measured(&readings(900)), Some(900));
        assert_eq!(measured(&readings(1_100)[..40]), None, "not long enough");
        assert_eq!(measured(&[]), None);
        assert!(is_rate(1_115, 1_100) && !is_rate(1_000, 1_100) && !is_rate(1_130, 1_100));
    }
}
