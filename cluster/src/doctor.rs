//! What this machine can do: probed, not guessed.

use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

use agent::means::Means;
use serde::Serialize;

/// How it is with a capability.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It works.
    Present,
    /// It would work with this package.
    Missing {
        /// The package.
        package: &'static str,
    },
    /// It cannot work here.
    Unavailable {
        /// What is used instead.
        instead: &'static str,
    },
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Status::Present => f.write_str("present"),
            Status::Missing { package } => write!(f, "missing: install {package}"),
            Status::Unavailable { instead } => write!(f, "unavailable: {instead}"),
        }
    }
}

/// Something that this machine may be able to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Capability {
    /// What.
    pub name: &'static str,
    /// Whether the local lab cannot do without it.
    pub needed: bool,
    /// How it is.
    pub status: Status,
}

/// Probes everything. Trials run in namespaces of their own and leave nothing.
pub fn capabilities() -> Vec<Capability> {
    let here = |name, needed, works: bool, or: Status| Capability {
        name,
        needed,
        status: if works { Status::Present } else { or },
    };
    let file = |paths: &[&str]| paths.iter().any(|path| Path::new(path).exists());
    let missing = |package| Status::Missing { package };
    let without = |instead| Status::Unavailable { instead };
    // As an agent finds it out on a host.
    let has = |means: Means| means.lack().is_none();
    let overlay = "mount -t tmpfs t /mnt && mkdir /mnt/u /mnt/w /mnt/r && \
                   mount -t overlay o -o lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w /mnt/r";
    let mut found = vec![
        here("namespaces", true, trial("true"), without("--lab sim, or run as root")),
        here("overlay", true, trial(overlay), without("--lab sim or --hosts-file")),
        here("sshd", true, file(&["/usr/sbin/sshd"]), missing("openssh-server")),
        here("ip", true, file(&["/sbin/ip", "/usr/sbin/ip"]), missing("iproute2")),
        here("nft", false, trial("nft add table inet t"), missing("nftables")),
        here("iptables", false, trial("iptables -n -L"), missing("iptables")),
    ];
    let limits = has(Means::CpuLimit) && has(Means::MemoryLimit);
    let netem = "ip link set lo up && tc qdisc add dev lo root netem delay 1ms";
    let mongod = missing("it with splitbrain lab install mongodb");
    let faketime = missing("libfaketime (without it: no clock faults)");
    let browser = in_path("chromium") || in_path("chromium-browser");
    let chromium = missing("chromium (only for the tests of reports)");
    found.extend([
        here("netem", false, trial(netem), without("packets are shaped from NFQUEUE")),
        here("NFQUEUE", false, has(Means::Queue), without("partitions only: no loss, no delay")),
        here("TEE", false, has(Means::Duplicate), without("no duplicates")),
        here("FUSE", false, has(Means::Disk), without("no disk faults")),
        here("faketime", false, has(Means::Clock), faketime),
        here("cgroup", false, limits, without("load, but no cpu-limit or memory-limit")),
        here("setpriv", false, has(Means::Users), missing("util-linux")),
        here("postgres", false, has_postgres(), missing("postgresql-15")),
        here("patroni", false, in_path("patroni"), missing("patroni")),
        here("etcd", false, in_path("etcd"), missing("etcd-server")),
        here("mongod", false, has_mongod(), mongod),
        here("chromium", false, browser, chromium),
    ]);
    found
}

/// Whether a fixed shell line works in fresh network and mount namespaces.
fn trial(line: &str) -> bool {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--pid", "--fork", "sh", "-c", line]);
    command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// On the PATH, or where `splitbrain lab install mongodb` puts it.
fn has_mongod() -> bool {
    let installed = std::fs::read_dir("/var/cache/splitbrain/mongodb").into_iter().flatten();
    let mut versions = installed.flatten();
    in_path("mongod") || versions.any(|version| version.path().join("bin/mongod").exists())
}

fn has_postgres() -> bool {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions.into_iter().any(|version| version.path().join("bin/initdb").exists())
}
