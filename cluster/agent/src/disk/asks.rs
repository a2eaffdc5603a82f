//! What the harness asks about disks, and how the worker does it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::laid::{self, lay, retire, socket};
use super::served::{Served, all_within};
use super::trouble::Troubled;
use super::{Order, give, probe};
use crate::journal::Journal;
use crate::process;
use crate::proto::{Answer, Start};
use crate::undo::Undo;

/// A question about a disk. `folder` is where the layer is mounted, or is to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "disk", rename_all = "kebab-case")]
pub enum DiskAsk {
    /// Lays a layer over a folder that nobody uses yet, until healed.
    Lay {
        /// The folder.
        folder: String,
    },
    /// Likewise, over a folder that a server uses, in steps that are each shorter than a lease:
    /// asks the server to end. A count of 1 says that it has not yet. From here on undoing takes
    /// the layer away, and starts the server without it.
    Vacate {
        /// The folder.
        folder: String,
        /// The server.
        served: Served,
        /// Whether it was asked before.
        again: bool,
    },
    /// Lays the layer over the folder that was vacated.
    Cover {
        /// The folder.
        folder: String,
        /// The server.
        served: Served,
    },
    /// Starts the server.
    Serve {
        /// The server.
        served: Served,
    },
    /// Asks the server to end before the layer is lifted. A count of 1 says that it has not yet.
    End {
        /// The server.
        served: Served,
        /// Whether it was asked before.
        again: bool,
    },
    /// Takes the layer away, if there is one; a server that used the folder before is started.
    Lift {
        /// The folder.
        folder: String,
    },
    /// Writes all down: what is there when a run begins is not what a crash may take.
    Settle {
        /// The folder.
        folder: String,
    },
    /// Refuses or delays until healed.
    Trouble {
        /// The folder.
        folder: String,
        /// What, for which fault and which files.
        troubled: Troubled,
        /// How the process that may die of it is started again when healed.
        restart: Start,
    },
    /// Ends a trouble; says how many operations met it.
    Relieve {
        /// The folder.
        folder: String,
        /// The fault's id.
        fault: String,
    },
    /// SIGKILL to the process in a pidfile, then damage; the process is started again when healed.
    Crash {
        /// The folder.
        folder: String,
        /// The fault's id.
        fault: String,
        /// The file.
        pidfile: String,
        /// How it is started again.
        restart: Start,
        /// What the crash does to the disk.
        damage: Damage,
    },
    /// Flips one bit of a file that holds content. It stays flipped; a process that died of it is
    /// started again when healed.
    Flip {
        /// The folder.
        folder: String,
        /// The fault's id.
        fault: String,
        /// How it is started again.
        restart: Start,
        /// Parts of paths, one of which the file's must hold; none is any.
        files: Vec<String>,
        /// Decides which.
        seed: u64,
    },
    /// Writes, syncs and reads a small file.
    Probe {
        /// The folder.
        folder: String,
    },
}

impl DiskAsk {
    /// With what is started again changed.
    pub fn started_by(mut self, change: impl Fn(Start) -> Start) -> DiskAsk {
        if let DiskAsk::Trouble { restart, .. }
        | DiskAsk::Crash { restart, .. }
        | DiskAsk::Flip { restart, .. } = &mut self
        {
            *restart = change(restart.clone());
        }
        self
    }
}

/// What a crash does to the disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Damage {
    /// What was not synced is lost; with a seed, part of it arrives nevertheless.
    Unsynced(Option<u64>),
    /// The last bytes of content of the file that was written last, of those that match.
    Tail {
        /// Parts of paths.
        files: Vec<String>,
        /// How many bytes.
        bytes: u64,
    },
}

/// The journal's name for a layer: it outlives the faults that use it.
fn layer_id(folder: &str) -> String {
    format!("disk layer of {folder}")
}

/// Does what is asked.
pub fn answer(journal: &mut Journal, ask: DiskAsk) -> Result<Answer, String> {
    let done = |(said, count): (String, u64)| Answer::Disk { said, count, sync_ms: 0 };
    match ask {
        DiskAsk::Lay { folder } => {
            lift(journal, &folder)?;
            let undo = Undo::Layer { folder: folder.clone(), served: None };
            note(journal, &layer_id(&folder), &undo)?;
            lay(&folder).map(|()| done((format!("over {folder}"), 0)))
        }
        DiskAsk::Vacate { folder, served, again } => {
            if !again {
                vacate(journal, &folder, &served)?;
            }
            let ended = served.end(again);
            if ended.is_err() && !again {
                // It was not asked, so there is nothing to undo: it is left alone.
                let after = journal.after(&layer_id(&folder));
                after.map_err(|error| format!("journal: {error}"))?;
            }
            ended.map(done)
        }
        DiskAsk::Cover { folder, served } => match served.end(true)? {
            (_, 0) => {
                // Once more: what undoes an act is written just before it.
                note(journal, &layer_id(&folder), &covered(&folder, &served))?;
                lay(&folder).map(|()| done((format!("over {folder}"), 0)))
            }
            // Somebody else has started it again: it would write past the layer.
            (said, _) => Err(said),
        },
        DiskAsk::Serve { served } => {
            process::start(&served.start, 0).map(|p| done((format!("process {}", p.pid), 0)))
        }
        DiskAsk::End { served, again } => served.end(again).map(done),
        DiskAsk::Lift { folder } => lift(journal, &folder).map(|said| done((said, 0))),
        DiskAsk::Settle { folder } => order(&folder, &Order::Settle).map(done),
        DiskAsk::Trouble { folder, troubled, restart } => {
            note(journal, &troubled.fault, &Undo::Restart { start: restart })?;
            let (fault, served) = (troubled.fault.clone(), is_served(journal, &folder));
            let undo = Undo::Relief { folder: folder.clone(), fault, served };
            note(journal, &troubled.fault, &undo)?;
            order(&folder, &Order::Trouble { troubled }).map(done)
        }
        DiskAsk::Relieve { folder, fault } => {
            let met = order(&folder, &Order::Relief { fault: fault.clone() })?;
            journal.undo(Some(&fault))?;
            Ok(done(met))
        }
        DiskAsk::Crash { folder, fault, pidfile, restart, damage } => {
            note(journal, &fault, &Undo::Restart { start: restart })?;
            kill(&pidfile)?;
            order(&folder, &damage_order(damage)).map(done)
        }
        DiskAsk::Flip { folder, fault, restart, files, seed } => {
            note(journal, &fault, &Undo::Restart { start: restart })?;
            order(&folder, &Order::Flip { files, seed }).map(done)
        }
        DiskAsk::Probe { folder } => {
            let (said, sync_ms) = probe(Path::new(&folder));
            Ok(Answer::Disk { said, count: 0, sync_ms })
        }
    }
}

fn damage_order(damage: Damage) -> Order {
    match damage {
        Damage::Unsynced(torn) => Order::Crash { torn },
        Damage::Tail { files, bytes } => Order::Tear { files, bytes },
    }
}

fn note(journal: &mut Journal, fault: &str, undo: &Undo) -> Result<(), String> {
    journal.before(fault, undo).map_err(|error| format!("journal: {error}"))
}

fn order(folder: &str, order: &Order) -> Result<(String, u64), String> {
    give(&socket(folder), order).map(|report| (report.said, report.count))
}

/// The process, and all that it started, is gone before the disk is touched.
fn kill(pidfile: &str) -> Result<(), String> {
    let process = process::from_pidfile(pidfile);
    laid::kill(&process.ok_or_else(|| format!("no process of {pidfile} runs"))?)
}

/// Writes down how a server comes back that is about to be asked to end.
fn vacate(journal: &mut Journal, folder: &str, served: &Served) -> Result<(), String> {
    all_within(Path::new(folder))?;
    lift(journal, folder)?;
    let (id, Served { start, graceful }) = (layer_id(folder), served.clone());
    // Undone last: while it ends no layer is there yet, and it runs. Left alone for that, it would
    // end with nobody there to start it again.
    if let Some(process) = process::from_pidfile(&start.pidfile) {
        let boot = process::boot_id();
        note(journal, &id, &Undo::Revive { process, boot, graceful, start })?;
    }
    note(journal, &id, &covered(folder, served))
}

fn covered(folder: &str, served: &Served) -> Undo {
    Undo::Layer { folder: folder.to_owned(), served: Some(served.clone()) }
}

/// Whether a server that is not ours runs on the layer of a folder.
fn is_served(journal: &Journal, folder: &str) -> bool {
    let serves =
        |undo: &Undo| matches!(undo, Undo::Layer { folder: f, served: Some(_) } if f == folder);
    // What cannot be told is taken for the one that is treated with more care.
    journal.open_entries().map_or(true, |open| open.iter().any(|(_, undo)| serves(undo)))
}

fn lift(journal: &mut Journal, folder: &str) -> Result<String, String> {
    let undone = journal.undo(Some(&layer_id(folder)))?;
    match undone.is_empty() {
        // One of an earlier agent, whose journal is elsewhere.
        true => retire(folder),
        false => Ok(undone.join("; ")),
    }
}
