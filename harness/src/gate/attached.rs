//! A cluster that exists: which settings mean something to it, and which faults can reach it.

use cluster::Inventory;
use cluster::inventory::{Attach, AttachNode};
use nemesis::Fault;
use systems::postgres::attached::BUILT_ONLY;
use systems::postgres::spec::Failover;

use crate::config::{FaultSpec, SystemKind, TestSpec};
use crate::error::UserError;

/// The system of `[attach]`.
pub fn system(inventory: &Inventory, attach: &Attach) -> Result<SystemKind, UserError> {
    match SystemKind::by_name(&attach.system) {
        Some(SystemKind::Store) | None => {
            let what = format!("\"{}\" is no system that can be attached to", attach.system);
            Err(UserError::usage(what)
                .at(inventory.places.at("attach.system"))
                .hint("expected \"postgres\""))
        }
        Some(kind) => Ok(kind),
    }
}

/// Refuses settings that describe a cluster that is built, and faults that cannot be carried out.
pub(super) fn check(spec: &TestSpec, inventory: &Inventory) -> Result<(), UserError> {
    let Some(attach) = &inventory.attach else {
        return Ok(());
    };
    built_only(spec)?;
    for fault in &spec.faults {
        endpoints(fault, inventory)?;
        let process =
            Fault::by_name(&fault.fault).is_some_and(|kind| kind.family().as_str() == "process");
        let may_be_hit = |node: &&AttachNode| {
            let named = attach.nodes.iter().any(|other| other.name == fault.selector);
            node.ssh && (!named || node.name == fault.selector)
        };
        for node in attach.nodes.iter().filter(may_be_hit).filter(|_| process) {
            service(fault, node, inventory)?;
        }
    }
    Ok(())
}

fn built_only(spec: &TestSpec) -> Result<(), UserError> {
    let table = |spec| toml::Table::try_from(spec).unwrap_or_default();
    let (given, default) = (table(&spec.postgres), table(&TestSpec::default().postgres));
    for name in BUILT_ONLY {
        if given.get(name) != default.get(name) {
            let what = format!("postgres.{name} describes a cluster that splitbrain builds");
            let hint = "this one is attached to: its own servers say how it replicates";
            return Err(UserError::usage(what).at(format!("postgres.{name}")).hint(hint));
        }
    }
    if spec.postgres.failover == Failover::Patroni {
        let what = "failover = \"patroni\" describes a cluster that splitbrain builds";
        let hint = "a cluster manager of its own needs no setting here";
        return Err(UserError::usage(what).at("postgres.failover").hint(hint));
    }
    Ok(())
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
    Err(UserError::usage(what).at(inventory.places.at(&format!("{}.unit", node.table))).hint(
        "write unit = \"postgresql@15-main\", or both start = [\"PROGRAM\", \"ARGUMENT\"] and \
         data_dir = \"/var/lib/postgresql/15/main\"",
    ))
}
