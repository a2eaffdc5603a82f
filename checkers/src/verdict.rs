//! What a checker says: three values, findings, and the contract of `--json`.

use std::collections::BTreeMap;

use history::{EventKind, MicroOp};
use serde::{Deserialize, Serialize};

/// Three values, ordered so that merging is `max`: a violation is never masked by an unknown, an
/// unknown never by a valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Judged, and nothing found.
    Valid,
    /// Not judged, with a reason.
    Unknown,
    /// A violation was found, with witnesses.
    Invalid,
}

impl Verdict {
    /// The word of the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Valid => "valid",
            Verdict::Unknown => "unknown",
            Verdict::Invalid => "invalid",
        }
    }
}

/// Why a checker's verdict does or does not decide the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The configuration promises it: decides.
    Promised,
    /// Named by `--checker` or `--model`: decides.
    Named,
    /// Never promised: told, but does not decide.
    Observation,
}

/// Whether all reads of a transaction share one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadsMode {
    /// Every read of a transaction comes from one snapshot.
    #[default]
    Atomic,
    /// Each read has its own moment, in transaction order.
    Ordered,
}

/// A stretch of the run's timeline that a finding can be placed in: a fault, or the time between
/// two leaders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// What was going on: `leader-kill of n1`, `term 1 of n1`.
    pub label: String,
    /// Start, ns since the run's start.
    pub start: i64,
    /// End, ns since the run's start.
    pub end: i64,
}

/// What a checker may know beside the history. All of it optional: a bare file has none.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// How reads of one transaction relate.
    pub reads: ReadsMode,
    /// `--scope session`: consistent-prefix also judges the successive transactions of a session.
    pub session_scope: bool,
    /// Live data-bearing nodes that must each have answered a final read of every key; `None` in
    /// a bare file, where the final reads present count as complete.
    pub nodes: Option<Vec<String>>,
    /// Whether the replicas were seen to agree before the final reads; `None` if nobody looked.
    pub converged: Option<bool>,
    /// Faults and leader changes, for placing findings on the timeline.
    pub windows: Vec<Window>,
    /// The isolation level to judge by checker name; strict serializability where none is given.
    pub levels: BTreeMap<String, String>,
    /// What rw-register may assume of the order of a key's versions.
    pub assume: Vec<Assumption>,
    /// Names of keys for people.
    pub labels: BTreeMap<String, String>,
    /// At most this many findings are written out; `None` means 50, for lost
    /// writes 1,000. `count` has them all.
    pub findings_max: Option<usize>,
}

/// What may be assumed of the order of a register's versions (docs/checkers/isolation.md). An
/// assumption that the system does not keep makes false alarms, so none is made unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assumption {
    /// Who reads a value and writes another in one transaction writes a later one.
    Wfr,
    /// Each key is sequentially consistent.
    Sequential,
    /// Each key is linearizable.
    Linearizable,
}

/// One operation of a witness, reduced to the micro-operations that decide.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WitnessOp {
    /// History index of the invocation.
    pub index: u64,
    /// History index of the completion, if it has one.
    pub completed_index: Option<u64>,
    /// Its process.
    pub process: i64,
    /// Its session.
    pub session: i64,
    /// The node it was sent to.
    pub node: Option<String>,
    /// When it was invoked, ns since the run's start.
    pub invoked: i64,
    /// When it completed, ns since the run's start.
    pub completed: Option<i64>,
    /// `ok`, `fail` or `info`.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// The deciding micro-operations, reads as they were returned.
    pub value: Vec<MicroOp>,
    /// What this operation contributes, in words: `wrote 12`, `read 7 without 12`.
    pub note: String,
}

/// One violation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// One plain sentence with session, key, value, times and nodes.
    pub sentence: String,
    /// History indexes of the lines involved.
    pub ops: Vec<u64>,
    /// The operations that prove it, in order of invocation; minimal.
    pub witness: Vec<WitnessOp>,
    /// Stable kind and shape, for grouping the like: `lost-writes/lost`.
    pub signature: String,
    /// The timeline windows it falls in, by label.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<String>,
}

/// How the reason of a checker begins that had nothing to judge.
const NOT_APPLICABLE: &str = "not applicable";

/// What one checker says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The plain truth, whatever was promised.
    pub verdict: Verdict,
    /// Set by whoever asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// How reads were taken, where it matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reads: Option<ReadsMode>,
    /// Why it is unknown, or a remark on a valid or invalid one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many violations there are; `findings` may hold fewer.
    pub count: u64,
    /// The violations, at most [`Context::findings_max`] of them.
    pub findings: Vec<Finding>,
    /// Lists of the contract that belong to this checker alone (`lost`, `diverged`, ...).
    #[serde(flatten)]
    pub facts: BTreeMap<String, serde_json::Value>,
}

impl Outcome {
    /// Judged, nothing found.
    pub fn valid() -> Outcome {
        Outcome {
            verdict: Verdict::Valid,
            role: None,
            reads: None,
            reason: None,
            count: 0,
            findings: Vec::new(),
            facts: BTreeMap::new(),
        }
    }

    /// There was nothing to judge, and what would have been.
    pub fn not_applicable(what: impl std::fmt::Display) -> Outcome {
        Outcome::unknown(format!("{NOT_APPLICABLE}: {what}"))
    }

    /// Whether there was something to judge.
    pub fn applies(&self) -> bool {
        let nothing = |why: &String| why.starts_with(NOT_APPLICABLE);
        self.verdict != Verdict::Unknown || !self.reason.as_ref().is_some_and(nothing)
    }

    /// Whether it looked, and neither found a violation nor proved that there is none.
    pub fn not_refuted(&self) -> bool {
        self.verdict == Verdict::Unknown && self.facts.get("decided") == Some(&false.into())
    }

    /// Not judged, and why.
    pub fn unknown(reason: impl Into<String>) -> Outcome {
        Outcome { verdict: Verdict::Unknown, reason: Some(reason.into()), ..Outcome::valid() }
    }
}

/// One requirement of the coverage gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoverageItem {
    /// What is required, in words: `ok reads before the first fault`.
    pub what: String,
    /// How many there were.
    pub have: u64,
    /// How many are needed.
    pub need: u64,
}

impl CoverageItem {
    /// Whether there were enough.
    pub fn met(&self) -> bool {
        self.need <= self.have
    }
}

/// Whether the run could have failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Every requirement with its count, met or not.
    pub items: Vec<CoverageItem>,
    /// The requirements that were not met, in words; empty when the gate is passed.
    pub missing: Vec<String>,
    /// Faults that had no effect, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub no_effect: Vec<String>,
    /// Faults whose effect could not be seen because of another, by id and with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unproven: Vec<String>,
}

/// The object that `splitbrain check --json` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The worst over the deciding checkers, and at least unknown when the gate was missed.
    pub verdict: Verdict,
    /// By checker name.
    pub checkers: BTreeMap<String, Outcome>,
    /// The coverage gate; `null` for a bare file.
    pub coverage: Option<Coverage>,
    /// What is wrong with the history's file, if it could be read only in part.
    pub partial: Option<String>,
    /// Why the verdict is at best unknown, whatever the checkers say: one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<String>,
    /// How the history's file was read; absent for a run's own, where there is nothing to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<FileRead>,
}

impl Judgement {
    /// Why the verdict is no better than unknown, a sentence each: what a run was missing, what is
    /// doubted of it, and the checkers that decide and could not tell.
    pub fn why_unknown(&self) -> Vec<String> {
        let missing = self.coverage.iter().flat_map(|coverage| &coverage.missing);
        let mut why: Vec<String> = missing.map(|what| format!("missing: {what}")).collect();
        why.extend(self.partial.iter().map(|partial| format!("partial: {partial}")));
        why.extend(self.doubts.iter().cloned());
        let decides = |outcome: &Outcome| {
            outcome.verdict == Verdict::Unknown && outcome.role != Some(Role::Observation)
        };
        for (name, outcome) in self.checkers.iter().filter(|(_, outcome)| decides(outcome)) {
            let reason = outcome.reason.as_deref().unwrap_or("it gave no reason");
            why.push(format!("{name} could not tell: {reason}"));
        }
        why
    }
}

/// How a history's file was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRead {
    /// JSON lines, JSON array or EDN.
    pub form: String,
    /// Operations that were read.
    pub operations: u64,
    /// Lines left out: those of Jepsen's nemesis, and of no client.
    pub left_out: u64,
    /// What was taken otherwise than it stands, or ignored: one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl FileRead {
    /// In sentences; none where all was read as it stands.
    pub fn told(&self) -> Vec<String> {
        let left_out = (0 < self.left_out)
            .then(|| format!("{} lines of the nemesis, and of no client", self.left_out));
        left_out.into_iter().chain(self.notes.iter().cloned()).collect()
    }
}
