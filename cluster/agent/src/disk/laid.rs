//! A layer's process, from outside: started over a folder, and taken away from it.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, DirBuilder};
use std::hash::{Hash, Hasher};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, umount2};
use nix::sys::signal::Signal;

use super::{Order, give, is_mounted};
use crate::process;
use crate::proto::{ProcessId, ProcessState, Start};

/// Where sockets and logs of layers are.
const FOLDER: &str = "/run/splitbrain";
/// How long mounting may take.
const MOUNT_LIMIT: Duration = Duration::from_secs(5);
/// How long a killed process may take to be gone.
const KILL_LIMIT: Duration = Duration::from_secs(2);

/// Where the layer of a folder listens, from when it is mounted.
pub fn socket(folder: &str) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    folder.hash(&mut hasher);
    Path::new(FOLDER).join(format!("disk-{:016x}.sock", hasher.finish()))
}

fn pidfile(socket: &Path) -> PathBuf {
    socket.with_extension("pid")
}

fn gone(state: ProcessState) -> bool {
    matches!(state, ProcessState::Absent | ProcessState::Zombie)
}

/// The layer's process, if it lives.
fn living(socket: &Path) -> Option<ProcessId> {
    let process = process::from_pidfile(&pidfile(socket).display().to_string())?;
    (!gone(process::state(&process))).then_some(process)
}

/// Whether a layer may still hold what is not written down: its process lives, or another that
/// this host's numbers do not tell of listens.
fn alive(socket: &Path) -> bool {
    living(socket).is_some() || UnixStream::connect(socket).is_ok()
}

/// Kills a process, and waits until it is gone with all that it started.
pub(super) fn kill(process: &ProcessId) -> Result<(), String> {
    if let Err(error) = process::signal(process, Signal::SIGKILL)
        && !gone(process::state(process))
    {
        return Err(error);
    }
    match process::wait(process, KILL_LIMIT, gone) {
        state if gone(state) => Ok(()),
        state => Err(format!("process {} is {} after SIGKILL", process.pid, state.as_str())),
    }
}

/// What a layer's process leaves behind.
fn forget(socket: &Path) {
    // They may never have come to be.
    drop(fs::remove_file(socket));
    drop(fs::remove_file(pidfile(socket)));
}

/// Lays a layer over a folder; one that does not come to be is not left to come later.
pub(super) fn lay(folder: &str) -> Result<(), String> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(FOLDER);
    made.map_err(|error| format!("{FOLDER}: {error}"))?;
    let own = std::env::current_exe().map_err(|error| format!("own path: {error}"))?;
    let socket = socket(folder);
    // By a socket it is seen that a layer was mounted once.
    forget(&socket);
    let (listens, log) = (socket.display().to_string(), format!("{FOLDER}/disk.log"));
    let argv = vec![own.display().to_string(), "disk".to_owned(), folder.to_owned(), listens];
    let pidfile = pidfile(&socket).display().to_string();
    let start = Start { argv, log: log.clone(), pidfile, ..Start::default() };
    let process = process::start(&start, 0)?;
    let until = Instant::now() + MOUNT_LIMIT;
    while !is_mounted(Path::new(folder)) || !socket.exists() {
        if until <= Instant::now() || gone(process::state(&process)) {
            let said = process::last_lines(&log, 3).unwrap_or_default();
            let killed = kill(&process).err().map(|error| format!("; {error}"));
            let (said, killed) = (said.trim(), killed.unwrap_or_default());
            return Err(format!("no layer over {folder}: {said}{killed}"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Takes a layer away; a second time finds none, which is as good. One that cannot write down what
/// it holds stays: without it, that would be lost, or come over what is written later.
pub fn retire(folder: &str) -> Result<String, String> {
    let (path, socket) = (Path::new(folder), socket(folder));
    if !is_mounted(path)
        && !socket.exists()
        && let Some(process) = living(&socket)
    {
        // Whoever started it has died: it would mount yet, with nobody there to take it away.
        kill(&process)?;
    }
    if !is_mounted(path) {
        forget(&socket);
        return Ok(format!("no layer over {folder} is left"));
    }
    let asked = give(&socket, &Order::Retire);
    if is_mounted(path) {
        if let Err(why) = &asked
            && alive(&socket)
        {
            return Err(format!(
                "the layer over {folder} stays, with what it has not written down: {why}"
            ));
        }
        // Its process is gone.
        umount2(path, MntFlags::MNT_DETACH)
            .map_err(|error| format!("unmounting {folder}: {error}; the layer said {asked:?}"))?;
    }
    // Nobody gives it orders any more. Its process ends when nobody has a file of it open.
    forget(&socket);
    Ok(format!("unmounted {folder}"))
}

/// Ends a fault's trouble, wherever there still is a layer; `served` is whether a server that is
/// not ours runs on it.
pub fn relieve(folder: &str, fault: &str, served: bool) -> Result<String, String> {
    if !is_mounted(Path::new(folder)) {
        return Ok(format!("no layer over {folder} is left"));
    }
    let socket = socket(folder);
    match give(&socket, &Order::Relief { fault: fault.to_owned() }) {
        Ok(report) => Ok(report.said),
        Err(why) if alive(&socket) => Err(why),
        // It is taken away as it was laid: with its server down.
        Err(_) if served => Ok(format!("the layer over {folder} is dead, its trouble with it")),
        // A layer that is dead is of no use: without it the folder is sound.
        Err(_) => retire(folder),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::UnixListener;
    use std::process::{Child, Command};

    use nix::mount::{MsFlags, mount};

    use super::*;
    use crate::disk::Report;

    /// A process that stands in for a layer's, in its pidfile.
    fn stand_in(socket: &Path) -> Child {
        let child = Command::new("sleep").arg("300").spawn().unwrap();
        let process = process::by_pid(child.id() as i32).unwrap();
        fs::write(pidfile(socket), format!("{} {}\n", process.pid, process.start)).unwrap();
        child
    }

    /// A folder and where its layer would listen. Only root mounts, and writes to the folder of
    /// sockets: for others there is none, and that is said.
    fn place() -> Option<(tempfile::TempDir, String, PathBuf)> {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: it needs root");
            return None;
        }
        fs::create_dir_all(FOLDER).unwrap();
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().display().to_string();
        let socket = socket(&folder);
        Some((temporary, folder, socket))
    }

    #[test]
    fn a_layer_that_was_about_to_mount_mounts_no_more() {
        let Some((_temporary, folder, socket)) = place() else { return };
        let mut about_to = stand_in(&socket);
        assert_eq!(retire(&folder), Ok(format!("no layer over {folder} is left")));
        assert!(!about_to.wait().unwrap().success(), "killed");
        assert!(!pidfile(&socket).exists());
        // One that a person has unmounted still serves whoever has files open.
        let mut was = stand_in(&socket);
        fs::write(&socket, "").unwrap();
        assert!(retire(&folder).is_ok());
        assert_eq!(was.try_wait().unwrap(), None);
        was.kill().unwrap();
        was.wait().unwrap();
    }

    #[test]
    fn a_layer_that_cannot_write_down_stays_until_it_can_or_is_dead() {
        let Some((temporary, folder, socket)) = place() else { return };
        let (source, none) = (Some("splitbrain"), None::<&str>);
        mount(source, temporary.path(), Some("tmpfs"), MsFlags::empty(), none).unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        let full = std::thread::spawn(move || {
            // As often as it is asked; connections that ask nothing are of who looks for it.
            let mut asked = 0;
            while asked < 2 {
                let (mut stream, _) = listener.accept().unwrap();
                let mut line = String::new();
                if BufReader::new(&stream).read_line(&mut line).unwrap() != 0 {
                    asked += 1;
                    let no: Result<Report, String> = Err("no space left".to_owned());
                    stream.write_all(&serde_json::to_vec(&no).unwrap()).unwrap();
                    stream.write_all(b"\n").unwrap();
                }
            }
            listener
        });
        let refused = retire(&folder);
        let troubled = relieve(&folder, "f1", false);
        let still = is_mounted(temporary.path());
        // Its process dies.
        drop(full.join().unwrap());
        let served = relieve(&folder, "f1", true);
        let under = is_mounted(temporary.path());
        let retired = retire(&folder);
        let left = is_mounted(temporary.path());
        // Gone already, if all is well.
        let _ = umount2(temporary.path(), MntFlags::MNT_DETACH);
        let (refused, troubled) = (refused.unwrap_err(), troubled.unwrap_err());
        assert!(refused.ends_with("has not written down: no space left"), "{refused}");
        assert_eq!(troubled, "no space left");
        assert!(still && under && !left, "{still} {under} {left}");
        assert!(served.unwrap().contains("is dead"));
        assert_eq!(retired, Ok(format!("unmounted {folder}")));
    }
}
