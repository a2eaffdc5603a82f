//! The drill: every fault, one after another, on a cluster that serves; what proved it, what it
//! took to inject and to heal, as a table.
//!
//! Read next: [`plan`] (which faults, on which clusters), [`run`] (a round), [`table`]. Faults are
//! carried out by the same port as in a run; there is no second way to them.

mod ground;
pub mod measured;
pub mod plan;
pub mod run;
pub mod table;

pub use plan::DrillPlan;
pub use run::Drill;
pub use table::{Format, Round, Row, Table};
