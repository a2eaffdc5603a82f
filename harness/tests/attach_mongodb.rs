//! Attaching to a MongoDB replica set that exists: only what was allowed happens to it, nothing is
//! left in it, and no secret leaves the harness.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

mod support;

use std::process::Stdio;
use std::time::Duration;

use mongodb::bson::doc;
use support::mongo_site::{MongoSite, mongodb_here};
use support::{errors, only_run, wait_until};

const LONG: Duration = Duration::from_secs(30);
const SECURE: &str = "uri = \"mongodb://app@/?replicaSet=splitbrain\"\n\
                      ca = \"ca.pem\"\npassword_file = \"password\"";
/// Few sessions: an unoptimised build takes its time with keys and passwords.
const CALM: [&str; 4] = ["--time-limit", "5s", "--sessions", "4"];

#[test]
fn only_the_workload_runs_unless_more_is_allowed_and_refusals_say_what_is_missing() {
    if !mongodb_here() {
        return;
    }
    let set = MongoSite::up("mcalm");
    set.inventory("calm.toml", "", SECURE);
    let (code, said) = set.site.run("calm.toml", &[&["--name", "calm"][..], &CALM].concat());
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(set.databases(), [""; 0], "its database is gone");
    let run = only_run(set.site.folder.path(), "calm");
    let info = std::fs::read_to_string(run.join("run.json")).unwrap();
    assert!(info.contains("\"attached\": true"), "{info}");
    assert!(info.contains("\"default_write_concern\": \"majority\""), "{info}");
    assert!(!run.join("logs").exists(), "other people's logs stay where they are");
    let line = said.lines().find(|line| line.contains("lost-writes")).unwrap_or_default();
    assert!(line.contains("valid") && line.contains("  promised"), "{said}");

    // The gate.
    for (fault, line) in [("kill:leader", "[\"process\"]"), ("isolate:leader", "[\"network\"]")] {
        let (code, said) = set.site.run("calm.toml", &["--fault", fault]);
        assert_eq!(code, Some(64), "{said}");
        assert!(said.contains("calm.toml: allow: ") && said.contains(line), "{said}");
    }
    let built = ["--set", "mongodb.election_timeout_ms=1000"];
    let (code, said) = set.site.run("calm.toml", &built);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("election_timeout_ms describes a cluster that splitbrain"), "{said}");

    endpoints(&set);
    certificates(&set);
    refusals(&set);
    assert_eq!(set.databases(), [""; 0]);
    set.site.no_password_in_runs();
}

/// Nodes without SSH: the workload runs and is checked, faults are refused by their names. One that
/// is no member is refused before anybody logs in.
fn endpoints(set: &MongoSite) {
    let managed = |name: &str, port: u16| {
        let mut text = format!(
            "cluster_id = \"x\"\nallow = [\"process\", \"network\"]\n[attach]\n\
             system = \"mongodb\"\npassword_file = \"password\"\nsslmode = \"require\"\n\
             uri = \"mongodb://app@198.19.0.11:{port},198.19.0.12,198.19.0.13/\"\n"
        );
        for (name, number) in [("main", 11), ("second", 12), ("third", 13)] {
            text.push_str(&format!(
                "[[endpoint]]\nname = \"{name}\"\naddress = \"198.19.0.{number}\"\n"
            ));
        }
        set.site.write(name, &text, 0o644);
    };
    managed("managed.toml", 27_017);
    let flags = [&["--name", "managed"][..], &CALM].concat();
    let (code, said) = set.site.run("managed.toml", &flags);
    assert_eq!(code, Some(0), "{said}");
    for (fault, part) in [
        ("kill:second", "kill:second is refused: the endpoint second is to be hit"),
        ("isolate:leader", "the endpoint main might be hit"),
    ] {
        let (code, said) = set.site.run("managed.toml", &["--fault", fault]);
        assert_eq!(code, Some(64), "{said}");
        assert!(said.contains(part), "{said}");
    }
    set.site.on("n1", &MongoSite::start("alone")[2]);
    managed("alone.toml", 27_018);
    let (code, said) = set.site.run("alone.toml", &[]);
    assert_eq!(code, Some(75), "{said}");
    assert!(said.contains("node main is of no replica set: it stands alone"), "{said}");
}

/// A certificate of our own instead of a password; and an authority that is not theirs.
fn certificates(set: &MongoSite) {
    let with = "uri = \"mongodb:///?authMechanism=MONGODB-X509\"\nca = \"ca.pem\"\n\
                client_cert = \"both.pem\"";
    set.inventory("certified.toml", "", with);
    let flags = [&["--name", "certified"][..], &CALM].concat();
    let (code, said) = set.site.run("certified.toml", &flags);
    assert_eq!(code, Some(0), "{said}");
    set.inventory("old.toml", "", &with.replace("both.pem", "old-both.pem"));
    let (code, said) = set.site.run("old.toml", &flags);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("old-both.pem: its certificate is of X.509 version 1"), "{said}");
    set.inventory("other.toml", "", &SECURE.replace("ca.pem", "other.pem"));
    let (code, said) = set.site.run("other.toml", &[]);
    assert_eq!(code, Some(75), "{said}");
    assert!(said.contains("node a (198.19.0.11:27017)") && said.contains("certificate"), "{said}");
}

/// What is refused is said once, with what is missing.
fn refusals(set: &MongoSite) {
    let refused = "Authentication failed";
    set.site.write("wrong", "not-it", 0o600);
    set.inventory("wrong.toml", "", &SECURE.replace("\"password\"", "\"wrong\""));
    let before = set.logged(refused);
    let (code, said) = set.site.run("wrong.toml", &[]);
    assert_eq!(code, Some(75), "{said}");
    assert!(said.contains("node a (198.19.0.11:27017)"), "{said}");
    assert!(said.contains("nothing else was tried, on no node"), "{said}");
    assert_eq!(set.logged(refused) - before, 1, "one attempt on one node");
    for (from, to, part) in [
        ("replicaSet=splitbrain", "replicaSet=rs9", "node a is of the replica set splitbrain"),
        ("app@", "nobody@", "[{ role: \"clusterMonitor\", db: \"admin\" }])"),
        ("app@", "watcher@", "[{ role: \"readWriteAnyDatabase\", db: \"admin\" }])"),
    ] {
        set.inventory("poor.toml", "", &SECURE.replace(from, to));
        let (code, said) = set.site.run("poor.toml", &[]);
        assert_eq!(code, Some(75), "{said}");
        assert!(said.contains(part), "{said}");
        assert!(!said.contains("is left"), "{said}");
    }
}

const OPEN: &str = "cluster_id = \"staging\"\nallow = [\"process\", \"network\"]";

#[test]
fn what_is_allowed_happens_and_is_undone_and_what_a_dead_run_left_is_healed() {
    if !mongodb_here() {
        return;
    }
    let set = MongoSite::up("mopen");
    let families = "[\"process\", \"network\", \"failover\", \"disk\"]";
    let marker =
        format!("cluster_id = \"staging\"\nallow = {families}\nexpires = \"2099-01-01\"\n");
    for host in ["n1", "n2", "n3"] {
        set.site.on(host, &format!("printf '%s' '{marker}' > /etc/splitbrain.allow"));
    }
    set.inventory("open.toml", OPEN, SECURE);
    let faults = ["--fault", "kill:leader@1s+1s", "--fault", "isolate:leader@10s+3s"];
    let more = ["--name", "hit", "--time-limit", "14s", "--sessions", "5"];
    let flags = [&more[..], &faults].concat();
    let dry = [&["run", "--hosts-file", "open.toml", "--dry-run"], &flags[..]].concat();
    let plan = String::from_utf8_lossy(&set.site.splitbrain(&dry).stdout).into_owned();
    assert!(plan.contains("holder-of:") && plan.contains("splitbrain_owner"), "{plan}");
    let (code, said) = set.site.run("open.toml", &flags);
    // How much is done between the faults is a matter of the machine, and may be too little.
    assert!(matches!(code, Some(0 | 2)), "{said}");
    let run = only_run(set.site.folder.path(), "hit");
    let faults = std::fs::read_to_string(run.join("faults.jsonl")).unwrap();
    let there = |line: &&str| line.contains("\"phase\":\"evidenced\"");
    let mut there = faults.lines().filter(there);
    assert!(there.all(|line| line.contains("\"result\":\"installed\"")), "{faults}");
    assert!(said.contains("won elections: "), "{said}");
    assert_eq!(set.databases(), [""; 0]);

    // By the addresses of the other network nothing would be cut.
    let text = std::fs::read_to_string(set.site.folder.path().join("open.toml")).unwrap();
    let text = text.replace("data_address = \"198.19", "data_address = \"198.18");
    let text = text.replace("ca = \"ca.pem\"", "sslmode = \"require\"");
    set.site.write("wrong-net.toml", &text, 0o644);
    let (code, said) = set.site.run("wrong-net.toml", &flags);
    assert_eq!(code, Some(75), "{said}");
    assert!(said.contains("other members know it as 198.19.0.11:27017"), "{said}");

    // Where others' writes are on one member alone, what a cut loses is theirs.
    let one = doc! { "setDefaultRWConcern": 1, "defaultWriteConcern": { "w": 1 } };
    set.ask("admin", one);
    let (code, said) = set.site.run("open.toml", &flags);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("the line data_is_disposable = true"), "{said}");
    assert_eq!(set.databases(), [""; 0]);

    // What the user lacks for it is said before anything is done.
    let top = format!("cluster_id = \"staging\"\nallow = {families}\ndata_is_disposable = true");
    set.inventory("down.toml", &top, SECURE);
    let (code, said) = set.site.run("down.toml", &["--fault", "step-down"]);
    assert_eq!(code, Some(75), "{said}");
    assert!(said.contains("[{ role: \"clusterManager\", db: \"admin\" }])"), "{said}");
    disk(&set);
    dead_run(&set);
    set.site.no_password_in_runs();
}

/// A layer is laid under a member that exists, and taken away again.
fn disk(set: &MongoSite) {
    let flags = ["--name", "disk", "--fault", "slow-sync:b@2s+1s,delay=100ms"];
    let more = ["--time-limit", "5s", "--sessions", "4"];
    let (code, said) = set.site.run("down.toml", &[flags, more].concat());
    // How much is done in so short a time is a matter of the machine.
    assert!(matches!(code, Some(0 | 2)), "{said}");
    let run = only_run(set.site.folder.path(), "disk");
    let faults = std::fs::read_to_string(run.join("faults.jsonl")).unwrap();
    let effects = faults.lines().filter(|line| line.contains("\"result\":\"installed\""));
    assert_eq!(effects.count(), 2, "made and healed: {faults}");
    assert_eq!(set.site.on("n2", "grep ^splitbrain /proc/mounts || true"), "", "no layer is left");
}

/// What a harness that was killed has left is told, and removed when asked.
fn dead_run(set: &MongoSite) {
    set.inventory("one.toml", "", SECURE);
    let flags = ["run", "--hosts-file", "one.toml", "--name", "killed", "--time-limit", "60s"];
    let mut killed = set.site.command(&flags).stderr(Stdio::null()).spawn().unwrap();
    let runs = set.site.folder.path().join("runs/killed");
    wait_until("the run records", LONG, || {
        let run = std::fs::read_dir(&runs).ok().and_then(|mut runs| runs.next());
        let path = run.and_then(Result::ok).map(|run| run.path().join("history.jsonl"));
        path.and_then(|path| std::fs::metadata(path).ok()).is_some_and(|m| 20_000 < m.len())
    });
    killed.kill().unwrap();
    killed.wait().unwrap();
    let left = set.databases().join(" ");
    assert!(left.starts_with("splitbrain_"), "a killed harness cannot remove it");
    let heal = |flags: &[&str]| {
        let output = set.site.splitbrain(&[&["heal", "--hosts", "one.toml"], flags].concat());
        assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let told = heal(&[]);
    assert!(told.contains(&left) && told.contains("splitbrain run killed/"), "{told}");
    let told = heal(&["--remove-databases"]);
    assert!(told.contains(&format!("removed the database {left} (splitbrain run ")), "{told}");
    assert!(heal(&["--remove-databases"]).contains("no database of a run is left"));
    assert_eq!(set.databases(), [""; 0]);
}
