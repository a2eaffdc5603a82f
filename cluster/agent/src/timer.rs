//! A timer outside of worker and guardian: should both die at once, the host's service manager
//! runs `heal-abandoned` until nothing is left to undo.
//!
//! By systemd, where that runs; elsewhere there is none, and that is said.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::external::PATH;
use crate::host_lock;
use crate::journal::Journal;
use crate::packet_filter;

/// Where systemd shows that it runs.
pub(crate) const SYSTEMD: &str = "/run/systemd/system";

/// The timer's unit of a run's folder, without `.timer`.
fn unit(dir: &Path) -> String {
    let run = dir.file_name().map(|name| name.to_string_lossy().into_owned());
    packet_filter::name(&run.unwrap_or_default()).replacen("splitbrain", "splitbrain-heal", 1)
}

/// The arguments of `systemd-run`: this program, for this folder, so often.
fn arguments(program: &str, dir: &Path, lease_ms: u64) -> Vec<String> {
    let every = lease_ms.div_ceil(1_000).max(1);
    let mut words: Vec<String> = ["--quiet", "--collect"].map(str::to_owned).to_vec();
    words.push(format!("--unit={}", unit(dir)));
    words.push(format!("--on-active={every}s"));
    words.push(format!("--on-unit-active={every}s"));
    words.push("--timer-property=AccuracySec=1s".to_owned());
    words.extend(["--", program, "heal-abandoned"].map(str::to_owned));
    words.push(dir.to_string_lossy().into_owned());
    words
}

/// Starts it; says which it is, or that there is none and why.
pub fn start(dir: &Path, lease_ms: u64) -> String {
    let none = |why: &str| format!("no timer outside of the agent: {why}");
    if !Path::new(SYSTEMD).is_dir() {
        return none("systemd does not run here");
    }
    let own = match std::env::current_exe() {
        Ok(own) => own.to_string_lossy().into_owned(),
        Err(error) => return none(&format!("own path: {error}")),
    };
    match run("systemd-run", &arguments(&own, dir, lease_ms)) {
        Ok(()) => format!("timer {}.timer", unit(dir)),
        Err(error) => none(&error),
    }
}

/// Takes it away; one that is not there is as good.
pub fn stop(dir: &Path) {
    if Path::new(SYSTEMD).is_dir() {
        drop(run("systemctl", &["stop".to_owned(), format!("{}.timer", unit(dir))]));
    }
}

/// Undoes what is left in a folder that no agent is at work on; then takes the timer away.
pub fn heal_abandoned(dir: &Path) -> Result<Vec<String>, String> {
    let Some(lock) = host_lock::abandoned(dir) else {
        return Ok(Vec::new());
    };
    let undone = Journal::open(dir).map_err(|error| error.to_string())?.undo(None)?;
    // The timer ends whoever it has started.
    drop(lock);
    stop(dir);
    Ok(undone)
}

fn run(program: &str, arguments: &[String]) -> Result<(), String> {
    let mut command = Command::new(program);
    command.args(arguments).env("PATH", PATH);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', " ");
            Err(format!("{program}: {said}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host_lock::HostLock;

    #[test]
    fn the_command_line_is_this_one() {
        let line = arguments("/run/splitbrain/agent-1", Path::new("/run/splitbrain/a-7"), 9_500);
        assert_eq!(
            line.join(" "),
            "--quiet --collect --unit=splitbrain-heal_a_7 --on-active=10s --on-unit-active=10s \
             --timer-property=AccuracySec=1s -- /run/splitbrain/agent-1 heal-abandoned \
             /run/splitbrain/a-7"
        );
    }

    #[test]
    fn only_what_nobody_is_at_work_on_is_abandoned() {
        let base = tempfile::tempdir().unwrap();
        let dir = base.path().join("one");
        let (lock, _) = HostLock::take(&dir, "one", "ann").unwrap();
        assert!(host_lock::abandoned(&dir).is_none(), "its agent lives");
        // Another run's folder, whose agent is gone.
        assert!(host_lock::abandoned(&base.path().join("other")).is_some());
        drop(lock);
        assert!(host_lock::abandoned(&dir).is_some());
    }
}
