//! Measures the runner itself: a client that does nothing but answer, every line on disk, then all
//! checkers over what was read back.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use history::{Key, MicroOp, Reading};
use store::core::Table;
use systems::{Capabilities, Client, ReplyFuture, StepReply, StepRequest};
use workloads::generator::CountLimit;
use workloads::workload::Settings;
use workloads::{View, policy, workload};

use super::core::{Calm, CoreConfig};
use super::host::Driver;
use super::plan::node_names;
use super::recorder::Recorder;
use super::{Progress, ProgressState, StopFlag};
use crate::error::UserError;
use crate::judge::{Records, Selection, judge};
use crate::run_folder::RunFolder;

/// A table in memory.
struct NullClient {
    table: Mutex<Table>,
}

impl Client for NullClient {
    fn capabilities(&self) -> Capabilities {
        Capabilities { micro_ops: &["r", "w", "append"], atomic: "everything", reads: "atomic" }
    }

    fn apply(&self, _node: usize, request: StepRequest, _limit: Duration) -> ReplyFuture<'_> {
        let mut table = self.table.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mops = request.mops.into_iter().map(|mop| match mop {
            MicroOp::Read { key, .. } => {
                let value = table.read(&key);
                MicroOp::Read { key, value }
            }
            write => {
                table.apply(&write);
                write
            }
        });
        let mops = mops.collect();
        Box::pin(std::future::ready(StepReply::Ok { mops, position: None, token: None }))
    }

    fn shard_of(&self) -> fn(&Key, u32) -> u32 {
        store::shard_of
    }
}

struct Silent;

impl Progress for Silent {
    fn update(&self, _state: &ProgressState) {}
}

/// Runs `ops` operations of the mixed workload with the any-follower policy; says the rates.
pub fn run(runs_dir: &Path, sessions: usize, ops: u64) -> Result<String, UserError> {
    let folder = RunFolder::create(runs_dir, "bench-runner", 1)?;
    let settings = Settings { sessions, shards: 1, seed: 1 };
    let mixed = workload::by_name("mixed")
        .ok_or_else(|| UserError::environment("the workload mixed is gone"))?;
    let policy = policy::by_name("any-follower", sessions, 1, 1)
        .ok_or_else(|| UserError::environment("the policy any-follower is gone"))?;
    let nodes = node_names(3);
    let core = CoreConfig {
        regions: nemesis::Regions::default(),
        view: View { nodes: nodes.len(), shards: 1, shard_of: store::shard_of, now: 0 },
        nodes,
        seed: 1,
        sessions,
        op_timeout_ns: 1_000_000_000,
        recovery_ns: 1_000_000_000,
        schedule: Vec::new(),
        max_hurt: None,
        max_faults: None,
        calm: Calm { ok_min: 0, end: None, limit_ns: 0 },
        generator: Box::new(CountLimit { inner: (mixed.generator)(&settings), left: ops }),
        policy,
        final_reads: false,
    };
    let recorder = Recorder::create(&folder.path)
        .map_err(|error| UserError::environment(error.to_string()))?;
    let started = Instant::now();
    let driver = Driver {
        core,
        client: Arc::new(NullClient { table: Mutex::new(Table::default()) }),
        recorder,
        port: None,
        sampler: None,
        operator: None,
        sample_every: Duration::from_secs(1),
        started,
    };
    driver.drive(&StopFlag::manual(), &Silent)?;
    let ran = started.elapsed().as_secs_f64();
    let started = Instant::now();
    let records = Records::of_file(&folder.file("history.jsonl"), &Reading::default())?;
    let read = started.elapsed().as_secs_f64();
    let judgement = judge(&records, &Selection::default())?;
    let judged = started.elapsed().as_secs_f64() - read;
    Ok(format!(
        "{ops} operations by {sessions} sessions, all on disk: {:.0} a second\n\
         read back {} operations: {:.0} a second; {} checkers: {:.0} a second, {}",
        ops as f64 / ran,
        records.history.ops.len(),
        ops as f64 / read,
        judgement.checkers.len(),
        ops as f64 / judged,
        judgement.verdict.as_str(),
    ))
}
