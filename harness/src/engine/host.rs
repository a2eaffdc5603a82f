//! The driver for hosts: sessions are tokio tasks, samplers and acts are threads, and one thread,
//! the caller's, owns the core.

mod cluster_up;
mod drive;
pub mod layers;
pub mod means;
mod prepare;

use std::sync::Arc;
use std::time::{Duration, Instant};

use history::sockets::{SOCKETS_FILE, SocketsEvent};
use systems::Client;

use super::canary::{Canary, CanaryClient};
use super::recorder::Recorder;
use super::sockets::SocketWatch;
use super::{EngineEnd, Progress, StopFlag};
use super::{captures, plan, regions};
use crate::config::TestSpec;
use crate::error::UserError;
use crate::gate::watch::Watch;
use crate::run_folder::RunFolder;
use crate::{run_info, timeouts};

pub use cluster_up::{Up, hosts_of, store_binary};
pub use drive::{Drive, Driver};

/// Runs a test on hosts: the lab that this process is in, or an inventory.
pub fn run(
    spec: &TestSpec,
    folder: &RunFolder,
    stop: &StopFlag,
    progress: &dyn Progress,
) -> Result<EngineEnd, UserError> {
    // Whoever made the test: nothing goes to a host that the gate has not let through.
    crate::gate::check(spec)?;
    // A schedule that cannot be is refused before anything is built.
    plan::plan_faults(spec, &crate::gate::names(spec)?)?;
    let up = stop.while_bringing(|| Up::bring_for(spec, folder))?;
    let end = run_on(&up, spec, folder, stop, progress);
    up.system.take_down();
    // In a hurry nothing that is still there is waited for: agents undo when their link ends.
    let left = if stop.hurried() { Vec::new() } else { layers::uncover(spec, &*up.system) };
    match end {
        Ok(mut end) => {
            end.notes.extend(left);
            Ok(end)
        }
        Err(error) => {
            left.iter().for_each(|note| say::errln!("{note}"));
            Err(error)
        }
    }
}

/// What a run is, recorded and told before its first operation.
fn begins(
    folder: &RunFolder,
    info: &history::RunInfo,
    progress: &dyn Progress,
) -> Result<(), UserError> {
    folder.write("run.json", &run_info::to_json(info)?)?;
    progress.begins(info);
    Ok(())
}

/// Runs a test on a system that is up and holds nothing yet, and leaves it up.
pub fn run_on(
    up: &Up,
    spec: &TestSpec,
    folder: &RunFolder,
    stop: &StopFlag,
    progress: &dyn Progress,
) -> Result<EngineEnd, UserError> {
    let schedule = plan::plan_faults(spec, up.names())?;
    plan::check_plan(spec, &schedule)?;
    let canary = Canary::of(spec);
    let mut facts = up.facts();
    facts.extend(canary.as_ref().map(|canary| ("canary".to_owned(), canary.fact())));
    let (port, regions) = (up.port(), regions::of(spec)?);
    let far_apart = !regions.latency.is_empty();
    if far_apart {
        facts.extend(port.lay_latencies(&regions, spec.seed)?);
    }
    captures::begin(spec, &*up.system)?;
    let system = up.system.info(&spec.workload.policy);
    let mut info = run_info::build(spec, folder, up.names(), facts, system);
    info.servers = up.system.versions();
    begins(folder, &info, progress)?;
    let plan = crate::config::to_toml(&super::package::fixed(spec, &schedule));
    folder.write("plan.toml", plan.as_bytes())?;
    let mut client: Arc<dyn Client> = up.system.client(plan::model(spec)?);
    if let Some(canary) = &canary {
        client = Arc::new(CanaryClient { inner: client, canary: Arc::clone(canary) });
    }
    plan::check_needs(plan::workload_of(spec)?, &client.capabilities(), spec.shards())?;
    let core = plan::core_config(spec, up.names(), schedule, client.shard_of())?;
    let recorder = Recorder::create(&folder.path).map_err(|error| {
        UserError::environment(error.to_string()).at(folder.path.display().to_string())
    })?;
    let watch = Watch::start(spec, up.hosts(), up.since(), stop)?;
    let started = Instant::now();
    up.hosts().iter().for_each(|host| host.run_began(started));
    let every = Duration::from_millis(spec.sample_ms);
    let sockets = SocketWatch::start(&port, folder, started, every);
    let driver = Driver {
        core,
        client,
        recorder,
        port: Some(port.clone()),
        sampler: Some(Arc::new(up.sampler(started))),
        operator: up.system.operator(),
        sample_every: every,
        started,
    };
    let end = driver.drive(stop, progress);
    sockets.end();
    let mut notes: Vec<String> = watch.end().into_iter().collect();
    if far_apart {
        notes.append(&mut port.lift_latencies(&regions));
    }
    notes.append(&mut up.lock_notes());
    notes.append(&mut captures::end(spec, &*up.system, folder));
    // Logs are fetched whatever became of the run; without them a failure could not be explained.
    notes.append(&mut up.system.after_run());
    notes.append(&mut up.fetch_logs(folder));
    let mut end = end?;
    tell_unconverged(&mut end.notes, folder, info.timeouts.as_deref());
    end.notes.extend(timeouts::late_standbys(spec));
    end.notes.extend(canary.map(|canary| canary.note()));
    end.notes.append(&mut notes);
    Ok(end)
}

/// Says of replicas that did not agree whether packets still waited to be sent.
fn tell_unconverged(notes: &mut [String], folder: &RunFolder, told: Option<&str>) {
    let waiting = read_sockets(folder);
    for note in notes {
        if let Some(text) = timeouts::unconverged(note, &waiting, told) {
            *note = text;
        }
    }
}

/// What nodes' kernels said of their connections; what cannot be read is not known.
fn read_sockets(folder: &RunFolder) -> Vec<SocketsEvent> {
    let text = std::fs::read_to_string(folder.file(SOCKETS_FILE)).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
