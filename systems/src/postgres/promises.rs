//! What each configuration of PostgreSQL promises, with the page that says so.

use super::spec::{Candidate, Failover, PostgresSpec, Replication, SynchronousCommit};
use crate::promises::Promises;

const SYNC: &str = "postgresql.org/docs/15/warm-standby.html#SYNCHRONOUS-REPLICATION";
const FAILOVER: &str = "postgresql.org/docs/15/warm-standby-failover.html";
const HOT: &str = "postgresql.org/docs/15/hot-standby.html#HOT-STANDBY-USERS";
const ISOLATION: &str = "postgresql.org/docs/15/transaction-iso.html";
const DURABLE: &str = "postgresql.org/docs/15/wal-reliability.html";

/// The promises of a configuration with so many standbys, for sessions that use this policy.
pub fn promises(spec: &PostgresSpec, standbys: usize, policy: &str) -> Promises {
    let mut promises = Promises::default();
    let keeps = keeps_acknowledged(spec);
    promises.set("lost-writes", keeps.clone());
    let stable = match spec.failover {
        Failover::None => durable(spec),
        Failover::Patroni => Err(super::patroni::NO_WATCHDOG.to_owned()),
        Failover::Operator => keeps.map(|_| ()),
    };
    let applied_everywhere = spec.synchronous_commit == SynchronousCommit::RemoteApply
        && spec.replication != Replication::Async
        && spec.k == standbys;
    let no_failover = spec.failover == Failover::None && durable(spec).is_ok();
    let own = match policy {
        "leader" => stable.clone().map(|()| {
            format!("reads come from the leader, which has every acknowledged write ({ISOLATION})")
        }),
        "position-token" if no_failover => {
            Ok("a follower answers only from a state that holds what the session wrote".to_owned())
        }
        "own-from-leader" if no_failover => {
            Ok("what a session wrote it reads from the leader, which has it".to_owned())
        }
        _ if applied_everywhere && no_failover => Ok(format!(
            "remote_apply: a commit is acknowledged when every standby shows it ({SYNC})"
        )),
        _ => Err(format!(
            "--policy leader, own-from-leader or position-token, or remote_apply with \
             k = {standbys}; a hot standby shows a commit some time later ({HOT})"
        )),
    };
    promises.set("read-your-writes", own);
    let forward = match policy {
        "leader" => stable.clone().map(|()| format!("reads come from one leader ({ISOLATION})")),
        "position-token" if no_failover => {
            Ok("a follower answers only from a state that holds what the session saw".to_owned())
        }
        _ => Err(format!("--policy leader or --policy position-token ({HOT})")),
    };
    promises.set("monotonic-reads", forward);
    let prefix = match policy {
        "leader" => {
            stable.clone().map(|()| format!("statements see commits in their order ({ISOLATION})"))
        }
        _ => Err(format!("--policy leader ({HOT})")),
    };
    promises.set("consistent-prefix", prefix);
    for checker in ["list-append", "rw-register"] {
        let level = spec.isolation.model();
        promises.set(
            checker,
            match policy {
                // A failover that loses commits undoes what was read of them.
                "leader" => stable.clone().map(|()| format!("{level} ({ISOLATION})")),
                // A standby has snapshots of its own, of another moment than the primary's.
                _ => Err(format!(
                    "--policy leader: then {level}, which is promised to transactions on the \
                     primary alone ({ISOLATION}); a standby shows a commit some time later ({HOT})"
                )),
            },
        );
    }
    promises
}

/// Whether a leader that crashes has all that it acknowledged when it is back.
fn durable(spec: &PostgresSpec) -> Result<(), String> {
    if spec.fsync && spec.synchronous_commit != SynchronousCommit::Off {
        return Ok(());
    }
    let what = "fsync = on and synchronous_commit = on";
    Err(format!("{what}: a crash loses what was not flushed ({DURABLE})"))
}

/// Whether an acknowledged write survives, and why or what is missing.
fn keeps_acknowledged(spec: &PostgresSpec) -> Result<String, String> {
    durable(spec)?;
    if spec.failover == Failover::None {
        return Ok(format!(
            "the leader is never replaced, and flushes before it says so ({DURABLE})"
        ));
    }
    if spec.failover == Failover::Patroni {
        return super::patroni::keeps_acknowledged(spec);
    }
    let confirmed =
        matches!(spec.synchronous_commit, SynchronousCommit::On | SynchronousCommit::RemoteApply);
    if spec.replication == Replication::Async || !confirmed {
        return Err(format!(
            "replication = \"any\" or \"first\" with synchronous_commit = on: an asynchronous \
             standby may lack acknowledged commits when it is promoted ({SYNC})"
        ));
    }
    if spec.failover == Failover::Operator {
        if spec.candidate != Candidate::MostAdvanced {
            return Err(format!("candidate = \"most-advanced\" ({FAILOVER})"));
        }
        if !spec.fence {
            return Err(format!(
                "fence = true: an old leader must be known to be down ({FAILOVER})"
            ));
        }
    }
    Ok(format!(
        "{} of the standbys has a commit before it is acknowledged, and the standby with \
                most is promoted ({SYNC})",
        spec.k
    ))
}

/// Whether acknowledged writes survive only because the operator promotes the standby with most:
/// no order may make it promote another. Where all have every commit, anyone will do.
pub(super) fn promotes_the_most(spec: &PostgresSpec, standbys: usize) -> bool {
    spec.failover == Failover::Operator && spec.k < standbys && keeps_acknowledged(spec).is_ok()
}

#[cfg(test)]
mod tests {
    use super::super::spec::Isolation;
    use super::*;

    #[test]
    fn asynchronous_failover_promises_nothing_and_synchronous_keeps_writes() {
        let async_spec = PostgresSpec { failover: Failover::Operator, ..Default::default() };
        assert!(promises(&async_spec, 2, "leader").made.is_empty());
        let fixed = PostgresSpec::default();
        assert_eq!(promises(&fixed, 2, "leader").made.len(), 6, "without failover all hold");
        let lax = PostgresSpec { fsync: false, ..PostgresSpec::default() };
        assert!(promises(&lax, 2, "leader").made.is_empty(), "a crash would break them");
        let any = PostgresSpec { replication: Replication::Any, ..async_spec };
        assert!(promises(&any, 2, "leader").made.contains_key("lost-writes"));
        let wrong = PostgresSpec { candidate: Candidate::LeastAdvanced, ..any.clone() };
        assert!(promises(&wrong, 2, "leader").not_made.contains_key("lost-writes"));
        let unfenced = PostgresSpec { fence: false, ..any };
        assert!(promises(&unfenced, 2, "leader").not_made["lost-writes"].starts_with("fence"));
    }

    #[test]
    fn isolation_is_promised_on_the_primary_alone() {
        let spec = PostgresSpec { isolation: Isolation::RepeatableRead, ..Default::default() };
        for policy in ["any-follower", "sticky-follower", "position-token", "own-from-leader"] {
            let promises = promises(&spec, 2, policy);
            assert!(!promises.made.contains_key("list-append"), "{policy}");
            let why = &promises.not_made["list-append"];
            assert!(why.contains("then snapshot-isolation, which is promised to"), "{why}");
            assert!(why.contains("hot-standby.html"), "{why}");
        }
        assert!(promises(&spec, 2, "leader").made["list-append"].starts_with("snapshot-isolation"));
    }

    #[test]
    fn an_order_breaks_no_promise() {
        let any = PostgresSpec {
            replication: Replication::Any,
            failover: Failover::Operator,
            ..Default::default()
        };
        assert!(promotes_the_most(&any, 2));
        assert!(!promotes_the_most(&any, 1), "the only standby has every commit");
        let wrong = PostgresSpec { candidate: Candidate::LeastAdvanced, ..any.clone() };
        assert!(!promotes_the_most(&wrong, 2), "nothing is promised");
        let asynchronous = PostgresSpec { replication: Replication::Async, ..any };
        assert!(!promotes_the_most(&asynchronous, 2), "nothing is promised");
    }

    #[test]
    fn remote_apply_everywhere_shows_own_writes_but_not_one_time_line() {
        let spec = PostgresSpec {
            replication: Replication::First,
            k: 2,
            synchronous_commit: SynchronousCommit::RemoteApply,
            ..Default::default()
        };
        let made = promises(&spec, 2, "any-follower").made;
        assert!(made.contains_key("read-your-writes") && !made.contains_key("monotonic-reads"));
        assert!(!promises(&spec, 3, "any-follower").made.contains_key("read-your-writes"));
    }
}
