//! What each agent is asked for an act.

use std::collections::BTreeMap;
use std::net::IpAddr;

use agent::proto::{Ask, Start};
use nemesis::Act;

use super::HostPort;

impl HostPort {
    pub(super) fn asks(&self, id: &str, act: &Act) -> Vec<(usize, Ask)> {
        let fault = id.to_owned();
        let each = |nodes: &[usize], ask: &dyn Fn(Start) -> Ask| {
            nodes.iter().map(|node| (*node, ask(self.system.start(*node)))).collect::<Vec<_>>()
        };
        match act {
            Act::Kill { nodes } | Act::Replace { nodes } => each(nodes, &|start| Ask::Kill {
                fault: fault.clone(),
                pidfile: start.pidfile.clone(),
                restart: Some(start),
            }),
            Act::Pause { nodes } => {
                each(nodes, &|start| Ask::Pause { fault: fault.clone(), pidfile: start.pidfile })
            }
            Act::Slow { nodes, stopped_percent } => each(nodes, &|start| Ask::Slow {
                fault: fault.clone(),
                pidfile: start.pidfile,
                stopped_percent: *stopped_percent,
            }),
            Act::Drop { links } => {
                let mut from: BTreeMap<usize, Vec<IpAddr>> = BTreeMap::new();
                for link in links {
                    from.entry(link.at).or_default().push(self.system.address(link.from).ip());
                }
                let ask = |(node, from)| (node, Ask::Drop { fault: fault.clone(), from });
                from.into_iter().map(ask).collect()
            }
            // No agent is asked, or otherwise: see the modules of `command`, `lives`, `load`,
            // `clocks`, `shaping` and `disk`.
            Act::Nothing
            | Act::StepDown { .. }
            | Act::Remove { .. }
            | Act::Live { .. }
            | Act::Load { .. }
            | Act::Clock { .. }
            | Act::Disk { .. }
            | Act::Shape { .. } => Vec::new(),
        }
    }
}
