//! Systems under test behind one trait.
//!
//! What lives here: what a system must offer the harness ([`Client`]), and one folder a system.
//! What must not: faults, generators, judging.

pub mod client;

pub use client::{Capabilities, Client, ReplyFuture, StepReply, StepRequest};
