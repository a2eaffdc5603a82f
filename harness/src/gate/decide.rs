//! The table: what each act needs, and which line of the inventory is missing.
//!
//! | act | `allow` | `data_is_disposable` |
//! |---|---|---|
//! | pause, slow, load, cpu-limit | process | no |
//! | what ends a process | process | unless an acknowledged write is on another node too |
//! | partitions, packet loss | network | likewise: what a cut-off leader took may be lost |
//! | clocks | clock | no |
//! | clocks ahead of time, of a MongoDB set that exists | clock | yes: its time stays ahead |
//! | disks | disk | yes |
//! | removing, adding, replacing members; `pg_rewind` | membership | yes |
//! | promoting: an operator, a wrong candidate | failover | yes |

use cluster::Inventory;
use nemesis::clock::ClockChange;
use nemesis::{Fault, Parameters};
use systems::mongodb::spec::WriteConcern;
use systems::postgres::spec::{Candidate, Failover, Replication, SynchronousCommit};

use crate::config::{FaultSpec, ReplicationSpec, SystemKind, TestSpec};

/// What an act may do to data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Nothing.
    Never,
    /// It loses what only one node had.
    UnlessSynchronous,
    /// It may lose anything.
    Always,
    /// It loses nothing, but what it leaves there nobody can undo.
    Lasting,
}

/// Something that a test wants to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// What, in words.
    pub what: String,
    /// Its family.
    pub family: &'static str,
    /// What it may do to data.
    pub loss: Loss,
}

/// What an inventory says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Families.
    pub allow: Vec<String>,
    /// Whether data may be lost.
    pub data_is_disposable: bool,
}

/// What is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is not allowed.
    pub what: String,
    /// The inventory's field.
    pub field: &'static str,
    /// The line that would allow it.
    pub hint: String,
}

impl Rules {
    /// Of an inventory.
    pub fn of(inventory: &Inventory) -> Rules {
        Rules { allow: inventory.allow.clone(), data_is_disposable: inventory.data_is_disposable }
    }
}

/// What a family may do to data. In the family of processes, what ends one is worse than the rest:
/// another node may be promoted that lacks what only the ended one had.
fn loss(family: &str, fault: &str) -> Loss {
    match (family, fault) {
        (
            "process",
            "kill" | "stop" | "restart" | "rolling-restart" | "crash-loop" | "kill-in-start"
            | "region-lost" | "memory-limit",
        )
        | ("network", _) => Loss::UnlessSynchronous,
        ("process" | "clock", _) => Loss::Never,
        // Disk, membership, failover; and what nobody has thought of yet.
        _ => Loss::Always,
    }
}

/// Whether a fault leaves behind what no healing undoes: a replica set never takes its cluster time
/// back. One that a test builds ends with the test.
fn lasts(spec: &TestSpec, kind: Fault, given: &FaultSpec, attached: bool) -> bool {
    let ahead =
        |parameters: &Parameters| ClockChange::of(kind, parameters).is_some_and(ClockChange::ahead);
    // What cannot be read is refused elsewhere.
    let parameters = Parameters::of(kind, &given.parameters);
    attached && spec.system == SystemKind::Mongodb && parameters.as_ref().is_ok_and(ahead)
}

/// All that a test wants to do to hosts.
pub fn needs(spec: &TestSpec) -> Vec<Need> {
    needs_of(spec, false)
}

/// The same, of a cluster that exists or of one that the test builds.
pub fn needs_of(spec: &TestSpec, attached: bool) -> Vec<Need> {
    let faults = spec.all_faults().into_iter().filter_map(|fault| {
        let kind = Fault::by_name(&fault.fault).filter(|kind| *kind != Fault::Nothing)?;
        let family = kind.family().as_str();
        let what = kind.name().to_owned();
        let loss = match lasts(spec, kind, &fault, attached) {
            true => Loss::Lasting,
            false => loss(family, &what),
        };
        Some(Need { loss, what, family })
    });
    let mut needs: Vec<Need> = faults.collect();
    if spec.system == SystemKind::Postgres && spec.postgres.failover == Failover::Operator {
        let what = match spec.postgres.candidate {
            Candidate::MostAdvanced => "an operator that promotes (failover = \"operator\")",
            Candidate::LeastAdvanced => "a wrong candidate (candidate = \"least-advanced\")",
        };
        needs.push(Need { what: what.to_owned(), family: "failover", loss: Loss::Always });
    }
    if !spec.regions.latency.is_empty() {
        let what = "a latency between regions (--latency)".to_owned();
        needs.push(Need { what, family: "network", loss: Loss::Never });
    }
    needs
}

/// The families of these, each once.
pub fn families(needs: &[Need]) -> Vec<&'static str> {
    let mut families: Vec<&str> = needs.iter().map(|need| need.family).collect();
    families.sort_unstable();
    families.dedup();
    families
}

/// Whether a cluster that the test builds has every acknowledged write on another node too.
pub fn synchronous(spec: &TestSpec) -> bool {
    match spec.system {
        SystemKind::Store => spec.store.replication != ReplicationSpec::Async,
        SystemKind::Postgres => {
            let commit = spec.postgres.synchronous_commit;
            let waits = matches!(commit, SynchronousCommit::On | SynchronousCommit::RemoteApply);
            spec.postgres.replication != Replication::Async && waits && spec.postgres.fsync
        }
        SystemKind::Mongodb => spec.mongodb.write_concern == WriteConcern::Majority,
    }
}

/// The first line that is missing. A `synchronous` that is not known is none.
pub fn refusal(needs: &[Need], rules: &Rules, synchronous: Option<bool>) -> Option<Refusal> {
    for need in needs {
        let Need { what, family, loss } = need;
        if !rules.allow.iter().any(|allowed| allowed == family) {
            let mut allow: Vec<&str> = rules.allow.iter().map(String::as_str).collect();
            allow.push(family);
            let allow: Vec<String> = allow.iter().map(|family| format!("\"{family}\"")).collect();
            return Some(Refusal {
                what: format!("{what} is not allowed: it is of the family {family}"),
                field: "allow",
                hint: format!(
                    "it needs the line allow = [{}]; without faults the workload runs and is \
                     checked",
                    allow.join(", ")
                ),
            });
        }
        let loses = match loss {
            Loss::Never => false,
            Loss::UnlessSynchronous => synchronous != Some(true),
            Loss::Always | Loss::Lasting => true,
        };
        if loses && !rules.data_is_disposable {
            let why = match loss {
                Loss::UnlessSynchronous => "without synchronous replication may lose data",
                Loss::Lasting => {
                    "puts the cluster time of the set ahead, which no healing, step-down or \
                     restart takes back"
                }
                _ => "may lose data of every database there",
            };
            return Some(Refusal {
                what: format!("{what} {why}"),
                field: "data_is_disposable",
                hint: "if all that is on these hosts may be lost, write the line \
                       data_is_disposable = true"
                    .to_owned(),
            });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(what: &str, family: &'static str) -> Need {
        Need { what: what.to_owned(), family, loss: loss(family, what) }
    }

    /// The field that is missing.
    fn missing(need: &Need, allow: &[&str], disposable: bool, sync: Option<bool>) -> &'static str {
        let allow = allow.iter().map(|family| (*family).to_owned()).collect();
        let rules = Rules { allow, data_is_disposable: disposable };
        refusal(std::slice::from_ref(need), &rules, sync).map_or("", |refusal| refusal.field)
    }

    #[test]
    fn the_whole_table() {
        for (what, family, lossy) in [
            ("pause", "process", Loss::Never),
            ("slow", "process", Loss::Never),
            ("load", "process", Loss::Never),
            ("cpu-limit", "process", Loss::Never),
            ("read-load", "process", Loss::Never),
            ("memory-limit", "process", Loss::UnlessSynchronous),
            ("kill", "process", Loss::UnlessSynchronous),
            ("stop", "process", Loss::UnlessSynchronous),
            ("restart", "process", Loss::UnlessSynchronous),
            ("rolling-restart", "process", Loss::UnlessSynchronous),
            ("crash-loop", "process", Loss::UnlessSynchronous),
            ("kill-in-start", "process", Loss::UnlessSynchronous),
            ("region-lost", "process", Loss::UnlessSynchronous),
            ("isolate", "network", Loss::UnlessSynchronous),
            ("bump", "clock", Loss::Never),
            ("lose-unsynced", "disk", Loss::Always),
            ("replace", "membership", Loss::Always),
            ("promote", "failover", Loss::Always),
            ("whatever", "new", Loss::Always),
        ] {
            let need = need(what, family);
            assert_eq!(need.loss, lossy, "{what}");
            for sync in [Some(true), Some(false), None] {
                let others = ["network", "process", "clock", "disk", "membership", "failover"];
                let others: Vec<&str> = others.into_iter().filter(|f| *f != family).collect();
                assert_eq!(missing(&need, &others, true, sync), "allow", "{what}");
                assert_eq!(missing(&need, &[family], true, sync), "", "{what}");
                let loses = match lossy {
                    Loss::Never => false,
                    Loss::UnlessSynchronous => sync != Some(true),
                    Loss::Always | Loss::Lasting => true,
                };
                let expected = if loses { "data_is_disposable" } else { "" };
                assert_eq!(missing(&need, &[family], false, sync), expected, "{what} {sync:?}");
            }
        }
    }

    #[test]
    fn a_clock_ahead_of_time_lasts_in_a_mongodb_set_that_exists() {
        let loss = |system, fault: &str, attached| {
            let fault = crate::config::parse_fault(fault).unwrap();
            let spec = TestSpec { system, faults: vec![fault], ..TestSpec::default() };
            needs_of(&spec, attached)[0].loss
        };
        let (mongodb, ahead) = (SystemKind::Mongodb, "clock-bump:n1,offset=1s");
        assert_eq!(loss(mongodb, ahead, true), Loss::Lasting);
        assert_eq!(loss(mongodb, "clock-bump:n1", true), Loss::Lasting, "by default it is ahead");
        assert_eq!(loss(mongodb, "clock-jump-back:n1", true), Loss::Lasting);
        assert_eq!(loss(mongodb, "clock-bump:n1,offset=-30s", true), Loss::Never);
        assert_eq!(loss(mongodb, ahead, false), Loss::Never, "it ends with the test");
        assert_eq!(loss(SystemKind::Postgres, ahead, true), Loss::Never);
        let need = Need { what: "clock-bump".into(), family: "clock", loss: Loss::Lasting };
        let rules = Rules { allow: vec!["clock".into()], data_is_disposable: false };
        let refused = refusal(&[need], &rules, Some(true)).unwrap();
        assert_eq!(refused.field, "data_is_disposable");
        assert!(refused.what.contains("cluster time"), "{}", refused.what);
    }

    #[test]
    fn the_missing_line_is_said_as_it_is_written() {
        let rules = Rules { allow: vec!["network".into()], data_is_disposable: false };
        let refused = refusal(&[need("kill", "process")], &rules, Some(true)).unwrap();
        assert!(refused.hint.contains("allow = [\"network\", \"process\"]"), "{}", refused.hint);
        let mut spec = TestSpec { system: SystemKind::Postgres, ..TestSpec::default() };
        spec.postgres.failover = Failover::Operator;
        spec.postgres.candidate = Candidate::LeastAdvanced;
        let rules = Rules { allow: vec!["failover".into()], data_is_disposable: false };
        let refused = refusal(&needs(&spec), &rules, Some(true)).unwrap();
        assert!(refused.what.starts_with("a wrong candidate"), "{}", refused.what);
        assert!(refused.hint.contains("data_is_disposable = true"), "{}", refused.hint);
        assert_eq!(needs(&TestSpec::default()), [], "only workload and checks need nothing");
    }
}
