//! Busy processes beside the system's, so that it gets less of the processor.
//!
//! Each has a session of its own, because the kernel shares processors out by session first where
//! it groups them so. They end with the worker, by the kernel's hand, and by the journal where the
//! worker is stuck.

use std::fs;
use std::hint::spin_loop;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{getppid, setsid};

use crate::journal::Journal;
use crate::process;
use crate::proto::ProcessId;
use crate::undo::Undo;

/// Rounds between two looks at whether the worker is there.
const ROUNDS: u32 = 10_000_000;

/// The busy processes of each fault.
#[derive(Default)]
pub struct Burners {
    all: Vec<(String, Child)>,
}

impl Burners {
    /// Starts so many; each waits for a word, which it gets once all are in the journal.
    pub fn begin(&mut self, journal: &mut Journal, fault: &str, count: u32) -> Result<(), String> {
        let own = std::env::current_exe().map_err(|error| format!("own path: {error}"))?;
        let (mut children, mut processes) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let mut command = Command::new(&own);
            command.arg("burn").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
            let child = command.spawn().map_err(|error| format!("a busy process: {error}"))?;
            processes.extend(process::by_pid(child.id() as i32));
            children.push(child);
        }
        let undo = Undo::End { processes, boot: process::boot_id() };
        journal.before(fault, &undo).map_err(|error| format!("journal: {error}"))?;
        for mut child in children {
            if let Some(mut stdin) = child.stdin.take() {
                // One that is gone burns nothing: the measurement shows it.
                let _ = stdin.write_all(b".");
            }
            self.all.push((fault.to_owned(), child));
        }
        Ok(())
    }

    /// Reaps those of a fault, or all, that were ended.
    pub fn forget(&mut self, fault: Option<&str>) {
        self.all.retain_mut(|(of, child)| {
            let ours = fault.is_none_or(|fault| fault == of);
            if ours {
                let _ = child.kill();
                let _ = child.wait();
            }
            !ours
        });
    }
}

/// `splitbrain-agent burn`: waits for a word, then does nothing with all its might.
pub fn burn() -> Result<(), String> {
    let parent = getppid();
    set_pdeathsig(Signal::SIGKILL).map_err(|error| format!("pdeathsig: {error}"))?;
    setsid().map_err(|error| format!("setsid: {error}"))?;
    let mut word = [0];
    if !matches!(std::io::stdin().read(&mut word), Ok(1)) {
        return Ok(());
    }
    while getppid() == parent {
        (0..ROUNDS).for_each(|_| spin_loop());
    }
    Ok(())
}

/// How long a process tree has run, and how long it has waited for a processor, ns in all.
pub fn times(process: &ProcessId) -> (u64, u64) {
    let (mut ran, mut waited) = (0, 0);
    for member in process::tree(process) {
        let threads = fs::read_dir(format!("/proc/{}/task", member.pid));
        for thread in threads.into_iter().flatten().flatten() {
            let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
            let mut fields = text.split_whitespace().map(|field| field.parse().unwrap_or(0_u64));
            ran += fields.next().unwrap_or(0);
            waited += fields.next().unwrap_or(0);
        }
    }
    (ran, waited)
}
