//! `splitbrain demo`: the main job, end to end, in under a minute.

use clap::Args;

use super::RunsDir;
use super::one_run::one;
use super::run::{enter_lab, observed_invalid};
use super::run_flags::fault;
use crate::config::{ReplicationSpec, TestSpec};
use crate::engine::StopFlag;
use crate::error::UserError;
use crate::exit::Exit;

/// Flags of `demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoFlags {
    /// Everything random is drawn from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    runs: RunsDir,
}

/// An asynchronous leader is killed and loses acknowledged writes; under the same seed and fault a
/// majority that votes keeps them.
pub fn demo(flags: &DemoFlags) -> Result<u8, UserError> {
    let mut lossy = TestSpec {
        name: "demo-async".to_owned(),
        seed: flags.seed,
        faults: vec![fault("kill:leaderx2")],
        duration_ms: 10_000,
        ..TestSpec::default()
    };
    lossy.workload.rate = 600;
    if let Some(status) = enter_lab(&lossy)? {
        return Ok(status);
    }
    let mut safe = TestSpec { name: "demo-sync".to_owned(), ..lossy.clone() };
    safe.store.replication = ReplicationSpec::Sync { k: safe.hosts / 2 };
    let stop = StopFlag::install();
    say::outln!(
        "1. Three hosts, asynchronous replication. The leader is killed under load, twice.\n"
    );
    let first = one(&lossy, &flags.runs.runs_dir, &stop, true)?;
    if stop.stopped() {
        return Ok(Exit::Interrupted.code());
    }
    say::outln!("\n2. The same seed and faults, synchronous to a majority, failover by vote.\n");
    let second = one(&safe, &flags.runs.runs_dir, &stop, true)?;
    let lost = &first.judgement.checkers["lost-writes"];
    let kept = &second.judgement.checkers["lost-writes"];
    say::outln!("\nasynchronous:            {} acknowledged writes lost", lost.count);
    say::outln!("synchronous to majority: {} acknowledged writes lost", kept.count);
    say::outln!("open {}", first.folder.file("report.html").display());
    let exit = if kept.verdict == checkers::Verdict::Invalid {
        Exit::Invalid
    } else if !observed_invalid(&first.judgement) || second.exit != Exit::Valid {
        Exit::Unknown
    } else {
        Exit::Valid
    };
    Ok(exit.code())
}
