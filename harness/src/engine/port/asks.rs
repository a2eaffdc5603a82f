//! What each agent is asked for an act.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};

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
                    from.entry(link.at).or_default().extend(self.peers.dropped(link.at, link.from));
                }
                let ask = |(node, from)| (node, Ask::Drop { fault: fault.clone(), from });
                from.into_iter().map(ask).collect()
            }
            Act::CutClients { nodes } => {
                let ask = |node: &usize| {
                    let listens = self.system.address(*node);
                    let from = source_towards(listens).into_iter().collect();
                    let ports = vec![listens.port()];
                    (*node, Ask::DropClients { fault: fault.clone(), from, ports })
                };
                nodes.iter().map(ask).collect()
            }
            // No agent is asked, or otherwise: see the modules of `command`, `lives`, `load`,
            // `limits`, `clocks`, `shaping` and `disk`.
            Act::Nothing
            | Act::StepDown { .. }
            | Act::Promote { .. }
            | Act::WithholdApproval
            | Act::Remove { .. }
            | Act::Live { .. }
            | Act::Load { .. }
            | Act::ReadLoad { .. }
            | Act::Limit { .. }
            | Act::Clock { .. }
            | Act::Disk { .. }
            | Act::Shape { .. } => Vec::new(),
        }
    }
}

/// The address of this machine that clients here are seen by at a node.
fn source_towards(listens: SocketAddr) -> Option<IpAddr> {
    let any = if listens.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    // Nothing is sent: the kernel only looks up the way.
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(listens).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}
