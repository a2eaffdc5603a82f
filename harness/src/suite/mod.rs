//! Suites: many cases, each in a process of its own, each held against what is expected of it.
//!
//! Read next: [`file`] (the format), [`expectation`] (what passes and what does not), [`shard`],
//! [`child`] (a case's process), [`run`], [`merge`].

mod at_least;
pub mod child;
pub mod expectation;
pub mod file;
pub mod merge;
pub mod run;
pub mod shard;

pub use at_least::AtLeast;
pub use expectation::Expectation;
pub use file::{Case, SuiteFile};
pub use shard::Shard;
