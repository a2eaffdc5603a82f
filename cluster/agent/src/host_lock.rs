//! One harness a host: a lock that is held while an agent is at work there.
//!
//! `flock` of a file beside the runs' folders. Worker and guardian share it by fork, so that a host
//! is not given away while either still undoes something; the kernel lets go when both are gone.
//! What the file says is for people, and for the one who finds it locked.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::process;
use crate::proto::ProcessId;

/// Beside the runs' folders.
const FILE: &str = "host.lock";
/// Tries, and the pause between two: an agent that has just lost its harness needs a moment.
const TRIES: u32 = 30;
const PAUSE: Duration = Duration::from_millis(50);

/// Who has a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The run.
    pub run: String,
    /// The harness: user, machine, process.
    pub owner: String,
    /// The agent.
    pub agent: ProcessId,
    /// When, seconds since 1970 on the host's clock; for people.
    pub since: u64,
}

/// See the module's doc. Held until dropped, in every process that has it.
#[derive(Debug)]
pub struct HostLock {
    file: File,
}

impl HostLock {
    /// Takes the lock of the host on which `dir` is a run's folder; with a note if an agent that
    /// died had it. The error names both harnesses.
    pub fn take(dir: &Path, run: &str, owner: &str) -> Result<(HostLock, Option<String>), String> {
        let base = dir.parent().unwrap_or(dir);
        let path = base.join(FILE);
        let fail = |error: std::io::Error| format!("{}: {error}", path.display());
        fs::DirBuilder::new().recursive(true).mode(0o700).create(base).map_err(fail)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(fail)?;
        let mut tries = 0;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if tries < TRIES => {
                    tries += 1;
                    thread::sleep(PAUSE);
                }
                Err(TryLockError::WouldBlock) => {
                    let held = read(&mut file).map_or("another harness".to_owned(), describe);
                    let asked = format!("run {run} of {owner}");
                    return Err(format!("held by {held}; one harness a host: refused to {asked}"));
                }
                Err(TryLockError::Error(error)) => return Err(fail(error)),
            }
        }
        let note = read(&mut file)
            .map(|holder| format!("took over the lock of {}: its agent is dead", describe(holder)));
        let agent = process::by_pid(std::process::id() as i32);
        let agent = agent.unwrap_or(ProcessId { pid: 0, start: 0 });
        // tidy: allow(clock) for people alone; nothing is decided by it
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let holder = Holder { run: run.to_owned(), owner: owner.to_owned(), agent, since };
        let text = serde_json::to_vec(&holder).map_err(|error| error.to_string())?;
        replace(&mut file, &text).map_err(fail)?;
        Ok((HostLock { file }, note))
    }

    /// Takes the name out, so that whoever is next knows that nothing was left behind.
    pub fn clear(&mut self) -> Result<(), String> {
        replace(&mut self.file, b"").map_err(|error| error.to_string())
    }

    /// Lets go, in every process that shares it, and leaves no name behind.
    pub fn release(&mut self) -> Result<(), String> {
        self.clear()?;
        self.file.unlock().map_err(|error| error.to_string())
    }
}

/// Whether no agent is at work on a run's folder; if so, with the lock where nobody else has it.
pub fn abandoned(dir: &Path) -> Option<Option<HostLock>> {
    let path = dir.parent().unwrap_or(dir).join(FILE);
    let Ok(mut file) = OpenOptions::new().read(true).write(true).open(path) else {
        return Some(None);
    };
    match file.try_lock() {
        Ok(()) => Some(Some(HostLock { file })),
        Err(TryLockError::WouldBlock) => {
            // The one who has it may be of another run.
            let run = dir.file_name().map(|name| name.to_string_lossy().into_owned());
            let others = read(&mut file).is_some_and(|holder| Some(&holder.run) != run.as_ref());
            others.then_some(None)
        }
        Err(TryLockError::Error(_)) => None,
    }
}

/// Who has the host's lock, if somebody does.
pub fn holder(base: &Path) -> Option<Holder> {
    let mut file = File::open(base.join(FILE)).ok()?;
    read(&mut file)
}

/// In words.
pub fn describe(holder: Holder) -> String {
    let Holder { run, owner, agent, since } = holder;
    format!("run {run} of {owner} (agent process {}, since {})", agent.pid, utc(since))
}

fn read(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn replace(file: &mut File, text: &[u8]) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(text)?;
    file.sync_data()
}

/// A time of day and date, UTC.
fn utc(seconds: u64) -> String {
    let (days, second) = ((seconds / 86_400) as i64, seconds % 86_400);
    // Hinnant, "chrono-compatible low-level date algorithms", civil_from_days.
    let z = days + 719_468;
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + z.div_euclid(146_097) * 400 + i64::from(month <= 2);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_harness_is_refused_with_both_names_until_the_first_lets_go() {
        let folder = tempfile::tempdir().unwrap();
        let take = |run: &str, owner: &str| HostLock::take(&folder.path().join(run), run, owner);
        let (mut first, note) = take("demo-1", "ann@east pid 7").unwrap();
        assert_eq!(note, None);
        assert_eq!(holder(folder.path()).unwrap().owner, "ann@east pid 7");
        let error = take("demo-2", "bob@west pid 9").unwrap_err();
        assert!(error.contains("run demo-1 of ann@east pid 7"), "{error}");
        assert!(error.contains("demo-2 of bob@west pid 9"), "{error}");
        first.release().unwrap();
        assert_eq!(holder(folder.path()), None);
        let (second, note) = take("demo-2", "bob@west pid 9").unwrap();
        assert_eq!(note, None, "what was let go needs no note");
        // Dropped without a word, as by a death.
        drop((first, second));
        let (_, note) = take("demo-3", "eve@north pid 1").unwrap();
        let note = note.unwrap();
        assert!(note.contains("demo-2 of bob@west pid 9") && note.contains("dead"), "{note}");
    }

    #[test]
    fn seconds_become_dates() {
        assert_eq!(utc(0), "1970-01-01 00:00 UTC");
        assert_eq!(utc(1_795_572_000), "2026-11-25 02:00 UTC");
    }
}
