//! Whether a node that was restarted is one of the cluster again, by the cluster's own words.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use history::{Role, TelemetryEvent};
use systems::System;

/// How often the cluster is asked whether a node is back.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Where each shard's leader was when the node was first looked at, by shard and term: what the
/// node must have. The leader itself goes on, so that nobody would ever have all of it.
#[derive(Clone, Debug, Default)]
pub struct Rejoin {
    targets: BTreeMap<(u32, u64), u64>,
}

impl Rejoin {
    /// Looks at all nodes; says what is missing for this one.
    pub fn look(&mut self, node: usize, samples: &[TelemetryEvent]) -> Result<(), String> {
        let own = &samples[node];
        if !own.alive || own.shards.is_empty() {
            return Err("it does not answer".to_owned());
        }
        for replica in &own.shards {
            let shard = replica.shard;
            let all = samples.iter().filter(|sample| sample.alive).flat_map(|s| &s.shards);
            let leaders = all.filter(|other| other.shard == shard && other.role == Role::Leader);
            let leader = leaders.max_by_key(|leader| leader.term);
            let leader = leader.ok_or_else(|| format!("shard {shard} has no leader"))?;
            let target = *self.targets.entry((shard, leader.term)).or_insert(leader.position);
            if replica.term != leader.term || replica.role == Role::Deposed {
                return Err(format!("it does not follow the leader of shard {shard}"));
            }
            if replica.position < target {
                let position = replica.position;
                return Err(format!("it has {position} of {target} of shard {shard}"));
            }
        }
        Ok(())
    }
}

/// Waits until a node is back, and for so long at most; says how long it took, and what was missing
/// in the end.
pub fn wait(system: &dyn System, node: usize, limit: Duration) -> (Duration, Option<String>) {
    let (started, mut rejoin) = (Instant::now(), Rejoin::default());
    loop {
        let samples: Option<Vec<TelemetryEvent>> = thread::scope(|scope| {
            let nodes = 0..system.nodes().count();
            let ask = |node| scope.spawn(move || system.sample(node, &|| 0));
            let threads: Vec<_> = nodes.map(ask).collect();
            threads.into_iter().map(|thread| thread.join().ok()).collect()
        });
        let missing = match samples {
            Some(samples) => rejoin.look(node, &samples).err(),
            None => Some("asking the nodes panicked".to_owned()),
        };
        let took = started.elapsed();
        if missing.is_none() || limit <= took {
            return (took, missing);
        }
        thread::sleep(LOOK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use history::ShardTelemetry;

    fn sample(role: Role, term: u64, position: u64) -> TelemetryEvent {
        let shard = ShardTelemetry {
            shard: 0,
            role,
            term,
            leader: None,
            position,
            committed: 0,
            lag: Some(0),
            aside: Some(0),
        };
        TelemetryEvent {
            sent: 0,
            received: 0,
            node: String::new(),
            alive: true,
            shards: vec![shard],
            error: None,
            details: BTreeMap::new(),
        }
    }

    #[test]
    fn who_has_what_the_leader_had_then_is_back_though_the_leader_goes_on() {
        let mut rejoin = Rejoin::default();
        let mut look = |own, leader| rejoin.look(0, &[own, leader]);
        let dead = TelemetryEvent { alive: false, ..sample(Role::Follower, 3, 9) };
        assert_eq!(look(dead, sample(Role::Leader, 3, 9)).unwrap_err(), "it does not answer");
        let leaderless = look(sample(Role::Follower, 3, 9), sample(Role::Follower, 3, 9));
        assert_eq!(leaderless.unwrap_err(), "shard 0 has no leader");
        let behind = look(sample(Role::Follower, 3, 5), sample(Role::Leader, 3, 9));
        assert_eq!(behind.unwrap_err(), "it has 5 of 9 of shard 0");
        let stray = look(sample(Role::Follower, 2, 9), sample(Role::Leader, 3, 20));
        assert_eq!(stray.unwrap_err(), "it does not follow the leader of shard 0");
        assert_eq!(look(sample(Role::Follower, 3, 9), sample(Role::Leader, 3, 20)), Ok(()));
        assert!(look(sample(Role::Follower, 4, 9), sample(Role::Leader, 4, 20)).is_err(), "anew");
        assert_eq!(look(sample(Role::Leader, 5, 9), sample(Role::Deposed, 4, 20)), Ok(()));
    }
}
