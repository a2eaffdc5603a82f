//! Drops packets by source, in a table of its own that nothing else is touched by.

use std::fmt::Write as _;
use std::io::Write;
use std::net::IpAddr;
use std::process::{Command, Stdio};

use crate::hold;
use crate::nf_tables::{self, Fate, Match};

/// The name of a fault's table; only letters, digits and underscores, whatever the fault's id.
pub fn name(fault: &str) -> String {
    let safe = fault.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
    format!("splitbrain_{}", safe.collect::<String>())
}

/// Drops what comes from these addresses; if ports are given, only what goes to those by TCP. Says
/// by what mechanism.
///
/// Loopback and the connection that this agent is spoken to by are never touched. Packets that a
/// shaper holds are dropped too, when it lets them go: the filter is behind the shaper's place.
pub fn install(name: &str, from: &[IpAddr], ports: &[u16]) -> Result<String, String> {
    let mut rules = vec![(vec![Match::Interface("lo")], Fate::Accept)];
    if let Some((client, port)) = own_connection() {
        rules.push((vec![Match::From(client), Match::ToPort(port)], Fate::Accept));
    }
    for address in from {
        let from = Match::From(*address);
        match ports {
            [] => rules.push((vec![from], Fate::Drop)),
            ports => rules
                .extend(ports.iter().map(|port| (vec![from, Match::ToPort(*port)], Fate::Drop))),
        }
    }
    match nf_tables::install(name, &rules) {
        Ok(()) => Ok("nf_tables".to_owned()),
        Err(tables) => match install_iptables(name, from, ports) {
            Ok(()) => Ok("iptables".to_owned()),
            Err(iptables) => Err(format!("nf_tables: {tables}; iptables: {iptables}")),
        },
    }
}

/// The harness's address and our sshd's port, as sshd (or the harness, where `sudo` takes the
/// variable away) says. On a machine with one network the harness may sit beside a peer.
pub(crate) fn own_connection() -> Option<(IpAddr, u16)> {
    let text = std::env::var("SSH_CONNECTION").ok()?;
    let words: Vec<&str> = text.split(' ').collect();
    let [client, _, _, port] = words[..] else {
        return None;
    };
    Some((client.parse().ok()?, port.parse().ok()?))
}

/// The address of this host that the harness's connection came to.
pub(crate) fn own_address() -> Option<IpAddr> {
    let text = std::env::var("SSH_CONNECTION").ok()?;
    text.split(' ').nth(2)?.parse().ok()
}

/// A rule's part for each port; if there are none, one rule for all.
fn narrowed(ports: &[u16], part: &dyn Fn(&u16) -> String) -> Vec<String> {
    if ports.is_empty() { vec![String::new()] } else { ports.iter().map(part).collect() }
}

fn install_iptables(name: &str, from: &[IpAddr], ports: &[u16]) -> Result<(), String> {
    for (program, v4) in [("iptables-restore", true), ("ip6tables-restore", false)] {
        let addresses = from.iter().filter(|address| address.is_ipv4() == v4);
        let mut script = format!("*filter\n:{name} - [0:0]\n-I INPUT 1 -j {name}\n");
        script.push_str(&format!("-A {name} -i lo -j ACCEPT\n"));
        if let Some((client, port)) = own_connection().filter(|(client, _)| client.is_ipv4() == v4)
        {
            let rule = format!("-A {name} -s {client} -p tcp --dport {port} -j ACCEPT\n");
            script.push_str(&rule);
        }
        let mut any = false;
        for address in addresses {
            any = true;
            for port in narrowed(ports, &|port| format!(" -p tcp --dport {port}")) {
                let added = writeln!(script, "-A {name} -s {address}{port} -j DROP");
                added.map_err(|error| error.to_string())?;
            }
        }
        script.push_str("COMMIT\n");
        if any {
            run(program, &["--noflush", "--wait"], &script)?;
        }
    }
    Ok(())
}

/// What a person would type to take the table or chain away.
pub fn by_hand(name: &str) -> String {
    format!(
        "nft delete table inet {name} || for t in iptables ip6tables; do $t -w -D INPUT -j {name}; \
         $t -w -F {name}; $t -w -X {name}; done"
    )
}

/// Takes the table or chain away; a second time finds nothing, which is as good.
pub fn remove(name: &str) -> Result<String, String> {
    let deleted = nf_tables::delete(name);
    if deleted.map_err(|error| format!("deleting table inet {name}: {error}"))? {
        return Ok(format!("deleted table inet {name}"));
    }
    let mut removed = false;
    for program in ["iptables", "ip6tables"] {
        if run(program, &["-w", "-n", "-L", name], "").is_ok() {
            run(program, &["-w", "-D", "INPUT", "-j", name], "")?;
            run(program, &["-w", "-F", name], "")?;
            run(program, &["-w", "-X", name], "")?;
            removed = true;
        }
    }
    Ok(match removed {
        true => format!("deleted chain {name}"),
        false => format!("no rules of {name} are left"),
    })
}

/// Runs a program of the host's with this input; says what it printed.
pub(crate) fn run(program: &str, arguments: &[&str], stdin: &str) -> Result<String, String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // sshd gives a short PATH to commands; the filters live in sbin.
    command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    hold::while_it_acts(&mut command);
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    if let Some(mut pipe) = child.stdin.take() {
        // A program that ended early says why on its standard error.
        drop(pipe.write_all(stdin.as_bytes()));
    }
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().replace('\n', " ")),
    }
}
