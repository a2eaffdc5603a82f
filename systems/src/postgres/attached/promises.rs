//! What a cluster that exists promises: what its servers say, and what its owner declares. What
//! is not known is not promised.

use history::NEVER_REPLACED;

use super::facts::{Facts, replication};
use crate::postgres::promises::promises;
use crate::postgres::spec::{Failover, Isolation, PostgresSpec, SynchronousCommit};
use crate::promises::Promises;

/// What is known.
pub struct Asked<'a> {
    /// The leader's own words.
    pub facts: &'a Facts,
    /// What the test asks for.
    pub spec: &'a PostgresSpec,
    /// The sessions' isolation.
    pub isolation: Isolation,
    /// Nodes that follow.
    pub followers: usize,
    /// Declared: nobody replaces a dead leader.
    pub never_replaced: bool,
}

/// Checkers whose promise rests on isolation within the leader alone.
const ISOLATION: [&str; 2] = ["list-append", "rw-register"];

impl Asked<'_> {
    /// For sessions of this policy.
    pub fn promises(&self, policy: &str) -> Promises {
        let (kind, k) = replication(&self.facts.standby_names);
        let spec = PostgresSpec {
            replication: kind,
            k,
            synchronous_commit: self.facts.synchronous_commit.unwrap_or(SynchronousCommit::Off),
            fsync: self.facts.fsync,
            isolation: self.isolation,
            failover: Failover::None,
            ..self.spec.clone()
        };
        let known = promises(&spec, self.followers, policy);
        let mut promises = Promises { not_made: known.not_made, ..Promises::default() };
        for (checker, why) in known.made {
            let by_name = checker == "read-your-writes" && why.contains("remote_apply");
            let missing = match () {
                () if ISOLATION.contains(&checker.as_str()) => None,
                () if !self.never_replaced => Some(format!(
                    "{NEVER_REPLACED} in the inventory, if nobody replaces a dead leader: who \
                     does, and by which rule, is not known"
                )),
                // Which standbys the names mean, and whether only those are read.
                () if by_name => Some("--policy leader or --policy position-token".to_owned()),
                () => None,
            };
            match missing {
                None => promises.made.insert(checker, why),
                Some(missing) => promises.not_made.insert(checker, missing),
            };
        }
        promises
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::tests::facts;
    use super::*;

    #[test]
    fn what_is_not_known_is_not_promised() {
        let spec = PostgresSpec::default();
        let (good, unsafe_) = (facts(false, ""), Facts { fsync: false, ..facts(false, "") });
        let asked = |facts, never_replaced| Asked {
            facts,
            spec: &spec,
            isolation: Isolation::Serializable,
            followers: 2,
            never_replaced,
        };
        let unknown = asked(&good, false).promises("leader");
        let names: Vec<&String> = unknown.made.keys().collect();
        assert_eq!(names, ISOLATION);
        assert!(unknown.made["list-append"].starts_with("serializable"));
        assert!(unknown.not_made["lost-writes"].starts_with("failover = \"none\""));
        let declared = asked(&good, true).promises("leader");
        assert!(declared.made.contains_key("lost-writes"));
        assert!(declared.made.contains_key("read-your-writes"));
        let lossy = asked(&unsafe_, true).promises("leader");
        assert!(lossy.not_made["lost-writes"].starts_with("fsync"));
        let apply = Facts {
            synchronous_commit: Some(SynchronousCommit::RemoteApply),
            ..facts(false, "FIRST 2 (x, y)")
        };
        let any = asked(&apply, true).promises("any-follower");
        assert!(!any.made.contains_key("read-your-writes"), "x and y may be others");
        let none = Facts { synchronous_commit: None, ..facts(false, "") };
        assert!(asked(&none, true).promises("leader").not_made.contains_key("lost-writes"));
    }
}
