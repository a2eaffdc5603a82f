//! The guarantee matrix: one run a configuration, and what each guarantee came to.
//!
//! Read next: [`configurations`] (the rows, as data), [`phases`] (what every run goes through),
//! [`cell`] (from a judgement to a word), [`clusters`] (when a cluster may be used again), [`run`].

pub mod cell;
pub mod clusters;
pub mod configurations;
pub mod phases;
pub mod plan;
pub mod run;

pub use configurations::Configuration;
pub use plan::{MatrixPlan, Profile};
