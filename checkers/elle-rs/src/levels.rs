//! Level tests without search: a level's cycles exist exactly if some part of the graph has a
//! strongly connected component.

use crate::anomaly::Anomaly;
use crate::both::both;
use crate::graph::{Graph, PROCESS, REALTIME, RW, View, WR, WW, components};

/// Each cyclic level test: what it is named when it fails, and the walks that break it.
pub fn tests(extra: u8) -> Vec<(Anomaly, View)> {
    let names: &[Anomaly; 4] = match extra {
        PROCESS => &[
            Anomaly::SessionPl1Cycle,
            Anomaly::SessionPl2Cycle,
            Anomaly::SessionSiCycle,
            Anomaly::SessionPl3Cycle,
        ],
        REALTIME => &[
            Anomaly::StrongPl1Cycle,
            Anomaly::StrongPl2Cycle,
            Anomaly::StrongSiCycle,
            Anomaly::PlSsCycle,
        ],
        _ => &[Anomaly::Pl1Cycle, Anomaly::Pl2Cycle, Anomaly::PlSiCycle, Anomaly::Pl299Cycle],
    };
    let all = WW | WR | RW | extra;
    let view = |kinds, nonadjacent| View { kinds, nonadjacent };
    vec![
        (names[0], view(WW | extra, false)),
        (names[1], view(WW | WR | extra, false)),
        (names[2], view(all, true)),
        (names[3], view(all, false)),
    ]
}

/// Whether a graph that failed these tests may show a cycle of this kind: each kind breaks a level
/// that its test decides, so that where the test is passed nothing need be looked for.
pub fn may_show(anomaly: Anomaly, failed: &[Anomaly]) -> bool {
    use Anomaly::*;
    let needs: &[Anomaly] = match anomaly {
        G0 => &[Pl1Cycle],
        G1c => &[Pl2Cycle],
        GSingleItem | GNonadjacentItem | LongFork => &[PlSiCycle],
        G2Item | WriteSkew => &[Pl299Cycle],
        G0Process | G0Realtime => &[SessionPl1Cycle, StrongPl1Cycle],
        G1cProcess | G1cRealtime => &[SessionPl2Cycle, StrongPl2Cycle],
        GSingleItemProcess
        | GNonadjacentItemProcess
        | GSingleItemRealtime
        | GNonadjacentItemRealtime => &[SessionSiCycle, StrongSiCycle],
        G2ItemProcess | G2ItemRealtime => &[SessionPl3Cycle, PlSsCycle],
        _ => return true,
    };
    needs.iter().any(|level| failed.contains(level))
}

/// The level tests that a graph fails.
pub fn failed(graph: &Graph, extra: u8) -> Vec<Anomaly> {
    let mut all = tests(0);
    if extra != 0 {
        all.extend(tests(extra));
    }
    let fails = |tests: &[(Anomaly, View)]| -> Vec<bool> {
        tests.iter().map(|(_, view)| components(graph, *view).count > 0).collect()
    };
    let (first, second) = all.split_at(all.len() / 2);
    let (mut fail, rest) = both(graph.edge_count(), || fails(first), || fails(second));
    fail.extend(rest);
    let mut failed = Vec::new();
    for ((name, _), _) in all.iter().zip(fail).filter(|(_, fails)| *fails) {
        failed.push(*name);
        if *name == Anomaly::Pl299Cycle {
            failed.push(Anomaly::Pl3Cycle);
        }
    }
    failed
}

/// The same tests with the order beside data: for graphs whose order of versions rests on it.
pub fn by_implied_order(failed: &[Anomaly], extra: u8) -> Vec<Anomaly> {
    let (data, with) = (tests(0), tests(extra));
    let mut all: Vec<Anomaly> = failed
        .iter()
        .filter_map(|level| match level {
            Anomaly::GSingle => Some(with[2].0),
            level if with.iter().any(|(own, _)| own == level) => {
                // Below snapshot isolation the order is not implied.
                let at = with.iter().position(|(own, _)| own == level)?;
                Some(with[at.max(2)].0)
            }
            level => {
                let at = data.iter().position(|(own, _)| own == level)?;
                Some(with[at.max(2)].0)
            }
        })
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}
