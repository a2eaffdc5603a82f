//! elle-rs: which isolation levels a transactional history keeps, over list-append and
//! rw-register.
//!
//! Read next: [`check`], [`Options`], [`Verdict`].

#![forbid(unsafe_code)]

mod anomaly;
mod cases;
mod check;
pub mod explain;
pub mod graph;
mod lattice;
mod levels;
mod list_append;
mod list_cases;
mod mutation;
mod options;
#[cfg(test)]
mod oracle;
mod order;
mod register_cases;
mod registers;
mod search;
mod verdict;
pub mod verify;

pub use anomaly::{Anomaly, AnomalySet};
pub use cases::{Case, Refusal, VersionSource, Why};
pub use check::check;
pub use lattice::{Model, ruled_out};
pub use options::{Options, Workload};
pub use verdict::{CycleFound, Step, Validity, Verdict};
