//! Servers that are not ours: found by their service manager or their own pidfile, started by
//! their own command.
//!
//! Wherever a [`Start`] names a pidfile, it may name one of these instead:
//! `unit:NAME` (the main process of a unit of systemd), `main-of:DIR` (the process that
//! `DIR/postmaster.pid` names, if it works in `DIR`) and `holder-of:FILE` (the process that `FILE`
//! names, if it holds that file open, as MongoDB does with `mongod.lock`). A number that was given
//! to another process since must never be hit.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{by_pid, state};
use crate::proto::{ProcessId, ProcessState, Start};

/// How long a start command may take until the server is there: less than a lease, because nothing
/// is heard meanwhile. The command itself goes on; undoing again finds what it came to.
const START_LIMIT: Duration = Duration::from_secs(8);
/// Where service managers and database wrappers are.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A server that is not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum External<'a> {
    /// A unit of systemd.
    Unit(&'a str),
    /// The one that works in this data directory.
    MainOf(&'a str),
    /// The one that this file names, and that holds it open.
    HolderOf(&'a str),
}

impl External<'_> {
    /// Reads a pidfile's name as one, if it is.
    pub fn parse(pidfile: &str) -> Option<External<'_>> {
        if let Some(unit) = pidfile.strip_prefix("unit:") {
            return Some(External::Unit(unit));
        }
        if let Some(file) = pidfile.strip_prefix("holder-of:") {
            return Some(External::HolderOf(file));
        }
        pidfile.strip_prefix("main-of:").map(External::MainOf)
    }

    /// Its main process, if it runs.
    pub fn find(self) -> Option<ProcessId> {
        let pid = match self {
            External::Unit(unit) => {
                let mut command = Command::new("systemctl");
                command.args(["show", "--property=MainPID", "--value", "--", unit]);
                let output = command.env("PATH", PATH).stdin(Stdio::null()).output().ok()?;
                String::from_utf8(output.stdout).ok()?.trim().parse().ok()?
            }
            External::MainOf(folder) => {
                let pid = first_number(&Path::new(folder).join("postmaster.pid"))?;
                let works_in = fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
                (works_in == fs::canonicalize(folder).ok()?).then_some(pid)?
            }
            External::HolderOf(file) => {
                let file = fs::canonicalize(file).ok()?;
                let pid = first_number(&file)?;
                let open = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
                let holds = |fd: fs::DirEntry| fs::read_link(fd.path()).is_ok_and(|f| f == file);
                open.into_iter().any(holds).then_some(pid)?
            }
        };
        // A unit that does not run says 0.
        if pid <= 1 { None } else { by_pid(pid) }
    }
}

/// A start command under way.
pub struct Starting {
    pidfile: String,
    line: String,
    child: Child,
    ended: bool,
    until: Instant,
}

impl Starting {
    /// Runs the start command of a server that is not ours.
    pub fn begin(start: &Start) -> Result<Starting, String> {
        let [program, arguments @ ..] = &start.argv[..] else {
            return Err("no program to start it".to_owned());
        };
        let until = Instant::now() + START_LIMIT;
        let mut command = Command::new(program);
        command.args(arguments).env("PATH", PATH);
        // Nobody reads what it says; a server that it leaves behind must hold no pipe of ours.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(|error| format!("{program}: {error}"))?;
        let (pidfile, line) = (start.pidfile.clone(), start.argv.join(" "));
        Ok(Starting { pidfile, line, child, ended: false, until })
    }

    /// The server's main process once the command has ended and it is there.
    pub fn poll(&mut self) -> Result<Option<ProcessId>, String> {
        let find = || External::parse(&self.pidfile).and_then(External::find);
        let line = &self.line;
        if !self.ended
            && let Some(status) = self.child.try_wait().map_err(|error| error.to_string())?
        {
            self.ended = true;
            if !status.success() && find().is_none() {
                return Err(format!("{line} ended with {status}"));
            }
        }
        if self.ended
            && let Some(process) = find().filter(|process| state(process) == ProcessState::Running)
        {
            return Ok(Some(process));
        }
        if self.until <= Instant::now() {
            return Err(format!("{line}: no server within {} s", START_LIMIT.as_secs()));
        }
        Ok(None)
    }

    /// Waits until the server is there.
    pub fn wait(mut self) -> Result<ProcessId, String> {
        loop {
            if let Some(process) = self.poll()? {
                return Ok(process);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn first_number(file: &Path) -> Option<i32> {
    fs::read_to_string(file).ok()?.lines().next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_belongs_to_another_process_now_is_not_the_server() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let external = External::parse(&format!("main-of:{path}")).map(|_| External::MainOf(path));
        let external = external.unwrap();
        assert_eq!(external.find(), None, "no file");
        let mut sleeper = Command::new("sleep").arg("60").current_dir("/").spawn().unwrap();
        let file = folder.path().join("postmaster.pid");
        fs::write(&file, format!("{}\n{path}\n", sleeper.id())).unwrap();
        assert_eq!(external.find(), None, "it works elsewhere");
        let mut server = Command::new("sleep").arg("60").current_dir(path).spawn().unwrap();
        fs::write(&file, format!("{}\n{path}\n", server.id())).unwrap();
        assert_eq!(external.find().unwrap().pid, server.id() as i32);
        for child in [&mut sleeper, &mut server] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert_eq!(External::parse("/run/splitbrain/postgres.pid"), None);
        let holder = External::parse("holder-of:/d/mongod.lock");
        assert_eq!(holder, Some(External::HolderOf("/d/mongod.lock")));
        assert_eq!(External::parse("unit:pg@15"), Some(External::Unit("pg@15")));
    }

    #[test]
    fn who_holds_the_file_that_names_it_is_the_server() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mongod.lock");
        let external = External::HolderOf(file.to_str().unwrap());
        assert_eq!(external.find(), None, "no file");
        let mut other = Command::new("sleep").arg("60").spawn().unwrap();
        fs::write(&file, format!("{}\n", other.id())).unwrap();
        assert_eq!(external.find(), None, "it holds another");
        let open = fs::OpenOptions::new().append(true).open(&file).unwrap();
        let mut server = Command::new("sleep").arg("60").stdout(open).spawn().unwrap();
        fs::write(&file, format!("{}\n", server.id())).unwrap();
        assert_eq!(external.find().unwrap().pid, server.id() as i32);
        for child in [&mut other, &mut server] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        fs::write(&file, "").unwrap();
        assert_eq!(external.find(), None, "as a server leaves it that has ended well");
    }
}
