//! What each configuration promises, as data, and what would promise the rest.

use std::collections::BTreeMap;

use crate::config::{CoreConfig, Failover, Replication};

/// Checker name to the reason why it is, or the setting that would make it, promised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Promises {
    /// Promised, and why.
    pub made: BTreeMap<String, String>,
    /// Not promised, and what would promise it.
    pub not_made: BTreeMap<String, String>,
}

/// The promises of a configuration for sessions that use this client policy, of nodes that sync
/// their logs or do not.
pub fn promises(config: &CoreConfig, policy: &str, fsync: bool) -> Promises {
    let mut promises = Promises::default();
    if !fsync {
        for checker in ["lost-writes", "read-your-writes", "monotonic-reads", "consistent-prefix"] {
            let missing = "store.fsync = true: without it a crash takes what was acknowledged";
            promises.set(checker, Err(missing.to_owned()));
        }
        return promises;
    }
    let keeps = keeps_acknowledged_writes(config);
    promises.set("lost-writes", keeps.clone());
    let sessions = match (policy, config.failover) {
        ("leader", Failover::None) => {
            Ok("reads come from the leader, which is never replaced".to_owned())
        }
        ("leader", _) => Err(match keeps {
            Err(missing) => format!("{missing}, and a lease so that a deposed leader is silent"),
            Ok(_) if config.committed_reads => {
                "a lease, so that a deposed leader answers no reads".to_owned()
            }
            Ok(_) => "--read committed, and a lease so that a deposed leader is silent".to_owned(),
        }),
        _ => Err("reads from the leader (--policy leader), without failover".to_owned()),
    };
    for checker in ["read-your-writes", "monotonic-reads", "consistent-prefix"] {
        promises.set(checker, sessions.clone());
    }
    promises
}

/// Whether an acknowledged write survives every failover, and why or what is missing.
fn keeps_acknowledged_writes(config: &CoreConfig) -> Result<String, String> {
    let enough = config.majority() - 1;
    match (config.failover, config.replication) {
        (Failover::None, _) => Ok("the leader is never replaced".to_owned()),
        (Failover::Vote, Replication::Sync { k }) if enough <= k => {
            Ok(format!("{k} followers have a write before it is acknowledged, a majority elects"))
        }
        (Failover::Vote, _) => Err(format!(
            "synchronous replication to a majority ({enough} of {} followers)",
            config.names.len() - 1
        )),
        (Failover::Timeout, _) => {
            Err("failover by vote, with synchronous replication to a majority".to_owned())
        }
    }
}

impl Promises {
    fn set(&mut self, checker: &str, promise: Result<String, String>) {
        match promise {
            Ok(why) => self.made.insert(checker.to_owned(), why),
            Err(missing) => self.not_made.insert(checker.to_owned(), missing),
        };
    }
}
