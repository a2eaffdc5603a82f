//! What a network fault is about: all addresses of a host, clients and peers told apart; and what
//! hosts lack is said before anything is built on them.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

mod support;

use std::path::Path;

use serde_json::Value;
use support::site::Site;
use support::{errors, lab_works, only_run, run};

/// Three hosts, named a, b and c, for the bundled store.
fn inventory(site: &Site, name: &str, top: &str) {
    let mut text = format!("{top}\n");
    for (number, host) in [(11, "a"), (12, "b"), (13, "c")] {
        text.push_str(&format!(
            "[[host]]\nname = \"{host}\"\naddress = \"198.18.0.{number}\"\n\
             data_address = \"198.19.0.{number}\"\nkey = \"/run/splitbrain-lab/keys/user\"\n\
             known_hosts = \"/run/splitbrain-lab/keys/known_hosts\"\n"
        ));
    }
    site.write(name, &text, 0o644);
}

/// Lets the inventory's cluster be hurt, on every host.
fn markers(site: &Site, families: &str) {
    let marker =
        format!("cluster_id = \"net\"\\nallow = [{families}]\\nexpires = \"2099-01-01\"\\n");
    for host in ["n1", "n2", "n3"] {
        site.on(host, &format!("printf '{marker}' > /etc/splitbrain.allow"));
    }
}

/// The lines of a run's `faults.jsonl`.
fn faults(run: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(run.join("faults.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What was probed in a phase of a fault's life.
fn probes<'a>(lines: &'a [Value], id: &str, phase: &str) -> Vec<&'a Value> {
    let line = lines.iter().find(|line| line["id"] == id && line["phase"] == phase);
    let line = line.unwrap_or_else(|| panic!("{id} has no line {phase}: {lines:?}"));
    let probes: Vec<&Value> = line["evidence"].as_array().unwrap().iter().collect();
    assert!(!probes.is_empty() && probes.iter().all(|probe| probe["holds"] == true), "{line}");
    probes
}

#[test]
fn all_addresses_are_cut_and_what_hosts_lack_is_said_before_anything_is_built() {
    if !lab_works() {
        return;
    }
    let site = Site::bare("net");
    for number in 1..=3 {
        let more = format!(
            "ip addr add 198.19.1.1{number}/24 dev data0 && \
             ip -6 addr add fd19::1{number}/64 dev data0 nodad"
        );
        site.on(&format!("n{number}"), &more);
    }
    markers(&site, "\"network\", \"disk\"");
    let families = "allow = [\"network\", \"disk\"]\ndata_is_disposable = true";
    inventory(&site, "net.toml", &format!("cluster_id = \"net\"\n{families}"));

    let flags = ["--replication", "sync", "--time-limit", "6s", "--seed", "3", "--name", "cut"];
    let cut = ["--fault", "isolate:b@2s+1s"];
    let (code, said) = site.run("net.toml", &[&flags[..], &cut].concat());
    assert!(code.is_some_and(|code| code == 0 || code == 2), "{said}");
    let lines = faults(&only_run(site.folder.path(), "cut"));
    for (phase, observed) in [("evidenced", "timeout"), ("healed", "reachable")] {
        let probes = probes(&lines, "f1", phase);
        assert_eq!(probes.len(), 4, "{phase}");
        for probe in probes {
            let seen = probe["observed"].as_str().unwrap();
            // Where the store listens a connection is made; at the others it is refused.
            let each = match observed {
                "timeout" => seen == "timeout, by each of 3 addresses",
                _ => seen.contains("fd19::1") && seen.contains("198.19.1.1"),
            };
            assert!(each || seen == "connected, by each of 3 addresses", "{phase}: {probe}");
        }
    }

    site.on("n2", "rm $(which nft) $(which iptables-restore)");
    site.on("n3", "umount /dev/fuse; rm -f /dev/fuse");
    let lost = ["--fault", "halves", "--fault", "loss", "--fault", "disk-full"];
    let named = ["--name", "lacking"];
    let (code, said) = site.run("net.toml", &[&lost[..], &named].concat());
    assert_eq!(code, Some(75), "{said}");
    for part in [
        "b: dropping packets (nft, or iptables) for halves: nft: is not there; iptables: is not",
        "b: shaping packets (iptables with NFQUEUE) for loss: iptables is not there; install ipt",
        "c: disk layers (FUSE) for disk-full: /dev/fuse: ",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("\n  a: "), "{said}");
    let doctor = site.splitbrain(&["doctor", "--hosts", "net.toml", "--json"]);
    assert_eq!(doctor.status.code(), Some(75), "{}", errors(&doctor));
    let told: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let lacking = |place: usize| {
        let lacking = told["hosts"][place]["lacking"].as_array().unwrap();
        lacking.iter().map(|lack| lack["means"].as_str().unwrap()).collect::<Vec<_>>()
    };
    assert!(lacking(1).starts_with(&["drop", "queue", "duplicate"]), "{told}");
    assert!(lacking(2).contains(&"disk") && !lacking(0).contains(&"drop"), "{told}");
}

#[test]
fn clients_are_cut_from_a_node_that_its_peers_reach() {
    for lab in ["local", "sim"] {
        if lab == "local" && !lab_works() {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        let flags = ["run", "--lab", lab, "--name", "clients", "--seed", "3", "--time-limit", "6s"];
        let more = ["--replication", "sync", "--fault", "clients-cut:n1@2s+1500ms"];
        let output = run(&[&flags[..], &more].concat(), folder.path());
        let said = errors(&output);
        assert!(output.status.code().is_some_and(|code| code == 0 || code == 2), "{said}");
        let run = only_run(folder.path(), "clients");
        let lines = faults(&run);
        let seen = probes(&lines, "f1", "evidenced");
        assert_eq!(seen[0]["probe"], "clients -> n1");
        assert_eq!(seen[0]["expected"], "unreachable");
        if lab == "local" {
            let peers: Vec<&Value> = seen[1..].iter().map(|probe| &probe["probe"]).collect();
            assert_eq!(peers, ["n2 -> n1", "n3 -> n1"]);
        }
        assert_eq!(probes(&lines, "f1", "healed")[0]["expected"], "reachable");
        // The control path, by which telemetry comes, is not touched.
        let telemetry = std::fs::read_to_string(run.join("telemetry.jsonl")).unwrap();
        let of_n1 = telemetry.lines().filter(|line| line.contains("\"node\":\"n1\""));
        let mut samples = of_n1.map(|line| serde_json::from_str::<Value>(line).unwrap());
        assert!(samples.all(|sample| sample["alive"] == true), "{lab}");
        // Nobody got an answer of n1 while it lasted, but for the first moments.
        let history = std::fs::read_to_string(run.join("history.jsonl")).unwrap();
        let cut = 2_300_000_000..3_400_000_000_i64;
        let answered = history.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let answered = answered.filter(|event| {
            let at = event["time"].as_i64().is_some_and(|time| cut.contains(&time));
            at && event["type"] == "ok" && event["node"] == "n1"
        });
        assert_eq!(answered.count(), 0, "{lab}: {said}");
    }
}
