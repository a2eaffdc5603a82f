//! The `splitbrain` harness: CLI, configuration, the runner that ties all together, run folders.
//!
//! Nothing depends on this crate. Read next: [`cli`], [`config`], [`engine`], [`judge`].

pub mod cli;
pub mod config;
pub mod drill;
pub mod engine;
pub mod error;
pub mod exit;
pub mod gate;
pub mod install;
pub mod judge;
pub mod matrix;
pub mod names;
pub mod rates;
pub mod recover;
pub mod recovery_time;
pub mod retransmission;
pub mod run_folder;
pub mod run_info;
pub mod suite;
pub mod timeouts;
