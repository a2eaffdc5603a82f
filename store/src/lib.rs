//! The bundled replicated store: small enough to read, real enough to test.
//!
//! What lives here: the sans-IO core ([`core`]), the real process around it ([`node`]), the client
//! ([`client`]) and the simulated world ([`sim`]) that drives many cores on virtual time. What
//! must not: anything of the harness; no clock, randomness, thread or socket inside the core.
//!
//! Read next: [`config`], [`wire`], then [`core`].

pub mod client;
pub mod config;
pub mod core;
pub mod node;
pub mod promises;
pub mod sim;
pub mod wire;

pub use config::{CoreConfig, Failover, Replication};
pub use core::Core;
pub use wire::{NodeStatus, TxnReply, TxnRequest, shard_of};
