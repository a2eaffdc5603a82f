//! What each configuration of MongoDB promises, with the page that says so.

use super::spec::{MongoSpec, ReadConcern, WriteConcern};
use crate::promises::Promises;

const WRITE: &str = "mongodb.com/docs/v6.0/reference/write-concern/";
const ROLLBACK: &str = "mongodb.com/docs/v6.0/core/replica-set-rollbacks/";
const CAUSAL: &str = "mongodb.com/docs/v6.0/core/causal-consistency-read-write-concerns/";
const LINEARIZABLE: &str = "mongodb.com/docs/v6.0/reference/read-concern-linearizable/";
const SNAPSHOT: &str = "mongodb.com/docs/v6.0/reference/read-concern-snapshot/";
const TRANSACTIONS: &str = "mongodb.com/docs/v6.0/core/transactions/";
const LOCAL: &str = "mongodb.com/docs/v6.0/reference/read-concern-local/";
const MAJORITY: &str = "mongodb.com/docs/v6.0/reference/read-concern-majority/";

/// The promises of a configuration, for sessions that use this policy.
pub fn promises(spec: &MongoSpec, policy: &str) -> Promises {
    let mut promises = Promises::default();
    let durable = spec.write_concern == WriteConcern::Majority;
    promises.set("lost-writes", keeps_acknowledged(durable));
    let linearizable =
        durable && spec.read_concern == ReadConcern::Linearizable && spec.reads_primary(policy);
    let session = session_guarantees(spec, linearizable);
    for checker in ["read-your-writes", "monotonic-reads"] {
        promises.set(checker, session.clone());
    }
    let causal = causal_guarantees(spec);
    for checker in ["monotonic-writes", "writes-follow-reads", "causal"] {
        promises.set(checker, causal.clone());
    }
    promises.set(
        "linearizable",
        match linearizable {
            true => Ok(format!("reads and writes of single documents ({LINEARIZABLE})")),
            false => Err(format!(
                "read_concern = \"linearizable\", write_concern = \"majority\" and --policy \
                 leader: then single documents are ({LINEARIZABLE})"
            )),
        },
    );
    let snapshot = snapshot(spec, durable);
    promises.set("consistent-prefix", snapshot.clone());
    for checker in ["list-append", "rw-register"] {
        promises.set(checker, snapshot.clone());
    }
    promises.set("dirty-reads", majority_reads(spec));
    promises
}

fn keeps_acknowledged(durable: bool) -> Result<String, String> {
    match durable {
        true => Ok(format!(
            "a majority has a write, in its journal, before it is acknowledged, and who lacks it \
             is not elected ({WRITE})"
        )),
        false => Err(format!(
            "write_concern = \"majority\": what fewer members acknowledged is rolled back when \
             another leads ({ROLLBACK})"
        )),
    }
}

/// Read-your-writes and monotonic reads.
fn session_guarantees(spec: &MongoSpec, linearizable: bool) -> Result<String, String> {
    if linearizable {
        return Ok(format!("every read shows all that was acknowledged before ({LINEARIZABLE})"));
    }
    causal_guarantees(spec)
}

fn causal_guarantees(spec: &MongoSpec) -> Result<String, String> {
    match spec.causal_and_durable() {
        true => Ok(format!(
            "causally consistent sessions with read and write concern majority ({CAUSAL})"
        )),
        false => Err(format!(
            "causal = true with read_concern = \"majority\" and write_concern = \"majority\" \
             ({CAUSAL})"
        )),
    }
}

fn snapshot(spec: &MongoSpec, durable: bool) -> Result<String, String> {
    let all = durable && spec.transactions && spec.read_concern == ReadConcern::Snapshot;
    match all {
        true => Ok(format!("snapshot-isolation ({SNAPSHOT}, {TRANSACTIONS})")),
        false => Err(format!(
            "transactions = true with read_concern = \"snapshot\" and write_concern = \
             \"majority\": then snapshot-isolation ({SNAPSHOT})"
        )),
    }
}

fn majority_reads(spec: &MongoSpec) -> Result<String, String> {
    match spec.read_concern {
        ReadConcern::Local | ReadConcern::Available => Err(format!(
            "read_concern = \"majority\": a local read may show what is rolled back later ({LOCAL})"
        )),
        _ => Ok(format!("reads show what a majority has ({MAJORITY})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_member_keeps_nothing_and_a_majority_does() {
        let one = MongoSpec { write_concern: WriteConcern::Nodes(1), ..MongoSpec::default() };
        let missing = &promises(&one, "leader").not_made["lost-writes"];
        assert!(missing.starts_with("write_concern = \"majority\""), "{missing}");
        // A number is not a majority, however large: the documentation says so of majority alone.
        let three = MongoSpec { write_concern: WriteConcern::Nodes(3), ..one };
        assert!(promises(&three, "leader").not_made.contains_key("lost-writes"));
        assert!(promises(&MongoSpec::default(), "leader").made.contains_key("lost-writes"));
    }

    #[test]
    fn sessions_are_promised_causally_with_majorities_or_by_linearizable_leaders() {
        let causal =
            MongoSpec { causal: true, read_concern: ReadConcern::Majority, ..MongoSpec::default() };
        for checker in ["read-your-writes", "monotonic-reads", "causal"] {
            assert!(promises(&causal, "any-follower").made.contains_key(checker));
            let local = MongoSpec { read_concern: ReadConcern::Local, ..causal.clone() };
            assert!(promises(&local, "any-follower").not_made.contains_key(checker));
        }
        let line = MongoSpec { read_concern: ReadConcern::Linearizable, ..MongoSpec::default() };
        assert!(promises(&line, "leader").made.contains_key("read-your-writes"));
        assert!(promises(&line, "any-follower").not_made.contains_key("linearizable"));
    }

    #[test]
    fn snapshot_transactions_with_majorities_are_snapshot_isolation() {
        let spec = MongoSpec {
            transactions: true,
            read_concern: ReadConcern::Snapshot,
            ..MongoSpec::default()
        };
        let made = promises(&spec, "leader").made;
        assert!(made["list-append"].starts_with("snapshot-isolation"));
        let one = MongoSpec { write_concern: WriteConcern::Nodes(1), ..spec };
        assert!(promises(&one, "leader").not_made.contains_key("rw-register"));
    }
}
