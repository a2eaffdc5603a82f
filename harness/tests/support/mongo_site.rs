//! A MongoDB replica set of somebody else's, for tests that attach to it: a kept lab with TLS,
//! SCRAM, users, and an inventory.

use std::time::Duration;

use mongodb::Client;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::{AuthMechanism, ClientOptions, Credential, ServerAddress, Tls, TlsOptions};
use nix::sched::{CloneFlags, setns};

use super::site::{PASSWORD, Site};
use super::{errors, lab_works, run, wait_until};

/// The server's folder in the lab.
const FOLDER: &str = "/var/lib/splitbrain-mongodb";
/// Where it listens.
const PORT: u16 = 27_017;
const LONG: Duration = Duration::from_secs(30);

/// Whether there is a lab and a server for it; says loudly if there is not.
pub fn mongodb_here() -> bool {
    if !lab_works() {
        return false;
    }
    let folder = tempfile::tempdir().unwrap();
    let installed = run(&["lab", "install", "mongodb"], folder.path());
    if !installed.status.success() {
        let why = errors(&installed);
        assert!(std::env::var_os("CI").is_none(), "CI must have a mongod: {why}");
        eprintln!("skipped: no mongod is here and none can be had: {why}");
    }
    installed.status.success()
}

/// See the module's doc.
pub struct MongoSite {
    /// The lab and its files.
    pub site: Site,
    key: String,
}

impl MongoSite {
    /// Brings it up: three members, in the inventory a, b and c.
    pub fn up(name: &str) -> MongoSite {
        let site = Site::lab(name, &["--system", "mongodb"]);
        site.certificates();
        let key = site.on("n1", &format!("cat {FOLDER}/key")).trim().to_owned();
        let set = MongoSite { site, key };
        set.serve_tls();
        set.user("app", &["clusterMonitor", "readWriteAnyDatabase"]);
        set.user("watcher", &["clusterMonitor"]);
        set.user("nobody", &[]);
        let certified = doc! {
            "createUser": "CN=certified",
            "roles": roles(&["clusterMonitor", "readWriteAnyDatabase"]),
        };
        set.ask("$external", certified);
        set.site.write("password", PASSWORD, 0o600);
        let read = |name| std::fs::read_to_string(set.site.folder.path().join(name)).unwrap();
        for (name, cert) in [("both.pem", "client.pem"), ("old-both.pem", "old.pem")] {
            set.site.write(name, &(read(cert) + &read("client.key")), 0o600);
        }
        set
    }

    /// How a server is started, and returns.
    pub fn start(config: &str) -> Vec<String> {
        let line = format!(
            "$(ls -d /var/cache/splitbrain/mongodb/*/bin/mongod | tail -n 1) --config \
             {FOLDER}/{config}.conf --fork --logpath /var/log/{config}.log > /dev/null"
        );
        ["sh", "-c", &line].map(str::to_owned).to_vec()
    }

    /// Every member with TLS; and the configuration of a server that stands alone.
    fn serve_tls(&self) {
        let read = |name| std::fs::read_to_string(self.site.folder.path().join(name)).unwrap();
        let (server, ca) = (read("server.key") + &read("server.pem"), read("ca.pem"));
        let common = format!(
            "  bindIp: 0.0.0.0\n  tls:\n    mode: requireTLS\n    certificateKeyFile: \
             {FOLDER}/server.pem\n    CAFile: {FOLDER}/ca.pem\n    \
             allowConnectionsWithoutCertificates: true\n"
        );
        let member = format!(
            "net:\n  port: {PORT}\n{common}storage:\n  dbPath: {FOLDER}/data\n\
             replication:\n  replSetName: splitbrain\nsecurity:\n  keyFile: {FOLDER}/key\n\
             setParameter:\n  shutdownTimeoutMillisForSignaledShutdown: 100\n"
        );
        let alone =
            format!("net:\n  port: 27018\n{common}storage:\n  dbPath: {FOLDER}/alone-data\n");
        for host in ["n1", "n2", "n3"] {
            let files = [("server.pem", &server), ("ca.pem", &ca), ("member.conf", &member)];
            for (name, text) in files.into_iter().chain([("alone.conf", &alone)]) {
                self.site.on(host, &format!("printf %s '{text}' > {FOLDER}/{name}"));
            }
            self.site.on(
                host,
                &format!(
                    "mkdir -p {FOLDER}/alone-data; pid=$(cat {FOLDER}/data/mongod.lock); \
                     kill -9 $pid; while kill -0 $pid 2> /dev/null; do sleep 0.02; done"
                ),
            );
        }
        for host in ["n1", "n2", "n3"] {
            self.site.on(host, &MongoSite::start("member")[2]);
        }
        wait_until("a primary", LONG, || self.primary().is_some());
    }

    /// A user that logs in with the password.
    pub fn user(&self, name: &str, with: &[&str]) {
        let made = doc! {
            "createUser": name,
            "pwd": PASSWORD,
            "roles": roles(with),
            "writeConcern": { "w": 3, "wtimeout": 10_000 },
        };
        self.ask("admin", made);
    }

    /// Which member leads: 0 to 2.
    pub fn primary(&self) -> Option<usize> {
        (0..3).find(|member| {
            let said = self.ask_member(*member, "admin", doc! { "hello": 1 });
            said.is_ok_and(|said| said.get_bool("isWritablePrimary").unwrap_or(false))
        })
    }

    /// A command to the primary, as the members' own user.
    pub fn ask(&self, database: &str, asked: Document) -> Document {
        self.ask_member(self.primary().unwrap(), database, asked).unwrap()
    }

    /// The databases of runs.
    pub fn databases(&self) -> Vec<String> {
        let filter = doc! { "name": { "$regex": "^splitbrain_" } };
        let asked = doc! { "listDatabases": 1, "nameOnly": true, "filter": filter };
        let said = self.ask("admin", asked);
        let names = said.get_array("databases").unwrap().iter();
        names.map(|one| one.as_document().unwrap().get_str("name").unwrap().to_owned()).collect()
    }

    /// A command to a member, over a connection of its own from within the lab's network.
    fn ask_member(
        &self,
        member: usize,
        database: &str,
        asked: Document,
    ) -> Result<Document, String> {
        let host = format!("198.19.0.{}", 11 + member);
        let mut options = ClientOptions::builder()
            .hosts(vec![ServerAddress::Tcp { host, port: Some(PORT) }])
            .direct_connection(true)
            .server_selection_timeout(Duration::from_secs(1))
            .build();
        let credential = Credential::builder().username("__system".to_owned());
        let credential = credential.source("local".to_owned()).password(self.key.clone());
        options.credential = Some(credential.mechanism(AuthMechanism::ScramSha256).build());
        let tls = TlsOptions::builder().allow_invalid_certificates(true).build();
        options.tls = Some(Tls::Enabled(tls));
        let network = format!("/proc/{}/ns/net", self.site.supervisor);
        let asks = || {
            let file = std::fs::File::open(network).unwrap();
            // This thread alone enters it, and ends.
            setns(file, CloneFlags::CLONE_NEWNET).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let client = Client::with_options(options).unwrap();
                let said = client.database(database).run_command(asked).await;
                client.shutdown().immediate(true).await;
                said.map_err(|error| error.to_string())
            })
        };
        std::thread::scope(|scope| scope.spawn(asks).join().unwrap())
    }

    /// Writes an inventory: `top` at its head, `attach` within its table.
    pub fn inventory(&self, name: &str, top: &str, attach: &str) {
        // As TOML writes it too.
        let start = format!("{:?}", MongoSite::start("member"));
        let mut text = format!(
            "{top}\n[attach]\nsystem = \"mongodb\"\ndata_dir = \"{FOLDER}/data\"\n\
             start = {start}\n{attach}\n"
        );
        for (number, name) in [(11, "a"), (12, "b"), (13, "c")] {
            text.push_str(&format!(
                "[[host]]\nname = \"{name}\"\naddress = \"198.18.0.{number}\"\n\
                 data_address = \"198.19.0.{number}\"\nkey = \"/run/splitbrain-lab/keys/user\"\n\
                 known_hosts = \"/run/splitbrain-lab/keys/known_hosts\"\n"
            ));
        }
        self.site.write(name, &text, 0o644);
    }

    /// How often a log of the members says this.
    pub fn logged(&self, part: &str) -> usize {
        let counted = |host| {
            let line = format!("grep -c '{part}' /var/log/member.log || true");
            self.site.on(host, &line).trim().parse::<usize>().unwrap()
        };
        ["n1", "n2", "n3"].map(counted).iter().sum()
    }
}

fn roles(names: &[&str]) -> Vec<Bson> {
    names.iter().map(|name| doc! { "role": *name, "db": "admin" }.into()).collect()
}
