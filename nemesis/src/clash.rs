//! Which faults cannot be in force at once on one node or link, and why.
//!
//! Before a run it is known of faults that name their nodes. Of those that find theirs when they
//! strike it is known then, from their acts.

use std::collections::BTreeSet;
use std::fmt;

use crate::act::{Act, Link};
use crate::family::Family;
use crate::fault::Fault;
use crate::planned::PlannedFault;
use crate::selector::Selector;

/// What two faults both want for themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clash {
    /// Both stop, end or start one process.
    Process,
    /// One ends the process, and the other starts it again should it have died of its disk.
    Start,
    /// Both limit what one process gets.
    Limit,
    /// Both move one server's clock.
    Clock,
    /// Both are the same trouble of one disk.
    Disk,
    /// Both shape the packets of one link.
    Link,
    /// Both change what one node is in the cluster.
    Member,
    /// One of them is that there is none.
    Quiet,
}

impl fmt::Display for Clash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Clash::Process => "both stop, end or start the same process",
            Clash::Start => "both start the same process again when they are healed",
            Clash::Limit => "both limit what the same process gets",
            Clash::Clock => "a server has one clock",
            Clash::Disk => "they are the same trouble of the same disk",
            Clash::Link => "both shape the packets of the same links",
            Clash::Member => "both change what the same node is in the cluster",
            Clash::Quiet => "nothing is to be in force meanwhile",
        })
    }
}

/// Whether a fault stops, ends or starts the system's process, or may.
fn on_process(fault: Fault) -> bool {
    let process = fault.family() == Family::Process && !presses(fault);
    process || matches!(fault, Fault::LoseUnsynced | Fault::TornTail | Fault::Replace)
}

/// Whether it only leaves the system less than it would take.
fn presses(fault: Fault) -> bool {
    matches!(fault, Fault::Load | Fault::ReadLoad | Fault::CpuLimit)
}

fn limits(fault: Fault) -> bool {
    matches!(fault, Fault::CpuLimit | Fault::MemoryLimit)
}

fn shapes(fault: Fault) -> bool {
    crate::shape::is(fault)
}

/// What two faults would both want if they met on one node.
fn on_one_node(a: Fault, b: Fault) -> Option<Clash> {
    let both = |is: fn(Fault) -> bool| is(a) && is(b);
    let family = |family: Family| a.family() == family && b.family() == family;
    let trouble = |fault: Fault| fault.family() == Family::Disk && !on_process(fault);
    let ends = |fault: Fault| on_process(fault) && !matches!(fault, Fault::Pause | Fault::Slow);
    if a == Fault::Nothing || b == Fault::Nothing {
        return Some(Clash::Quiet);
    }
    if both(on_process) {
        return Some(Clash::Process);
    }
    if both(limits) {
        return Some(Clash::Limit);
    }
    if trouble(a) && ends(b) || ends(a) && trouble(b) {
        return Some(Clash::Start);
    }
    if family(Family::Clock) {
        return Some(Clash::Clock);
    }
    if trouble(a) && a == b {
        return Some(Clash::Disk);
    }
    if both(shapes) {
        return Some(Clash::Link);
    }
    let same = family(Family::Membership) || family(Family::Failover);
    same.then_some(Clash::Member)
}

/// What the acts of two faults both want.
pub fn of_acts(a: (Fault, &Act), b: (Fault, &Act)) -> Option<Clash> {
    let clash = on_one_node(a.0, b.0)?;
    if clash == Clash::Quiet {
        return Some(clash);
    }
    let meet = match (a.1, b.1) {
        (Act::Shape { links: one, .. }, Act::Shape { links: other, .. }) => {
            one.iter().any(|link| other.contains(link))
        }
        (one, other) => {
            let one: BTreeSet<usize> = one.nodes().into_iter().collect();
            other.nodes().iter().any(|node| one.contains(node))
        }
    };
    meet.then_some(clash)
}

/// What two planned faults are certain to both want, as far as it is known before a run.
pub fn certain(a: &PlannedFault, b: &PlannedFault) -> Option<Clash> {
    let clash = on_one_node(a.fault, b.fault).filter(|_| overlap(a, b))?;
    let same = a.selector == b.selector && a.shard == b.shard;
    let meet = match (&a.selector, &b.selector) {
        _ if clash == Clash::Quiet => true,
        (Selector::All, _) | (_, Selector::All) => true,
        // Every link of a node is shaped, so any two nodes share one.
        _ if clash == Clash::Link => true,
        (Selector::Node(one), Selector::Node(other)) => one == other,
        // At one moment they see one leader.
        (Selector::Leader | Selector::AllLeaders, _) => same && a.start == b.start,
        _ => false,
    };
    meet.then_some(clash)
}

/// Whether one begins before the other has ended.
pub fn overlap(a: &PlannedFault, b: &PlannedFault) -> bool {
    a.start < b.end() && b.start < a.end()
}

/// Whether two planned faults should be kept apart in a schedule that is drawn: they could clash,
/// or one could keep the other from being proven.
pub fn keep_apart(a: &PlannedFault, b: &PlannedFault) -> bool {
    let (one, other) = (a.fault, b.fault);
    let either = |is: &dyn Fn(Fault) -> bool| is(one) || is(other);
    let one_each = |is: &dyn Fn(Fault) -> bool, it: &dyn Fn(Fault) -> bool| {
        is(one) && it(other) || it(one) && is(other)
    };
    let of = |family: Family| move |fault: Fault| fault.family() == family;
    let on_disk = of(Family::Disk);
    let answers = |fault: Fault| fault.family() == Family::Clock;
    let network = of(Family::Network);
    let command = |fault: Fault| matches!(fault.family(), Family::Membership | Family::Failover);
    // A rolling restart goes on when all nodes are back, and a command when the cluster agrees.
    if either(&|fault| matches!(fault, Fault::Nothing | Fault::RollingRestart) || command(fault)) {
        return true;
    }
    // Links that are cut say nothing of what else is done to them.
    if network(one) && network(other) {
        return true;
    }
    let apart = matches!(
        (&a.selector, &b.selector),
        (Selector::Node(one), Selector::Node(other)) if one != other
    );
    let unseen = on_one_node(one, other).is_some()
        // A server that does not run, or may have died of its disk, tells nobody the time.
        || one_each(&answers, &on_process)
        || one_each(&answers, &on_disk)
        || one_each(&on_disk, &on_process)
        // What does not run wants nothing of the processor; two that press share what there is.
        || one_each(&presses, &on_process)
        || one_each(&presses, &on_disk)
        || presses(one) && presses(other)
        || on_disk(one) && on_disk(other);
    unseen && !apart
}

/// Links of an act that drops packets.
pub fn dropped(act: &Act) -> &[Link] {
    match act {
        Act::Drop { links } => links,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::Parameters;

    fn planned(fault: Fault, target: &str, start: u64) -> PlannedFault {
        let nodes: Vec<String> = (1..=5).map(|n| format!("n{n}")).collect();
        PlannedFault {
            id: String::new(),
            fault,
            selector: Selector::parse(target, &nodes).unwrap(),
            shard: 0,
            start,
            duration: 10,
            required: false,
            parameters: Parameters::defaults(fault),
        }
    }

    #[test]
    fn what_cannot_be_on_one_node_at_once_is_known_if_nodes_are_named() {
        for (one, other, clash) in [
            (Fault::Kill, Fault::Pause, Some(Clash::Process)),
            (Fault::Pause, Fault::Slow, Some(Clash::Process)),
            (Fault::CrashLoop, Fault::LoseUnsynced, Some(Clash::Process)),
            (Fault::Kill, Fault::DiskFull, Some(Clash::Start)),
            (Fault::BitFlip, Fault::Stop, Some(Clash::Start)),
            (Fault::ClockBump, Fault::ClockDrift, Some(Clash::Clock)),
            (Fault::DiskFull, Fault::DiskFull, Some(Clash::Disk)),
            (Fault::Delay, Fault::Loss, Some(Clash::Link)),
            (Fault::StepDown, Fault::StepDown, Some(Clash::Member)),
            (Fault::Nothing, Fault::Isolate, Some(Clash::Quiet)),
            (Fault::Pause, Fault::SlowSync, None),
            (Fault::DiskFull, Fault::SlowSync, None),
            (Fault::Isolate, Fault::Halves, None),
            (Fault::Isolate, Fault::Delay, None),
            (Fault::Kill, Fault::Isolate, None),
            (Fault::Kill, Fault::ClockBump, None),
            (Fault::CpuLimit, Fault::CpuLimit, Some(Clash::Limit)),
            (Fault::CpuLimit, Fault::Load, None),
            (Fault::CpuLimit, Fault::Kill, None),
            (Fault::CpuLimit, Fault::MemoryLimit, Some(Clash::Limit)),
            (Fault::MemoryLimit, Fault::Kill, Some(Clash::Process)),
            (Fault::MemoryLimit, Fault::DiskFull, Some(Clash::Start)),
        ] {
            let (a, b) = (planned(one, "n2", 5), planned(other, "n2", 14));
            assert_eq!(certain(&a, &b), clash, "{one:?} {other:?}");
            assert_eq!(certain(&b, &a), clash, "{other:?} {one:?}");
            let later = planned(other, "n2", 15);
            assert_eq!(certain(&a, &later), None, "one after the other");
            if let Some(Clash::Link | Clash::Quiet) = clash {
                continue;
            }
            let elsewhere = planned(other, "n3", 14);
            assert_eq!(certain(&a, &elsewhere), None, "{one:?} {other:?} on two nodes");
            let all = planned(other, "all", 14);
            assert_eq!(certain(&a, &all), clash, "{one:?} {other:?} on all");
        }
    }

    #[test]
    fn of_roles_only_one_moment_is_certain() {
        let (kill, pause) = (planned(Fault::Kill, "leader", 5), planned(Fault::Pause, "leader", 5));
        assert_eq!(certain(&kill, &pause), Some(Clash::Process));
        assert_eq!(certain(&kill, &planned(Fault::Pause, "leader", 6)), None);
        assert_eq!(certain(&kill, &planned(Fault::Pause, "one", 5)), None);
        assert!(keep_apart(&kill, &planned(Fault::Pause, "one", 5)));
    }

    #[test]
    fn acts_clash_where_they_meet() {
        let kill = Act::Kill { nodes: vec![1] };
        for (fault, act, clash) in [
            (Fault::Pause, Act::Pause { nodes: vec![0, 1] }, Some(Clash::Process)),
            (Fault::Pause, Act::Pause { nodes: vec![0] }, None),
            (Fault::Isolate, Act::drop_between(&[1], &[0, 2]), None),
            (Fault::Nothing, Act::Nothing, Some(Clash::Quiet)),
        ] {
            assert_eq!(of_acts((Fault::Kill, &kill), (fault, &act)), clash, "{fault:?}");
        }
    }
}
