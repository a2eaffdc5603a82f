//! What the layer is told, one JSON line a connection, and what it answers.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fuser::{INodeNo, Notifier};
use nix::mount::{MntFlags, umount2};
use serde::{Deserialize, Serialize};

use super::damage;
use super::inodes::lock;
use super::ops::Layer;
use super::trouble::Troubled;

/// How long an order may take.
const LIMIT: Duration = Duration::from_secs(5);

/// An order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub enum Order {
    /// From now on this is wrong.
    Trouble {
        /// What.
        troubled: Troubled,
    },
    /// A fault's trouble is over.
    Relief {
        /// The fault's id.
        fault: String,
    },
    /// All content so far is written down, synced or not: it counts as old.
    Settle,
    /// Unsynced content is lost.
    Crash {
        /// Part of it arrives nevertheless, by this seed.
        torn: Option<u64>,
    },
    /// One bit is flipped.
    Flip {
        /// Of files whose paths hold one of these; none is any.
        files: Vec<String>,
        /// Decides which.
        seed: u64,
    },
    /// The last bytes of the log are lost.
    Tear {
        /// Of the file that was written last whose path holds one of these.
        files: Vec<String>,
        /// How many.
        bytes: u64,
    },
    /// The layer writes all down and takes itself away.
    Retire,
}

/// What came of it: words for people, and a count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// In words.
    pub said: String,
    /// Pages lost, operations that met a trouble.
    pub count: u64,
}

/// Gives an order to the layer that listens there.
pub fn give(socket: &Path, order: &Order) -> Result<Report, String> {
    let failed = |error: io::Error| format!("the disk layer at {}: {error}", socket.display());
    let mut stream = UnixStream::connect(socket).map_err(failed)?;
    stream.set_read_timeout(Some(LIMIT)).map_err(failed)?;
    stream.set_write_timeout(Some(LIMIT)).map_err(failed)?;
    let mut text = serde_json::to_vec(order).map_err(|error| error.to_string())?;
    text.push(b'\n');
    stream.write_all(&text).map_err(failed)?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).map_err(failed)?;
    let answer: Result<Report, String> =
        serde_json::from_str(&line).map_err(|error| format!("the disk layer: {error}"))?;
    answer
}

/// Answers orders until the process ends.
pub(super) fn serve(listener: &UnixListener, layer: &Arc<Layer>, notifier: &Notifier) {
    for stream in listener.incoming().flatten() {
        // One that is not answered is told so by its own time-out.
        drop(answer(stream, layer, notifier));
    }
}

fn answer(stream: UnixStream, layer: &Layer, notifier: &Notifier) -> io::Result<()> {
    stream.set_read_timeout(Some(LIMIT))?;
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line)?;
    let done = match serde_json::from_str(&line) {
        Ok(order) => obey(order, layer, notifier).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let mut text = serde_json::to_vec(&done)?;
    text.push(b'\n');
    (&stream).write_all(&text)
}

fn obey(order: Order, layer: &Layer, notifier: &Notifier) -> io::Result<Report> {
    let report = |said: String, count: u64| Report { said, count };
    Ok(match order {
        Order::Trouble { troubled } => {
            lock(&layer.troubles).add(troubled);
            report("in force".to_owned(), 0)
        }
        Order::Relief { fault } => {
            let met = lock(&layer.troubles).remove(&fault).unwrap_or(0);
            report(format!("{met} operations met it"), met)
        }
        Order::Settle => {
            layer.settle_all()?;
            report("all is written down".to_owned(), 0)
        }
        Order::Crash { torn } => {
            let (lost, changed) = damage::crash(layer, torn)?;
            for inode in changed {
                // The kernel remembers a size that is no more; that it forgot it is as good.
                drop(notifier.inval_inode(INodeNo(inode.number), 0, 0));
            }
            let said = format!("{} unsynced pages of {} files lost", lost.pages, lost.files);
            report(said, lost.pages as u64)
        }
        Order::Flip { files, seed } => report(damage::flip(layer, &files, seed)?, 1),
        Order::Tear { files, bytes } => report(damage::tear(layer, &files, bytes)?, 1),
        Order::Retire => {
            layer.retired.store(true, Ordering::Relaxed);
            lock(&layer.troubles).clear();
            layer.settle_all()?;
            // Whoever has files open keeps them; the process ends with the last of them.
            umount2(&layer.folder, MntFlags::MNT_DETACH)?;
            report(format!("unmounted {}", layer.folder.display()), 0)
        }
    })
}
