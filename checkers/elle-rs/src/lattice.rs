//! Isolation levels: which implies which, what each forbids, and which levels a set of anomalies
//! rules out.

use crate::anomaly::{Anomaly, AnomalySet};

/// Level, the levels it implies, what it forbids beyond theirs. Names are the original's friendly
/// ones.
type Row = (&'static str, &'static [&'static str], &'static [Anomaly]);

use Anomaly::*;

const MODELS: &[Row] = &[
    (
        "strong-serializable",
        &[
            "serializable",
            "linearizable",
            "snapshot-isolation",
            "strong-snapshot-isolation",
            "strong-session-serializable",
        ],
        &[G1, G1cRealtime, G1Realtime, G2Realtime, PlSsCycle],
    ),
    (
        "strong-session-serializable",
        &["serializable", "strong-session-snapshot-isolation"],
        &[G1Process, G2Process, SessionPl3Cycle],
    ),
    (
        "strong-snapshot-isolation",
        &["strong-session-snapshot-isolation", "strong-read-committed"],
        &[Internal, G1Realtime, GNonadjacentRealtime, StrongSiCycle],
    ),
    (
        "strong-session-snapshot-isolation",
        &["snapshot-isolation", "strong-session-read-committed"],
        &[Internal, G1Process, GNonadjacentProcess, SessionSiCycle],
    ),
    (
        "strong-read-committed",
        &["strong-session-read-committed", "strong-read-uncommitted"],
        &[G1Realtime, StrongPl2Cycle],
    ),
    (
        "strong-session-read-committed",
        &["read-committed", "strong-session-read-uncommitted"],
        &[G1Process, SessionPl2Cycle],
    ),
    (
        "strong-read-uncommitted",
        &["strong-session-read-uncommitted"],
        &[G0Realtime, StrongPl1Cycle],
    ),
    ("strong-session-read-uncommitted", &["read-uncommitted"], &[G0Process, SessionPl1Cycle]),
    (
        "serializable",
        &["repeatable-read", "snapshot-isolation", "view-serializable", "update-serializable"],
        &[Internal, G1, G2, PredicateReadMiss, Pl3Cycle],
    ),
    ("view-serializable", &[], &[]),
    ("update-serializable", &["forward-consistent-view"], &[G1, GUpdate]),
    ("forward-consistent-view", &["consistent-view"], &[G1, GSib]),
    ("consistent-view", &["cursor-stability", "monotonic-view"], &[G1, GSingle]),
    (
        "snapshot-isolation",
        &[
            "forward-consistent-view",
            "monotonic-atomic-view",
            "monotonic-snapshot-read",
            "parallel-snapshot-isolation",
            "prefix",
        ],
        &[Internal, G1, GSi, GNonadjacent, PlSiCycle],
    ),
    ("parallel-snapshot-isolation", &["causal-cerone", "update-atomic"], &[Internal, G1a]),
    ("prefix", &["causal-cerone"], &[Internal, G1a]),
    ("update-atomic", &["read-atomic"], &[LostUpdate]),
    ("causal-cerone", &["read-atomic"], &[Internal, G1a]),
    ("read-atomic", &["monotonic-atomic-view"], &[Internal, G1a, FutureRead]),
    ("monotonic-atomic-view", &["read-committed"], &[]),
    ("monotonic-snapshot-read", &["read-committed"], &[GMsr]),
    ("monotonic-view", &["read-committed"], &[G1, GMonotonic]),
    (
        "repeatable-read",
        &["cursor-stability", "monotonic-atomic-view"],
        &[G1, G2Item, LostUpdate, Pl299Cycle],
    ),
    ("cursor-stability", &["read-committed"], &[G1, GCursor, LostUpdate]),
    ("read-committed", &["read-uncommitted"], &[G1, Pl2Cycle]),
    ("read-uncommitted", &[], &[G0, DuplicateElements, CyclicVersions, Pl1Cycle]),
    ("linearizable", &["sequential"], &[]),
    ("sequential", &["causal"], &[]),
    ("causal", &["writes-follow-reads", "PRAM"], &[]),
    ("PRAM", &["monotonic-reads", "monotonic-writes", "read-your-writes"], &[]),
    ("monotonic-reads", &[], &[]),
    ("monotonic-writes", &[], &[]),
    ("read-your-writes", &[], &[]),
    ("writes-follow-reads", &[], &[]),
];

const ALIASES: &[(&str, &str)] = &[
    ("strict-serializable", "strong-serializable"),
    ("PL-SS", "strong-serializable"),
    ("PL-3", "serializable"),
    ("conflict-serializable", "serializable"),
    ("PL-3U", "update-serializable"),
    ("PL-2.99", "repeatable-read"),
    ("PL-SI", "snapshot-isolation"),
    ("PL-FCV", "forward-consistent-view"),
    ("PL-2+", "consistent-view"),
    ("PL-CS", "cursor-stability"),
    ("PL-2L", "monotonic-view"),
    ("PL-MSR", "monotonic-snapshot-read"),
    ("PL-2", "read-committed"),
    ("PL-1", "read-uncommitted"),
    ("strong-PL-1", "strong-read-uncommitted"),
    ("strong-PL-2", "strong-read-committed"),
    ("strong-session-PL-1", "strong-session-read-uncommitted"),
    ("strong-session-PL-2", "strong-session-read-committed"),
    ("strong-SI", "strong-snapshot-isolation"),
    ("strong-session-SI", "strong-session-snapshot-isolation"),
];

/// Rules that decide a level, yes or no, for every history of lists. Each is looked for in every
/// check; other anomalies are signs that a level is broken, and their absence proves nothing.
const DECIDING: &[Anomaly] = &[
    GSingle,
    Pl1Cycle,
    Pl2Cycle,
    PlSiCycle,
    Pl299Cycle,
    Pl3Cycle,
    SessionPl1Cycle,
    SessionPl2Cycle,
    SessionSiCycle,
    SessionPl3Cycle,
    StrongPl1Cycle,
    StrongPl2Cycle,
    StrongSiCycle,
    PlSsCycle,
];

/// An isolation level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Model(u8);

impl Model {
    /// Every level of the lattice.
    pub fn all() -> impl Iterator<Item = Model> {
        (0..MODELS.len()).map(|at| Model(at as u8))
    }

    /// The level of that name: friendly (`serializable`) or Adya's (`PL-3`).
    pub fn named(name: &str) -> Option<Model> {
        let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
        let name = alias.map_or(name, |(_, name)| name);
        MODELS.iter().position(|(model, ..)| *model == name).map(|at| Model(at as u8))
    }

    /// Its friendly name.
    pub fn name(self) -> &'static str {
        MODELS[self.0 as usize].0
    }

    /// What it forbids by itself.
    fn forbids(self) -> AnomalySet {
        MODELS[self.0 as usize].2.iter().copied().collect()
    }

    /// Itself and all levels that it implies.
    pub fn implied(self) -> Vec<Model> {
        let (mut all, mut at) = (vec![self], 0);
        while at < all.len() {
            for name in MODELS[all[at].0 as usize].1 {
                let next = Model::named(name);
                all.extend(next.filter(|next| !all.contains(next)));
            }
            at += 1;
        }
        all
    }

    /// Whether a rule of its own decides it: only then can an answer about it be other than true
    /// and still be the level's own. What it inherits from weaker levels decides those.
    pub fn is_judged(self) -> bool {
        let own = self.forbids();
        DECIDING.iter().any(|rule| own.contains(*rule))
    }

    /// Everything that it forbids: what it and the levels below forbid, and whatever implies that.
    pub fn prohibits(self) -> AnomalySet {
        let all = self.implied().into_iter().map(Model::forbids);
        all.fold(AnomalySet::default(), AnomalySet::union).implying()
    }
}

/// The levels that anomalies rule out: the weakest of them, and the others.
pub fn ruled_out(found: AnomalySet) -> (Vec<Model>, Vec<Model>) {
    let implied = found.implied();
    let impossible: Vec<Model> = Model::all()
        .filter(|model| model.implied().iter().any(|below| below.forbids().meets(implied)))
        .collect();
    let weakest = |model: &Model| {
        model.implied().iter().all(|below| below == model || !impossible.contains(below))
    };
    let (mut not, mut also): (Vec<Model>, Vec<Model>) = impossible.iter().partition(|m| weakest(m));
    not.sort_by_key(|model| model.name());
    also.sort_by_key(|model| model.name());
    (not, also)
}

/// The strongest of these levels that anomalies leave standing.
pub fn strongest(found: AnomalySet, among: impl Fn(Model) -> bool) -> Vec<Model> {
    let (not, also) = ruled_out(found);
    let standing: Vec<Model> = Model::all()
        .filter(|model| model.is_judged() && among(*model))
        .filter(|model| !not.contains(model) && !also.contains(model))
        .collect();
    let top = |model: &&Model| {
        !standing.iter().any(|above| above != *model && above.implied().contains(model))
    };
    standing.iter().filter(top).copied().collect()
}
