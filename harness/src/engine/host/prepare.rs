//! What hosts need before a system starts on them, for the faults that a test plans.

use std::time::Duration;

use agent::disk::asks::DiskAsk;
use agent::proto::Ask;
use nemesis::{Family, Fault};
use systems::{System, SystemError};

use super::layers;
use crate::config::TestSpec;

/// How long laying one disk layer may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Whether a test has faults of this family.
fn plans(spec: &TestSpec, family: Family) -> bool {
    let faults = spec.all_faults();
    let mut kinds = faults.iter().filter_map(|fault| Fault::by_name(&fault.fault));
    kinds.any(|fault| fault.family() == family)
}

/// Prepares the hosts, each at once.
pub fn prepare(spec: &TestSpec, system: &dyn System) -> Result<(), SystemError> {
    // Over those that exist, when it is known that all is well with them.
    if plans(spec, Family::Disk) && !layers::exists(system) {
        lay_disks(system)?;
    }
    Ok(())
}

/// When the system is up: what it holds then was there before the run, and no crash takes it.
pub fn settle(spec: &TestSpec, system: &dyn System) -> Result<(), SystemError> {
    if !plans(spec, Family::Disk) {
        return Ok(());
    }
    let nodes = system.nodes();
    let covered = layers::covered(spec, system);
    let settled = nodes.each(|node, _| {
        let Some((_, layout)) = covered.iter().find(|(covered, _)| *covered == node) else {
            return Ok(());
        };
        let about = DiskAsk::Settle { folder: layout.folder.clone() };
        nodes.ask(node, Ask::Disk { about }, LIMIT).map(drop)
    });
    settled.map(drop)
}

/// Lays a layer over every node's data folder.
fn lay_disks(system: &dyn System) -> Result<(), SystemError> {
    // What may still run from an earlier run would keep the folder busy.
    system.take_down();
    let nodes = system.nodes();
    let laid = nodes.each(|node, _| {
        let layout = system.disk(node);
        let folder = layout.ok_or_else(|| SystemError::new("where its data is, is not known"))?;
        let folder = folder.folder;
        nodes.shell(node, "making its folder", format!("mkdir -p {folder}"), LIMIT)?;
        let about = DiskAsk::Lay { folder };
        nodes.ask(node, Ask::Disk { about }, LIMIT).map(drop)
    });
    laid.map(drop).map_err(|error| match error.hint {
        Some(_) => error,
        None => error.hint("faults of the disk need FUSE: the module fuse, and /dev/fuse"),
    })
}
