//! The driver for hosts: sessions are tokio tasks, samplers and acts are threads, and one thread,
//! the caller's, owns the core.

mod cluster_up;
mod drive;

use std::sync::Arc;
use std::time::{Duration, Instant};

use systems::Client;

use super::plan;
use super::recorder::Recorder;
use super::{EngineEnd, Progress, StopFlag};
use crate::config::TestSpec;
use crate::error::UserError;
use crate::run_folder::RunFolder;
use crate::run_info;

pub use cluster_up::{Up, hosts_of, store_binary};
pub use drive::{Drive, Driver};

/// Runs a test on hosts: the lab that this process is in, or an inventory.
pub fn run(
    spec: &TestSpec,
    folder: &RunFolder,
    stop: &StopFlag,
    progress: &dyn Progress,
) -> Result<EngineEnd, UserError> {
    let names = crate::gate::names(spec)?;
    let schedule = plan::plan_faults(spec, &names)?;
    let up = Up::bring(spec, &folder.id())?;
    let system = up.system.info(&spec.workload.policy);
    let info = run_info::build(spec, folder, up.names(), up.facts(), system);
    folder.write("run.json", &run_info::to_json(&info)?)?;
    let client: Arc<dyn Client> = up.system.client(plan::model(spec)?);
    let core = plan::core_config(spec, up.names(), schedule, client.shard_of())?;
    let recorder = Recorder::create(&folder.path).map_err(|error| {
        UserError::environment(error.to_string()).at(folder.path.display().to_string())
    })?;
    let started = Instant::now();
    let driver = Driver {
        core,
        client,
        recorder,
        port: Some(up.port()),
        sampler: Some(Arc::new(up.sampler(started))),
        operator: up.system.operator(),
        sample_every: Duration::from_millis(spec.sample_ms),
        started,
    };
    let end = driver.drive(stop, progress);
    // Logs are fetched whatever became of the run; without them a failure could not be explained.
    let mut notes = up.system.after_run();
    notes.append(&mut up.fetch_logs(folder));
    up.system.take_down();
    let mut end = end?;
    end.notes.append(&mut notes);
    Ok(end)
}
