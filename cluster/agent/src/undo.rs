//! How each act is undone. Doing it twice is the same as doing it once.

use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::capture;
use crate::cgroup;
use crate::disk::{self, served::Served};
use crate::fake_clock;
use crate::life::Graceful;
use crate::packet_filter;
use crate::process;
use crate::proto::{ProcessId, ProcessState, Start};
use crate::quote::shell_quote;
use crate::real_clock::Before;
use crate::real_clock::kernel::Kernel;
use crate::shape::{keeper, rules};
use crate::time_sync::{Systemd, TimeSync};

/// See the module's doc.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "undo", rename_all = "kebab-case")]
pub enum Undo {
    /// Take away a packet filter of our own.
    Filter {
        /// The name of its table or chain.
        name: String,
    },
    /// Let a process go on, if it is still that process.
    Continue {
        /// Which.
        process: ProcessId,
        /// The boot it belonged to.
        boot: String,
    },
    /// Start a process again, unless one runs.
    Restart {
        /// How.
        start: Start,
    },
    /// Start a process again that was asked to end.
    Revive {
        /// Which was asked.
        process: ProcessId,
        /// The boot it belonged to.
        boot: String,
        /// How.
        graceful: Graceful,
        /// How it is started.
        start: Start,
    },
    /// Put the clock of a host's servers right.
    Clock {
        /// The file that moves it.
        file: String,
    },
    /// Put the clock of the host right.
    RealClock {
        /// How it was.
        before: Before,
    },
    /// Start services again that keep the host's clock right.
    TimeSync {
        /// Which.
        services: Vec<String>,
    },
    /// Take away a chain of our own in table `mangle`, and end the shaper that it sent packets to.
    Shape {
        /// The chain's name.
        name: String,
        /// The shaper, where there is one.
        process: Option<ProcessId>,
        /// The boot it belonged to.
        boot: String,
    },
    /// Take our layer away from over a folder.
    Layer {
        /// The folder.
        folder: String,
        /// The server that used the folder before, and is to use it without the layer.
        #[serde(default)]
        served: Option<Served>,
    },
    /// End a trouble of such a layer.
    Relief {
        /// The folder.
        folder: String,
        /// The fault's id.
        fault: String,
        /// Whether a server that is not ours runs on the layer.
        #[serde(default)]
        served: bool,
    },
    /// End processes of our own.
    End {
        /// Which.
        processes: Vec<ProcessId>,
        /// The boot they belonged to.
        boot: String,
    },
    /// Put processes back into the control groups that they came from, and take ours away.
    Cgroup {
        /// The folder of ours.
        folder: String,
        /// The folder that the server was in, and whoever is not told of.
        home: String,
        /// Those of its children that were elsewhere, and where.
        strays: Vec<(ProcessId, String)>,
    },
    /// End a capture of packets and take its files away.
    Capture {
        /// The process.
        process: ProcessId,
        /// The boot it belonged to.
        boot: String,
        /// Where its files are.
        folder: String,
    },
    /// Nothing to be done: a process that was killed and shall stay dead.
    Nothing,
}

impl Undo {
    /// Undoes it; says in words what was done.
    pub fn carry_out(&self) -> Result<String, String> {
        match self {
            Undo::Filter { name } => packet_filter::remove(name),
            Undo::Continue { process, boot } => {
                if *boot != process::boot_id() || process::state(process) == ProcessState::Absent {
                    return Ok(format!("process {} is gone", process.pid));
                }
                process::signal(process, Signal::SIGCONT)?;
                Ok(format!("continued process {}", process.pid))
            }
            Undo::Restart { start } => restart(start),
            Undo::Revive { process, boot, graceful, start } => {
                let same = *boot == process::boot_id() && !gone(process::state(process));
                if same {
                    end(process, graceful)?;
                }
                restart(start)
            }
            Undo::Clock { file } => fake_clock::neutral(file),
            Undo::RealClock { before } => before.restore(&mut Kernel, &process::boot_id()),
            Undo::TimeSync { services } => {
                Systemd::here().start(services)?;
                Ok(format!("started {}", services.join(", ")))
            }
            Undo::Shape { name, process, boot } => {
                // The rules first: until then what arrives would wait for a shaper that is ending.
                let said = rules::remove(name)?;
                if let Some(process) = process.as_ref().filter(|_| *boot == process::boot_id()) {
                    keeper::end(process)?;
                }
                Ok(said)
            }
            Undo::Layer { folder, served: None } => disk::laid::retire(folder),
            Undo::Layer { folder, served: Some(served) } => uncover(folder, served),
            Undo::Relief { folder, fault, served } => disk::laid::relieve(folder, fault, *served),
            Undo::End { processes, boot } => {
                let ours = |process: &&ProcessId| {
                    *boot == process::boot_id() && !gone(process::state(process))
                };
                let left: Vec<&ProcessId> = processes.iter().filter(ours).collect();
                left.iter().try_for_each(|process| {
                    match process::signal(process, Signal::SIGKILL) {
                        Err(error) if !gone(process::state(process)) => Err(error),
                        _ => Ok(()),
                    }
                })?;
                Ok(format!("ended {} busy processes", left.len()))
            }
            Undo::Cgroup { folder, home, strays } => cgroup::limit::undo(folder, home, strays),
            Undo::Capture { process, boot, folder } => {
                capture::keeper::undo(process, *boot == process::boot_id(), folder)
            }
            Undo::Nothing => Ok("nothing to undo".to_owned()),
        }
    }
    /// What a person would type.
    pub fn by_hand(&self) -> String {
        match self {
            Undo::Filter { name } => packet_filter::by_hand(name),
            Undo::Continue { process, .. } => process::continue_by_hand(process.pid),
            Undo::Restart { start } | Undo::Revive { start, .. } => process::start_by_hand(start),
            Undo::Clock { file } => format!("echo '+0 x1.0' >{}", shell_quote(file)),
            Undo::RealClock { before } => before.by_hand(),
            Undo::TimeSync { services } => format!("systemctl start {}", services.join(" ")),
            Undo::Shape { name, process, .. } => {
                let kill = process.as_ref().map(|process| format!("; kill -9 {}", process.pid));
                format!("{}{}", rules::by_hand(name), kill.unwrap_or_default())
            }
            Undo::Layer { folder, served: Some(Served { start, graceful }) } => {
                let (over, start) = (shell_quote(folder), process::start_by_hand(start));
                match graceful {
                    Graceful::Command(argv) => {
                        let stop: Vec<String> = argv.iter().map(|a| shell_quote(a)).collect();
                        format!("{}; umount -l {over}; {start}", stop.join(" "))
                    }
                    // These words are no command, and nothing is unmounted under a live server.
                    _ => format!("stop the server of {over} && umount -l {over} && {start}"),
                }
            }
            Undo::Layer { folder, .. } | Undo::Relief { folder, .. } => {
                format!("umount -l {}", shell_quote(folder))
            }
            Undo::End { processes, .. } => {
                let pids: Vec<String> = processes.iter().map(|p| p.pid.to_string()).collect();
                format!("kill -KILL {}", pids.join(" "))
            }
            Undo::Cgroup { folder, home, strays } => cgroup::limit::by_hand(folder, home, strays),
            Undo::Capture { process, folder, .. } => {
                let folder = shell_quote(folder);
                format!("kill -9 {}; rm -f {folder}/packets*.pcap", process.pid)
            }
            Undo::Nothing => "nothing".to_owned(),
        }
    }
}

/// Takes a layer away from under a server that is not ours: it is ended before, and started after.
/// Without a layer there is only a server to be started, if it does not run.
fn uncover(folder: &str, served: &Served) -> Result<String, String> {
    if disk::is_mounted(Path::new(folder))
        && let Some(process) = process::from_pidfile(&served.start.pidfile)
        && !gone(process::state(&process))
    {
        end(&process, &served.graceful)?;
    }
    let retired = disk::laid::retire(folder)?;
    Ok(format!("{retired}; {}", restart(&served.start)?))
}

/// How long a process that was asked to end is given once more when its fault is undone.
const LAST_GRACE: Duration = Duration::from_secs(2);
/// How long what runs is looked at before it counts as running.
const DYING: Duration = Duration::from_millis(50);
/// How long a kill may take to show.
const KILLED: Duration = Duration::from_millis(500);

fn gone(state: ProcessState) -> bool {
    matches!(state, ProcessState::Absent | ProcessState::Zombie)
}

fn restart(start: &Start) -> Result<String, String> {
    if let Some(hold) = start.hold.as_ref().filter(|path| Path::new(path).exists()) {
        return Ok(format!("left to whoever made {hold}"));
    }
    // One that was killed this very moment, by a worker that has died since, runs for a little yet.
    if let Some(running) = process::from_pidfile(&start.pidfile)
        && !gone(process::wait(&running, DYING, gone))
    {
        return Ok(format!("process {} already runs", running.pid));
    }
    let process = process::start(start, 0)?;
    Ok(format!("started {} as process {}", start.argv.join(" "), process.pid))
}

/// Ends a process that was asked to end and has not: nobody can take that back, and it would end
/// with nobody there to start it again. It is asked once more, for one that was not asked yet
/// because its worker died in between.
fn end(process: &ProcessId, graceful: &Graceful) -> Result<(), String> {
    let asked = graceful.ask(process);
    if asked.is_ok() && gone(process::wait(process, LAST_GRACE, gone)) {
        return Ok(());
    }
    // Whoever it was may have ended by now: that is no error.
    match process::signal(process, Signal::SIGKILL) {
        Err(error) if !gone(process::state(process)) => Err(error),
        _ if gone(process::wait(process, KILLED, gone)) => Ok(()),
        _ => Err(format!("process {} does not end", process.pid)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_unmounts_nothing_under_a_server_that_no_command_has_ended() {
        let start = Start { argv: vec!["/bin/s".to_owned()], ..Start::default() };
        let typed = |graceful| {
            let served = Some(Served { start: start.clone(), graceful });
            Undo::Layer { folder: "/d".to_owned(), served }.by_hand()
        };
        let words = typed(Graceful::Int);
        assert!(words.contains("/d' && umount -l") || words.contains("/d && umount -l"), "{words}");
        let command = typed(Graceful::Command(vec!["/bin/stop".to_owned()]));
        assert!(command.contains("/bin/stop") && command.contains("; umount -l"), "{command}");
    }
}
