//! A cluster that serves: under a light load, and looked at until every node is one of it again.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use history::TelemetryEvent;
use nemesis::{ClusterView, Regions};

use crate::config::TestSpec;
use crate::engine::host::{Drive, Driver, Up};
use crate::engine::port::HostPort;
use crate::engine::recorder::Recorder;
use crate::engine::rejoin::Rejoin;
use crate::engine::{Progress, ProgressState, StopFlag, plan, regions};
use crate::error::UserError;

/// How often the nodes are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// See the module's doc. Dropped, it is taken down.
pub struct Ground {
    up: Up,
    /// Carries faults out.
    pub port: HostPort,
    stop: StopFlag,
    ok: Arc<AtomicU64>,
    load: Option<JoinHandle<Drive>>,
    started: Instant,
    regions: Regions,
}

/// Counts what the load has got done.
struct Counted(Arc<AtomicU64>);

impl Progress for Counted {
    fn update(&self, state: &ProgressState) {
        self.0.store(state.counts.ok, Ordering::Relaxed);
    }
}

impl Ground {
    /// Brings it up for a run of this name; the load is recorded in `folder`.
    pub fn bring(spec: &TestSpec, run: &str, folder: &Path) -> Result<Ground, UserError> {
        let disk = |error: std::io::Error| {
            UserError::environment(error.to_string()).at(folder.display().to_string())
        };
        std::fs::create_dir_all(folder).map_err(disk)?;
        let recorder = Recorder::create(folder).map_err(disk)?;
        let up = Up::bring(spec, run)?;
        let regions = regions::numbered(spec, up.names())?;
        let (port, started) = (up.port(), Instant::now());
        let (stop, ok) = (StopFlag::manual(), Arc::new(AtomicU64::new(0)));
        let client = up.system.client(plan::model(spec)?);
        let (spec, names) = (spec.clone(), up.names().to_vec());
        let (sampler, operator) = (up.sampler(started), up.system.operator());
        let (stopped, counted) = (stop.clone(), Counted(Arc::clone(&ok)));
        let load = thread::spawn(move || {
            let core = plan::core_config(&spec, &names, Vec::new(), client.shard_of())?;
            let driver = Driver {
                core,
                client,
                recorder,
                port: None,
                sampler: Some(Arc::new(sampler)),
                operator,
                sample_every: Duration::from_millis(spec.sample_ms),
                started,
            };
            driver.drive(&stopped, &counted)
        });
        Ok(Ground { up, port, stop, ok, load: Some(load), started, regions })
    }

    /// The nodes' names.
    pub fn names(&self) -> &[String] {
        self.up.names()
    }

    /// Waits until every node leads or follows and has what the leader had when it was first looked
    /// at, and the load gets something done; gives how long that took from `since` on, and what
    /// the nodes said of themselves.
    pub fn serving(
        &self,
        since: Instant,
        limit: Duration,
    ) -> Result<(Duration, ClusterView), String> {
        let nodes = self.names().len();
        let mut rejoins = vec![Rejoin::default(); nodes];
        let samples = loop {
            let samples = self.samples();
            let looks = rejoins.iter_mut().enumerate();
            let missing = looks.map(|(node, rejoin)| {
                let name = &self.names()[node];
                rejoin.look(node, &samples).map_err(|why| format!("{name}: {why}"))
            });
            match missing.collect::<Result<Vec<()>, String>>() {
                Ok(_) => break samples,
                Err(why) if limit <= since.elapsed() => return Err(why),
                Err(_) => thread::sleep(LOOK_EVERY),
            }
        };
        let took = since.elapsed();
        let before = self.ok.load(Ordering::Relaxed);
        while self.ok.load(Ordering::Relaxed) == before {
            if limit <= since.elapsed() {
                return Err("no operation of the load succeeds".to_owned());
            }
            thread::sleep(LOOK_EVERY);
        }
        let mut view = ClusterView::new(self.names()).with_regions(self.regions.clone());
        samples.iter().for_each(|sample| view.learn(sample));
        Ok((took, view))
    }

    /// All nodes at once.
    fn samples(&self) -> Vec<TelemetryEvent> {
        let sample = self.up.sampler(self.started);
        thread::scope(|scope| {
            let ask = |node| {
                let sample = &sample;
                scope.spawn(move || sample(node))
            };
            let threads: Vec<_> = (0..self.names().len()).map(ask).collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
        })
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // Twice: nobody reads what the load would read at last.
        self.stop.stop();
        self.stop.stop();
        if let Some(Ok(Err(error))) = self.load.take().map(JoinHandle::join) {
            say::errln!("the load ended early: {error}");
        }
        self.up.system.take_down();
    }
}
