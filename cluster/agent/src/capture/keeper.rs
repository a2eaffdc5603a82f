//! The worker's end of a capture: started, ended, its files taken away.

use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{Captured, FILES};
use crate::addresses;
use crate::journal::Journal;
use crate::process;
use crate::proto::{Answer, ProcessId, ProcessState};
use crate::undo::Undo;

/// What the journal calls it.
pub const ID: &str = "pcap";
/// How long it may take to write its last packets down.
const GRACE: Duration = Duration::from_secs(2);

/// The capture of this host, if there is one.
#[derive(Default)]
pub struct Captures {
    running: Option<(Child, ChildStdin)>,
}

impl Captures {
    /// Captures what passes the interface that has this address, into files beside the journal.
    pub fn begin(
        &mut self,
        journal: &mut Journal,
        address: IpAddr,
        bound: u64,
    ) -> Result<Answer, String> {
        if self.running.is_some() {
            return Err("packets are captured already".to_owned());
        }
        let interfaces = addresses::interfaces()?;
        let found = interfaces.into_iter().find(|there| there.addresses.contains(&address));
        let interface = found.ok_or_else(|| format!("no interface here has {address}"))?.name;
        let own = std::env::current_exe().map_err(|error| format!("own path: {error}"))?;
        let folder = journal.folder().to_owned();
        let mut command = Command::new(own);
        command.arg("capture").arg(&folder).arg(&interface).arg(bound.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("the capture: {error}"))?;
        let process = process::by_pid(child.id() as i32);
        let Some((mut orders, process)) = child.stdin.take().zip(process) else {
            return Err("the capture ended at once".to_owned());
        };
        // Until it is told to begin it does nothing, and ends with us.
        let undo = Undo::Capture {
            process,
            boot: process::boot_id(),
            folder: folder.to_string_lossy().into_owned(),
        };
        journal.before(ID, &undo).map_err(|error| format!("journal: {error}"))?;
        orders.write_all(b"b").map_err(|error| format!("the capture: {error}"))?;
        self.running = Some((child, orders));
        Ok(Answer::Done)
    }

    /// Ends it; its files stay until it is undone.
    pub fn end(&mut self, folder: &Path) -> Result<Answer, String> {
        let (mut child, orders) = self.running.take().ok_or("no packets are captured")?;
        drop(orders);
        let gone = |state| matches!(state, ProcessState::Absent | ProcessState::Zombie);
        if let Some(process) = process::by_pid(child.id() as i32)
            && !gone(process::wait(&process, GRACE, gone))
        {
            let _ = child.kill();
        }
        let output = child.wait_with_output().map_err(|error| format!("the capture: {error}"))?;
        let captured: Captured = serde_json::from_slice(&output.stdout).map_err(|_| {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            format!("the capture had ended before: {said}")
        })?;
        let paths = FILES.map(|name| folder.join(name));
        let files = paths.iter().filter(|path| path.exists());
        let files = files.map(|path| path.to_string_lossy().into_owned()).collect();
        Ok(Answer::Captured { captured, files })
    }

    /// Forgets one that was undone.
    pub fn forget(&mut self) {
        if let Some((mut child, orders)) = self.running.take() {
            drop(orders);
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Ends a capture and takes its files away.
pub fn undo(process: &ProcessId, same_boot: bool, folder: &str) -> Result<String, String> {
    let gone = |state| matches!(state, ProcessState::Absent | ProcessState::Zombie);
    if same_boot && !gone(process::state(process)) {
        // One that has ended meanwhile needs no signal.
        drop(process::signal_one(process, Signal::SIGKILL));
        if !gone(process::wait(process, GRACE, gone)) {
            return Err(format!("the capture, process {}, does not end", process.pid));
        }
    }
    for path in FILES.map(|name| PathBuf::from(folder).join(name)) {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(format!("{}: {error}", path.display()));
            }
            _ => {}
        }
    }
    Ok("ended the capture of packets".to_owned())
}
