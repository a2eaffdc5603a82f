//! What a run says while it runs, and when it has ended.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::engine::{Progress, ProgressState};

/// How often a line is written where there is no terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// One line that is rewritten on a terminal, and one every ten seconds elsewhere.
pub struct ProgressLine {
    terminal: bool,
    last: Mutex<(Instant, u64)>,
}

impl ProgressLine {
    /// Speaks on standard error.
    pub fn new() -> ProgressLine {
        let terminal = std::io::stderr().is_terminal();
        ProgressLine { terminal, last: Mutex::new((Instant::now(), 0)) }
    }

    /// Takes the line away, so that what follows starts on a clean one.
    pub fn clear(&self) {
        if self.terminal {
            eprint!("\r\x1b[2K");
        }
    }
}

impl Default for ProgressLine {
    fn default() -> ProgressLine {
        ProgressLine::new()
    }
}

impl Progress for ProgressLine {
    fn update(&self, state: &ProgressState) {
        let mut last = self.last.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let elapsed = last.0.elapsed();
        if !self.terminal && elapsed < PLAIN_EVERY {
            return;
        }
        let counts = state.counts;
        let done = counts.ok + counts.fail + counts.info;
        let rate = (done - last.1.min(done)) as f64 / elapsed.as_secs_f64().max(1e-3);
        *last = (Instant::now(), done);
        let faults = match state.faults.is_empty() {
            true => String::new(),
            false => format!("  fault: {}", state.faults.join("; ")),
        };
        let line = format!(
            "{:>5.1} s  {}  {:.0} ops/s  ok {} fail {} info {}{faults}",
            state.elapsed_ms as f64 / 1e3,
            state.phase,
            rate,
            counts.ok,
            counts.fail,
            counts.info,
        );
        match self.terminal {
            true => eprint!("\r\x1b[2K{line}"),
            false => eprintln!("{line}"),
        }
        let _ = std::io::stderr().flush();
    }
}
