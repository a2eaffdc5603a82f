//! The time that a cluster keeps for itself, which a clock that was ahead takes along and which
//! never goes back: healing the clock does not heal it, and that is said.

use history::Evidence;
use nemesis::{Act, ActReport};

use super::HostPort;
use super::clocks::seconds;

/// How much further ahead than before it may be, µs: its unit is a second, and it may have stood
/// still when nothing was written.
const NEAR_US: i64 = 2_000_000;

impl HostPort {
    /// Before clocks are moved ahead: how far ahead the cluster's time is, by every node.
    pub(super) fn remember_cluster_time(&self) {
        for node in 0..self.system.nodes().count() {
            if let Ok(Some(ahead)) = self.clocks.cluster_ahead_us(&*self.system, node) {
                self.clocks.remember_cluster(node, ahead);
            }
        }
    }

    /// After clocks were put right: whether the cluster's time is where it was, by every node.
    pub(super) fn see_cluster_time(&self, act: &Act, report: &mut ActReport) {
        let Act::Clock { change, .. } = act else { return };
        if !change.ahead() {
            return;
        }
        let mut stays = Vec::new();
        for node in 0..self.system.nodes().count() {
            let (name, before) = (self.name(node), self.clocks.cluster_before(node));
            match self.clocks.cluster_ahead_us(&*self.system, node) {
                Ok(None) => continue,
                Ok(Some(ahead)) => {
                    let probe = of_cluster_time(name, before, ahead);
                    if !probe.holds {
                        stays.push(format!("{name} {}", probe.observed));
                    }
                    report.evidence.push(probe);
                }
                Err(error) => report.evidence.push(Evidence {
                    observed: error,
                    holds: false,
                    ..of_cluster_time(name, before, before)
                }),
            }
        }
        if !stays.is_empty() {
            let stays = format!(
                "the clocks are right again, but the cluster's time is not: it is ahead of them \
                 ({}), is never taken back, and goes on only once the clocks have come so far; a \
                 cluster without it has to be built anew",
                stays.join(", ")
            );
            report.error = Some(match report.error.take() {
                Some(error) => format!("{error}; {stays}"),
                None => stays,
            });
        }
        report.result = ActReport::judge(&report.evidence);
    }
}

fn of_cluster_time(name: &str, before_us: i64, ahead_us: i64) -> Evidence {
    let most = before_us.max(0) + NEAR_US;
    Evidence {
        probe: format!("{name} cluster's time against our clock"),
        expected: format!("at most {}", seconds(most)),
        observed: seconds(ahead_us),
        holds: ahead_us <= most,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_s_time_that_stays_ahead_is_not_healed() {
        let day = 86_400_000_000;
        let probe = of_cluster_time("n1", -3_000_000, day - 20_000_000);
        assert!(!probe.holds);
        assert_eq!(
            (probe.probe.as_str(), probe.expected.as_str(), probe.observed.as_str()),
            ("n1 cluster's time against our clock", "at most +2.000 s", "+86380.000 s")
        );
        assert!(of_cluster_time("n1", -3_000_000, 900_000).holds);
        assert!(of_cluster_time("n1", 5_000_000, 5_500_000).holds, "its hosts' clock is 5 s ahead");
        assert!(of_cluster_time("n1", 0, -9_000_000).holds, "it stands when nothing is written");
    }
}
