//! A rolling restart: one node after another, each waited for until it is back.

use std::thread;
use std::time::{Duration, Instant};

use history::Evidence;
use nemesis::ActReport;
use nemesis::life::{Life, Rolling};

use super::HostPort;
use super::lives::{of_life, report};
use crate::engine::rejoin;

impl HostPort {
    /// Restarts the nodes in this order. Ends at the first that does not come back: who restarts
    /// the next then takes more than one away.
    pub(super) fn roll(
        &self,
        id: &str,
        nodes: &[usize],
        rolling: Rolling,
        set: Option<&str>,
    ) -> ActReport {
        let started = Instant::now();
        let restart = Life::Restart { grace_ms: rolling.grace_ms };
        let (mut evidence, mut errors) = (Vec::new(), Vec::new());
        for (place, node) in nodes.iter().enumerate() {
            if place != 0 {
                thread::sleep(Duration::from_millis(rolling.gap_ms));
            }
            let lived = self.change(*node, set).and_then(|()| self.live_one(id, *node, restart));
            match lived {
                Ok(story) => {
                    evidence.extend(of_life(self.name(*node), restart, &story));
                    errors.extend(story.error);
                }
                Err(error) => errors.push(error),
            }
            if !errors.is_empty() {
                break;
            }
            evidence.extend(self.changed(*node, set));
            let back = self.rejoined(*node, Duration::from_millis(rolling.rejoin_ms));
            let holds = back.holds;
            evidence.push(back);
            if !holds {
                break;
            }
        }
        report("signal, one node after another".to_owned(), started, evidence, errors)
    }

    fn rejoined(&self, node: usize, limit: Duration) -> Evidence {
        let (took, missing) = rejoin::wait(&*self.system, node, limit);
        of_rejoin(self.name(node), limit.as_millis(), took.as_millis(), missing)
    }
}

/// What is said of a node that came back, or did not.
pub(crate) fn of_rejoin(
    name: &str,
    limit_ms: u128,
    took_ms: u128,
    missing: Option<String>,
) -> Evidence {
    Evidence {
        probe: format!("{name} in the cluster again"),
        expected: format!("within {limit_ms} ms"),
        holds: missing.is_none(),
        observed: match missing {
            None => format!("after {took_ms} ms"),
            Some(why) => format!("not after {took_ms} ms: {why}"),
        },
    }
}
