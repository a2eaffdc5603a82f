//! What a network fault is about: all addresses of a host, clients and peers told apart; and what
//! hosts lack is said before anything is built on them.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

mod support;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use support::site::{Site, hosts, postgres_here};
use support::{errors, lab_works, only_run, run, wait_until};

/// Where the bundled store listens.
const STORE_PORT: u16 = 7_000;

/// Three hosts, named a, b and c, for the bundled store.
fn inventory(site: &Site, name: &str, top: &str) {
    let text = format!("{top}\n{}", hosts());
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

    site.on("n2", "rm $(which iptables-restore)");
    site.on("n3", "umount /dev/fuse; rm -f /dev/fuse");
    let lost = ["--fault", "halves", "--fault", "loss", "--fault", "disk-full"];
    let named = ["--name", "lacking"];
    let (code, said) = site.run("net.toml", &[&lost[..], &named].concat());
    assert_eq!(code, Some(75), "{said}");
    for part in [
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
    assert!(lacking(1).starts_with(&["queue", "duplicate"]), "{told}");
    assert!(lacking(2).contains(&"disk") && !lacking(0).contains(&"queue"), "{told}");

    // Hosts that are namespaces of this machine have its clock, which is nobody's to move.
    assert!(told["hosts"].to_string().matches("it is a container").count() == 3, "{told}");
    markers(&site, "\"clock\"");
    inventory(&site, "clock.toml", "cluster_id = \"net\"\nallow = [\"clock\"]\n");
    let bump = ["--fault", "clock-bump:a", "--name", "clock", "--replication", "sync"];
    let (code, said) = site.run("clock.toml", &bump);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("a and b, c are one machine, with one clock"), "{said}");
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

#[test]
fn regions_are_as_far_apart_as_asked_and_are_cut_and_lost_as_wholes() {
    let regions = ["--region", "eu-north=n1+n2", "--region", "eu-west=n3+n4", "--region", "us=n5"];
    let cut = ["--fault", "region-cut:region:eu-west@1500ms+1s"];
    let lost = ["--fault", "region-lost:n5@3500ms+1s", "--fault", "region-lost:n5@5s+1s,how=pause"];
    for lab in ["local", "sim"] {
        if lab == "local" && !lab_works() {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        let flags = ["run", "--lab", lab, "--hosts", "5", "--name", "regions", "--seed", "3"];
        let more = ["--time-limit", "6500ms", "--set", "store.election_timeout_ms=900"];
        let mut flags = [&flags[..], &more, &regions, &cut, &lost].concat();
        if lab == "local" {
            flags.extend([
                "--latency",
                "profile",
                "--latency",
                "us/eu-west=120ms",
                "--pcap=256KiB",
            ]);
        }
        let output = run(&flags, folder.path());
        let said = errors(&output);
        assert!(output.status.code().is_some_and(|code| code <= 2), "{said}");
        let run = only_run(folder.path(), "regions");
        let lines = faults(&run);
        let probed = probes(&lines, "f1", "evidenced");
        // Two nodes and three, each way.
        assert_eq!(probed.len(), 12, "{lab}");
        assert!(probed.iter().all(|probe| probe["expected"] == "unreachable"));
        probes(&lines, "f1", "healed");
        for (id, state) in [("f2", "absent"), ("f3", "stopped")] {
            let probed = probes(&lines, id, "evidenced");
            let seen: Vec<_> = probed.iter().map(|p| p["expected"].as_str().unwrap()).collect();
            assert_eq!(seen, [state], "{lab}");
            assert_eq!(probes(&lines, id, "healed")[0]["expected"], "running");
        }
        if lab == "local" {
            latencies(&run);
            captured(&run, &said);
        }
    }
}

/// What was asked for and measured between each two regions.
fn latencies(run: &Path) {
    let info: Value =
        serde_json::from_slice(&std::fs::read(run.join("run.json")).unwrap()).unwrap();
    let config = info["config"].as_str().unwrap();
    assert!(config.contains("eu-west = [\"n3\", \"n4\"]"), "{config}");
    for (between, least, most) in [
        ("eu-north/eu-north", 1.0, 1.0),
        ("eu-north/eu-west", 10.0, 50.0),
        ("eu-north/us", 100.0, 300.0),
        ("eu-west/us", 120.0, 120.0),
    ] {
        let fact = info["host_facts"][format!("round trip {between}")].as_str().unwrap();
        let mut numbers = fact.split([' ', ',']).filter_map(|word| word.parse::<f64>().ok());
        let asked = numbers.next().unwrap();
        assert!((least..=most).contains(&asked), "{between}: {fact}");
        for seen in numbers {
            assert!((seen - asked).abs() <= asked / 5.0 + 1.0, "{between}: {fact}");
        }
    }
}

/// Files that any reader opens, within the bound, with packets of the store's port in them.
fn captured(run: &Path, said: &str) {
    for node in ["n1", "n5"] {
        let folder = run.join("nodes").join(node);
        let files = std::fs::read_dir(&folder).unwrap_or_else(|_| panic!("{node}: {said}"));
        let files: Vec<Vec<u8>> =
            files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
        assert!(files.iter().map(Vec::len).sum::<usize>() <= 256 << 10, "{node}");
        let (mut packets, mut of_the_store) = (0, 0);
        for file in &files {
            assert_eq!(file[..4], 0xa1b2_c3d4_u32.to_le_bytes(), "{node}");
            let mut at = 24;
            while at < file.len() {
                let length = u32::from_le_bytes(file[at + 8..at + 12].try_into().unwrap()) as usize;
                let packet = &file[at + 16..at + 16 + length];
                packets += 1;
                // Ethernet, IPv4 without options, TCP: the ports.
                let is_tcp = packet.len() > 38 && packet[12..15] == [8, 0, 0x45] && packet[23] == 6;
                let port = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
                of_the_store += usize::from(is_tcp && [port(34), port(36)].contains(&STORE_PORT));
                at += 16 + length;
            }
            assert_eq!(at, file.len(), "{node}: the last packet is whole");
        }
        assert!(50 < packets && 20 < of_the_store, "{node}: {packets}, {of_the_store}");
    }
}

#[test]
fn what_regions_there_are_not_is_said_first() {
    let folder = tempfile::tempdir().unwrap();
    for (flags, part) in [
        (&["--fault", "region-cut"] as &[&str], "region-cut:a-region is refused: no node is in a"),
        (&["--fault", "kill:region:eu"], "kill:region:eu is refused: no node is in a region"),
        (&["--region", "eu=n1", "--fault", "kill:region:us"], "there is no region us"),
        (&["--region", "eu=n1+n2+n3", "--fault", "region-cut"], "all 3 nodes are in eu"),
        (&["--region", "eu=n1+n7"], "region eu: there is no node n7"),
        (&["--region", "eu"], "is not REGION=NODE+NODE"),
        (&["--latency", "profile"], "there are no regions whose latency could be made"),
        (&["--pcap=3TB"], "\"3TB\" is not a size from 64KiB to 1GiB"),
        (&["--lab", "sim", "--pcap"], "there is nothing to capture"),
        (&["--lab", "sim", "--region", "eu=n1", "--latency", "eu/eu=2ms"], "a latency is refused"),
    ] {
        let output = run(&[&["run"], flags].concat(), folder.path());
        assert_eq!(output.status.code(), Some(64), "{flags:?}: {}", errors(&output));
        assert!(errors(&output).contains(part), "{flags:?}: {}", errors(&output));
    }
}

/// What a dry run says, with what only hosts know in its place.
fn planned(site: &Site, system: &str) -> Vec<String> {
    let dry =
        site.splitbrain(&["run", "--hosts-file", "plain.toml", "--system", system, "--dry-run"]);
    assert_eq!(dry.status.code(), Some(0), "{}", errors(&dry));
    let bin = site.on("n1", "ls -d /usr/lib/postgresql/*/bin | sort -rV | head -n 1");
    let text = String::from_utf8_lossy(&dry.stdout).replace("BIN/", &format!("{}/", bin.trim()));
    text.lines().map(|line| line.trim_start().to_owned()).collect()
}

/// Every command and file of a run, and every process that it starts, is a line of the dry run.
#[test]
fn what_is_run_on_hosts_is_what_a_dry_run_has_said() {
    if !lab_works() || !postgres_here() {
        return;
    }
    let site = Site::bare("dry");
    inventory(&site, "plain.toml", "");
    for system in ["store", "postgres"] {
        let planned = planned(&site, system);
        let flags = ["--system", system, "--name", system, "--time-limit", "1s"];
        let (code, said) = site.run("plain.toml", &flags);
        assert!(code.is_some_and(|code| code == 0 || code == 2), "{said}");
        let path = only_run(site.folder.path(), system).join("commands.jsonl");
        let text = std::fs::read_to_string(path).unwrap();
        let mut counts = [0; 3];
        for line in text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
            let (host, what) = (line["host"].as_str().unwrap(), line["what"].as_str().unwrap());
            // The bundled store's program is named by a hash.
            let hash = what.split(['-', ' ', ',', '"', '\'']).find(|word| word.len() == 16);
            let what = match hash.filter(|_| what.contains("/store-")) {
                Some(hash) => what.replace(hash, "HASH"),
                None => what.to_owned(),
            };
            let (kind, named) = match line["by"].as_str().unwrap() {
                "command" => (0, planned.contains(&format!("{host}: {what}"))),
                "upload" => {
                    let path = what.split(',').next().unwrap();
                    let (folder, file) = path.rsplit_once('/').unwrap();
                    let begin = format!("{host}: write {folder}/");
                    (1, planned.iter().any(|l| l.starts_with(&begin) && l.contains(file)))
                }
                "agent" if what.starts_with("{\"ask\":\"start\"") => {
                    let ask: Value = serde_json::from_str(&what).unwrap();
                    let argv = ask["start"]["argv"].as_array().unwrap().iter();
                    let argv: Vec<&str> = argv.map(|word| word.as_str().unwrap()).collect();
                    (2, planned.contains(&format!("{host}: start: {}", argv.join(" "))))
                }
                _ => continue,
            };
            counts[kind] += 1;
            assert!(
                named,
                "{host} was told, and the dry run is silent of it: {line}\n{planned:#?}"
            );
        }
        assert!(counts.iter().all(|count| 3 <= *count), "{system}: {counts:?} of {text}");
    }
}

/// What stands in for systemd on a host: it notes what it is told, and runs the command as a timer
/// would, but every second.
const SYSTEMD_RUN: &str = "#!/bin/sh\necho \"$@\" >> /run/timer-told\n\
    while [ \"$1\" != -- ]; do shift; done; shift\n\
    (while sleep 1 && [ ! -e /run/timer-over ]; do \"$@\"; done) >> /run/timer-said 2>&1 &\n";
const SYSTEMCTL: &str = "#!/bin/sh\necho \"$@\" >> /run/systemctl-told\n\
    case \"$*\" in \"stop splitbrain-heal_\"*) touch /run/timer-over;; esac\n";

#[test]
fn a_timer_of_the_service_manager_heals_when_worker_and_guardian_are_both_killed() {
    if !lab_works() {
        return;
    }
    let site = Site::bare("timer");
    for (program, text) in [("systemd-run", SYSTEMD_RUN), ("systemctl", SYSTEMCTL)] {
        let path = format!("/usr/local/bin/{program}");
        site.on("n1", &format!("printf '%s' '{text}' > {path} && chmod 755 {path}"));
    }
    site.on("n1", "mkdir -p /run/systemd/system");
    markers(&site, "\"process\"");
    inventory(&site, "timer.toml", "cluster_id = \"net\"\nallow = [\"process\"]\n");
    let flags = ["run", "--hosts-file", "timer.toml", "--replication", "sync", "--name", "timer"];
    let more = ["--fault", "pause:a@1s+60s", "--time-limit", "70s"];
    let mut harness = site.command(&[&flags[..], &more].concat());
    let mut child = harness.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let long = Duration::from_secs(20);
    let stopped = || site.on("n1", "cat /proc/[0-9]*/stat | grep -c ') T ' || true").trim() != "0";
    wait_until("a is stopped", long, stopped);
    // A harness that hears of it would heal over SSH itself.
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();
    // All of the agent at once, as a host short of memory might.
    // Stopped first, so that none sees another die and undoes before its own turn.
    let all = "pids=$(pgrep -f 'splitbrain/[a]gent-.* serve'); kill -STOP $pids; kill -9 $pids";
    site.on("n1", all);
    wait_until("the timer has let it go on", long, || !stopped());
    let told = site.on("n1", "cat /run/timer-told");
    let words: Vec<&str> = told.trim().split(' ').collect();
    assert_eq!(words[..2], ["--quiet", "--collect"], "{told}");
    assert!(words[2].starts_with("--unit=splitbrain-heal_timer_"), "{told}");
    let every = ["--on-active=10s", "--on-unit-active=10s", "--timer-property=AccuracySec=1s"];
    assert_eq!(words[3..6], every, "{told}");
    assert!(words[7].starts_with("/run/splitbrain/agent-"), "{told}");
    assert_eq!((words[6], words[8], words.len()), ("--", "heal-abandoned", 10), "{told}");
    wait_until("the timer is taken away", long, || {
        site.on("n1", "cat /run/systemctl-told 2>/dev/null || true").contains(".timer")
    });
    child.kill().unwrap();
    child.wait().unwrap();
    // It says what it did when all is done, after it took the timer away.
    wait_until("the timer's command has said what it did", long, || {
        site.on("n1", "cat /run/timer-said").contains("continued process")
    });
}
