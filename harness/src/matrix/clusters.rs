//! Which cluster a row runs on: the one of the row before, emptied, if it is provably the same;
//! else a new one on the same hosts; else new connections too.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use history::{FaultEvent, FaultPhase};
use nemesis::ClusterView;
use systems::Nodes;

use crate::config::TestSpec;
use crate::engine::clocks;
use crate::engine::host::Up;
use crate::error::UserError;
use crate::judge::Records;

/// How long an emptied cluster may take until every node shows that it is empty.
const EMPTY_LIMIT: Duration = Duration::from_secs(10);

/// The clusters of a matrix, one at a time.
#[derive(Default)]
pub struct Clusters {
    nodes: Option<Arc<Nodes>>,
    up: Option<(TestSpec, Up)>,
    /// Whether servers have clocks of their own; agents keep that for their lives.
    clocks: bool,
}

impl Clusters {
    /// A cluster for a test, holding nothing; and whether it is the one of the test before.
    pub fn ready(&mut self, spec: &TestSpec, run: &str) -> Result<(&Up, bool), UserError> {
        let again = match &self.up {
            Some((before, up)) if same_provisioning(before, spec) => emptied(spec, up),
            _ => false,
        };
        if !again {
            self.take_down();
            if self.clocks != clocks::moved(spec) {
                self.nodes = None;
            }
            self.clocks = clocks::moved(spec);
            let nodes = match self.nodes.take().filter(|nodes| nodes.count() == spec.hosts) {
                Some(nodes) => nodes,
                None => Up::connect(spec, run, None)?,
            };
            // On failure the connections go too: who knows what state their hosts are in.
            let up = Up::build(spec, Arc::clone(&nodes), run)?;
            self.nodes = Some(nodes);
            self.up = Some((spec.clone(), up));
        }
        let (_, up) = self.up.as_ref().expect("it was built just now, or is still there");
        Ok((up, again))
    }

    /// Told how a run ended. A cluster in doubt is not used again, nor are its connections: the
    /// agents undo what is left when they lose them.
    pub fn after(&mut self, trusted: bool) {
        if !trusted {
            self.take_down();
            self.nodes = None;
        }
    }

    /// Told that the cluster is no longer what it was: the next test gets a new one on these hosts.
    pub fn rebuild(&mut self) {
        self.take_down();
    }

    fn take_down(&mut self) {
        if let Some((_, up)) = self.up.take() {
            up.system.take_down();
        }
    }
}

impl Drop for Clusters {
    fn drop(&mut self) {
        self.take_down();
    }
}

/// Whether two tests put the same thing on the same hosts: they differ in what clients do alone.
fn same_provisioning(one: &TestSpec, other: &TestSpec) -> bool {
    let clients = |spec: &TestSpec| TestSpec {
        name: String::new(),
        seed: 0,
        workload: TestSpec::default().workload,
        faults: Vec::new(),
        duration_ms: 0,
        canary: None,
        ..spec.clone()
    };
    clients(one) == clients(other) && clocks::moved(one) == clocks::moved(other)
}

/// Empties a cluster and waits until every node shows it; `false` when that cannot be had.
fn emptied(spec: &TestSpec, up: &Up) -> bool {
    if !up.system.reset().unwrap_or(false) {
        return false;
    }
    let started = Instant::now();
    let sample = up.sampler(started);
    while started.elapsed() < EMPTY_LIMIT {
        let mut view = ClusterView::new(up.names());
        for node in 0..up.names().len() {
            view.learn(&sample(node));
        }
        if view.converged(spec.shards()).is_ok() {
            return true;
        }
        thread::sleep(Duration::from_millis(50));
    }
    false
}

/// Whether a run has left its cluster as it was brought up: every fault healed without an error,
/// the same leaders as at first, every node there. That replicas are level is waited for once it is
/// emptied.
pub fn left_as_it_was(records: &Records) -> bool {
    let Some(info) = &records.info else { return false };
    let mut view = ClusterView::new(&info.nodes);
    records.telemetry.iter().for_each(|sample| view.learn(sample));
    all_healed(&records.faults)
        && view.leader_changes() == 0
        && info.nodes.iter().all(|node| view.alive(node))
}

/// Whether every fault that was made was undone, and nothing of it stays.
fn all_healed(faults: &[FaultEvent]) -> bool {
    let healed = |id: &str| {
        let heal = faults.iter().find(|e| e.phase == FaultPhase::Healed && e.id == id);
        heal.is_some_and(|heal| heal.error.is_none())
    };
    let injected = faults.iter().filter(|event| event.phase == FaultPhase::Injected);
    injected.map(|event| event.id.as_str()).all(healed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_whose_time_stays_ahead_is_not_used_again() {
        let flags = |error: Option<&str>| {
            let healed = serde_json::json!({
                "time": 5, "id": "f1", "phase": "healed", "family": "clock", "fault": "clock-bump",
                "selector": "n1", "duration": 1, "required": true, "error": error
            });
            let mut injected = healed.clone();
            injected["phase"] = "injected".into();
            [injected, healed].map(|event| serde_json::from_value(event).unwrap()).to_vec()
        };
        assert!(all_healed(&flags(None)));
        assert!(!all_healed(&flags(Some(
            "the clocks are right again, but the cluster's time is not"
        ))));
    }

    #[test]
    fn only_what_clients_do_may_differ() {
        let one = TestSpec::default();
        let mut other = TestSpec { name: "other".to_owned(), seed: 9, ..TestSpec::default() };
        other.workload.policy = "any-follower".to_owned();
        assert!(same_provisioning(&one, &other));
        for change in [
            |spec: &mut TestSpec| spec.store.shards = 2,
            |spec: &mut TestSpec| spec.hosts = 5,
            |spec: &mut TestSpec| spec.postgres.k = 2,
            |spec: &mut TestSpec| spec.system = crate::config::SystemKind::Postgres,
        ] {
            let mut changed = other.clone();
            change(&mut changed);
            assert!(!same_provisioning(&one, &changed), "{changed:?}");
        }
    }
}
