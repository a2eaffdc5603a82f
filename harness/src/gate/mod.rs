//! The gate before real hosts, all of it (docs/hosts.md): what an inventory allows, what the
//! hosts' markers say, and what ends a run early. The local lab is not gated.
//!
//! Read next: [`decide`] (the table), [`attached`] (clusters that exist), [`marker`], [`watch`].

pub mod attached;
pub mod decide;
pub mod marker;
pub mod watch;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cluster::{Inventory, SshHost};
use systems::{Nodes, mongodb, postgres};

use crate::config::{LabSpec, SystemKind, TestSpec};
use crate::error::UserError;

/// How long faults may be in force in all, unless the inventory or `--max-duration` says less or
/// more.
const MAX_DURATION: Duration = Duration::from_secs(3_600);

/// The nodes' names: an inventory's own, or n1 to nN.
pub fn names(spec: &TestSpec) -> Result<Vec<String>, UserError> {
    let LabSpec::Hosts(path) = &spec.lab else {
        return Ok(crate::engine::plan::node_names(spec.hosts));
    };
    Ok(load(path)?.names().into_iter().take(spec.hosts).collect())
}

/// Reads an inventory.
pub fn load(path: &str) -> Result<Inventory, UserError> {
    Inventory::load(Path::new(path)).map_err(|error| UserError::usage(error.to_string()))
}

/// Reads the inventory of a test, if it runs on hosts.
pub fn inventory(spec: &TestSpec) -> Result<Option<Inventory>, UserError> {
    match &spec.lab {
        LabSpec::Hosts(path) => load(path).map(Some),
        _ => Ok(None),
    }
}

/// Refuses what can be refused without asking any host, naming the line that would allow it.
pub fn check(spec: &TestSpec) -> Result<(), UserError> {
    let Some(inventory) = inventory(spec)? else {
        return Ok(());
    };
    let limit = max_duration(spec, &inventory)?;
    if limit < Duration::from_millis(spec.duration_ms) {
        let what = format!(
            "the main phase lasts {} ms, and max_duration is {} ms",
            spec.duration_ms,
            limit.as_millis()
        );
        return Err(UserError::usage(what).at(inventory.places.at("max_duration")));
    }
    attached::check(spec, &inventory)?;
    let needs = decide::needs_of(spec, inventory.attach.is_some());
    if needs.is_empty() {
        return Ok(());
    }
    let rules = decide::Rules::of(&inventory);
    // What a cluster that exists replicates is only known when it has been asked.
    let synchronous = match inventory.attach {
        Some(_) => Some(true),
        None => Some(decide::synchronous(spec)),
    };
    refuse(&inventory, decide::refusal(&needs, &rules, synchronous))?;
    attached::check_means(spec, &inventory)?;
    if inventory.cluster_id.is_none() {
        let what = "faults on hosts need a cluster_id, which their markers repeat";
        let hint = "write cluster_id = \"NAME\" at the top of the inventory";
        return Err(UserError::usage(what).at(inventory.places.at("cluster_id")).hint(hint));
    }
    if max_hurt(spec, &inventory) == 0 {
        let what = format!("no minority of {} nodes can be hurt", spec.hosts);
        let hint = "to hurt one all the same, write max_hurt = 1 at the top of the inventory";
        return Err(UserError::usage(what).at(inventory.places.at("max_hurt")).hint(hint));
    }
    Ok(())
}

/// Refuses what this machine can tell is missing for connections: key files, passwords, what a URI
/// may hold. It is a mistake in the inventory, said before a run has a folder.
pub fn check_means_to_connect(spec: &TestSpec) -> Result<(), UserError> {
    let Some(inventory) = inventory(spec)? else {
        return Ok(());
    };
    for (number, host) in inventory.hosts.iter().enumerate().filter(|(_, host)| !host.ssh_agent) {
        std::fs::File::open(&host.key).map_err(|error| {
            let what = format!("the key {} cannot be read: {error}", host.key.display());
            UserError::usage(what).at(inventory.places.at(&format!("host[{number}].key")))
        })?;
    }
    let Some(attach) = &inventory.attach else {
        return Ok(());
    };
    let names = inventory.names();
    let nodes = Arc::new(Nodes { names, hosts: Vec::new(), agents: Vec::new() });
    let places = &inventory.places;
    let made = match attached::system(&inventory, attach)? {
        SystemKind::Mongodb => {
            let settings = spec.mongodb.clone();
            mongodb::attached::Attached::new(nodes, attach, places, settings, "check").map(drop)
        }
        _ => {
            let settings = spec.postgres.clone();
            postgres::attached::Attached::new(nodes, attach, places, settings, "check").map(drop)
        }
    };
    made.map_err(|error| UserError { hint: error.hint, ..UserError::usage(error.what) })
}

/// Refuses what only the cluster's own words show: a kill where nothing else has the data.
pub fn check_replication(spec: &TestSpec, synchronous: Option<bool>) -> Result<(), UserError> {
    match inventory(spec)? {
        Some(inventory) if inventory.attach.is_some() => {
            let rules = decide::Rules::of(&inventory);
            refuse(&inventory, decide::refusal(&decide::needs_of(spec, true), &rules, synchronous))
        }
        _ => Ok(()),
    }
}

/// Reads every host's marker, before anything is put there or run.
pub fn check_markers(spec: &TestSpec, hosts: &[Arc<SshHost>]) -> Result<(), UserError> {
    let Some(inventory) = inventory(spec)? else {
        return Ok(());
    };
    let families = decide::families(&decide::needs(spec));
    if families.is_empty() {
        return Ok(());
    }
    let cluster_id = inventory.cluster_id.unwrap_or_default();
    let today = marker::today();
    for host in hosts {
        marker::check(host, &cluster_id, &families, &today)?;
    }
    Ok(())
}

/// How many nodes may be hurt at once; the local lab has no such limit.
pub fn hurt_limit(spec: &TestSpec) -> Result<Option<usize>, UserError> {
    Ok(inventory(spec)?.map(|inventory| max_hurt(spec, &inventory)))
}

fn max_hurt(spec: &TestSpec, inventory: &Inventory) -> usize {
    inventory.max_hurt.unwrap_or(spec.hosts.saturating_sub(1) / 2)
}

/// When everything is healed whatever the harness says.
pub fn max_duration(spec: &TestSpec, inventory: &Inventory) -> Result<Duration, UserError> {
    let of_file = match &inventory.max_duration {
        Some(text) => {
            let ms = crate::config::duration("max_duration", text)
                .map_err(|error| error.at(inventory.places.at("max_duration")))?;
            Some(Duration::from_millis(ms))
        }
        None => None,
    };
    let of_flag = spec.max_duration_ms.map(Duration::from_millis);
    // The owner's word is the last: a flag may shorten it only.
    Ok(match (of_flag, of_file) {
        (Some(flag), Some(file)) => flag.min(file),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => MAX_DURATION,
    })
}

fn refuse(inventory: &Inventory, refusal: Option<decide::Refusal>) -> Result<(), UserError> {
    match refusal {
        None => Ok(()),
        Some(refusal) => Err(UserError::usage(refusal.what)
            .at(inventory.places.at(refusal.field))
            .hint(refusal.hint)),
    }
}
