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
    /// There was nothing to judge, or it could not be decided ([`Verdict::undecided`]).
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
    /// Of the pairs of versions whose order no inference decided, if the verdict depends on them:
    /// not refuted, and not proved either.
    pub undecided: Option<Undecided>,
    /// An order of each key's versions that a level asked for implies, and that was used:
    /// `linearizable-keys` or `sequential-keys`.
    pub implied: Option<&'static str>,
    /// Kinds of witness whose search was cut short. The levels do not depend on it.
    pub bounded: Vec<Anomaly>,
}

/// How much of the order of versions is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undecided {
    /// Pairs of versions of one key, in no known order; `None` if there are too many versions to
    /// count them.
    pub pairs: Option<u64>,
    /// All pairs of versions of one key.
    pub of: u64,
}

impl Undecided {
    /// In words: `3 of 10 pairs of versions are in no known order`.
    pub fn words(&self) -> String {
        match self.pairs {
            Some(pairs) => {
                format!("{pairs} of {} pairs of versions are in no known order", self.of)
            }
            None => format!("of {} pairs of versions, too many to count have no order", self.of),
        }
    }
}
