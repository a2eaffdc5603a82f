//! Point-in-time recovery, tried out: an accident that replicates everywhere, the way back to just
//! before it, and what that cost.
//!
//! Read next: [`exercise`] (what is done), [`reckoning`] (what is counted).

pub mod exercise;
pub mod reckoning;

pub use exercise::{Exercise, Outcome};
pub use reckoning::Reckoning;
