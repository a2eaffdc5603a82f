//! A cluster that exists: which settings mean something to it, and which faults can reach it.

use cluster::Inventory;
use cluster::inventory::{Attach, AttachNode};
use nemesis::{Family, Fault};
use systems::postgres::spec::Failover;
use systems::{mongodb, postgres};

use crate::config::{FaultSpec, SystemKind, TestSpec};
use crate::error::UserError;

/// The system of `[attach]`.
pub fn system(inventory: &Inventory, attach: &Attach) -> Result<SystemKind, UserError> {
    match SystemKind::by_name(&attach.system) {
        Some(kind @ (SystemKind::Postgres | SystemKind::Mongodb)) => Ok(kind),
        _ => {
            let what = format!("\"{}\" is no system that can be attached to", attach.system);
            Err(UserError::usage(what)
                .at(inventory.places.at("attach.system"))
                .hint("expected \"postgres\" or \"mongodb\""))
        }
    }
}

/// Refuses settings that describe a cluster that is built, and faults on nodes without SSH.
pub(super) fn check(spec: &TestSpec, inventory: &Inventory) -> Result<(), UserError> {
    let Some(attach) = &inventory.attach else {
        return Ok(());
    };
    if system(inventory, attach)? != spec.system {
        let (asked, there) = (spec.system.name(), &attach.system);
        let what = format!("the test is of {asked}, but {there} runs on these hosts already");
        return Err(UserError::usage(what).at(inventory.places.at("attach.system")));
    }
    built_only(spec)?;
    if operates(spec)
        && let Some(endpoint) = inventory.endpoints.first()
    {
        let what =
            format!("failover = \"operator\" is refused: the endpoint {endpoint} has no SSH");
        return Err(UserError::usage(what).at("postgres.failover"));
    }
    spec.all_faults().iter().try_for_each(|fault| endpoints(fault, inventory))
}

/// Refuses what is allowed, and for which the inventory does not say how.
pub(super) fn check_means(spec: &TestSpec, inventory: &Inventory) -> Result<(), UserError> {
    let Some(attach) = &inventory.attach else {
        return Ok(());
    };
    if operates(spec) && spec.postgres.fence {
        attach.nodes.iter().try_for_each(|node| fence(node, inventory))?;
    }
    for fault in &spec.all_faults() {
        let kind = Fault::by_name(&fault.fault);
        let family = kind.map(Fault::family);
        let server = matches!(family, Some(Family::Process | Family::Disk));
        let named = attach.nodes.iter().any(|node| node.name == fault.selector);
        let may_be_hit =
            |node: &&AttachNode| server && node.ssh && (!named || node.name == fault.selector);
        let mut hit = attach.nodes.iter().filter(may_be_hit);
        hit.try_for_each(|node| {
            service(fault, node, inventory)?;
            if family == Some(Family::Disk) { data(fault, node, inventory) } else { Ok(()) }
        })?;
    }
    Ok(())
}

/// Whether an operator of ours is to replace a dead leader.
fn operates(spec: &TestSpec) -> bool {
    spec.system == SystemKind::Postgres && spec.postgres.failover == Failover::Operator
}

/// The settings of a test's system, and those that mean something to a cluster that exists.
fn settings(spec: &TestSpec) -> (toml::Table, &'static [&'static str]) {
    let table = match spec.system {
        SystemKind::Mongodb => toml::Table::try_from(&spec.mongodb),
        _ => toml::Table::try_from(&spec.postgres),
    };
    let meant: &[&str] = match spec.system {
        SystemKind::Mongodb => &mongodb::attached::MEANT,
        _ => &postgres::attached::MEANT,
    };
    (table.unwrap_or_default(), meant)
}

fn built_only(spec: &TestSpec) -> Result<(), UserError> {
    let (given, meant) = settings(spec);
    let (default, _) = settings(&TestSpec { system: spec.system, ..TestSpec::default() });
    let system = spec.system.name();
    for (name, value) in &given {
        if !meant.contains(&name.as_str()) && default.get(name) != Some(value) {
            let what = format!("{system}.{name} describes a cluster that splitbrain builds");
            let hint = "this one is attached to: its own servers say how it replicates";
            return Err(UserError::usage(what).at(format!("{system}.{name}")).hint(hint));
        }
    }
    if spec.system == SystemKind::Postgres && spec.postgres.failover == Failover::Patroni {
        let what = "failover = \"patroni\" describes a cluster that splitbrain builds";
        let hint = "a cluster manager of its own needs no setting here";
        return Err(UserError::usage(what).at("postgres.failover").hint(hint));
    }
    Ok(())
}

/// An operator of ours must be able to stop whoever leads.
fn fence(node: &AttachNode, inventory: &Inventory) -> Result<(), UserError> {
    if node.service.stop.is_some() || node.service.unit.is_some() {
        return Ok(());
    }
    let what = format!("the operator cannot fence {}", node.name);
    let place = inventory.places.at(&format!("{}.stop", node.table));
    let hint = "write stop = [\"PROGRAM\", \"ARGUMENT\"] or unit = \"NAME\", or set \
                postgres.fence=false";
    Err(UserError::usage(what).at(place).hint(hint))
}

/// A fault that might hit a node without SSH is refused by that node's name.
fn endpoints(fault: &FaultSpec, inventory: &Inventory) -> Result<(), UserError> {
    let Some(first) = inventory.endpoints.first() else {
        return Ok(());
    };
    let FaultSpec { fault: kind, selector, .. } = fault;
    let hit = inventory.endpoints.iter().find(|name| *name == selector);
    let named = inventory.hosts.iter().any(|host| host.name == *selector);
    let network = Fault::by_name(kind).is_some_and(|kind| kind.family().as_str() == "network");
    let (node, why) = match hit {
        Some(node) => (node, "is to be hit"),
        None if !named => (first, "might be hit"),
        None if network => (first, "would have to drop packets too"),
        None => return Ok(()),
    };
    let what = format!("{kind}:{selector} is refused: the endpoint {node} {why}");
    Err(UserError::usage(what).at("fault").hint(
        "an endpoint has no SSH: only the workload runs there and is checked; faults need a \
         [[host]], or name one",
    ))
}

/// A process can be hit, and brought back, only where it is known how.
fn service(fault: &FaultSpec, node: &AttachNode, inventory: &Inventory) -> Result<(), UserError> {
    let service = &node.service;
    let found = service.unit.is_some() || service.data_dir.is_some();
    let started = service.unit.is_some() || service.start.is_some();
    if found && started {
        return Ok(());
    }
    let what = format!("{} of {} needs to know its server", fault.fault, node.name);
    let system = inventory.attach.as_ref().map(|attach| attach.system.as_str());
    let (unit, data_dir) = match system.and_then(SystemKind::by_name) {
        Some(SystemKind::Mongodb) => ("mongod", "/var/lib/mongodb"),
        _ => ("postgresql@15-main", "/var/lib/postgresql/15/main"),
    };
    let hint = format!(
        "write unit = \"{unit}\", or both start = [\"PROGRAM\", \"ARGUMENT\"] and \
         data_dir = \"{data_dir}\""
    );
    let place = inventory.places.at(&format!("{}.unit", node.table));
    Err(UserError::usage(what).at(place).hint(hint))
}

/// A disk can have faults only where it is known where the data is.
fn data(fault: &FaultSpec, node: &AttachNode, inventory: &Inventory) -> Result<(), UserError> {
    if node.service.data_dir.is_some() {
        return Ok(());
    }
    let what = format!("{} of {} needs to know where its data is", fault.fault, node.name);
    let place = inventory.places.at(&format!("{}.data_dir", node.table));
    let hint = "write data_dir = \"/PATH\": the server is stopped, its directory covered by a \
                layer of ours, and started again, before the run and after it";
    Err(UserError::usage(what).at(place).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_a_cluster_that_is_built_are_refused_by_name() {
        let mut spec = TestSpec { system: SystemKind::Postgres, ..TestSpec::default() };
        spec.postgres.detect_ms = 7;
        spec.postgres.fence = false;
        assert_eq!(built_only(&spec), Ok(()));
        spec.postgres.apply_delay_ms.insert("a".to_owned(), 5);
        let error = built_only(&spec).unwrap_err();
        assert_eq!(error.place.as_deref(), Some("postgres.apply_delay_ms"));
        spec.postgres.apply_delay_ms.clear();
        spec.postgres.failover = Failover::Patroni;
        assert!(built_only(&spec).unwrap_err().what.contains("patroni"));
    }

    #[test]
    fn of_mongodb_what_sessions_ask_for_means_something() {
        let mut spec = TestSpec { system: SystemKind::Mongodb, ..TestSpec::default() };
        // Nobody attaches to both.
        spec.postgres.failover = Failover::Patroni;
        spec.mongodb.causal = true;
        spec.mongodb.wtimeout_ms = 7;
        assert_eq!(built_only(&spec), Ok(()));
        spec.mongodb.election_timeout_ms = 1_000;
        let error = built_only(&spec).unwrap_err();
        assert_eq!(error.place.as_deref(), Some("mongodb.election_timeout_ms"));
    }
}
