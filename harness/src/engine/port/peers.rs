//! All addresses of every node: what is dropped or shaped, and what is probed.
//!
//! A node may be spoken to by more than its address in the inventory. Its agent tells them all; a
//! partition that left one of them open would be none. The addresses of the interface that SSH
//! came by are left alone, unless the system's own address is there too.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use agent::addresses::Interface;
use agent::proto::{Answer, Ask};
use systems::{System, SystemError};

/// How long an agent may take.
const LIMIT: Duration = Duration::from_secs(5);
/// How long a further address may take to answer before the run, ms.
const PROBE_MS: u64 = 300;

/// See the module's doc. Nodes by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peers {
    nodes: Vec<Vec<IpAddr>>,
    /// Further addresses of the second that the first was answered by.
    answered: BTreeMap<(usize, usize), Vec<SocketAddr>>,
    far_ms: u64,
}

impl Peers {
    /// With a round trip of so many ms, at most, between any two of them all through the run.
    pub fn so_far_apart(self, far_ms: u64) -> Peers {
        Peers { far_ms, ..self }
    }

    /// How much longer than without a latency an answer may take, ms.
    pub fn patience_ms(&self) -> u64 {
        // And as much again, for one that is delayed further by a fault.
        2 * self.far_ms
    }

    /// The addresses that the system itself uses, and no others.
    pub fn plain(system: &dyn System) -> Peers {
        let address = |node| vec![system.address(node).ip()];
        let nodes = (0..system.nodes().count()).map(address).collect();
        Peers { nodes, ..Peers::default() }
    }

    /// Asks every node for its addresses, and tries who answers whom by which.
    pub fn learn(system: &dyn System) -> Result<Peers, SystemError> {
        let (nodes, mut peers) = (system.nodes(), Peers::plain(system));
        let told = nodes.each(|node, _| match nodes.ask(node, Ask::Addresses, LIMIT)? {
            Answer::Addresses { interfaces, control } => Ok((interfaces, control)),
            other => Err(SystemError::new(format!("unexpected answer {other:?}"))),
        })?;
        for (node, (interfaces, control)) in told.iter().enumerate() {
            peers.nodes[node] = spoken_to(interfaces, *control, system.address(node).ip());
        }
        let answered = nodes.each(|at, _| {
            let others = (0..nodes.count()).filter(|from| *from != at);
            let further = others.flat_map(|from| {
                let port = system.address(from).port();
                let addresses = peers.dropped(at, from).into_iter().skip(1);
                addresses.map(move |ip| (from, SocketAddr::new(ip, port)))
            });
            let further: Vec<(usize, SocketAddr)> = further.collect();
            if further.is_empty() {
                return Ok(Vec::new());
            }
            let targets = further.iter().map(|(_, address)| *address).collect();
            match nodes.ask(at, Ask::Reach { targets, timeout_ms: PROBE_MS }, LIMIT)? {
                Answer::Reached { outcomes } => {
                    let answers = further.into_iter().zip(outcomes);
                    let open = answers.filter(|(_, outcome)| is_answer(outcome));
                    Ok(open.map(|((from, address), _)| ((at, from), address)).collect())
                }
                other => Err(SystemError::new(format!("unexpected answer {other:?}"))),
            }
        })?;
        for (link, address) in answered.into_iter().flatten() {
            peers.answered.entry(link).or_default().push(address);
        }
        Ok(peers)
    }

    /// The addresses of `from` whose packets are a fault's at `at`, the system's own first. Never
    /// one that `at` has itself, such as that of a bridge which every host has, and none of a
    /// protocol that it does not speak.
    pub fn dropped(&self, at: usize, from: usize) -> Vec<IpAddr> {
        let own = &self.nodes[at];
        let spoken = |address: &IpAddr| own.iter().any(|o| o.is_ipv4() == address.is_ipv4());
        let mut addresses = self.nodes[from].iter();
        let first = addresses.next().copied();
        let further = addresses.filter(|a| spoken(a) && !own.contains(a)).copied();
        first.into_iter().chain(further).collect()
    }

    /// What `at` is to try to see whether it can reach `from`: where the system listens, and the
    /// further addresses that answered before.
    pub fn probed(&self, at: usize, from: usize, listens: SocketAddr) -> Vec<SocketAddr> {
        let further = self.answered.get(&(at, from)).into_iter().flatten();
        std::iter::once(listens).chain(further.copied()).collect()
    }
}

/// Whether somebody answered, if only by a refusal.
pub(super) fn is_answer(outcome: &str) -> bool {
    matches!(outcome, "connected" | "refused")
}

/// What a node is spoken to by, the system's own address first. Where it is not known which way
/// SSH came, that one alone.
fn spoken_to(interfaces: &[Interface], control: Option<IpAddr>, data: IpAddr) -> Vec<IpAddr> {
    let mut addresses = vec![data];
    let Some(control) = control else {
        return addresses;
    };
    for interface in interfaces {
        let has = |address| interface.addresses.contains(&address);
        if has(control) && !has(data) {
            continue;
        }
        addresses.extend(interface.addresses.iter().filter(|a| **a != data && !a.is_loopback()));
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, addresses: &[&str]) -> Interface {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Interface { name: name.to_owned(), addresses }
    }

    fn ips(addresses: &[&str]) -> Vec<IpAddr> {
        interface("", addresses).addresses
    }

    #[test]
    fn the_way_that_ssh_came_is_left_alone_unless_it_is_the_only_one() {
        let two = [interface("ctl0", &["10.0.0.1", "fd01::1"]), interface("data0", &["10.1.0.1"])];
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let of = |interfaces: &[Interface], control: &str, data: &str| {
            spoken_to(interfaces, Some(ip(control)), ip(data))
        };
        assert_eq!(of(&two, "10.0.0.1", "10.1.0.1"), ips(&["10.1.0.1"]));
        let one = [interface("eth0", &["10.0.0.1", "fd01::1", "10.2.0.1"])];
        assert_eq!(of(&one, "10.0.0.1", "10.0.0.1"), ips(&["10.0.0.1", "fd01::1", "10.2.0.1"]));
        // The system listens elsewhere than SSH, on the same interface.
        assert_eq!(of(&one, "10.0.0.1", "10.2.0.1"), ips(&["10.2.0.1", "10.0.0.1", "fd01::1"]));
        assert_eq!(spoken_to(&two, None, ip("10.1.0.1")), ips(&["10.1.0.1"]));
    }

    #[test]
    fn what_a_node_has_itself_or_does_not_speak_is_not_dropped_there() {
        let bridge = "172.17.0.1";
        let nodes = vec![ips(&["10.0.0.1", bridge]), ips(&["10.0.0.2", bridge, "fd00::2"])];
        let mut peers = Peers { nodes, ..Peers::default() };
        assert_eq!(peers.dropped(0, 1), ips(&["10.0.0.2"]));
        peers.nodes[0].push("fd00::1".parse().unwrap());
        assert_eq!(peers.dropped(0, 1), ips(&["10.0.0.2", "fd00::2"]));
        let listens: SocketAddr = "10.0.0.2:7".parse().unwrap();
        assert_eq!(peers.probed(0, 1, listens), [listens], "none answered before");
    }
}
