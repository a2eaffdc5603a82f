//! `splitbrain run --dry-run`: every command and act, and nothing done.

use agent::life::Graceful;
use agent::proto::Start;
use cluster::inventory::{Attach, Service};
use cluster::{AgentLink, Inventory};
use nemesis::{Family, Fault, PlannedFault};
use systems::Steps;
use systems::mongodb::attached::database;
use systems::postgres::attached::schema;
use systems::postgres::spec::Failover;
use systems::service::{self, HOLD, Server};

use crate::config::{LabSpec, SystemKind, TestSpec};
use crate::engine::host::layers;
use crate::engine::plan;
use crate::error::UserError;
use crate::gate::{self, decide, marker};

/// Says what a test would do, in order. Connects to nothing.
pub fn lines(spec: &TestSpec) -> Result<Vec<String>, UserError> {
    let names = gate::names(spec)?;
    let schedule = plan::plan_faults(spec, &names)?;
    let inventory = gate::inventory(spec)?;
    let mut lines = Vec::new();
    let steps = match &inventory {
        Some(inventory) if inventory.attach.is_none() => steps(spec, inventory, &names),
        _ => Steps::default(),
    };
    match &inventory {
        Some(inventory) => hosts(spec, inventory, &mut lines)?,
        None => lines.push(match &spec.lab {
            LabSpec::Sim => "no host: the simulator".to_owned(),
            _ => format!("{} namespaced hosts on this machine", spec.hosts),
        }),
    }
    if let Some(host) = inventory.as_ref().and_then(|inventory| inventory.hosts.first()) {
        lines.push(format!("{}: uname -srm", host.name));
    }
    match inventory.as_ref().and_then(|inventory| inventory.attach.as_ref()) {
        Some(attach) => {
            attached(attach, &mut lines);
            disk_layers(spec, attach, &mut lines);
        }
        None => {
            lines.push(format!(
                "build {} on {}, in folders of its own, over what an earlier run left there",
                spec.system.name(),
                names.join(", ")
            ));
            lines.extend(steps.build.iter().map(|line| format!("    {line}")));
        }
    }
    let workload = &spec.workload;
    lines.push(format!(
        "workload {} with policy {}: {} sessions, {} operations a second, {} ms",
        workload.name, workload.policy, workload.sessions, workload.rate, spec.duration_ms
    ));
    if schedule.is_empty() {
        lines.push("no fault".to_owned());
    }
    for fault in &schedule {
        lines.push(act(fault, inventory.as_ref()));
        let attached = inventory.as_ref().is_some_and(|inventory| inventory.attach.is_some());
        // Of a server that exists the inventory's own commands were printed.
        let told = attached && fault.fault.family() == Family::Process;
        if inventory.is_some() && !told {
            let means = super::means::lines(&fault.id, fault.fault);
            lines.extend(means.iter().map(|line| format!("    on each host that it hits: {line}")));
        }
    }
    if let Some(attach) = inventory.as_ref().and_then(|inventory| inventory.attach.as_ref()) {
        operator(spec, attach, &mut lines);
        for line in removal(attach) {
            lines.push(format!("at the leader of {}: {line}", attach.system));
        }
    }
    lines.extend(steps.after);
    if inventory.is_some() {
        lines.push("every host: undo all that is in force, end the agent".to_owned());
    }
    Ok(lines)
}

fn hosts(spec: &TestSpec, inventory: &Inventory, lines: &mut Vec<String>) -> Result<(), UserError> {
    let families = decide::families(&decide::needs(spec));
    for host in inventory.hosts.iter().take(spec.hosts) {
        let by = host.jump.as_ref().map_or(String::new(), |jump| format!(" through {jump}"));
        let sudo = if host.sudo { ", commands by sudo -n" } else { "" };
        let (user, address, port) = (&host.user, &host.address, host.port);
        lines.push(format!("{}: ssh {user}@{address} port {port}{by}{sudo}", host.name));
        if !families.is_empty() {
            lines.push(format!("{}: {}", host.name, marker::command()));
        }
        lines.push(format!(
            "{0}: {1}\n{0}: write {2}, if it is not there; take the host's lock, start: {2} serve",
            host.name,
            AgentLink::prepare_line(),
            AgentLink::program()
        ));
    }
    let needs = decide::needs(spec);
    let open = |need: &&decide::Need| need.loss == decide::Loss::UnlessSynchronous;
    if inventory.attach.is_some()
        && !inventory.data_is_disposable
        && let Some(need) = needs.iter().find(open)
    {
        let what = &need.what;
        lines.push(format!("{what} is refused unless the cluster says that it is synchronous"));
    }
    let limit = gate::max_duration(spec, inventory)?;
    let hurt = gate::hurt_limit(spec)?.unwrap_or(0);
    lines.push(format!(
        "at most {hurt} nodes hurt at once; everything undone after {} ms at the latest",
        limit.as_millis()
    ));
    if let Some(command) = &inventory.abort_if {
        let at = inventory.abort_if_host.as_deref().unwrap_or("this machine");
        lines.push(format!("every second on {at}: {command}"));
    }
    Ok(())
}

/// What an operator of ours does to a cluster that exists.
fn operator(spec: &TestSpec, attach: &Attach, lines: &mut Vec<String>) {
    if spec.postgres.failover != Failover::Operator {
        return;
    }
    let detect = spec.postgres.detect_ms;
    lines.push(format!("once, when the leader has been gone for {detect} ms:"));
    for node in attach.nodes.iter().filter(|_| spec.postgres.fence) {
        let Service { stop, unit, .. } = &node.service;
        let stop = stop.as_ref().map(|argv| argv.join(" "));
        let unit = unit.as_ref().map(|unit| format!("systemctl stop -- {unit}"));
        let line = stop.or(unit).unwrap_or_default();
        lines.push(format!("    if {} led: touch {}; {line}", node.name, HOLD));
    }
    lines.push("    SQL at the candidate: pg_promote".to_owned());
}

/// What is done on the hosts of a system that is built.
fn steps(spec: &TestSpec, inventory: &Inventory, names: &[String]) -> Steps {
    let hosts = inventory.hosts.iter().take(names.len());
    let addresses: Vec<String> = hosts.map(|host| host.data_address.to_string()).collect();
    match spec.system {
        SystemKind::Store => systems::bundled::steps(names),
        SystemKind::Postgres => {
            systems::postgres::building::steps(&spec.postgres, names, &addresses)
        }
        SystemKind::Mongodb => systems::mongodb::provision::steps(&spec.mongodb, names, &addresses),
    }
}

/// What lays disk layers over servers that exist.
fn disk_layers(spec: &TestSpec, attach: &Attach, lines: &mut Vec<String>) {
    let names: Vec<String> = attach.nodes.iter().map(|node| node.name.clone()).collect();
    let nodes = layers::may_hit(spec, &names).map(|place| &attach.nodes[place]);
    for node in nodes.filter(|node| node.ssh) {
        let Start { argv, pidfile, .. } = Server::of(&attach.system).start(&node.service);
        let stop = match service::graceful(&node.service) {
            Graceful::Command(argv) => argv.join(" "),
            signal => format!("{} to {pidfile}", signal.name()),
        };
        let folder = node.service.data_dir.as_deref().unwrap_or_default();
        let (name, start) = (&node.name, argv.join(" "));
        lines.push(format!(
            "{name}: {stop}; mount a FUSE layer over {folder}; {start}; in the end: {stop}; \
             unmount; {start} (leaders last, each when the one before is back)"
        ));
    }
}

fn attached(attach: &Attach, lines: &mut Vec<String>) {
    for node in &attach.nodes {
        lines.push(format!(
            "{}: connect to {} at {}, ask for its role and settings",
            node.name, attach.system, node.address
        ));
    }
    let (thing, made) = match Server::of(&attach.system) {
        Server::Postgres => {
            let owner = schema::Owner::of_run("RUN");
            ("SQL".to_owned(), vec![owner.creation().replace('\n', " ")])
        }
        Server::Mongodb => {
            let owner = database::Owner::of_run("RUN");
            let commands = owner.creation().iter().map(ToString::to_string).collect();
            (format!("in the database {}", owner.database), commands)
        }
    };
    lines.extend(made.iter().map(|line| format!("{thing} at the leader: {line}")));
}

/// What removes all that a run has made in a cluster that exists.
fn removal(attach: &Attach) -> Vec<String> {
    match Server::of(&attach.system) {
        Server::Postgres => vec![schema::removal(&schema::Owner::of_run("RUN").schema)],
        Server::Mongodb => database::removal().iter().map(ToString::to_string).collect(),
    }
}

/// A fault, with how it is made and undone where that is a command of the inventory's.
fn act(fault: &PlannedFault, inventory: Option<&Inventory>) -> String {
    let seconds = |ns: u64| ns as f64 / 1e9;
    let told = fault.parameters.written().map(|(name, value)| format!(",{name}={value}"));
    let mut line = format!(
        "{} at {:.1} s for {:.1} s: {}:{}{} ({})",
        fault.id,
        seconds(fault.start),
        seconds(fault.duration),
        fault.fault.name(),
        fault.selector,
        told.collect::<String>(),
        fault.fault.summary()
    );
    let attach = inventory.and_then(|inventory| inventory.attach.as_ref());
    let process = fault.fault.family().as_str() == "process";
    let each = attach.into_iter().flat_map(|attach| attach.nodes.iter().map(move |n| (attach, n)));
    for (attach, node) in each {
        let named = fault.selector.to_string();
        let others = attach.nodes.iter().any(|n| n.name == named);
        if process && node.ssh && (!others || named == node.name) {
            let Start { argv, pidfile, .. } = Server::of(&attach.system).start(&node.service);
            let name = &node.name;
            line.push_str(&match fault.fault {
                Fault::Kill => {
                    format!("\n    if {name}: SIGKILL to {pidfile}; then {}", argv.join(" "))
                }
                _ => format!("\n    if {name}: SIGSTOP to {pidfile}; then SIGCONT"),
            });
        }
    }
    line
}
