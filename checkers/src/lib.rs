//! Checkers: a history in, a verdict out.
//!
//! What lives here: the verdict's types ([`verdict`]), the index that checkers share
//! ([`elements`]), one checker a file, and the coverage gate ([`coverage`]). What must not: a
//! clock, a file, a socket, a thread that outlives a call; anything that knows a cluster.
//! Definitions follow `docs/checkers/`.

pub mod consistent_prefix;
pub mod coverage;
pub mod elements;
mod isolation;
mod knots;
mod lost_writes;
mod monotonic_reads;
pub mod outages;
mod prefix_graph;
mod read_your_writes;
mod registry;
mod sentences;
mod two_leaders;
pub mod verdict;

pub use coverage::{CoverageRules, FaultSpan, coverage};
pub use isolation::{is_anomaly, is_judged_level, is_level, judged_levels, refused_level};
pub use outages::{Charged, OUTAGE_MIN, Outage, Writes};
pub use registry::{ALL_NAMES, Checker, ISOLATION, SESSION, built, by_name, judge};
pub use two_leaders::{TwoLeaders, two_leaders};
pub use verdict::{
    Assumption, Context, Coverage, CoverageItem, FileRead, Finding, Judgement, Outcome, ReadsMode,
    Role, Verdict, Window, WitnessOp,
};
