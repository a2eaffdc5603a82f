//! Systems under test behind one trait.
//!
//! What lives here: what a system must offer the harness ([`Client`]), and one folder a system
//! ([`bundled`]). What must not: faults, generators, judging.

pub mod bundled;
pub mod client;

pub use bundled::StoreSystem;
pub use client::{Capabilities, Client, ReplyFuture, StepReply, StepRequest};
