//! The gate before real hosts: what an inventory allows (DESIGN section 3, first form).

use std::path::Path;

use cluster::Inventory;
use nemesis::{Family, Fault};

use systems::mongodb::spec::WriteConcern;
use systems::postgres::spec::Replication;

use crate::config::{LabSpec, ReplicationSpec, SystemKind, TestSpec};
use crate::error::UserError;

/// The nodes' names: an inventory's own, or n1 to nN.
pub fn names(spec: &TestSpec) -> Result<Vec<String>, UserError> {
    let LabSpec::Hosts(path) = &spec.lab else {
        return Ok(crate::engine::plan::node_names(spec.hosts));
    };
    let inventory = load(path)?;
    Ok(inventory.hosts.into_iter().take(spec.hosts).map(|host| host.name).collect())
}

/// Reads an inventory.
pub fn load(path: &str) -> Result<Inventory, UserError> {
    Inventory::load(Path::new(path)).map_err(|error| UserError::usage(error.to_string()))
}

/// Refuses faults that the inventory does not allow, naming the line that would.
pub fn check(spec: &TestSpec) -> Result<(), UserError> {
    let LabSpec::Hosts(path) = &spec.lab else { return Ok(()) };
    let inventory = load(path)?;
    for fault in &spec.faults {
        let Some(kind) = Fault::by_name(&fault.fault) else { continue };
        let family = kind.family().as_str();
        if !inventory.allow.iter().any(|allowed| allowed == family) {
            let what = format!("the inventory does not allow faults of the family {family}");
            let hint = format!("{} needs allow = [\"{family}\"]; without it only", kind.name());
            return Err(UserError::usage(what)
                .at(path.clone())
                .hint(format!("{hint} the workload runs and is checked")));
        }
        let loses = match spec.system {
            SystemKind::Store => spec.store.replication == ReplicationSpec::Async,
            SystemKind::Postgres => spec.postgres.replication == Replication::Async,
            SystemKind::Mongodb => spec.mongodb.write_concern != WriteConcern::Majority,
        };
        let deadly = kind == Fault::Kill || kind.family() == Family::Network;
        if loses && deadly && !inventory.data_is_disposable {
            let what = format!("{} without synchronous replication may lose data", kind.name());
            return Err(UserError::usage(what)
                .at(path.clone())
                .hint("if what is on these hosts may be lost, say data_is_disposable = true"));
        }
    }
    Ok(())
}
