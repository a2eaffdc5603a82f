//! What other faults that are in force keep the probes of a fault from telling.
//!
//! A probe that a fault in force would make fail anyway says nothing of another: it is told as not
//! provable while that one holds, and never as a fault without effect. One that holds for another
//! reason than its fault's is no evidence either.

use history::{Evidence, FAILOVERS_WAITED, FaultResult, OPERATIONS_MET};

use crate::act::{Act, ActReport, Link};
use crate::disk::DiskAct;
use crate::life::Life;
use crate::shape::Shape;

/// What the probe of a link expects of one that is cut.
pub const UNREACHABLE: &str = "unreachable";

/// A fault that is in force while another is made or undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beside {
    /// Its id.
    pub id: String,
    /// What was done for it.
    pub act: Act,
}

/// Links that are shaped, and how.
fn shaped(act: &Act) -> Option<(&[Link], Shape)> {
    match act {
        Act::Shape { links, shape, .. } => Some((links, *shape)),
        _ => None,
    }
}

fn between(links: &[Link], one: usize, other: usize) -> bool {
    let ends = |link: &Link| link.at == one && link.from == other;
    links.iter().any(|link| ends(link) || (link.at == other && link.from == one))
}

fn ids<'a>(beside: &'a [Beside], is: impl Fn(&Act) -> bool + 'a) -> Vec<String> {
    beside.iter().filter(|other| is(&other.act)).map(|other| other.id.clone()).collect()
}

/// Who drops packets between two nodes, in either direction: a connection needs both.
pub fn cutting(beside: &[Beside], one: usize, other: usize) -> Vec<String> {
    ids(beside, |act| matches!(act, Act::Drop { links } if between(links, one, other)))
}

/// Who drops what clients send to a node.
pub fn cutting_clients(beside: &[Beside], node: usize) -> Vec<String> {
    ids(beside, |act| matches!(act, Act::CutClients { nodes } if nodes.contains(&node)))
}

/// Whether what a probe saw of a link may be the doing of a fault that cuts it: that it is cut. A
/// connection that was made tells, whatever is in force.
pub fn is_silence(probe: &Evidence) -> bool {
    probe.holds == (probe.expected == UNREACHABLE)
}

/// Who may lose a packet between two nodes, so that silence proves nothing.
pub fn losing(beside: &[Beside], one: usize, other: usize) -> Vec<String> {
    ids(beside, |act| {
        let lossy =
            |shape: Shape| matches!(shape, Shape::Loss(_) | Shape::Corrupt(_) | Shape::Flap { .. });
        shaped(act).is_some_and(|(links, shape)| lossy(shape) && between(links, one, other))
    })
}

/// How much later an answer between two nodes may come because of others, there and back, ms.
pub fn later_ms(beside: &[Beside], one: usize, other: usize) -> u64 {
    let late_us = |shape: Shape| match shape {
        Shape::Delay { delay_us, jitter_us, .. } => delay_us + 3 * jitter_us,
        Shape::Reorder { hold_us, .. } => hold_us,
        // What waits longer for its turn is dropped.
        Shape::Rate(_) => 400_000,
        _ => 0,
    };
    let of = |other_fault: &Beside| {
        let (links, shape) = shaped(&other_fault.act)?;
        between(links, one, other).then(|| (2 * late_us(shape)).div_ceil(1_000))
    };
    beside.iter().filter_map(of).sum()
}

/// Whether an act stops, ends or starts the system's process, or may.
fn on_process(act: &Act) -> bool {
    let ends = |what: &DiskAct| what.kills();
    match act {
        Act::Kill { .. } | Act::Pause { .. } | Act::Slow { .. } | Act::Live { .. } => true,
        Act::Replace { .. } => true,
        Act::Disk { what, .. } => ends(what),
        _ => false,
    }
}

fn presses(act: &Act) -> bool {
    matches!(act, Act::Load { .. } | Act::ReadLoad { .. } | Act::Limit { .. })
}

/// Whether what is seen of it is what the cluster agrees on.
fn is_agreed(act: &Act) -> bool {
    let rolling = matches!(act, Act::Live { life: Life::Rolling(_), .. });
    rolling || matches!(act, Act::Remove { .. } | Act::Replace { .. })
}

/// Whether another act may keep what an act did, or its undoing, from being seen. Of links each is
/// looked at by itself: see [`cutting`] and [`losing`].
fn hides(other: &Act, own: &Act) -> bool {
    if matches!(other, Act::Nothing | Act::WithholdApproval) {
        return false;
    }
    let unseen = |act: &Act| on_process(act) || matches!(act, Act::CutClients { .. });
    match own {
        own if is_agreed(own) => return true,
        // Who leads is seen of every node that answers, whoever hears it.
        Act::StepDown { .. } | Act::Promote { .. } => return unseen(other),
        _ => {}
    }
    let nodes = own.nodes();
    if !other.nodes().iter().any(|node| nodes.contains(node)) {
        return false;
    }
    let disk = matches!(other, Act::Disk { .. });
    let clients = matches!(other, Act::CutClients { .. });
    match own {
        Act::Clock { .. } => on_process(other) || disk || clients,
        Act::Disk { .. } => on_process(other) || disk,
        Act::ReadLoad { .. } => on_process(other) || disk || presses(other) || clients,
        Act::Load { .. } | Act::Limit { .. } => on_process(other) || disk || presses(other),
        Act::Kill { .. } | Act::Pause { .. } | Act::Slow { .. } | Act::Live { .. } => {
            on_process(other) || disk || is_agreed(other)
        }
        _ => false,
    }
}

/// Whether a probe counts who met the fault: where nobody did, no other fault is the reason.
fn counts(probe: &Evidence) -> bool {
    let counts = |text: &str| [FAILOVERS_WAITED, OPERATIONS_MET].contains(&text);
    counts(&probe.probe) || counts(&probe.expected)
}

impl ActReport {
    /// The report as it is to be told beside these faults: what failed and may have failed because
    /// of one of them is not provable, and no proof that there was no effect.
    #[must_use]
    pub fn beside(mut self, own: &Act, beside: &[Beside]) -> ActReport {
        let hiding = ids(beside, |other| hides(other, own));
        if hiding.is_empty() || self.result != FaultResult::NoEffect {
            return self;
        }
        let (kept, hidden): (Vec<Evidence>, Vec<Evidence>) =
            self.evidence.into_iter().partition(|probe| probe.holds || counts(probe));
        self.evidence = kept;
        if !hidden.is_empty() && self.evidence.iter().all(|probe| probe.holds) {
            self.result = FaultResult::Indeterminate;
        }
        self.unprovable.extend(hidden.into_iter().map(|probe| probe.unprovable(&hiding)));
        self
    }
}

/// The faults that a probe of a link may have seen instead of its own, by what it is called: `n1 ->
/// n2`, `n1 <-> n2, there and back`, `clients -> n1`.
fn behind(probe: &Evidence, beside: &[Beside], names: &[String]) -> Vec<String> {
    let link = probe.probe.split(", ").next().unwrap_or_default();
    let number = |name: &str| names.iter().position(|known| known == name);
    let ends = link.split_once(" <-> ").or_else(|| link.split_once(" -> "));
    let Some((from, at)) = ends.and_then(|(from, to)| Some((from, number(to)?))) else {
        return Vec::new();
    };
    match number(from) {
        Some(from) => {
            let cutting = cutting(beside, from, at);
            cutting.into_iter().chain(losing(beside, from, at)).collect()
        }
        None => cutting_clients(beside, at),
    }
}

impl ActReport {
    /// Likewise, of faults that came while links were probed: whoever probed knew nothing of them.
    #[must_use]
    pub fn beside_late(mut self, late: &[Beside], names: &[String]) -> ActReport {
        let evidence = std::mem::take(&mut self.evidence);
        let before = self.unprovable.len();
        for probe in evidence {
            let silent = is_silence(&probe);
            match silent.then(|| behind(&probe, late, names)).filter(|ids| !ids.is_empty()) {
                Some(ids) => self.unprovable.push(probe.unprovable(&ids)),
                None => self.evidence.push(probe),
            }
        }
        if before < self.unprovable.len() && self.error.is_none() {
            self.result = ActReport::judge(&self.evidence);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beside(id: &str, act: Act) -> Beside {
        Beside { id: id.to_owned(), act }
    }

    fn report(probes: &[(&str, bool)]) -> ActReport {
        let probe = |(expected, holds): &(&str, bool)| Evidence {
            probe: "n1".to_owned(),
            expected: (*expected).to_owned(),
            observed: "seen".to_owned(),
            holds: *holds,
        };
        let evidence: Vec<Evidence> = probes.iter().map(probe).collect();
        let result = ActReport::judge(&evidence);
        ActReport { mechanism: String::new(), result, evidence, ..ActReport::default() }
    }

    #[test]
    fn what_failed_beside_a_fault_that_hides_it_is_not_provable() {
        let kill = beside("f1", Act::Kill { nodes: vec![0] });
        let change = crate::clock::ClockChange::Jump { offset_ms: 30_000 };
        let clock = |node: usize| Act::Clock { nodes: vec![node], change };
        let others = std::slice::from_ref(&kill);
        let told = report(&[("+30 s", false)]).beside(&clock(0), others);
        assert_eq!(told.result, FaultResult::Indeterminate);
        assert_eq!(told.evidence, []);
        assert_eq!(told.unprovable[0].while_in_force, ["f1"]);
        assert_eq!(told.unprovable[0].observed, "seen");
        // Of another node, of one that was seen, and without company.
        let seen = |own: &Act, beside: &[Beside], holds| {
            report(&[("+30 s", holds)]).beside(own, beside).result
        };
        assert_eq!(seen(&clock(1), others, false), FaultResult::NoEffect);
        assert_eq!(seen(&clock(0), others, true), FaultResult::Installed);
        assert_eq!(seen(&clock(0), &[], false), FaultResult::NoEffect);
        // Who leads is not seen of a node that is gone; of one that is only alone it is.
        let promote = Act::Promote { nodes: vec![2] };
        assert_eq!(seen(&promote, others, false), FaultResult::Indeterminate);
        let alone = [beside("f1", Act::drop_between(&[0], &[1, 2]))];
        assert_eq!(seen(&promote, &alone, false), FaultResult::NoEffect);
    }

    #[test]
    fn a_connection_that_was_made_tells_whatever_is_in_force() {
        for (expected, holds, silent) in [
            ("reachable", true, false),
            ("reachable", false, true),
            (UNREACHABLE, true, true),
            (UNREACHABLE, false, false),
        ] {
            let probe = report(&[(expected, holds)]).evidence.remove(0);
            assert_eq!(is_silence(&probe), silent, "{expected} {holds}");
        }
    }

    #[test]
    fn what_came_while_links_were_probed_is_reckoned_with() {
        let names = ["n1", "n2", "n10"].map(str::to_owned);
        let late = [beside("f3", Act::drop_between(&[0], &[1, 2]))];
        let told = |probes: &[(&str, &str, bool)]| {
            let mut seen = report(&[]);
            let probe = |(probe, expected, holds): &(&str, &str, bool)| Evidence {
                probe: (*probe).to_owned(),
                expected: (*expected).to_owned(),
                observed: "timeout".to_owned(),
                holds: *holds,
            };
            seen.evidence = probes.iter().map(probe).collect();
            seen.result = ActReport::judge(&seen.evidence);
            let seen = seen.beside_late(&late, &names);
            (seen.result, seen.evidence.len(), seen.unprovable.len())
        };
        let clients = ("clients -> n1", UNREACHABLE, true);
        let peers = [("n2 -> n1", "reachable", false), ("n10 -> n1", "reachable", false)];
        let cut = told(&[clients, peers[0], peers[1]]);
        assert_eq!(cut, (FaultResult::Installed, 1, 2), "clients are cut, peers by the other");
        let twice = told(&[("n1 -> n10", UNREACHABLE, true)]);
        assert_eq!(twice, (FaultResult::Indeterminate, 0, 1), "whose doing it is, nobody knows");
        let echoes = told(&[("n1 <-> n2, there and back", "+400 ms", false)]);
        assert_eq!(echoes, (FaultResult::Indeterminate, 0, 1));
        let elsewhere = told(&[("n10 -> n2", UNREACHABLE, false)]);
        assert_eq!(elsewhere, (FaultResult::NoEffect, 1, 0));
    }

    #[test]
    fn that_nobody_met_a_trouble_is_never_hidden() {
        let full = Act::Disk { nodes: vec![0], what: DiskAct::Full };
        let pause = [beside("f1", Act::Pause { nodes: vec![0] })];
        let told = report(&[(OPERATIONS_MET, false)]).beside(&full, &pause);
        assert_eq!((told.result, told.evidence.len()), (FaultResult::NoEffect, 1));
    }

    #[test]
    fn a_link_that_is_cut_one_way_carries_no_connection() {
        let others = [beside("f1", Act::Drop { links: vec![Link { at: 1, from: 0 }] })];
        assert_eq!(cutting(&others, 0, 1), ["f1"]);
        assert_eq!(cutting(&others, 1, 0), ["f1"]);
        assert!(cutting(&others, 0, 2).is_empty());
        let links = vec![Link { at: 0, from: 2 }, Link { at: 2, from: 0 }];
        let delay = Shape::Delay { delay_us: 200_000, jitter_us: 0, normal: false };
        let act = Act::Shape { links: links.clone(), shape: delay, seed: 0 };
        let others = [beside("f2", act)];
        assert_eq!((later_ms(&others, 2, 0), later_ms(&others, 1, 0)), (400, 0));
        assert!(losing(&others, 0, 2).is_empty());
        let act = Act::Shape { links, shape: Shape::Loss(100_000), seed: 0 };
        assert_eq!(losing(&[beside("f3", act)], 0, 2), ["f3"]);
    }
}
