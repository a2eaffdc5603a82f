//! What hosts must have for what a test plans, asked of all of them at once before anything is
//! built on them; and the same for `doctor`.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use agent::means::{Lack, Means};
use agent::proto::{Answer, Ask};
use cluster::{AgentLink, HostAddress, SshHost};
use nemesis::{Family, Fault};
use systems::{Nodes, SystemError};

use crate::config::{SystemKind, TestSpec};
use crate::engine::{clocks, plan};
use crate::error::UserError;
use crate::gate;

/// How long a host may take to find out.
const LIMIT: Duration = Duration::from_secs(10);

/// What a test needs on each host, and for what.
fn needed(spec: &TestSpec) -> Result<BTreeMap<Means, Vec<String>>, UserError> {
    let mut needed: BTreeMap<Means, Vec<String>> = BTreeMap::new();
    let mut add = |means: Means, by: &str| {
        let users = needed.entry(means).or_default();
        if !users.iter().any(|user| user == by) {
            users.push(by.to_owned());
        }
    };
    let planned = plan::plan_faults(spec, &gate::names(spec)?)?;
    for fault in planned.iter().map(|planned| planned.fault) {
        let shaped = nemesis::Shape::of(fault, &nemesis::Parameters::defaults(fault)).is_some();
        match fault.family() {
            Family::Network if fault == Fault::Duplicate => add(Means::Duplicate, fault.name()),
            Family::Network if shaped => add(Means::Queue, fault.name()),
            Family::Network => add(Means::Drop, fault.name()),
            Family::Clock if clocks::of_hosts(spec) => add(Means::HostClock, fault.name()),
            Family::Clock => add(Means::Clock, fault.name()),
            Family::Disk => add(Means::Disk, fault.name()),
            Family::Process if fault == Fault::CpuLimit => add(Means::CpuLimit, fault.name()),
            Family::Process if fault == Fault::MemoryLimit => {
                add(Means::MemoryLimit, fault.name());
            }
            Family::Process | Family::Membership | Family::Failover | Family::Nothing => {}
        }
    }
    if !spec.regions.latency.is_empty() {
        add(Means::Queue, "latency");
    }
    let inventory = gate::inventory(spec)?;
    let attach = inventory.as_ref().and_then(|inventory| inventory.attach.as_ref());
    match attach {
        None if spec.system == SystemKind::Postgres => add(Means::Users, "postgres"),
        None => {}
        Some(attach) => {
            let by_unit = attach.nodes.iter().any(|node| node.service.unit.is_some());
            let acts = gate::decide::needs(spec);
            if let Some(act) = acts.iter().find(|act| by_unit && act.family == "process") {
                add(Means::Units, &act.what);
            }
        }
    }
    Ok(needed)
}

/// Refuses to go on where a host lacks what the test needs; one message says all that is missing.
pub fn check(spec: &TestSpec, nodes: &Nodes) -> Result<(), UserError> {
    clocks::own_each(spec, nodes)?;
    let needed = needed(spec)?;
    if needed.is_empty() {
        return Ok(());
    }
    let kinds: Vec<Means> = needed.keys().copied().collect();
    let lacking = nodes.each(|node, _| {
        match nodes.ask(node, Ask::Means { needed: kinds.clone() }, LIMIT)? {
            Answer::Means { lacking } => Ok((nodes.names[node].clone(), lacking)),
            other => Err(SystemError::new(format!("unexpected answer {other:?}"))),
        }
    })?;
    let lines: Vec<String> = lacking
        .iter()
        .flat_map(|(name, lacking)| lacking.iter().map(move |lack| (name, lack)))
        .map(|(name, lack)| line(name, lack, &needed[&lack.means].join(", ")))
        .collect();
    if lines.is_empty() {
        return Ok(());
    }
    let what = format!("hosts lack what the test needs, and nothing was done:{}", lines.concat());
    Err(UserError::environment(what).hint(
        "splitbrain doctor says what this machine has, splitbrain doctor --hosts-file FILE what \
         the hosts of an inventory have",
    ))
}

fn line(name: &str, lack: &Lack, by: &str) -> String {
    format!("\n  {name}: {} for {by}: {}; {}", lack.means.what(), lack.why, lack.help)
}

/// What each of these hosts lacks of all that a test may need, or why that is not known.
pub fn of_hosts(hosts: &[HostAddress]) -> Vec<(String, Result<Vec<Lack>, String>)> {
    let ask = |address: &HostAddress| {
        let host = SshHost::connect(address.clone()).map_err(|error| error.to_string())?;
        AgentLink::lacking(&host).map_err(|error| error.to_string())
    };
    thread::scope(|scope| {
        let ask = &ask;
        let threads: Vec<_> =
            hosts.iter().map(|host| (host.name.clone(), scope.spawn(move || ask(host)))).collect();
        let join = |(name, thread): (String, thread::ScopedJoinHandle<'_, _>)| {
            (name, thread.join().unwrap_or_else(|_| Err("asking it panicked".to_owned())))
        };
        threads.into_iter().map(join).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_fault;

    #[test]
    fn each_means_is_needed_by_the_faults_that_use_it() {
        let faults = ["halves", "loss", "isolate", "kill", "disk-full", "duplicate", "cpu-limit"];
        let faults = faults.map(|fault| parse_fault(fault).unwrap()).to_vec();
        let spec = TestSpec { faults, ..TestSpec::default() };
        let needed = needed(&spec).unwrap();
        let by = |means| needed.get(&means).cloned().unwrap_or_default();
        assert_eq!(by(Means::Drop), ["halves", "isolate"]);
        assert_eq!(by(Means::Queue), ["loss"]);
        assert_eq!(by(Means::Duplicate), ["duplicate"]);
        assert_eq!(by(Means::Disk), ["disk-full"]);
        assert_eq!(by(Means::CpuLimit), ["cpu-limit"]);
        assert_eq!(needed.len(), 5);
    }
}
