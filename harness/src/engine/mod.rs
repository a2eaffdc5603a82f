//! The runner: a sans-IO core with two drivers, one for hosts and one for the simulator.
//!
//! Read next: [`core`], then [`host`] and [`simulated`].

pub mod bench;
pub mod canary;
pub mod captures;
pub mod changes;
pub mod clocks;
pub mod core;
pub mod host;
pub mod package;
pub mod plan;
pub mod port;
pub mod recorder;
pub mod regions;
pub mod rejoin;
pub mod simulated;
pub mod sockets;
pub mod stop;

use crate::config::TestSpec;
use crate::error::UserError;
use crate::run_folder::RunFolder;

pub use stop::StopFlag;

/// What the progress line shows.
#[derive(Clone, Debug)]
pub struct ProgressState {
    /// Which phase.
    pub phase: &'static str,
    /// ms since the run's start.
    pub elapsed_ms: u64,
    /// Operations so far.
    pub counts: core::Counts,
    /// Faults in force.
    pub faults: Vec<String>,
}

/// Told every now and then how a run goes.
pub trait Progress: Sync {
    /// How it goes.
    fn update(&self, state: &ProgressState);

    /// What the run is, before its first operation.
    fn begins(&self, _info: &history::RunInfo) {}
}

/// How a run ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineEnd {
    /// The user ended it.
    pub interrupted: bool,
    /// Remarks for people.
    pub notes: Vec<String>,
    /// What cut it short though its record stands: a fault that could not be healed.
    pub error: Option<UserError>,
}

/// Runs a test into its folder.
pub fn run(
    spec: &TestSpec,
    folder: &RunFolder,
    stop: &StopFlag,
    progress: &dyn Progress,
) -> Result<EngineEnd, UserError> {
    match spec.lab {
        crate::config::LabSpec::Sim => simulated::run(spec, folder, progress),
        _ => host::run(spec, folder, stop, progress),
    }
}
