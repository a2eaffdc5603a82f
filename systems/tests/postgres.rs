//! Positions on real servers of every version that is here: a leader and a standby on loopback.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use history::{Key, MicroOp};
use splitbrain_systems as systems;
use systems::client::{Client, Model, StepReply, StepRequest};
use systems::postgres::client::{PostgresClient, once};
use systems::postgres::connection::{Connection, Login};
use systems::postgres::spec::Isolation;
use systems::postgres::{sql, versions};

/// How long a standby that hears of everything may take to show a write. A leader says something
/// by itself every 15 s, which would hide a position that cannot be reached.
const REACHED: Duration = Duration::from_secs(5);

/// Folders of programs: packages', and those of `lab install`. Says loudly what is not here.
fn folders() -> Vec<PathBuf> {
    let caches = ["/usr/lib/postgresql", versions::CACHE];
    let found = caches.iter().flat_map(|cache| std::fs::read_dir(cache).into_iter().flatten());
    let bins = found.flatten().map(|version| version.path().join("bin"));
    let mut bins: Vec<PathBuf> = bins.filter(|bin| bin.join("postgres").exists()).collect();
    bins.sort();
    if bins.is_empty() || !is_root() {
        assert!(std::env::var_os("CI").is_none(), "CI must be root and have a PostgreSQL server");
        eprintln!("skipped: this needs root and a PostgreSQL server");
        return Vec::new();
    }
    for wanted in ["17", "18"] {
        let here = |bin: &PathBuf| bin.display().to_string().contains(&format!("/{wanted}"));
        if !bins.iter().any(here) {
            eprintln!("skipped: PostgreSQL {wanted}: splitbrain lab install postgres-{wanted}");
        }
    }
    bins
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.starts_with("Uid:\t0\t"))
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A leader and its standby; ended when dropped.
struct Pair {
    bin: PathBuf,
    folder: tempfile::TempDir,
    ports: [u16; 2],
}

impl Drop for Pair {
    fn drop(&mut self) {
        for name in ["standby", "leader"] {
            let data = self.folder.path().join(name);
            let mut stop = self.program("pg_ctl");
            stop.args(["-m", "immediate", "-w", "stop", "-D"]).arg(data);
            let _ = stop.output();
        }
    }
}

impl Pair {
    fn up(bin: &Path) -> Pair {
        let folder = tempfile::tempdir().unwrap();
        let pair = Pair { bin: bin.to_owned(), folder, ports: [free_port(), free_port()] };
        let path = pair.folder.path().to_owned();
        run(Command::new("chown").arg("postgres:").arg(&path));
        let leader = path.join("leader");
        let init = ["-U", "postgres", "--locale=C", "-N", "-A", "trust"];
        run(pair.program("initdb").args(init).arg("-D").arg(&leader));
        pair.start("leader", pair.ports[0]);
        let copy = ["-h", "127.0.0.1", "-U", "postgres", "-X", "stream", "-c", "fast", "-R"];
        let port = pair.ports[0].to_string();
        let mut backup = pair.program("pg_basebackup");
        run(backup.args(copy).args(["-p", &port, "--no-sync", "-D"]).arg(path.join("standby")));
        pair.start("standby", pair.ports[1]);
        pair
    }

    /// A program as the servers' user.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
        command.arg(self.bin.join(name)).current_dir(self.folder.path());
        command
    }

    fn start(&self, name: &str, port: u16) {
        let data = self.folder.path().join(name);
        let settings = format!(
            "-c port={port} -c listen_addresses=127.0.0.1 -c autovacuum=off -c fsync=off \
             -c unix_socket_directories= -c shared_buffers=16MB -c wal_writer_delay=10ms"
        );
        let mut start = self.program("pg_ctl");
        start.args(["-w", "-t", "60", "-o", &settings, "-l"]);
        start.arg(self.folder.path().join(format!("{name}.log"))).arg("-D").arg(data).arg("start");
        // Not by pipes: the server would keep them open.
        start.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        assert!(start.status().unwrap().success(), "{name} did not start");
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        self.ports.iter().map(|port| SocketAddr::from(([127, 0, 0, 1], *port))).collect()
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn request(mop: MicroOp, leader: bool, token: Option<u64>) -> StepRequest {
    let (mops, session) = (vec![mop], 0);
    StepRequest { mops, leader, session, token, wants_token: true, routed: false }
}

/// Where the leader's next record will begin.
async fn next(connection: &Connection) -> u64 {
    let sql = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint";
    connection.client.query_typed(sql, &[]).await.unwrap()[0].get::<_, i64>(0) as u64
}

/// Writes one value by the client under test; gives its token.
async fn write(client: &PostgresClient, value: i64) -> u64 {
    let mop = MicroOp::write(Key::Int(1), value);
    match client.apply(0, request(mop, true, None), REACHED).await {
        StepReply::Ok { token: Some(token), .. } => token,
        other => panic!("{other:?}"),
    }
}

/// Reads from the standby until it has the token; the value must be the one written.
async fn read(client: &PostgresClient, value: i64, token: u64, told: &str) {
    let until = Instant::now() + REACHED;
    loop {
        let mop = MicroOp::read(Key::Int(1));
        match client.apply(1, request(mop, false, Some(token)), REACHED).await {
            StepReply::Ok { mops, .. } => {
                let shown = serde_json::to_string(&mops).unwrap();
                assert!(shown.contains(&value.to_string()), "{told}: own write {value}: {shown}");
                return;
            }
            StepReply::Behind { reason } => assert!(Instant::now() < until, "{told}: {reason}"),
            other => panic!("{told}: {other:?}"),
        }
    }
}

/// Writes with the log's page almost full, so that commits end with it: each is read back from the
/// standby by its token while nobody else writes. Gives how many ended with a page.
async fn read_back(pair: &Pair, commit: &str, rounds: i64) -> usize {
    let options = format!("-c search_path=splitbrain -c synchronous_commit={commit}");
    let login = Login {
        user: "postgres".to_owned(),
        database: "postgres".to_owned(),
        options,
        ..Login::default()
    };
    let addresses = pair.addresses();
    let client = PostgresClient::new(
        addresses.clone(),
        login.clone(),
        Isolation::ReadCommitted,
        Model::Register,
    );
    let opened = Connection::open(addresses[0], &login).await;
    let side = opened.unwrap_or_else(|_| panic!("no connection to the leader"));
    let (mut ended, mut length) = (0, 0);
    for round in 1..=rounds {
        let value = 1_000_000 + round;
        let begin = next(&side).await;
        // What is left of the page, less one write, is filled with a message; a message has some
        // 60 bytes of its own, and sizes are multiples of 8.
        let left = 8_192 - begin % 8_192;
        let room = left.saturating_sub(length);
        if 0 < length && 64 + 8 * (round as u64 % 12) <= room {
            let size = room - 64 + 8 * (round as u64 % 4);
            let sql = format!("SELECT pg_logical_emit_message(false, '', repeat('x', {size}))");
            side.client.batch_execute(&sql).await.unwrap();
        }
        let before = next(&side).await;
        let token = write(&client, value).await;
        let after = next(&side).await;
        if before / 8_192 == after / 8_192 {
            length = after - before;
        }
        ended += usize::from([24, 40].contains(&(after % 8_192)));
        read(
            &client,
            value,
            token,
            &format!("synchronous_commit={commit}, {before:X} to {after:X}"),
        )
        .await;
    }
    ended
}

#[tokio::test]
async fn a_standby_reaches_every_token_and_shows_what_was_written_before_it() {
    for bin in folders() {
        let pair = Pair::up(&bin);
        let login = Login {
            user: "postgres".to_owned(),
            database: "postgres".to_owned(),
            ..Login::default()
        };
        let opened = Connection::open(pair.addresses()[0], &login).await;
        let side = opened.unwrap_or_else(|_| panic!("no connection to the leader"));
        let sql = format!(
            "CREATE SCHEMA splitbrain; SET search_path = splitbrain; {}; \
             INSERT INTO registers VALUES ('1', 0)",
            sql::TABLES.trim().trim_end_matches(';')
        );
        side.client.batch_execute(&sql).await.unwrap();
        let until = Instant::now() + REACHED;
        let there = "SELECT FROM splitbrain.registers WHERE v = 0";
        while let Err(error) = once(pair.addresses()[1], &login, there).await {
            assert!(Instant::now() < until, "the standby has no table: {error}");
        }
        let ended = read_back(&pair, "on", 60).await + read_back(&pair, "off", 60).await;
        eprintln!("{}: {ended} of 120 writes ended with a page of the log", bin.display());
        assert!(0 < ended, "{}: no write ended with a page: nothing was shown", bin.display());
    }
}
