//! Time that goes on while the host sleeps and never jumps: CLOCK_BOOTTIME.

use nix::time::{ClockId, clock_gettime};

/// ms since the host's boot.
pub fn boottime_ms() -> u64 {
    match clock_gettime(ClockId::CLOCK_BOOTTIME) {
        Ok(time) => time.tv_sec() as u64 * 1_000 + time.tv_nsec() as u64 / 1_000_000,
        // Linux has had this clock since 2.6.39; without it a lease could not be counted at all.
        Err(error) => panic!("CLOCK_BOOTTIME cannot be read: {error}"),
    }
}
