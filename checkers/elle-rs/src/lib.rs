//! elle-rs: which isolation levels a transactional history keeps, over list-append and
//! rw-register.
//!
//! A history is a list of transactions, each with what it read and wrote, its process, and when it
//! was invoked and completed. [`check`] infers which transaction comes before which, and gives a
//! [`Verdict`]: the anomalies, the levels they rule out, and a shortest cycle for each kind.
//!
//! # Quick start
//!
//! Record transactions as JSON lines, one at the invocation and one at the completion, with unique
//! values in each key; read them with `history::read_history`, or make [`history::Event`]s
//! yourself (example `own_client`; [`Builder`] takes them one by one). Choose a [`Workload`] and a
//! level ([`Model::named`]), and call [`check`]. From a shell:
//! `elle --model list-append history.jsonl`.
//!
//! # Concepts
//!
//! - **Version order.** What a key held, one after the other. Lists show it: every read is a prefix
//!   of the longest. Registers do not: there every value comes after the initial state, and more is
//!   assumed on request ([`Options::wfr_keys`], [`Options::sequential_keys`],
//!   [`Options::linearizable_keys`]). [`Verdict::assumptions`] names all of it.
//! - **Dependencies.** A transaction comes before another if the other overwrote what it wrote
//!   (ww), read what it wrote (wr), or overwrote what it read (rw); for `strong-session-` levels
//!   also if its process ran it first, for `strong-` levels if it was complete before the other was
//!   invoked.
//! - **Anomalies.** A cycle of dependencies, named for its kinds of edge, or something that shows
//!   without one: a read of a failed write (`G1a`), of a value that nobody wrote
//!   (`garbage-read`), an update that was lost (`lost-update`).
//! - **Unknown outcomes.** An `info` transaction may have happened: its writes take part, its reads
//!   are not known. A `fail` one did not happen.
//!
//! # Levels
//!
//! Each also forbids what the levels forbid that it implies ([`Model::implied`]). They are no
//! chain: neither of `repeatable-read` and `snapshot-isolation` implies the other. [`Model::all`]
//! has all of them.
//!
//! | level | forbids besides |
//! |---|---|
//! | `read-uncommitted` | `G0`: writes that overwrite each other in a circle |
//! | `read-committed` | `G1a`, `G1b`, `G1c`: reads of failed, of intermediate, of circular writes |
//! | `consistent-view` | `G-single`: a cycle with one rw |
//! | `snapshot-isolation` | `internal`, `G-nonadjacent`, `long-fork`: no two rw in a row |
//! | `repeatable-read` | `G2-item`, `write-skew`: any cycle |
//! | `serializable` | all of these |
//! | `strong-session-...` | the same cycles with an edge of one process's order |
//! | `strong-...` | the same cycles with an edge of real time; `strong-serializable` is strict |
//!
//! # Worked example
//!
//! Two transactions read `x` and `y` as empty, and each appends to what the other read. Each comes
//! before the other (rw, rw): `G2-item` and `write-skew`. Serializability is ruled out; snapshot
//! isolation stands, for the two rw edges follow on each other. `cargo run --example write_skew`
//! judges it; `draw_cycles` draws a long fork.
//!
//! # How it goes
//!
//! In the order of the modules:
//! 1. `list_append` and `registers` index a history and infer the order of each key's versions.
//! 2. `list_cases` and `register_cases` find what shows without a cycle.
//! 3. [`graph`] holds the dependencies; `order` adds those of processes and of real time.
//! 4. `levels` tests each level by strongly connected components; `reach` decides what is none.
//! 5. `search` finds the shortest cycle of each kind; [`explain`] tells it, [`draw`] draws it;
//!    [`verify`] re-checks it with code of its own.
//! 6. `named` looks for write skew and long forks, which have names of their own.
//! 7. `lattice` says which levels the anomalies rule out.
//!
//! # In code
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
mod appends;
mod both;
mod builder;
mod cases;
mod check;
mod decide;
pub mod draw;
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
mod reach;
mod register_cases;
mod registers;
mod search;
mod verdict;
pub mod verify;

pub use anomaly::{Anomaly, AnomalySet};
pub use builder::Builder;
pub use cases::{Case, Refusal, VersionSource, Why};
pub use check::check;
pub use lattice::{Model, ruled_out};
pub use options::{Options, Workload};
pub use verdict::{CycleFound, Step, Undecided, Validity, Verdict};
