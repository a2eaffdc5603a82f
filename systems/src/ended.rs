//! Ends a system's processes when it is taken down: by the agent, else over SSH, else by hand.
//!
//! An agent whose session has broken ends, and undoes the faults; what it started goes on. So its
//! host is asked again over a connection of its own, and what cannot be ended is named.

use std::time::Duration;

use agent::proto::Ask;
use cluster::{Exec, Host, SshHost, shell_quote};

use crate::system::Nodes;

/// How long a process may take to end when it is asked to, before it is killed.
const GRACE_MS: u64 = 300;

/// Ends the process that a pidfile names, on all hosts at once; says where that took another way,
/// and what to type where there was none.
pub(crate) fn stop_all(nodes: &Nodes, pidfile: &str) {
    let ended = nodes.each(|node, host| {
        let ask = Ask::Stop { pidfile: pidfile.to_owned(), grace_ms: GRACE_MS };
        let asked = nodes.ask(node, ask, Duration::from_secs(3));
        Ok(asked.err().map(|error| over_ssh(host, pidfile, &error.what)))
    });
    match ended {
        Ok(said) => said.iter().flatten().for_each(|line| say::errln!("{line}")),
        Err(error) => say::errln!("warning: {error}"),
    }
}

/// Ends it without the agent; gives what to say of that.
fn over_ssh(host: &SshHost, pidfile: &str, why: &str) -> String {
    let exec = Exec::shell(stop_line(pidfile)).timeout(Duration::from_secs(8));
    let left = match host.exec(exec) {
        Ok(result) if result.status == 0 => {
            return format!("note: {why}; its server was stopped over SSH instead");
        }
        Ok(result) => format!("status {}", result.status),
        Err(error) => error.to_string(),
    };
    format!(
        "warning: {why}; its server may run on, and could not be stopped over SSH: {left}\n\
         help: type, as root, on {}\n  {}",
        host.name(),
        stop_line(pidfile)
    )
}

/// A shell line that ends the process a pidfile names, `PID START`, and its group; nothing if it
/// has ended, or its number is another's by now. Status 7 when it is still there.
fn stop_line(pidfile: &str) -> String {
    let pidfile = shell_quote(pidfile);
    format!(
        "read pid start <{pidfile} || exit 0; \
         lives() {{ [ \"$(cut -d ' ' -f 22 /proc/$pid/stat 2>/dev/null)\" = \"$start\" ] && \
         [ \"$(cut -d ' ' -f 3 /proc/$pid/stat 2>/dev/null)\" != Z ]; }}; \
         for sig in TERM CONT KILL; do lives || exit 0; \
         kill -$sig -- -$pid 2>/dev/null || kill -$sig $pid 2>/dev/null; \
         [ $sig = TERM ] || sleep 1; done; lives && exit 7; exit 0"
    )
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn stopped(pidfile: &str) -> Option<i32> {
        let mut shell = Command::new("sh");
        shell.args(["-c", &stop_line(pidfile)]).stderr(Stdio::null()).status().unwrap().code()
    }

    #[test]
    fn a_process_is_ended_by_its_pidfile_and_no_other_of_its_number() {
        let folder = tempfile::tempdir().unwrap();
        let pidfile = folder.path().join("it's a pid");
        let pidfile = pidfile.to_str().unwrap();
        assert_eq!(stopped(pidfile), Some(0), "no pidfile: nothing to end");
        // Deaf to the request to end: it has to be killed.
        for deaf in ["", "trap '' TERM; "] {
            let script = format!("{deaf}echo up; while :; do sleep 1; done");
            let mut sh = Command::new("sh");
            let mut child = sh.args(["-c", &script]).stdout(Stdio::piped()).spawn().unwrap();
            let mut up = [0; 3];
            let out = child.stdout.as_mut().unwrap();
            std::io::Read::read_exact(out, &mut up).unwrap();
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
            let start: u64 = stat.split(' ').nth(21).unwrap().parse().unwrap();
            std::fs::write(pidfile, format!("{} {}\n", child.id(), start + 1)).unwrap();
            assert_eq!(stopped(pidfile), Some(0));
            assert!(child.try_wait().unwrap().is_none(), "its number was another's");
            std::fs::write(pidfile, format!("{} {start}\n", child.id())).unwrap();
            assert_eq!(stopped(pidfile), Some(0));
            assert!(!child.wait().unwrap().success());
        }
    }
}
