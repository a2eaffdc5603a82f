//! A PostgreSQL cluster of somebody else's, for tests that attach to it: a kept lab with TLS,
//! SCRAM, a role of its own, and an inventory.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::{errors, run};

/// The role's password: must be seen nowhere.
pub const PASSWORD: &str = "correct-horse-9f3a";
/// The server's folder in the lab.
const FOLDER: &str = "/var/lib/splitbrain-postgres";

/// See the module's doc. Dropped, the lab goes.
pub struct Site {
    /// Where inventories, keys and runs are.
    pub folder: tempfile::TempDir,
    lab: String,
    pub(super) supervisor: String,
}

/// Whether there is a PostgreSQL server to bring up; says loudly if there is not.
pub fn postgres_here() -> bool {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let here = versions.map(|v| v.path().join("bin/postgres")).any(|server| server.exists());
    if !here {
        assert!(std::env::var_os("CI").is_none(), "CI must have a PostgreSQL server");
        eprintln!("skipped: no PostgreSQL server in /usr/lib/postgresql");
    }
    here
}

/// The lab's three hosts as an inventory lists them, named a, b and c.
pub fn hosts() -> String {
    let host = |(number, name)| {
        format!(
            "[[host]]\nname = \"{name}\"\naddress = \"198.18.0.{number}\"\n\
             data_address = \"198.19.0.{number}\"\nkey = \"/run/splitbrain-lab/keys/user\"\n\
             known_hosts = \"/run/splitbrain-lab/keys/known_hosts\"\n"
        )
    };
    [(11, "a"), (12, "b"), (13, "c")].map(host).concat()
}

impl Site {
    /// Three hosts, with nothing on them.
    pub fn bare(name: &str) -> Site {
        Site::lab(name, &[])
    }

    pub(super) fn lab(name: &str, more: &[&str]) -> Site {
        let folder = tempfile::tempdir().unwrap();
        let lab = format!("{name}-{}", std::process::id());
        let flags = ["lab", "up", "--hosts", "3", "--name", &lab, "--ttl", "10m"];
        let up = run(&[&flags[..], more].concat(), folder.path());
        assert!(up.status.success(), "{}", errors(&up));
        let list = run(&["lab", "list"], folder.path());
        let list = String::from_utf8_lossy(&list.stdout).into_owned();
        let line = list.lines().find(|line| line.starts_with(&lab)).unwrap();
        let supervisor = line.split_whitespace().last().unwrap().to_owned();
        Site { folder, lab, supervisor }
    }

    /// Brings it up: a leader n1 and two followers, in the inventory a, b and c.
    pub fn up(name: &str) -> Site {
        let site = Site::lab(name, &["--system", "postgres"]);
        site.certificates();
        for host in ["n1", "n2", "n3"] {
            site.serve_tls(host);
        }
        site.sql(&format!("CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'"));
        site.sql("GRANT pg_monitor TO app");
        site.sql("CREATE DATABASE orders");
        site.sql("GRANT CREATE ON DATABASE orders TO app");
        site.write("password", PASSWORD, 0o600);
        site
    }

    /// The lab's name.
    pub fn name(&self) -> &str {
        &self.lab
    }

    /// Runs a command on a host as root; gives its output.
    pub fn on(&self, host: &str, line: &str) -> String {
        let words = ["lab", "exec", host, "--name", &self.lab, "--", "sh", "-c", line];
        let output = run(&words, self.folder.path());
        assert!(output.status.success(), "{host}: {line}: {}", errors(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs SQL on the first leader as superuser.
    pub fn sql(&self, sql: &str) -> String {
        self.sql_in("postgres", sql)
    }

    /// Likewise in a database.
    pub fn sql_in(&self, database: &str, sql: &str) -> String {
        self.on(
            "n1",
            &format!(
                "PGPASSFILE={FOLDER}/passfile psql -h 127.0.0.1 -U postgres -d {database} \
                 -v ON_ERROR_STOP=1 -Atc \"{sql}\""
            ),
        )
    }

    /// Schemas of runs in the database.
    pub fn schemas(&self) -> String {
        let sql = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'splitbrain%' \
                   AND nspname <> 'splitbrain'";
        self.sql_in("orders", sql)
    }

    /// A file of the test's folder.
    pub fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    /// Writes an inventory: `top` at its head, `attach` within its table.
    pub fn inventory(&self, name: &str, top: &str, attach: &str) {
        let mut text = format!(
            "{top}\n[attach]\nsystem = \"postgres\"\nuri = \"postgres://app@/orders\"\n\
             data_dir = \"{FOLDER}/data\"\n\
             start = [\"setsid\", \"-f\", \"/bin/sh\", \"{FOLDER}/start.sh\"]\n{attach}\n"
        );
        text.push_str(&hosts());
        self.write(name, &text, 0o644);
    }

    /// The binary with these arguments, within the lab's network and mounts.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.within(env!("CARGO_BIN_EXE_splitbrain"));
        command.args(arguments).env_remove("SPLITBRAIN_LAB").env_remove("PGPASSWORD");
        command
    }

    /// Any program in the lab's network alone, so that it finds itself, and what it was built with.
    pub fn networked(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.supervisor, "-n", "--wd=."]).arg(program);
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Any program there.
    pub fn within(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.supervisor, "-n", "-m", "--wd=."]).arg(program);
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Runs it to its end; the password is in nothing that it says.
    pub fn splitbrain(&self, arguments: &[&str]) -> Output {
        let output = self.command(arguments).output().unwrap();
        let said = [&output.stdout[..], &output.stderr[..]].concat();
        assert!(!String::from_utf8_lossy(&said).contains(PASSWORD));
        output
    }

    /// `run` with an inventory; gives exit code and standard error.
    pub fn run(&self, inventory: &str, flags: &[&str]) -> (Option<i32>, String) {
        let base = ["run", "--hosts-file", inventory, "--workload", "profile"];
        let output = self.splitbrain(&[&base[..], flags].concat());
        (output.status.code(), errors(&output))
    }

    /// Nothing below the runs' folder holds the password.
    pub fn no_password_in_runs(&self) {
        let mut folders = vec![self.folder.path().join("runs")];
        let mut files = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                files += 1;
                let bytes = std::fs::read(&path).unwrap();
                let text = String::from_utf8_lossy(&bytes);
                assert!(!text.contains(PASSWORD), "{}", path.display());
            }
        }
        assert!(3 < files, "there were runs to look into");
    }

    /// An authority and another, a server's certificate and a client's.
    pub(super) fn certificates(&self) {
        let names = "subjectAltName=IP:198.19.0.11,IP:198.19.0.12,IP:198.19.0.13";
        let script = format!(
            "set -e; for ca in ca other; do \
             openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
             -keyout $ca.key -out $ca.pem -subj /CN=$ca; done; \
             openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key \
             -out server.csr -subj /CN=db; echo {names} > names; \
             openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
             -extfile names -out server.pem; \
             openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout client.key \
             -out client.csr -subj /CN=certified; \
             echo basicConstraints=CA:FALSE > plain; \
             openssl x509 -req -in client.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
             -extfile plain -out client.pem; \
             openssl x509 -req -in client.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
             -out old.pem"
        );
        shell(&script, self.folder.path());
    }

    fn serve_tls(&self, host: &str) {
        let read = |name: &str| std::fs::read_to_string(self.folder.path().join(name)).unwrap();
        self.on(
            host,
            &format!(
                "cd {FOLDER} && printf %s '{}' > server.pem && printf %s '{}' > server.key && \
                 chmod 600 server.key && chown postgres: server.pem server.key && \
                 printf \"ssl = on\\nssl_cert_file = '{FOLDER}/server.pem'\\n\
                 ssl_key_file = '{FOLDER}/server.key'\\n\
                 ssl_ca_file = '{FOLDER}/ca.pem'\\n\" >> postgresql.conf && \
                 printf %s '{}' > ca.pem && chmod 644 ca.pem && \
                 sed -i '1i hostssl orders certified 0.0.0.0/0 cert' pg_hba.conf && \
                 kill -HUP $(head -n 1 data/postmaster.pid)",
                read("server.pem"),
                read("server.key"),
                read("ca.pem")
            ),
        );
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = run(&["lab", "down", &self.lab], self.folder.path());
    }
}

fn shell(script: &str, folder: &Path) {
    let output = Command::new("sh").args(["-c", script]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", errors(&output));
}
