//! The addresses of this host: all that others may speak to it by, told by interface.

use std::collections::BTreeMap;
use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use serde::{Deserialize, Serialize};

/// An interface that is up, and is not the loopback.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its addresses but those of the link alone, by which neighbours are found.
    pub addresses: Vec<IpAddr>,
}

/// All interfaces that have an address, by name.
pub fn interfaces() -> Result<Vec<Interface>, String> {
    let mut found: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    for entry in getifaddrs().map_err(|error| format!("interfaces: {error}"))? {
        let up = entry.flags.contains(InterfaceFlags::IFF_UP);
        if !up || entry.flags.contains(InterfaceFlags::IFF_LOOPBACK) {
            continue;
        }
        let Some(address) = entry.address else {
            continue;
        };
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        let v6 = address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip()));
        if let Some(address) = v4.or(v6).filter(|address| !of_link(address)) {
            found.entry(entry.interface_name).or_default().push(address);
        }
    }
    Ok(found.into_iter().map(|(name, addresses)| Interface { name, addresses }).collect())
}

/// Whether an address is of the link alone: another host may have the same on another link.
fn of_link(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_the_loopback_nor_what_is_of_a_link_alone_is_told() {
        for interface in interfaces().unwrap() {
            let unfit = |address: &&IpAddr| address.is_loopback() || of_link(address);
            assert_eq!(interface.addresses.iter().find(unfit), None, "{interface:?}");
        }
        for (address, link) in [("fe80::1", true), ("169.254.1.1", true), ("fd00::1", false)] {
            assert_eq!(of_link(&address.parse().unwrap()), link);
        }
    }
}
