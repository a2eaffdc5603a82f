//! The services that keep a host's clock right. They would move it back: before it is moved they
//! are stopped, and whoever puts it right starts them again.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::external::PATH;
use crate::hold;
use crate::timer::SYSTEMD;

/// Units of systemd that keep clocks, by every name that distributions give them.
const UNITS: [&str; 7] = [
    "chrony.service",
    "chronyd.service",
    "systemd-timesyncd.service",
    "ntpd.service",
    "ntp.service",
    "ntpsec.service",
    "openntpd.service",
];
/// What their processes are called, as the kernel cuts names: for hosts without systemd.
/// And those that put clocks right beside such services, of hardware and of virtual machines.
const PROGRAMS: [&str; 8] = [
    "chronyd",
    "systemd-timesyn",
    "ntpd",
    "openntpd",
    "phc2sys",
    "ptp4l",
    "vmtoolsd",
    "VBoxService",
];
/// How long `systemctl` may take: an act stays within a lease.
const LIMIT: Duration = Duration::from_secs(4);
/// How often it is looked whether it has ended.
const PAUSE: Duration = Duration::from_millis(5);

/// What keeps a host's clock right.
pub trait TimeSync {
    /// Services that run now and can be stopped.
    fn running(&self) -> Result<Vec<String>, String>;
    /// Stops these; says so only when none of them runs any more.
    fn stop(&mut self, services: &[String]) -> Result<(), String>;
    /// Starts these; one that runs goes on.
    fn start(&mut self, services: &[String]) -> Result<(), String>;
    /// What keeps the clock too and cannot be stopped, in words.
    fn left(&self) -> Option<String>;
}

/// By systemd, where that runs; elsewhere nothing can be stopped, and that is said.
pub struct Systemd {
    path: String,
    runs: bool,
}

impl Systemd {
    /// This host's.
    pub fn here() -> Systemd {
        Systemd { path: PATH.to_owned(), runs: Path::new(SYSTEMD).is_dir() }
    }

    /// What `systemctl` says; an error with its words if it fails, or takes too long.
    fn systemctl(&self, arguments: &[&str]) -> Result<String, String> {
        let line = || format!("systemctl {}", arguments.join(" "));
        let fail = |error: std::io::Error| format!("{}: {error}", line());
        let found = self.path.split(':').map(|folder| Path::new(folder).join("systemctl"));
        let program = found.into_iter().find(|program| program.exists());
        let mut command = Command::new(program.unwrap_or_else(|| "systemctl".into()));
        command.args(arguments).env("PATH", &self.path);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A worker that dies meanwhile is waited for until this has ended too.
        hold::while_it_acts(&mut command);
        let mut child = command.spawn().map_err(fail)?;
        let until = Instant::now() + LIMIT;
        let status = loop {
            if let Some(status) = child.try_wait().map_err(fail)? {
                break status;
            }
            if until <= Instant::now() {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("{}: no end within {} s", line(), LIMIT.as_secs()));
            }
            thread::sleep(PAUSE);
        };
        // It says less than a pipe holds: a line for each of the names above.
        let (mut said, mut errors) = (String::new(), String::new());
        if let (Some(mut out), Some(mut err)) = (child.stdout.take(), child.stderr.take()) {
            out.read_to_string(&mut said).map_err(fail)?;
            err.read_to_string(&mut errors).map_err(fail)?;
        }
        match status.success() {
            true => Ok(said),
            false => Err(format!("{}: {}", line(), errors.trim().replace('\n', " "))),
        }
    }

    fn each(&self, verb: &str, services: &[String]) -> Result<(), String> {
        if services.is_empty() {
            return Ok(());
        }
        let words = [verb, "--"].into_iter().chain(services.iter().map(String::as_str));
        self.systemctl(&words.collect::<Vec<_>>()).map(drop)
    }
}

impl TimeSync for Systemd {
    fn running(&self) -> Result<Vec<String>, String> {
        if !self.runs {
            return Ok(Vec::new());
        }
        let list = [
            "list-units",
            "--type=service",
            "--state=active,activating,reloading",
            "--plain",
            "--no-legend",
            "--no-pager",
        ];
        let said = self.systemctl(&[&list[..], &UNITS].concat())?;
        let units = said.lines().filter_map(|line| line.split_whitespace().next());
        Ok(units.filter(|unit| UNITS.contains(unit)).map(str::to_owned).collect())
    }

    fn stop(&mut self, services: &[String]) -> Result<(), String> {
        self.each("stop", services)?;
        let left = self.running()?;
        match left.iter().find(|unit| services.contains(unit)) {
            None => Ok(()),
            Some(unit) => Err(format!("{unit} does not stop")),
        }
    }

    fn start(&mut self, services: &[String]) -> Result<(), String> {
        self.each("start", services)
    }

    fn left(&self) -> Option<String> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| fs::read_to_string(entry.path().join("comm")).ok());
        let mut found: Vec<String> = names.map(|name| name.trim().to_owned()).collect();
        found.retain(|name| PROGRAMS.contains(&name.as_str()));
        found.sort_unstable();
        found.dedup();
        let why = if self.runs { "is no unit that is known" } else { "there is no systemd" };
        (!found.is_empty())
            .then(|| format!("{} runs on, may put it right ({why})", found.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// What stands in for `systemctl`: a unit runs while its file is there.
    const SYSTEMCTL: &str = "#!/bin/sh\ncd \"$(dirname \"$0\")/units\" || exit 1\n\
        verb=$1; shift\n\
        case $verb in\n\
        list-units) for unit in *.service; do\n\
          [ -e \"$unit\" ] && echo \"$unit loaded active running A clock\"; done; exit 0;;\n\
        stop) shift; rm -f -- \"$@\";;\n\
        start) shift; for unit; do case $unit in ntp.*) echo no such unit >&2; exit 5;; esac\n\
          touch -- \"$unit\"; done;;\n\
        esac\n";

    /// A host with these units running.
    fn host(units: &[&str]) -> (tempfile::TempDir, Systemd) {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("systemctl");
        fs::write(&program, SYSTEMCTL).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(folder.path().join("units")).unwrap();
        for unit in units {
            fs::write(folder.path().join("units").join(unit), "").unwrap();
        }
        let path = format!("{}:{PATH}", folder.path().display());
        (folder, Systemd { path, runs: true })
    }

    #[test]
    fn those_that_run_are_stopped_and_started_again() {
        let (_folder, mut systemd) = host(&["chrony.service", "ssh.service"]);
        let running = systemd.running().unwrap();
        assert_eq!(running, ["chrony.service"], "nobody else's");
        systemd.stop(&running).unwrap();
        assert_eq!(systemd.running().unwrap(), [""; 0]);
        for _ in 0..2 {
            systemd.start(&running).unwrap();
            assert_eq!(systemd.running().unwrap(), ["chrony.service"]);
        }
        systemd.stop(&[]).unwrap();
        assert_eq!(systemd.running().unwrap(), ["chrony.service"]);
        let refused = systemd.start(&["ntp.service".to_owned()]).unwrap_err();
        assert_eq!(refused, "systemctl start -- ntp.service: no such unit");
    }

    #[test]
    fn without_systemd_nothing_is_stopped() {
        let systemd = Systemd { path: "/nowhere".to_owned(), runs: false };
        assert_eq!(systemd.running(), Ok(Vec::new()));
        let (_folder, told) = host(&[]);
        let nowhere = Systemd { path: "/nowhere".to_owned(), ..told };
        assert!(nowhere.running().unwrap_err().starts_with("systemctl list-units "));
    }
}
