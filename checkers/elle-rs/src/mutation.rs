//! Broken edge rules, so that tests can show that they would notice. Compiled away outside tests.

#[cfg(test)]
use std::cell::Cell;

/// A read is put before the version after the next.
pub const READ_SKIPS_ONE: u8 = 1;
/// Appends that nobody read come after no read.
pub const UNREAD_FORGOTTEN: u8 = 2;
/// Writes do not follow on each other.
pub const NO_OVERWRITES: u8 = 3;
/// Registers: reads of the initial state come before nothing.
pub const NO_INITIAL_STATE: u8 = 4;
/// Registers: a read comes before the write it read.
pub const READ_BACKWARD: u8 = 5;
/// Registers: what a transaction wrote comes before what it had read.
pub const WFR_BACKWARD: u8 = 6;
/// Registers: what a process saw first comes after what it saw then.
pub const SEQUENTIAL_BACKWARD: u8 = 7;
/// Registers: what was done first comes after what was begun then.
pub const LINEARIZABLE_BACKWARD: u8 = 8;

#[cfg(test)]
thread_local! {
    /// The rule that is broken; 0 is none.
    pub static BROKEN: Cell<u8> = const { Cell::new(0) };
}

/// Whether a rule is broken.
#[cfg(test)]
pub fn active(rule: u8) -> bool {
    BROKEN.with(|broken| broken.get() == rule)
}

/// Whether a rule is broken: never.
#[cfg(not(test))]
#[inline(always)]
pub const fn active(_rule: u8) -> bool {
    false
}
