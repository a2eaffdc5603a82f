//! The `splitbrain` harness: CLI, configuration, the runner that ties all together, run folders.

pub mod config;
