//! What a check comes to.

use std::collections::BTreeMap;

use crate::anomaly::{Anomaly, AnomalySet};
use crate::cases::{Case, Why};
use crate::lattice::Model;

/// Whether a history keeps what it was held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// Nothing forbidden was found.
    Valid,
    /// Something forbidden was found.
    Invalid,
    /// There was nothing to judge.
    Unknown,
}

/// One step of a cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The transaction that comes before the next one of the cycle, by number in the history.
    pub op: u32,
    /// The kind of the dependency, as in [`crate::graph`].
    pub kind: u8,
    /// Why.
    pub why: Why,
}

/// A cycle of transactions, each before the next, the last before the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CycleFound {
    /// What it is.
    pub anomaly: Anomaly,
    /// The steps.
    pub steps: Vec<Step>,
}

/// The verdict.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Whether the levels asked for hold.
    pub validity: Validity,
    /// What was found that is forbidden, and why nothing was judged; sorted by name.
    pub anomaly_types: Vec<Anomaly>,
    /// All that was found, forbidden or not.
    pub found: AnomalySet,
    /// The weakest levels ruled out.
    pub not: Vec<Model>,
    /// The other levels ruled out.
    pub also_not: Vec<Model>,
    /// The strongest levels that were judged and stand.
    pub strongest: Vec<Model>,
    /// Anomalies without a cycle; the first of each kind.
    pub cases: Vec<Case>,
    /// How many there are of each kind.
    pub counts: BTreeMap<Anomaly, u64>,
    /// The shortest cycle of each kind.
    pub cycles: Vec<CycleFound>,
    /// The assumptions that this rests on, by the options' names.
    pub assumptions: Vec<&'static str>,
    /// Kinds of witness whose search was cut short. The levels do not depend on it.
    pub bounded: Vec<Anomaly>,
}
