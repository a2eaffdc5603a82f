//! A clock of its own for a server: libfaketime, preloaded into the process, which reads a file.
//!
//! The file holds an offset and a rate, `+30.000 x1.000`; it is replaced as a whole, and always
//! holds both, because the library keeps a rate until another is written. The library counts whole
//! seconds: it sees a change after one to two. The host's own clock is never touched.
//!
//! The library counts a rate from the moment at which it was loaded. So that a clock which begins
//! to drift does not jump first, the offset makes up for the process's age.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use crate::process;
use crate::proto::{ClockChange, Start};

/// Where the library may be; the variant for programs with threads.
const LIBRARIES: [&str; 6] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
    "/usr/local/lib/faketime/libfaketimeMT.so.1",
    "/usr/local/lib64/faketime/libfaketimeMT.so.1",
];
/// The variable that tells a start script what to preload into the server, behind its change of
/// user: a library that was loaded before it could not share its memory across it.
pub const PRELOAD: &str = "SPLITBRAIN_PRELOAD";
/// How often a drifting server is looked at: one that was started again has another age.
const LOOK_MS: u64 = 500;
/// Clock ticks of `/proc/PID/stat`, a second: the same on every architecture.
const TICK_MS: u64 = 10;

/// Where the library is on this host.
pub fn library() -> Option<&'static str> {
    LIBRARIES.into_iter().find(|path| Path::new(path).exists())
}

/// What is in force on this host's servers; see the module's doc.
#[derive(Default)]
pub struct FakeClock {
    file: Option<String>,
    variables: BTreeMap<String, String>,
    held: Option<Held>,
}

struct Held {
    fault: String,
    turn: Option<Turn>,
}

/// What has to be done again and again.
enum Turn {
    /// To the offset and back.
    Strobe { offset_ms: i64, period_ms: u64, away: bool, at: u64 },
    /// To keep a drift from jumping when its process is another one.
    Drift { since: u64, rate: u32, pidfile: String, started: Option<u64>, at: u64 },
}

impl FakeClock {
    /// From now on servers are started with a clock that `file` moves.
    pub fn prepare(&mut self, file: String) -> Result<(), String> {
        let library = library().ok_or("libfaketime is not installed there")?;
        let folder = Path::new(&file).parent().ok_or_else(|| format!("{file} is in no folder"))?;
        let mut builder = fs::DirBuilder::new();
        // Servers run as users of their own.
        let made = builder.recursive(true).mode(0o755).create(folder);
        made.map_err(|error| format!("{}: {error}", folder.display()))?;
        neutral(&file)?;
        let variables = [
            (PRELOAD, library),
            ("FAKETIME_TIMESTAMP_FILE", &file),
            ("FAKETIME_CACHE_DURATION", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            // Else waits on a monotonic clock, which stays true, end late: 50 ms a write of mongod.
            ("FAKETIME_FORCE_MONOTONIC_FIX", "0"),
        ];
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        self.variables = variables.map(own).into();
        self.file = Some(file);
        Ok(())
    }

    /// Gives a server what it needs to have such a clock.
    pub fn dress(&self, mut start: Start) -> Start {
        start.env.extend(self.variables.clone());
        if let Some(library) = self.variables.get(PRELOAD).filter(|_| start.preload) {
            start.env.insert("LD_PRELOAD".to_owned(), library.clone());
        }
        start
    }

    /// The file, if a fault may move the clock now.
    pub fn file_for(&self, fault: &str) -> Result<String, String> {
        let file = self.file.clone().ok_or("its server was started with the host's own clock")?;
        match self.held.as_ref().filter(|held| held.fault != fault) {
            Some(held) => Err(format!("its clock is moved by {} already", held.fault)),
            None => Ok(file),
        }
    }

    /// Moves the clock; the undoing is in the journal already.
    pub fn set(
        &mut self,
        fault: &str,
        pidfile: &str,
        change: &ClockChange,
        now: u64,
    ) -> Result<(), String> {
        self.file_for(fault)?;
        let turn = match *change {
            ClockChange::Offset { offset_ms } => {
                self.write(offset_ms, 1_000)?;
                None
            }
            ClockChange::Strobe { offset_ms, period_ms } => {
                self.write(offset_ms, 1_000)?;
                let period_ms = period_ms.max(1);
                Some(Turn::Strobe { offset_ms, period_ms, away: true, at: now + period_ms })
            }
            ClockChange::Drift { rate } => {
                let (started, pidfile) = (started_ms(pidfile), pidfile.to_owned());
                self.write(drift_offset(started.unwrap_or(now), now, rate), rate)?;
                Some(Turn::Drift { since: now, rate, pidfile, started, at: now + LOOK_MS })
            }
        };
        self.held = Some(Held { fault: fault.to_owned(), turn });
        Ok(())
    }

    /// When [`FakeClock::turn`] has something to do, on the clock of `boottime_ms`.
    pub fn next_turn(&self) -> Option<u64> {
        match self.held.as_ref()?.turn.as_ref()? {
            Turn::Strobe { at, .. } | Turn::Drift { at, .. } => Some(*at),
        }
    }

    /// Does what is due.
    pub fn turn(&mut self, now: u64) {
        if self.next_turn().is_none_or(|at| now < at) {
            return;
        }
        let Some(turn) = self.held.as_mut().and_then(|held| held.turn.as_mut()) else {
            return;
        };
        let (offset_ms, rate) = match turn {
            Turn::Strobe { offset_ms, period_ms, away, at } => {
                *away = !*away;
                *at = now + *period_ms;
                (if *away { *offset_ms } else { 0 }, 1_000)
            }
            Turn::Drift { since, rate, pidfile, started, at } => {
                *at = now + LOOK_MS;
                let found = started_ms(pidfile);
                if found.is_none() || found == *started {
                    return;
                }
                *started = found;
                (drift_offset(found.unwrap_or(now), *since, *rate), *rate)
            }
        };
        // What cannot be written now is tried at the next turn; healing says what is wrong.
        drop(self.write(offset_ms, rate));
    }

    /// No more turns for a fault, or for any.
    pub fn let_go(&mut self, fault: Option<&str>) {
        if self.held.as_ref().is_some_and(|held| fault.is_none_or(|fault| fault == held.fault)) {
            self.held = None;
        }
    }

    fn write(&self, offset_ms: i64, rate: u32) -> Result<(), String> {
        let file = self.file.as_deref().ok_or("there is no clock to move")?;
        replace(file, &content(offset_ms, rate))
    }
}

/// Puts a clock right again. A file that is gone moves nobody's clock.
pub fn neutral(file: &str) -> Result<String, String> {
    if Path::new(file).parent().is_none_or(|folder| !folder.exists()) {
        return Ok(format!("{file} is gone"));
    }
    replace(file, &content(0, 1_000))?;
    Ok(format!("put the clock of {file} right"))
}

/// What the library reads: an offset in ms, a rate in thousandths.
fn content(offset_ms: i64, rate: u32) -> String {
    let (sign, ms) = (if offset_ms < 0 { '-' } else { '+' }, offset_ms.unsigned_abs());
    format!("{sign}{}.{:03} x{}.{:03}\n", ms / 1_000, ms % 1_000, rate / 1_000, rate % 1_000)
}

/// The offset with which a process that was started then begins to drift at `since`: all in ms of
/// one clock, the rate in thousandths.
fn drift_offset(started: u64, since: u64, rate: u32) -> i64 {
    let age = started as i64 - since as i64;
    age.saturating_mul(i64::from(rate) - 1_000) / 1_000
}

/// When the process of a pidfile was started, ms since boot.
fn started_ms(pidfile: &str) -> Option<u64> {
    process::from_pidfile(pidfile).map(|process| process.start * TICK_MS)
}

/// Replaces a file as a whole: a reader sees the old text or the new.
fn replace(file: &str, text: &str) -> Result<(), String> {
    let new = format!("{file}.new");
    let write = || {
        let mut open = fs::File::create(&new)?;
        open.set_permissions(fs::Permissions::from_mode(0o644))?;
        open.write_all(text.as_bytes())?;
        fs::rename(&new, file)
    };
    write().map_err(|error: std::io::Error| format!("{file}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(folder: &tempfile::TempDir) -> (FakeClock, String) {
        let file = folder.path().join("time").display().to_string();
        let clock = FakeClock { file: Some(file.clone()), ..FakeClock::default() };
        (clock, file)
    }

    fn read(file: &str) -> String {
        fs::read_to_string(file).unwrap()
    }

    #[test]
    fn offset_and_rate_are_always_both_written() {
        assert_eq!(content(0, 1_000), "+0.000 x1.000\n");
        assert_eq!(content(-1_050, 1_100), "-1.050 x1.100\n");
        assert_eq!(content(-50, 950), "-0.050 x0.950\n");
    }

    #[test]
    fn a_drift_begins_without_a_jump() {
        // The library adds (now - started) * (rate - 1) by itself.
        for (started, since, rate) in [(1_000, 61_000, 1_100), (1_000, 61_000, 900)] {
            let own = (since - started) as i64 * (i64::from(rate) - 1_000) / 1_000;
            assert_eq!(drift_offset(started, since, rate) + own, 0);
        }
        assert_eq!(drift_offset(71_000, 61_000, 1_100), 1_000, "a later start keeps the drift");
    }

    #[test]
    fn a_strobe_goes_back_and_forth_until_it_is_let_go() {
        let folder = tempfile::tempdir().unwrap();
        let (mut clock, file) = clock(&folder);
        let strobe = ClockChange::Strobe { offset_ms: 5_000, period_ms: 2_000 };
        clock.set("f1", "none", &strobe, 10).unwrap();
        let mut seen = vec![read(&file)];
        for now in [2_009, 2_010, 4_010] {
            clock.turn(now);
            seen.push(read(&file));
        }
        let (away, back) = ("+5.000 x1.000\n", "+0.000 x1.000\n");
        assert_eq!(seen, [away, away, back, away]);
        assert_eq!(clock.next_turn(), Some(6_010));
        let other = clock.set("f2", "none", &strobe, 20).unwrap_err();
        assert!(other.contains("f1 already"), "{other}");
        clock.let_go(Some("f2"));
        assert!(clock.next_turn().is_some());
        clock.let_go(Some("f1"));
        assert_eq!(clock.next_turn(), None);
        neutral(&file).unwrap();
        assert_eq!(read(&file), back);
    }

    #[test]
    fn a_script_is_told_what_to_preload_and_a_program_gets_it() {
        let library = "/lib/f.so".to_owned();
        let variables = BTreeMap::from([(PRELOAD.to_owned(), library.clone())]);
        let clock = FakeClock { variables, ..FakeClock::default() };
        let script = clock.dress(Start::default());
        assert_eq!(script.env.keys().collect::<Vec<_>>(), [PRELOAD]);
        let program = clock.dress(Start { preload: true, ..Start::default() });
        assert_eq!(program.env.get("LD_PRELOAD"), Some(&library));
        let plain = Start { preload: true, ..Start::default() };
        assert_eq!(FakeClock::default().dress(plain.clone()), plain);
    }

    #[test]
    fn a_server_with_the_hosts_own_clock_is_left_alone() {
        let change = ClockChange::Offset { offset_ms: 1 };
        let refused = FakeClock::default().set("f1", "none", &change, 0).unwrap_err();
        assert!(refused.contains("the host's own clock"), "{refused}");
        assert_eq!(neutral("/nowhere/at/all").unwrap(), "/nowhere/at/all is gone");
    }
}
