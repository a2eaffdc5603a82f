//! A layer of our own under a data folder: it knows what was synced and what was not, so it can
//! lose what was not, and it can refuse, delay and damage.
//!
//! A process of its own mounts a file system (FUSE) over the folder, before the system starts, and
//! takes orders ([`Order`]) on a socket. The files themselves stay in the folder underneath:
//! without the layer they are there as they were last synced. Taken away, it first writes all of it
//! down.
//!
//! Names, sizes by truncation, owners and modes are never lost: they are on disk at once.

pub mod asks;
mod damage;
mod inodes;
pub mod laid;
mod layer;
mod ops;
mod orders;
mod overlay;
pub mod served;
pub mod trouble;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fuser::{Config, MountOption, SessionACL};
use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use layer::Mounted;
use ops::Layer;
pub use orders::{Order, Report, give};

/// Threads that serve requests.
const THREADS: usize = 2;

/// `splitbrain-agent disk FOLDER SOCKET`: serves until the folder is unmounted.
pub fn run(folder: &str, socket: &str) -> Result<(), String> {
    let at = |what: &str, error: io::Error| format!("{what}: {error}");
    // Two descriptors a file that the kernel knows of.
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Fewer will do for most folders.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    let root = OpenOptions::new().read(true).custom_flags(flags).open(folder);
    let root: OwnedFd = root.map_err(|error| at(folder, error))?.into();
    let folder = PathBuf::from(folder);
    let layer = Arc::new(Layer::new(root, folder.clone()).map_err(|error| at("layer", error))?);
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(socket, error)),
        _ => {}
    }
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName("splitbrain".to_owned()),
        MountOption::DefaultPermissions,
        MountOption::NoDev,
        MountOption::NoSuid,
    ];
    config.acl = SessionACL::All;
    config.n_threads = Some(THREADS);
    config.clone_fd = true;
    let session = fuser::spawn_mount(Mounted(Arc::clone(&layer)), &folder, &config);
    let session = session.map_err(|error| at("mounting (FUSE)", error))?;
    let notifier = session.notifier();
    // Only now: whoever finds it knows that there was a mount.
    let listener = UnixListener::bind(socket).map_err(|error| at(socket, error))?;
    std::thread::spawn(move || orders::serve(&listener, &layer, &notifier));
    session.join().map_err(|error| at("serving", error))
}

/// Whether something is mounted over a folder by this module. The folder may be a link to one.
pub fn is_mounted(folder: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let listed = |target: &Path| {
        let target = escaped(&target.display().to_string());
        mounts.lines().any(|line| {
            let mut words = line.split(' ');
            words.next() == Some("splitbrain") && words.next() == Some(&target)
        })
    };
    listed(folder) || fs::canonicalize(folder).is_ok_and(|folder| listed(&folder))
}

/// A path as the kernel lists it.
fn escaped(path: &str) -> String {
    let each = path.chars().map(|c| match c {
        ' ' | '\t' | '\n' | '\\' => format!("\\{:03o}", u32::from(c)),
        c => c.to_string(),
    });
    each.collect()
}

/// Writes a small file under the folder, syncs it and reads it back; says what came of each, and
/// how long the sync took, ms.
pub fn probe(folder: &Path) -> (String, u64) {
    let path = folder.join(trouble::PROBE);
    let step = |name: &str, result: io::Result<()>| match result {
        Ok(()) => Ok(()),
        Err(error) => Err(format!("{name}: {}", said(&error))),
    };
    let written = step("write", fs::write(&path, b"probe"));
    let started = std::time::Instant::now();
    let synced = || step("sync", File::open(&path).and_then(|file| file.sync_all()));
    let synced = written.clone().and_then(|()| synced());
    let took = started.elapsed().as_millis() as u64;
    let read = || step("read", fs::read(&path).map(|_| ()));
    let outcome = synced.and_then(|()| read());
    // It may never have come to be.
    drop(fs::remove_file(&path));
    (outcome.err().unwrap_or_else(|| "written, synced, read".to_owned()), took)
}

fn said(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOSPC) => "no space left".to_owned(),
        Some(libc::EIO) => "input/output error".to_owned(),
        _ => error.to_string(),
    }
}
