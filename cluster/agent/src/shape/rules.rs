//! The rules that send packets to a shaper, or twice over: chains of our own in table `mangle`.
//!
//! In `mangle` and not in `filter`, because a packet that a shaper lets pass goes on behind the
//! table that it was taken from: in `filter` it would be spared the host's own firewall.
//! By iptables and not by nft, because some kernels know NFQUEUE as a target of iptables alone.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;

use super::MILLION;
use crate::packet_filter::{own_connection, run};

/// Where rules of ours are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hook {
    Input,
    Postrouting,
}

const FAMILIES: [(&str, bool); 2] = [("iptables", true), ("ip6tables", false)];

/// Sends what comes from these addresses to a queue, or lets it pass if nobody takes from that.
pub fn queue(name: &str, from: &[IpAddr], queue: u16) -> Result<(), String> {
    install(name, Hook::Input, from, &|address| {
        format!("-s {address} -j NFQUEUE --queue-num {queue} --queue-bypass")
    })
}

/// Sends a share of what goes to these addresses, in parts of a million, twice.
pub fn duplicate(name: &str, to: &[IpAddr], share: u32) -> Result<(), String> {
    let probability = f64::from(share) / f64::from(MILLION);
    install(name, Hook::Postrouting, to, &|address| {
        format!(
            "-d {address} -m statistic --mode random --probability {probability:.6} \
             -j TEE --gateway {address}"
        )
    })
}

/// All rules of a family in one go; loopback and the connection that this agent is spoken to by
/// are left alone.
fn install(
    name: &str,
    hook: Hook,
    peers: &[IpAddr],
    rule: &dyn Fn(&IpAddr) -> String,
) -> Result<(), String> {
    for (program, v4) in FAMILIES {
        let addresses: Vec<&IpAddr> = peers.iter().filter(|peer| peer.is_ipv4() == v4).collect();
        if addresses.is_empty() {
            continue;
        }
        let (chain, interface, host, port) = match hook {
            Hook::Input => ("INPUT", "-i", "-s", "--dport"),
            Hook::Postrouting => ("POSTROUTING", "-o", "-d", "--sport"),
        };
        let mut script = format!("*mangle\n:{name} - [0:0]\n-I {chain} 1 -j {name}\n");
        let mut add = |rule: &str| writeln!(script, "-A {name} {rule}").map_err(|e| e.to_string());
        add(&format!("{interface} lo -j RETURN"))?;
        if let Some((client, own)) = own_connection().filter(|(client, _)| client.is_ipv4() == v4) {
            add(&format!("{host} {client} -p tcp {port} {own} -j RETURN"))?;
        }
        for address in addresses {
            add(&rule(address))?;
        }
        script.push_str("COMMIT\n");
        run(&format!("{program}-restore"), &["--noflush", "--wait"], &script)?;
    }
    Ok(())
}

/// Takes a chain away and what leads to it, in one go; a second time finds nothing.
pub fn remove(name: &str) -> Result<String, String> {
    let mut removed = false;
    for (program, v4) in FAMILIES {
        let save = format!("{program}-save");
        let there = match run(&save, &["-t", "mangle"], "") {
            Ok(there) => there,
            // Without the program, or the protocol, there can be no rules of it.
            Err(_) if !v4 && !Path::new("/proc/net/if_inet6").exists() => continue,
            Err(error) if error.contains("No such file") => continue,
            Err(error) => return Err(error),
        };
        let script = removal(name, &there);
        if script.is_empty() {
            continue;
        }
        run(&format!("{program}-restore"), &["--noflush", "--wait"], &script)?;
        removed = true;
    }
    Ok(match removed {
        true => format!("deleted chain {name} of table mangle"),
        false => format!("no rules of {name} are left"),
    })
}

/// What takes `name` out of the rules as they were saved; nothing if it is not there.
fn removal(name: &str, saved: &str) -> String {
    let head = format!(":{name} ");
    if !saved.lines().any(|line| line.starts_with(&head)) {
        return String::new();
    }
    let mut script = String::from("*mangle\n");
    for line in saved.lines() {
        if let Some(rule) = line.strip_prefix("-A ")
            && rule.ends_with(&format!(" -j {name}"))
        {
            script.push_str(&format!("-D {rule}\n"));
        }
    }
    script.push_str(&format!("-F {name}\n-X {name}\nCOMMIT\n"));
    script
}

/// What a person would type.
pub fn by_hand(name: &str) -> String {
    let of = |program: &str| {
        let line = |rest: &str| format!("{program} -t mangle {rest} {name}");
        let (jump, out) = (line("-D INPUT -j"), line("-D POSTROUTING -j"));
        format!("{jump}; {out}; {}; {}", line("-F"), line("-X"))
    };
    format!("{}; {}", of("iptables"), of("ip6tables"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_ours_is_taken_away() {
        let saved = "*mangle\n:INPUT ACCEPT [1:2]\n:splitbrain_f1 - [0:0]\n\
                     :splitbrain_f10 - [0:0]\n-A INPUT -j splitbrain_f1\n\
                     -A INPUT -j splitbrain_f10\n-A INPUT -p tcp -j MARK --set-mark 1\n\
                     -A splitbrain_f1 -i lo -j RETURN\nCOMMIT\n";
        assert_eq!(
            removal("splitbrain_f1", saved),
            "*mangle\n-D INPUT -j splitbrain_f1\n-F splitbrain_f1\n-X splitbrain_f1\nCOMMIT\n"
        );
        assert_eq!(removal("splitbrain_f2", saved), "");
    }
}
