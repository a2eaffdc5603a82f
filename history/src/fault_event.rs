//! One line of `faults.jsonl`: a fault planned, injected, evidenced or healed.
//!
//! Format version 1. The lines of one fault share `id`; each carries what that phase knows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where in its life a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FaultPhase {
    /// Written before the run starts, from the seed or a recorded schedule.
    Planned,
    /// Carried out (or tried) on its targets.
    Injected,
    /// Probed: what it was seen to do.
    Evidenced,
    /// Undone.
    Healed,
}

/// What came of an injection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultResult {
    /// The probe saw its effect.
    Installed,
    /// Not carried out: nothing matched, or the run ended first.
    Skipped,
    /// Carried out, but the probe could not tell.
    Indeterminate,
    /// Carried out, and the probe saw that it did nothing.
    NoEffect,
}

/// One probe of a fault's effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What was probed, in words: `n1 process 412`, `n1 -> n2`.
    pub probe: String,
    /// What the fault should have made of it: `absent`, `unreachable`.
    pub expected: String,
    /// What was seen.
    pub observed: String,
    /// Whether what was seen is what the fault should have made.
    pub holds: bool,
}

/// A probe that could not tell, because another fault was in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unprovable {
    /// What was probed, or would have been.
    pub probe: String,
    /// What the fault should have made of it.
    pub expected: String,
    /// What was seen; empty if nothing was tried.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub observed: String,
    /// The faults that keep it from telling, by id.
    pub while_in_force: Vec<String>,
}

impl Unprovable {
    /// `not provable while f1 and f2 hold`.
    pub fn words(&self) -> String {
        let verb = if self.while_in_force.len() == 1 { "holds" } else { "hold" };
        format!("not provable while {} {verb}", self.while_in_force.join(" and "))
    }
}

impl Evidence {
    /// This probe, as one that could not tell while these faults were in force.
    pub fn unprovable(self, ids: &[String]) -> Unprovable {
        let Evidence { probe, expected, observed, .. } = self;
        Unprovable { probe, expected, observed, while_in_force: ids.to_vec() }
    }
}

/// What the probe of an approval that was withheld counts when it is given.
pub const FAILOVERS_WAITED: &str = "failovers that waited for it";
/// What the probe of a disk's trouble counts when it is over.
pub const OPERATIONS_MET: &str = "operations that met it";

/// A line of `faults.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultEvent {
    /// Nanoseconds since the run's start; for `planned`, the planned start.
    pub time: i64,
    /// Names the fault within its run: `f1`.
    pub id: String,
    /// Where in its life it is.
    pub phase: FaultPhase,
    /// `process`, `network`, `clock` or `failover`.
    pub family: String,
    /// The fault's name: `kill`, `pause`, `isolate`, `halves`.
    pub fault: String,
    /// Whom it was to hit: `leader`, `a-follower`, `n3`.
    pub selector: String,
    /// Whom it hit, resolved at injection.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<String>,
    /// How long it lasts, ns.
    pub duration: i64,
    /// Whether the verdict needs this fault to have had an effect.
    pub required: bool,
    /// The fault's own settings (`shard`, `duty`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, serde_json::Value>,
    /// How it was made: `nft`, `iptables`, `signal`, `libfaketime`, `command`, `simulated`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mechanism: Option<String>,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<FaultResult>,
    /// The probes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// Probes that could not tell, because another fault was in force: no evidence either way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unprovable: Vec<Unprovable>,
    /// How long the act took, ns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took: Option<i64>,
    /// Once evidenced or healed: when the act was asked for, ns since the run's start. Evidence and
    /// `time`, when the line was written, come later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<i64>,
    /// When the last part of the act was known to be done, ns since the run's start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<i64>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl FaultEvent {
    /// Why it could not be told what came of it: another fault was in force.
    pub fn not_provable(&self) -> Option<String> {
        let mut ids: Vec<String> = Vec::new();
        for id in self.unprovable.iter().flat_map(|probe| &probe.while_in_force) {
            if !ids.contains(id) {
                ids.push(id.clone());
            }
        }
        let first = self.unprovable.first().filter(|_| self.is_undecided())?;
        Some(Unprovable { while_in_force: ids, ..first.clone() }.words())
    }

    /// Of a fault without its whole effect, of which a part was seen: what was not.
    pub fn in_part(&self) -> Option<String> {
        let missed = self.evidence.iter().filter(|probe| !probe.holds);
        let missed = missed.map(|probe| {
            format!("{}: expected {}, saw {}", probe.probe, probe.expected, probe.observed)
        });
        let missed: Vec<String> = missed.collect();
        let part = missed.len() < self.evidence.len() && !missed.is_empty();
        (part && self.result == Some(FaultResult::NoEffect)).then(|| missed.join("; "))
    }

    /// Of a healing: what was not as it was before, or could not be seen; nothing if all was well,
    /// and where the healing itself failed (`error`).
    pub fn not_seen_healed(&self) -> Option<String> {
        let counted = |probe: &&Evidence| {
            let counts = |text: &str| [FAILOVERS_WAITED, OPERATIONS_MET].contains(&text);
            !counts(&probe.probe) && !counts(&probe.expected)
        };
        let failed = self.evidence.iter().filter(|probe| !probe.holds).filter(counted);
        let failed = failed.map(|probe| {
            format!("{}: expected {}, saw {}", probe.probe, probe.expected, probe.observed)
        });
        let failed: Vec<String> = failed.collect();
        if self.phase != FaultPhase::Healed || self.error.is_some() {
            return None;
        }
        if failed.is_empty() { self.not_provable() } else { Some(failed.join("; ")) }
    }

    fn is_undecided(&self) -> bool {
        self.result == Some(FaultResult::Indeterminate)
    }

    /// Whether anything met the fault, by what its healing counted; `None` if it counted nothing.
    /// One that was in force and that nobody met has shown nothing.
    pub fn was_met(&self) -> Option<bool> {
        let counts = |text: &str| [FAILOVERS_WAITED, OPERATIONS_MET].contains(&text);
        let counted = self.evidence.iter().filter(|e| counts(&e.probe) || counts(&e.expected));
        counted.map(|probe| probe.holds).reduce(|one, other| one || other)
    }
}
