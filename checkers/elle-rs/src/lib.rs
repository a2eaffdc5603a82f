//! elle-rs: which isolation levels a transactional history keeps, over list-append and
//! rw-register.
//!
//! A history is a list of transactions, each with what it read and wrote, its process, and when it
//! was invoked and completed. [`check`] infers which transaction comes before which, and gives a
//! [`Verdict`]: the anomalies, the levels they rule out, and a shortest cycle for each kind.
//!
//! How it goes, in the order of the modules:
//! 1. `list_append` and `registers` index a history and infer the order of each key's versions.
//! 2. `list_cases` and `register_cases` find what shows without a cycle.
//! 3. [`graph`] holds the dependencies; `order` adds those of processes and of real time.
//! 4. `levels` tests each level by strongly connected components.
//! 5. `search` finds the shortest cycle of each kind; [`explain`] tells it, [`draw`] draws it;
//!    [`verify`] re-checks it with code of its own.
//! 6. `named` looks for write skew and long forks, which have names of their own.
//! 7. `lattice` says which levels the anomalies rule out.
//!
//! ```
//! use elle_rs::{Options, Validity, Workload, check};
//!
//! // The second transaction reads nothing of what the first was done writing.
//! let text = r#"
//! {"index":0,"type":"invoke","process":0,"f":"txn","value":[["append","x",1]]}
//! {"index":1,"type":"ok","process":0,"f":"txn","value":[["append","x",1]]}
//! {"index":2,"type":"invoke","process":1,"f":"txn","value":[["r","x",null]]}
//! {"index":3,"type":"ok","process":1,"f":"txn","value":[["r","x",[]]]}
//! "#;
//! let history = history::read_events(text.as_bytes()).history;
//! let verdict = check(&history, &Options::new(Workload::ListAppend)).unwrap();
//! assert_eq!(verdict.validity, Validity::Invalid);
//! assert_eq!(verdict.anomaly_types[0].name(), "G-single-item-realtime");
//! assert_eq!(verdict.not[0].name(), "strong-snapshot-isolation");
//! ```

#![forbid(unsafe_code)]

mod anomaly;
mod cases;
mod check;
pub mod draw;
pub mod edn;
pub mod explain;
pub mod graph;
mod lattice;
mod levels;
mod list_append;
mod list_cases;
mod mutation;
mod named;
#[cfg(test)]
mod named_tests;
mod options;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod oracle_adya;
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
