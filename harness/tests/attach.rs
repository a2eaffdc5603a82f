//! Attaching to a PostgreSQL cluster that exists: only what was allowed happens to it, nothing is
//! left in it, and no secret leaves the harness.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

mod support;

use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use support::site::{PASSWORD, Site, postgres_here};
use support::{errors, lab_works, only_run, run, wait_until};

const LONG: Duration = Duration::from_secs(30);
const SECURE: &str = "sslmode = \"verify-full\"\nca = \"ca.pem\"\nfailover = \"none\"\n\
                      password_file = \"password\"";
const OPEN: &str = "cluster_id = \"staging\"\nallow = [\"process\", \"failover\"]\n\
                    data_is_disposable = true";

/// A run in the background, once it records.
fn started(site: &Site, inventory: &str, name: &str, flags: &[&str]) -> (Child, PathBuf) {
    let base = ["run", "--hosts-file", inventory, "--name", name];
    let limit: &[&str] =
        if flags.contains(&"--time-limit") { &[] } else { &["--time-limit", "60s"] };
    let mut command = site.command(&[&base[..], limit, flags].concat());
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    let runs = site.folder.path().join("runs").join(name);
    wait_until("the run records", LONG, || {
        let run = std::fs::read_dir(&runs).ok().and_then(|mut runs| runs.next());
        let path = run.and_then(Result::ok).map(|run| run.path().join("history.jsonl"));
        path.and_then(|path| std::fs::metadata(path).ok()).is_some_and(|m| 20_000 < m.len())
    });
    (child, only_run(site.folder.path(), name))
}

fn signal(child: &Child, signal: nix::sys::signal::Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), signal).unwrap();
}

fn markers(site: &Site, text: &str) {
    for host in ["n1", "n2", "n3"] {
        site.on(host, &format!("printf '%s' '{text}' > /etc/splitbrain.allow"));
    }
}

#[test]
fn only_the_workload_runs_unless_more_is_allowed_and_secrets_stay_here() {
    if !lab_works() || !postgres_here() {
        return;
    }
    let site = Site::up("calm");
    site.inventory("calm.toml", "", SECURE);
    let (code, said) = site.run("calm.toml", &["--name", "calm", "--time-limit", "4s"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(site.schemas(), "", "its schema is gone");
    let run = only_run(site.folder.path(), "calm");
    let info = std::fs::read_to_string(run.join("run.json")).unwrap();
    assert!(info.contains("\"attached\": true") && info.contains("\"fsync\": true"), "{info}");
    assert!(!run.join("logs").exists(), "other people's logs stay where they are");
    let tls = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'splitbrain'";
    assert_eq!(site.sql(tls).trim(), "0", "no connection is left");

    // Without the owner's word that nobody replaces a leader only isolation is promised.
    site.inventory("unknown.toml", "", &SECURE.replace("failover = \"none\"\n", ""));
    let (code, said) = site.run("unknown.toml", &["--name", "unknown", "--time-limit", "4s"]);
    assert_eq!(code, Some(0), "{said}");
    for (checker, role) in [("lost-writes", "not promised"), ("rw-register", "promised")] {
        let line = said.lines().find(|line| line.contains(checker)).unwrap_or_default();
        let mut columns = line.split("  ").map(str::trim);
        assert!(line.contains("valid") && columns.any(|column| column == role), "{said}");
    }

    // The gate.
    for (fault, line) in [
        ("kill:leader", "allow = [\"process\"]"),
        ("halves", "[\"network\"]"),
        ("disk-full", "it needs the line allow = [\"disk\"]"),
    ] {
        let (code, said) = site.run("calm.toml", &["--fault", fault]);
        assert_eq!(code, Some(64), "{said}");
        assert!(said.contains("calm.toml: allow: ") && said.contains(line), "{said}");
    }
    let wrong = ["--failover", "operator", "--set", "postgres.candidate=least-advanced"];
    let (code, said) = site.run("calm.toml", &wrong);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("a wrong candidate") && said.contains("[\"failover\"]"), "{said}");
    let top = "cluster_id = \"staging\"\nallow = [\"failover\", \"process\"]";
    site.inventory("kept.toml", top, SECURE);
    let (code, said) = site.run("kept.toml", &wrong);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("the line data_is_disposable = true"), "{said}");
    let (code, said) = site.run("kept.toml", &["--fault", "pause:b"]);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("host a: /etc/splitbrain.allow: is not there"), "{said}");
    assert!(said.contains("\n  cluster_id = \"staging\"\n  allow = [\"process\"]\n"), "{said}");
    let top = "cluster_id = \"staging\"\nallow = [\"disk\"]";
    site.inventory("disk.toml", top, SECURE);
    let (code, said) = site.run("disk.toml", &["--fault", "lose-unsynced:b"]);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("lose-unsynced may lose data of every database there"), "{said}");
    assert!(said.contains("write the line data_is_disposable = true"), "{said}");
    let path = site.folder.path().join("disk.toml");
    let text = std::fs::read_to_string(&path).unwrap().replace("data_dir = ", "# data_dir = ");
    site.write("nowhere.toml", &format!("data_is_disposable = true\n{text}"), 0o644);
    let (code, said) = site.run("nowhere.toml", &["--fault", "disk-full:b"]);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("disk-full of b needs to know") && said.contains("data_dir ="), "{said}");
    assert_eq!(site.schemas(), "");

    endpoints(&site);
    client_certificate(&site);
    // Log-ins.
    site.inventory("other.toml", "", &SECURE.replace("ca.pem", "other.pem"));
    let (code, said) = site.run("other.toml", &[]);
    assert_eq!(code, Some(75), "{said}");
    assert!(said.contains("node a (198.19.0.11:5432)") && said.contains("certificate"), "{said}");
    refused_once(&site);
    site.no_password_in_runs();
}

/// Nodes without SSH: the workload runs and is checked, faults are refused by their names.
fn endpoints(site: &Site) {
    let mut text = String::from(
        "cluster_id = \"x\"\nallow = [\"process\", \"network\"]\n[attach]\nsystem = \"postgres\"\n\
         uri = \"postgres://app@198.19.0.11:5432,198.19.0.12/orders?sslmode=require\"\n\
         passfile = \"pgpass\"\nfailover = \"none\"\n",
    );
    for (name, number) in [("main", 11), ("reader", 12)] {
        text.push_str(&format!(
            "[[endpoint]]\nname = \"{name}\"\naddress = \"198.19.0.{number}\"\n"
        ));
    }
    site.write("managed.toml", &text, 0o644);
    site.write("pgpass", &format!("*:5432:orders:app:{PASSWORD}\n"), 0o600);
    let (code, said) = site.run("managed.toml", &["--name", "managed", "--time-limit", "4s"]);
    assert_eq!(code, Some(0), "{said}");
    for (fault, part) in [
        ("kill:reader", "kill:reader is refused: the endpoint reader is to be hit"),
        ("leader-alone", "the endpoint main might be hit"),
    ] {
        let (code, said) = site.run("managed.toml", &["--fault", fault]);
        assert_eq!(code, Some(64), "{said}");
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(site.schemas(), "");
}

/// A certificate of our own instead of a password.
fn client_certificate(site: &Site) {
    site.sql("CREATE ROLE certified LOGIN IN ROLE pg_monitor");
    site.sql("GRANT CREATE ON DATABASE orders TO certified");
    let with = SECURE.replace(
        "password_file = \"password\"",
        "client_cert = \"client.pem\"\nclient_key = \"client.key\"",
    );
    site.inventory("certified.toml", "", &with);
    let path = site.folder.path().join("certified.toml");
    let text = std::fs::read_to_string(&path).unwrap().replace("//app@", "//certified@");
    std::fs::write(&path, &text).unwrap();
    let flags = ["--name", "certified", "--time-limit", "4s"];
    let (code, said) = site.run("certified.toml", &flags);
    assert_eq!(code, Some(0), "{said}");
    std::fs::write(&path, text.replace("client.pem", "server.pem")).unwrap();
    let (code, said) = site.run("certified.toml", &flags);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("client_key ") && said.contains("key values mismatch"), "{said}");
}

/// A wrong password is said once, and the servers hear of it once.
fn refused_once(site: &Site) {
    let refusals = || {
        let counted = |host| {
            let line = "grep -c 'password authentication failed' /var/log/splitbrain-postgres.log";
            site.on(host, &format!("{line} || true")).trim().parse::<u32>().unwrap()
        };
        ["n1", "n2", "n3"].map(counted).iter().sum::<u32>()
    };
    site.write("wrong", "not-it", 0o600);
    site.inventory("wrong.toml", "", &SECURE.replace("\"password\"", "\"wrong\""));
    let before = refusals();
    let (code, said) = site.run("wrong.toml", &[]);
    assert_eq!(code, Some(75), "{said}");
    assert_eq!(said.matches("28P01").count(), 1, "{said}");
    assert_eq!(refusals() - before, 1, "one attempt on one node");
    site.write("password", PASSWORD, 0o644);
    site.inventory("open.toml", "", SECURE);
    let (code, said) = site.run("open.toml", &[]);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("password_file: ") && said.contains("others may read it"), "{said}");
    site.write("password", PASSWORD, 0o600);
}

#[test]
fn what_is_allowed_happens_and_is_undone() {
    if !lab_works() || !postgres_here() {
        return;
    }
    let site = Site::up("open");
    let stop = site.folder.path().join("stop");
    let top = format!("{OPEN}\nabort_if = \"test ! -e {}\"", stop.display());
    site.inventory("open.toml", &top, SECURE);
    site.inventory("kept.toml", &top.replace("data_is_disposable = true", ""), SECURE);
    let marker = |day: &str| {
        let families = "allow = [\"process\", \"network\", \"disk\"]";
        markers(&site, &format!("cluster_id = \"staging\"\n{families}\nexpires = \"{day}\"\n"));
    };
    let kill = ["--name", "kill", "--fault", "kill:leader@3s+2s", "--time-limit", "9s"];
    marker("2020-01-01");
    let (code, said) = site.run("open.toml", &kill);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("expired on 2020-01-01") && said.contains("expires = \""), "{said}");
    marker("2099-01-01");
    let (code, said) = site.run("kept.toml", &kill);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("without synchronous replication may lose data"), "{said}");
    let dry =
        site.splitbrain(&[&["run", "--hosts-file", "open.toml", "--dry-run"], &kill[..]].concat());
    let plan = String::from_utf8_lossy(&dry.stdout).into_owned();
    assert!(plan.contains("then setsid -f /bin/sh") && plan.contains("DROP SCHEMA"), "{plan}");
    assert_eq!(site.schemas(), "", "nothing was done");

    let (code, said) = site.run("open.toml", &kill);
    assert_eq!(code, Some(0), "{said}");
    let run = only_run(site.folder.path(), "kill");
    let faults = std::fs::read_to_string(run.join("faults.jsonl")).unwrap();
    assert!(faults.contains("\"result\":\"installed\""), "{faults}");
    assert_eq!(site.schemas(), "");

    partitions(&site);
    disks(&site);
    // The owner's own check fails while a follower is stopped.
    let flags = ["--fault", "pause:b@1s+50s", "--workload", "profile"];
    let (child, run) = started(&site, "open.toml", "aborted", &flags);
    wait_until("the fault is in force", LONG, || {
        std::fs::read_to_string(run.join("faults.jsonl")).is_ok_and(|f| f.contains("installed"))
    });
    std::fs::write(&stop, "").unwrap();
    let output = child.wait_with_output().unwrap();
    let said = errors(&output);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("the run was ended: abort_if ended with 1"), "{said}");
    let state = "awk '/^State/ {print $2}' /proc/$(head -n 1 /var/lib/splitbrain-postgres/data/\
                 postmaster.pid)/status";
    assert_ne!(site.on("n2", state).trim(), "T", "it goes on");
    assert_eq!(site.schemas(), "");
    let (code, said) = site.run("open.toml", &["--time-limit", "2s"]);
    assert_eq!(code, Some(75), "{said}");
    assert!(said.contains("nothing was begun"), "{said}");
    site.no_password_in_runs();
}

/// A partition cuts replication, and is refused where it could not.
fn partitions(site: &Site) {
    let top = OPEN.replace("\"failover\"", "\"network\"");
    site.inventory("net.toml", &top, SECURE);
    let cut = ["--name", "cut", "--fault", "isolate:b@2s+3s", "--time-limit", "8s"];
    let (code, said) = site.run("net.toml", &cut);
    assert_eq!(code, Some(0), "{said}");
    let run = only_run(site.folder.path(), "cut");
    let faults = std::fs::read_to_string(run.join("faults.jsonl")).unwrap();
    assert!(faults.contains("\"result\":\"installed\""), "{faults}");
    // One node at a time: the second fault waits, and is skipped when its time is over.
    let both = ["--fault", "pause:b@2s+3s", "--fault", "pause:c@3s+1s", "--time-limit", "7s"];
    let (_, said) = site.run("net.toml", &[&["--name", "both"], &both[..]].concat());
    assert!(said.contains("with c it would hurt 2 nodes at once: max_hurt = 1"), "{said}");
    // By the addresses of the other network nothing would be cut.
    let text = std::fs::read_to_string(site.folder.path().join("net.toml")).unwrap();
    let text = text.replace("data_address = \"198.19", "data_address = \"198.18");
    site.write("wrong-net.toml", &text.replace("verify-full", "require"), 0o644);
    let (code, said) = site.run("wrong-net.toml", &cut);
    assert_eq!(code, Some(75), "{said}");
    assert!(said.contains("replicates from 198.19.0.1") && said.contains("data_address"), "{said}");
}

/// What is mounted over a host's data, and the process that serves it.
fn served(site: &Site, host: &str) -> (String, String) {
    let data = "/var/lib/splitbrain-postgres/data";
    let mounts = site.on(host, "grep ^splitbrain /proc/mounts || true");
    let pid = site.on(host, &format!("head -n 1 {data}/postmaster.pid"));
    let serves = format!("readlink /proc/{}/cwd", pid.trim());
    assert_eq!(site.on(host, &serves).trim(), data);
    (mounts, pid)
}

/// A layer is laid under servers that exist, where that is allowed, and taken away again.
fn disks(site: &Site) {
    let top = OPEN.replace("\"failover\"", "\"disk\"");
    site.inventory("disk.toml", &top, SECURE);
    let dry = ["run", "--hosts-file", "disk.toml", "--dry-run", "--fault", "disk-full:b"];
    let dry = String::from_utf8_lossy(&site.splitbrain(&dry).stdout).into_owned();
    let layer = "b: SIGINT to main-of:/var/lib/splitbrain-postgres/data";
    assert!(dry.contains(layer) && !dry.contains("a: SIGINT"), "{dry}");
    let (_, before) = served(site, "n3");
    let faults = ["lose-unsynced:a@2s+2s", "slow-sync:b@5s+2s,delay=100ms"];
    let flags =
        ["--name", "disk", "--time-limit", "9s", "--fault", faults[0], "--fault", faults[1]];
    let (code, said) = site.run("disk.toml", &flags);
    assert_eq!(code, Some(0), "{said}");
    let run = only_run(site.folder.path(), "disk");
    let faults = std::fs::read_to_string(run.join("faults.jsonl")).unwrap();
    let effects = faults.lines().filter(|line| line.contains("\"result\":\"installed\""));
    assert_eq!(effects.count(), 4, "each made and healed: {faults}");
    assert!(faults.contains("unsynced pages of"), "{faults}");
    for host in ["n1", "n2", "n3"] {
        assert_eq!(served(site, host).0, "", "{host}: no layer is left");
    }
    assert_eq!(served(site, "n3").1, before, "a server that no fault can hit is left alone");
    assert_eq!(site.schemas(), "");
    // Whoever dies leaves the way back in the journal.
    let flags = ["--fault", "disk-full:b@3s+50s", "--workload", "profile"];
    let (mut killed, _) = started(site, "disk.toml", "covered", &flags);
    assert!(served(site, "n2").0.starts_with("splitbrain "), "a layer");
    signal(&killed, nix::sys::signal::Signal::SIGKILL);
    killed.wait().unwrap();
    let heal = ["heal", "--hosts", "disk.toml", "--remove-schemas"];
    let healed = site.splitbrain(&heal);
    let said = String::from_utf8_lossy(&healed.stdout).into_owned();
    assert_eq!(healed.status.code(), Some(0), "{said}{}", errors(&healed));
    assert_eq!(served(site, "n2").0, "", "by then, if not by this");
    assert_eq!(said.matches("a: nothing to heal").count(), 1, "once a host: {said}");
}

#[test]
fn a_second_harness_is_refused_and_what_a_dead_one_left_is_healed() {
    if !lab_works() || !postgres_here() {
        return;
    }
    let site = Site::up("two");
    site.inventory("one.toml", "", SECURE);
    let (mut first, run) = started(&site, "one.toml", "first", &["--workload", "profile"]);
    let (code, said) = site.run("one.toml", &["--name", "second"]);
    assert_eq!(code, Some(75), "{said}");
    let id = run.file_name().unwrap().to_string_lossy().into_owned();
    assert!(said.contains(&format!("held by run first-{id} of ")), "{said}");
    assert!(said.contains("refused to run second-"), "{said}");
    signal(&first, nix::sys::signal::Signal::SIGINT);
    let status = first.wait().unwrap();
    assert_eq!(status.code(), Some(130), "interrupted");
    assert_eq!(site.schemas(), "", "removed on Ctrl-C too");

    let (mut killed, _) = started(&site, "one.toml", "killed", &["--workload", "profile"]);
    signal(&killed, nix::sys::signal::Signal::SIGKILL);
    killed.wait().unwrap();
    let left = site.schemas();
    assert!(left.contains("splitbrain_"), "a killed harness cannot remove it");
    let heal = |flags: &[&str]| {
        let output = site.splitbrain(&[&["heal", "--hosts", "one.toml"], flags].concat());
        assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let told = heal(&[]);
    assert!(told.contains(left.trim()) && told.contains("splitbrain run killed/"), "{told}");
    assert!(heal(&["--remove-schemas"]).contains(&format!("removed the schema {}", left.trim())));
    assert!(heal(&["--remove-schemas"]).contains("no schema of a run is left"), "twice is as good");
    assert_eq!(site.schemas(), "");
    site.no_password_in_runs();
}

#[test]
fn an_operator_promotes_where_all_of_it_is_allowed() {
    if !lab_works() || !postgres_here() {
        return;
    }
    let site = Site::up("promote");
    for host in ["n1", "n2", "n3"] {
        let script = "echo 'kill -INT $(head -n 1 /var/lib/splitbrain-postgres/data/postmaster.pid)\
                      ' > /run/stop.sh";
        site.on(host, script);
    }
    let families = "allow = [\"process\", \"failover\"]";
    markers(&site, &format!("cluster_id = \"staging\"\n{families}\nexpires = \"2099-01-01\"\n"));
    let stop = format!("{SECURE}\nstop = [\"/bin/sh\", \"/run/stop.sh\"]");
    site.inventory("open.toml", OPEN, &stop);
    site.inventory("nostop.toml", OPEN, SECURE);
    let flags = [
        &["--name", "promote", "--failover", "operator", "--fault", "kill:leader@2s+3s"][..],
        &["--time-limit", "8s", "--recovery", "2s"],
        &["--set", "postgres.candidate=least-advanced"],
    ];
    let flags = flags.concat();
    let (code, said) = site.run("nostop.toml", &flags);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("the operator cannot fence a") && said.contains("stop = ["), "{said}");
    let (code, said) = site.run("open.toml", &flags);
    assert_eq!(code, Some(75), "{said}");
    assert!(said.contains("GRANT EXECUTE ON FUNCTION pg_promote"), "{said}");
    site.sql_in("orders", "GRANT EXECUTE ON FUNCTION pg_promote TO app");
    let (_, said) = site.run("open.toml", &flags);
    assert!(said.contains("is promoted: it has received"), "{said}");
    assert!(said.contains("a is left stopped"), "{said}");
    let run = only_run(site.folder.path(), "promote");
    let telemetry = std::fs::read_to_string(run.join("telemetry.jsonl")).unwrap();
    let last = telemetry.lines().rev().find(|line| line.contains("\"role\":\"leader\"")).unwrap();
    assert!(!last.contains("\"node\":\"a\""), "{last}");
    let alive = "pgrep -f splitbrain-postgres/dat[a] || true";
    assert_eq!(site.on("n1", alive).trim(), "", "the old leader was not started by whoever healed");
    let hold = "test -e /run/splitbrain/held-by-operator && echo held || true";
    assert_eq!(site.on("n1", hold), "", "nothing of ours is left");
    assert!(!said.contains("is left: "), "the schema went with the new leader: {said}");
}

/// A failover of the owner's own that promotes a standby and fences nobody.
#[test]
fn a_split_brain_of_a_cluster_that_exists_is_never_valid() {
    if !lab_works() || !postgres_here() {
        return;
    }
    let site = Site::up("split");
    site.inventory("unknown.toml", "", &SECURE.replace("failover = \"none\"\n", ""));
    let flags = ["--workload", "append", "--time-limit", "8s", "--recovery", "2s"];
    let (child, run) = started(&site, "unknown.toml", "split", &flags);
    let psql = "PGPASSFILE=/var/lib/splitbrain-postgres/passfile psql -h 127.0.0.1 -U postgres";
    site.on("n2", &format!("{psql} -Atc 'SELECT pg_promote()'"));
    let output = child.wait_with_output().unwrap();
    let said = errors(&output);
    assert_ne!(output.status.code(), Some(0), "{said}");
    let verdict = std::fs::read_to_string(run.join("verdict.json")).unwrap();
    let verdict: serde_json::Value = serde_json::from_str(&verdict).unwrap();
    assert_ne!(verdict["verdict"], "valid", "{said}");
    let history = std::fs::read_to_string(run.join("history.jsonl")).unwrap();
    assert!(history.contains("\"target\":\"stayed\""), "some sessions stay, and are marked");
    let page = std::fs::read_to_string(run.join("report.html")).unwrap();
    for doubt in [
        "split brain: a (term 1) and b (term 2) both acknowledged writes from",
        "the replicas did not converge before the final reads",
        "acknowledged writes unresolved",
    ] {
        assert!(said.contains(doubt) && page.contains(doubt), "{doubt}: {said}");
    }
    assert!(!page.contains("failover = &quot;none&quot; under [attach]"), "a lie about it");
    assert!(page.contains("replaces its leaders"), "{page}");
}

#[test]
fn a_kept_lab_has_one_harness_at_a_time() {
    if !lab_works() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let lab = format!("held-{}", std::process::id());
    let up = run(&["lab", "up", "--hosts", "3", "--name", &lab, "--ttl", "5m"], folder.path());
    assert!(up.status.success(), "{}", errors(&up));
    let mut first = support::splitbrain()
        .args(["run", "--lab", &lab, "--name", "first", "--time-limit", "60s"])
        .current_dir(folder.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the run records", LONG, || {
        let run = std::fs::read_dir(folder.path().join("runs/first")).ok();
        let run = run.and_then(|mut runs| runs.next()).and_then(Result::ok);
        run.is_some_and(|run| run.path().join("history.jsonl").exists())
    });
    let second = run(&["run", "--lab", &lab, "--name", "second"], folder.path());
    signal(&first, nix::sys::signal::Signal::SIGINT);
    let ended = first.wait().unwrap();
    // One after the other is fine, at once.
    let third =
        run(&["run", "--lab", &lab, "--seeds", "1..2", "--time-limit", "1s"], folder.path());
    let down = run(&["lab", "down", &lab], folder.path());
    assert!(down.status.success(), "{}", errors(&down));
    assert_eq!(second.status.code(), Some(75), "{}", errors(&second));
    assert!(errors(&second).contains("held by run first-"), "{}", errors(&second));
    assert_eq!(ended.code(), Some(130));
    assert!(!errors(&third).contains("held by"), "{}", errors(&third));
    assert_eq!(third.status.code(), Some(2), "too short to tell: {}", errors(&third));
}

#[test]
fn hosts_are_reached_as_their_user_reaches_them() {
    if !lab_works() {
        return;
    }
    let site = Site::bare("ways");
    let keys = "/run/splitbrain-lab/keys";
    let config = format!(
        "Host bastion\n HostName 198.18.0.11\nHost db3\n HostName 198.18.0.13\n\
         Host *\n User root\n IdentityFile {keys}/user\n UserKnownHostsFile {keys}/known_hosts\n"
    );
    let path = site.write("config", &config, 0o600);
    let text = format!("#!/bin/sh\nexec /usr/bin/ssh -F {} \"$@\"\n", path.display());
    site.write("ssh", &text, 0o755);
    let common = format!("known_hosts = \"{keys}/known_hosts\"\n");
    let inventory = format!(
        "[[host]]\nname = \"jumped\"\naddress = \"198.18.0.12\"\nproxy_jump = \"bastion\"\n\
         key = \"{keys}/user\"\n{common}[[host]]\nname = \"named\"\nssh_config = \"db3\"\n\
         [[host]]\nname = \"agent\"\naddress = \"198.18.0.12\"\n{common}"
    );
    site.write("ways.toml", &inventory, 0o644);
    let socket = site.folder.path().join("agent");
    let mut agent = std::process::Command::new("ssh-agent")
        .args(["-D", "-a"])
        .arg(&socket)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the agent listens", LONG, || socket.exists());
    let searched = format!("{}:{}", site.folder.path().display(), std::env::var("PATH").unwrap());
    let heal = || {
        let mut command = site.command(&["heal", "--hosts", "ways.toml"]);
        command.env("PATH", &searched).env("SSH_AUTH_SOCK", &socket);
        let output = command.output().unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
            errors(&output),
        )
    };
    let (code, said, told) = heal();
    assert_eq!(code, Some(75), "{told}");
    assert!(told.contains("host agent: user root was refused with key (ssh-agent)"), "{told}");
    assert!(said.contains("jumped: nothing to heal\n"), "{said}{told}");
    let mut add = site.within("ssh-add");
    add.arg(format!("{keys}/user")).env("SSH_AUTH_SOCK", &socket).stderr(Stdio::null());
    assert!(add.status().unwrap().success());
    let (code, said, told) = heal();
    agent.kill().unwrap();
    agent.wait().unwrap();
    assert_eq!(code, Some(0), "{told}");
    for name in ["jumped", "named", "agent"] {
        assert!(said.contains(&format!("{name}: nothing to heal\n")), "{said}{told}");
    }
}
