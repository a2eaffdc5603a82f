//! Systems under test behind one trait.
//!
//! What lives here: what a system must offer the harness ([`System`], [`Client`]), and one folder a
//! system ([`bundled`], [`postgres`], [`mongodb`]). What must not: faults, generators, judging.
//!
//! Read next: [`system`], [`client`], then a system.

pub mod bundled;
pub mod changing;
pub mod client;
mod ended;
pub mod expressions;
pub mod leadership;
pub mod mongodb;
pub mod operator;
pub mod owned;
pub mod password;
pub mod postgres;
pub mod promises;
pub mod refusals;
pub mod replacing;
pub mod servers;
pub mod service;
pub mod system;
pub mod tls;
pub mod uri;

pub use bundled::{StoreSettings, StoreSystem};
pub use changing::Changing;
pub use client::{Asked, Capabilities, Client, Model, ReplyFuture, StepReply, StepRequest};
pub use operator::{Deed, Diary, Operator};
pub use replacing::Replacing;
pub use system::{DiskLayout, LogFile, Nodes, Steps, System, SystemError};
