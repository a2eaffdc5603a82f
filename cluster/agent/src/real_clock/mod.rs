//! The clock of a whole host: set by `clock_settime`, its rate by `adjtimex`. Whatever runs there
//! sees it.
//!
//! Services that would move it back are stopped first, and are in the journal before. Then, before
//! it is moved, how it was: what it said, beside what clocks said that nobody can set, and how fast
//! it went. From that whoever is left computes the true time, sets it, and starts the services.
//!
//! True time is counted on `CLOCK_MONOTONIC_RAW`, corrected as the clock itself was, and on how
//! long the host slept. `CLOCK_BOOTTIME` alone would not do: it is never set, but it goes as fast
//! as `adjtimex` says.

use serde::{Deserialize, Serialize};

use crate::journal::Journal;
use crate::process;
use crate::proto::{ClockChange, HostClock};
use crate::time_sync::TimeSync;
use crate::undo::Undo;

pub mod kernel;
#[cfg(test)]
mod tests;

/// µs of a tick of a clock that goes at its own rate, on every architecture.
const TICK: i64 = 10_000;
/// What the kernel takes for a tick: a tenth more or less.
const TICKS: (i64, i64) = (TICK * 9 / 10, TICK * 11 / 10);
/// A frequency's unit: 2^-16 parts of a million.
const PPM: i64 = 1 << 16;
/// The part of a clock's status that is not the kernel's own.
const SETTABLE: i32 = 0xff;
/// How near to what it should be a clock is left alone, ns.
const NEAR_NS: i64 = 200_000;
/// How near it must be after it was set, ns.
const SET_NS: i64 = 1_000_000;
/// How often setting it is tried: between a look and a setting a busy host may wait.
const TRIES: u32 = 10;

/// What the clocks say at one moment, ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Since 1970.
    pub realtime: i64,
    /// Since the boot, as fast as the time of day goes.
    pub boottime: i64,
    /// Likewise, without what the host slept.
    pub monotonic: i64,
    /// Since the boot without sleep, as fast as the hardware goes.
    pub raw: i64,
}

/// How fast a clock goes, and what the kernel takes for its errors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// In units of 2^-16 parts of a million.
    pub frequency: i64,
    /// µs a tick, 10,000 as a rule.
    pub tick: i64,
    /// Whether it is synchronised, and how: `STA_*`.
    pub status: i32,
    /// Its largest error, µs.
    pub max_error: i64,
    /// Its likely error, µs.
    pub error: i64,
}

/// A host's clock before a fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// The boot it belonged to: another one begins with a clock of its own.
    pub boot: String,
    /// What it said.
    pub at: Reading,
    /// How it went.
    pub rate: Rate,
}

/// The system calls.
pub trait Clock {
    /// What the clocks say.
    fn read(&self) -> Result<Reading, String>;
    /// How fast the time of day goes.
    fn rate(&self) -> Result<Rate, String>;
    /// Sets the time of day, ns since 1970.
    fn set_time(&mut self, realtime: i64) -> Result<(), String>;
    /// Sets how fast it goes, and the rest of it.
    fn set_rate(&mut self, rate: &Rate) -> Result<(), String>;
}

/// What a host's clock is moved by: its system calls, and its services.
pub struct Host<'a> {
    /// The system calls.
    pub clock: &'a mut dyn Clock,
    /// The services.
    pub sync: &'a mut dyn TimeSync,
    /// This boot.
    pub boot: String,
}

impl Before {
    /// What the clock would say now, had nobody touched it.
    fn truth(&self, now: &Reading) -> i64 {
        let ran = i128::from(now.raw - self.at.raw);
        let ticks = ran * i128::from(self.rate.tick - TICK) / i128::from(TICK);
        let frequency = ran * i128::from(self.rate.frequency) / i128::from(PPM * 1_000_000);
        let slept = (now.boottime - now.monotonic) - (self.at.boottime - self.at.monotonic);
        self.at.realtime + (ran + ticks + frequency) as i64 + slept
    }

    /// Puts time and rate right again; says what was done. Twice is once.
    pub fn restore(&self, clock: &mut dyn Clock, boot: &str) -> Result<String, String> {
        if boot != self.boot {
            return Ok("the host was booted since: its clock was left alone".to_owned());
        }
        let goes = clock.rate()?;
        let fast = (goes.frequency, goes.tick) != (self.rate.frequency, self.rate.tick);
        if fast {
            clock.set_rate(&self.rate)?;
        }
        let was = self.set(clock, 0)?;
        // Setting the time makes the kernel forget how good it was.
        if clock.rate()?.status & SETTABLE != self.rate.status & SETTABLE {
            clock.set_rate(&self.rate)?;
        }
        Ok(match (was, fast) {
            (0, false) => "the host's clock was right".to_owned(),
            (0, true) => "put the rate of the host's clock right".to_owned(),
            _ => format!("put the host's clock right, which was off by {}", seconds(was)),
        })
    }

    /// Sets the clock so far ahead of the true time, ns, unless it is there already; says how far
    /// it was off, 0 if it was left alone.
    fn set(&self, clock: &mut dyn Clock, ahead: i64) -> Result<i64, String> {
        let mut first = 0;
        for tried in 0..TRIES {
            let now = clock.read()?;
            let off = now.realtime - self.truth(&now) - ahead;
            if off.abs() <= NEAR_NS {
                return Ok(first);
            }
            if tried == 0 {
                first = off;
            }
            clock.set_time(now.realtime - off)?;
        }
        let now = clock.read()?;
        let off = now.realtime - self.truth(&now) - ahead;
        match off.abs() <= SET_NS {
            true => Ok(first),
            false => Err(format!("the clock was set and is off by {}", seconds(off))),
        }
    }

    /// What a person would type.
    pub fn by_hand(&self) -> String {
        let mut line = by_hand(self.at.realtime - self.at.boottime);
        let (tick, frequency) = (self.rate.tick, self.rate.frequency);
        line.push_str(&format!("; adjtimex --tick {tick} --frequency {frequency}"));
        line
    }
}

/// What sets a clock to what it was ahead of the time since the boot, ns.
pub fn by_hand(since_boot: i64) -> String {
    let ahead = since_boot as f64 / 1e9;
    format!("date -s @$(awk '{{printf \"%.2f\", $1 + {ahead:.2}}}' /proc/uptime)")
}

fn seconds(ns: i64) -> String {
    format!("{:+.3} s", ns as f64 / 1e9)
}

/// Writes down how to undo what is about to be done.
pub type Note<'a> = &'a mut dyn FnMut(&Undo) -> Result<(), String>;

/// What is in force on this host's clock.
#[derive(Default)]
pub struct RealClock {
    held: Option<Held>,
}

struct Held {
    fault: String,
    before: Before,
    strobe: Option<Strobe>,
}

struct Strobe {
    offset: i64,
    period_ms: u64,
    away: bool,
    at: u64,
}

impl RealClock {
    /// Moves the clock; what undoes it is handed to `note` first. Says what became of the services.
    pub fn set(
        &mut self,
        host: &mut Host,
        note: Note,
        fault: &str,
        change: &ClockChange,
        now: u64,
    ) -> Result<Vec<String>, String> {
        let mut said = Vec::new();
        match &self.held {
            Some(held) if held.fault != fault => {
                return Err(format!("the host's clock is moved by {} already", held.fault));
            }
            Some(_) => {}
            None => {
                said = quiet(host.sync, note)?;
                let (at, rate) = (host.clock.read()?, host.clock.rate()?);
                let before = Before { boot: host.boot.clone(), at, rate };
                note(&Undo::RealClock { before: before.clone() })?;
                self.held = Some(Held { fault: fault.to_owned(), before, strobe: None });
            }
        }
        let held = self.held.as_mut().ok_or("nothing is held")?;
        held.change(host.clock, change, now).map(|()| said)
    }

    /// Whether a fault moves it now.
    pub fn holds(&self) -> bool {
        self.held.is_some()
    }

    /// When [`RealClock::turn`] has something to do, on the clock of `boottime_ms`.
    pub fn next_turn(&self) -> Option<u64> {
        self.held.as_ref()?.strobe.as_ref().map(|strobe| strobe.at)
    }

    /// Does what is due.
    pub fn turn(&mut self, clock: &mut dyn Clock, now: u64) {
        let Some(held) = self.held.as_mut() else { return };
        let Some(strobe) = held.strobe.as_mut().filter(|strobe| strobe.at <= now) else { return };
        strobe.away = !strobe.away;
        strobe.at = now + strobe.period_ms;
        let ahead = if strobe.away { strobe.offset } else { 0 };
        // What cannot be set now is tried at the next turn; healing says what is wrong.
        drop(held.before.set(clock, ahead));
    }

    /// Puts it right again if the journal does not say any more how: a guardian has undone the
    /// fault meanwhile, because this process was stuck, and nobody would undo it once more.
    pub fn keep(&mut self, clock: &mut dyn Clock, journal: &Journal) -> Result<(), String> {
        let Some(held) = &self.held else { return Ok(()) };
        let noted = |(id, undo): &(String, Undo)| {
            *id == held.fault && matches!(undo, Undo::RealClock { .. })
        };
        // A journal that cannot be read undoes nothing either.
        if journal.open_entries().is_ok_and(|open| open.iter().any(noted)) {
            return Ok(());
        }
        let said = held.before.restore(clock, &held.before.boot)?;
        self.held = None;
        Err(format!("it was undone meanwhile by another, and once more: {said}"))
    }

    /// No more turns for a fault, or for any.
    pub fn let_go(&mut self, fault: Option<&str>) {
        if self.held.as_ref().is_some_and(|held| fault.is_none_or(|fault| fault == held.fault)) {
            self.held = None;
        }
    }
}

impl Held {
    fn change(
        &mut self,
        clock: &mut dyn Clock,
        change: &ClockChange,
        now: u64,
    ) -> Result<(), String> {
        let ns = |ms: i64| ms.saturating_mul(1_000_000);
        self.strobe = None;
        match *change {
            ClockChange::Offset { offset_ms } => self.before.set(clock, ns(offset_ms)).map(drop),
            ClockChange::Strobe { offset_ms, period_ms } => {
                self.before.set(clock, ns(offset_ms))?;
                let period_ms = period_ms.max(1);
                let (offset, at) = (ns(offset_ms), now + period_ms);
                self.strobe = Some(Strobe { offset, period_ms, away: true, at });
                Ok(())
            }
            ClockChange::Drift { rate } => {
                let tick = self.before.rate.tick * i64::from(rate) / 1_000;
                let tick = tick.clamp(TICKS.0, TICKS.1);
                clock.set_rate(&Rate { tick, ..self.before.rate })
            }
        }
    }
}

/// Stops what keeps the clock right; says what.
fn quiet(sync: &mut dyn TimeSync, note: Note) -> Result<Vec<String>, String> {
    let services = sync.running()?;
    let mut said = Vec::new();
    if services.is_empty() {
        said.push("no service that could be stopped keeps its clock".to_owned());
    } else {
        note(&Undo::TimeSync { services: services.clone() })?;
        sync.stop(&services)?;
        said.push(format!("stopped {}", services.join(", ")));
    }
    said.extend(sync.left());
    Ok(said)
}

/// What a host says of its clock.
pub fn told(clock: &dyn Clock, said: Vec<String>) -> Result<HostClock, String> {
    let (now, rate) = (clock.read()?, clock.rate()?);
    let us = |ns: i64| ns / 1_000;
    Ok(HostClock {
        boot: process::boot_id(),
        realtime_us: us(now.realtime),
        boottime_us: us(now.boottime),
        steady_us: us(now.raw + now.boottime - now.monotonic),
        tick: rate.tick,
        frequency: rate.frequency,
        said,
    })
}
