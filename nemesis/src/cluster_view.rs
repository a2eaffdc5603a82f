//! What is believed of the cluster when a fault is injected: the latest telemetry of each node.

use std::collections::{BTreeMap, BTreeSet};

use history::{Role, TelemetryEvent};

use crate::regions::Regions;

/// The latest sample of every node.
#[derive(Clone, Debug, Default)]
pub struct ClusterView {
    names: Vec<String>,
    regions: Regions,
    latest: BTreeMap<String, TelemetryEvent>,
    /// Nodes that said to hold no data: they only vote.
    voters: BTreeSet<String>,
    role_changes: u64,
    leaders_seen: BTreeMap<u32, (u64, String)>,
}

impl ClusterView {
    /// Nothing known yet of these nodes.
    pub fn new(names: &[String]) -> ClusterView {
        ClusterView { names: names.to_vec(), ..ClusterView::default() }
    }

    /// With what region each is in.
    pub fn with_regions(self, regions: Regions) -> ClusterView {
        ClusterView { regions, ..self }
    }

    /// What region each is in.
    pub fn regions(&self) -> &Regions {
        &self.regions
    }

    /// The nodes' names, in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Takes in a sample.
    pub fn learn(&mut self, event: &TelemetryEvent) {
        for shard in event.shards.iter().filter(|shard| shard.role == Role::Leader) {
            let newer = match self.leaders_seen.get(&shard.shard) {
                Some((term, node)) => *term < shard.term && *node != event.node,
                None => true,
            };
            let known = self.leaders_seen.contains_key(&shard.shard);
            if newer {
                self.role_changes += u64::from(known);
                self.leaders_seen.insert(shard.shard, (shard.term, event.node.clone()));
            }
        }
        match event.holds_data() {
            false => self.voters.insert(event.node.clone()),
            true => !event.shards.is_empty() && self.voters.remove(&event.node),
        };
        self.latest.insert(event.node.clone(), event.clone());
    }

    /// How often a shard was seen to get another leader.
    pub fn leader_changes(&self) -> u64 {
        self.role_changes
    }

    /// Whether the node's process answered last time.
    pub fn alive(&self, name: &str) -> bool {
        self.latest.get(name).is_some_and(|event| event.alive)
    }

    /// Nodes that believe to have this role in the shard, with their terms, highest term first.
    pub fn with_role(&self, shard: u32, role: Role) -> Vec<(u64, &str)> {
        let mut found: Vec<(u64, &str)> = Vec::new();
        for name in &self.names {
            let Some(event) = self.latest.get(name).filter(|event| event.alive) else {
                continue;
            };
            for replica in &event.shards {
                if replica.shard == shard && replica.role == role {
                    found.push((replica.term, name));
                }
            }
        }
        found.sort_by_key(|(term, _)| std::cmp::Reverse(*term));
        found
    }

    /// The leader of the shard: the highest term among those that believe to be.
    pub fn leader(&self, shard: u32) -> Option<&str> {
        self.with_role(shard, Role::Leader).first().map(|(_, name)| *name)
    }

    /// Whether the node believes to lead some shard.
    pub fn leads_any(&self, name: &str) -> bool {
        let event = self.latest.get(name).filter(|event| event.alive);
        event.is_some_and(|event| event.shards.iter().any(|s| s.role == Role::Leader))
    }

    /// Whether the node holds data, as far as it has said: it may only vote.
    pub fn holds_data(&self, name: &str) -> bool {
        !self.voters.contains(name)
    }

    /// Whether every node that holds data answers, every shard has one leader, and all replicas
    /// have caught up.
    pub fn converged(&self, shards: u32) -> Result<(), String> {
        let replicas = || self.names.iter().filter(|name| self.holds_data(name));
        for name in replicas() {
            if !self.alive(name) {
                return Err(format!("{name} does not answer"));
            }
        }
        for shard in 0..shards {
            let leaders = self.with_role(shard, Role::Leader);
            let [(term, leader)] = leaders[..] else {
                return Err(format!("shard {shard} has {} leaders", leaders.len()));
            };
            let position = self.position(leader, shard);
            for name in replicas() {
                let Some(event) = self.latest.get(name) else {
                    continue;
                };
                let Some(replica) = event.shards.iter().find(|s| s.shard == shard) else {
                    return Err(format!("{name} has no replica of shard {shard}"));
                };
                let level = replica.term == term && Some(replica.position) == position;
                // A node that does not know how far it is behind may be level all the same.
                if !level || !event.ready() || replica.lag.is_some_and(|lag| lag != 0) {
                    return Err(format!("{name} has not caught up with {leader}"));
                }
                // Where reads show only what is committed, a replica that does not know yet that
                // an entry is would be read without it.
                if Some(replica.committed) != position {
                    return Err(format!("{name} does not know yet that all of it is committed"));
                }
            }
        }
        Ok(())
    }

    fn position(&self, name: &str, shard: u32) -> Option<u64> {
        let event = self.latest.get(name)?;
        event.shards.iter().find(|s| s.shard == shard).map(|s| s.position)
    }
}

#[cfg(test)]
mod tests {
    use history::ShardTelemetry;
    use history::telemetry::HOLDS_DATA;

    use super::*;

    fn sample(node: &str, role: Option<Role>) -> TelemetryEvent {
        let replica = |role| ShardTelemetry {
            shard: 0,
            role,
            term: 1,
            leader: None,
            position: 7,
            committed: 7,
            lag: Some(0),
            aside: Some(0),
        };
        TelemetryEvent {
            sent: 0,
            received: 0,
            node: node.to_owned(),
            alive: true,
            shards: role.into_iter().map(replica).collect(),
            error: None,
            details: BTreeMap::new(),
        }
    }

    #[test]
    fn who_only_votes_is_not_waited_for_even_when_it_is_gone() {
        let mut view = ClusterView::new(&["n1", "n2", "n3"].map(str::to_owned));
        view.learn(&sample("n1", Some(Role::Leader)));
        view.learn(&sample("n2", Some(Role::Follower)));
        let mut voter = sample("n3", None);
        view.learn(&voter);
        assert!(view.converged(1).is_err(), "a replica that is not there");
        voter.details.insert(HOLDS_DATA.to_owned(), false.into());
        view.learn(&voter);
        view.learn(&TelemetryEvent { alive: false, ..sample("n3", None) });
        assert_eq!(view.converged(1), Ok(()));
        assert!(!view.holds_data("n3") && view.holds_data("n2"));
        view.learn(&sample("n3", Some(Role::Follower)));
        assert!(view.holds_data("n3"));
    }
}
