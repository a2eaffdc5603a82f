//! Workloads: what sessions do, and which node they ask.
//!
//! What lives here: generators ([`Generator`]), the workloads built from them ([`Workload`]) and
//! client policies ([`Policy`]). All of it is pure: a value of (seed, what was learned). What must
//! not: clocks, sockets, files, a system's names for things.
//!
//! Read next: [`generator`], then [`workload`], then [`policy`].

pub mod generator;
pub mod policy;
pub mod rng;
pub mod workload;

pub use generator::{Completion, GenContext, GenOp, Generator, Next, Status};
pub use policy::{News, Plan, Policy, Step, View};
pub use workload::{Needs, Settings, Workload};
