//! What a run says while it runs, and when it has ended.

use std::os::fd::AsFd;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use history::RunInfo;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use say::Stream;

use crate::engine::{Progress, ProgressState};

/// How often a line is written where there is no terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// One line that is rewritten on a terminal, and one every ten seconds elsewhere.
pub struct ProgressLine {
    terminal: bool,
    speaks: bool,
    last: Mutex<(Instant, u64)>,
}

impl ProgressLine {
    /// Speaks on standard error.
    pub fn new() -> ProgressLine {
        let terminal = say::is_terminal(Stream::Err);
        ProgressLine { terminal, speaks: false, last: Mutex::new((Instant::now(), 0)) }
    }

    /// Whether it also says what there is to know of a run before it begins.
    pub fn speaking(self, speaks: bool) -> ProgressLine {
        ProgressLine { speaks, ..self }
    }

    /// Takes the line away, so that what follows starts on a clean one.
    pub fn clear(&self) {
        if self.terminal {
            say::clear_status();
        }
    }
}

/// That nothing is promised, if so: known before the run, and the run cannot change it.
fn unpromised(info: &RunInfo) -> Option<String> {
    if !info.system.promises.is_empty() {
        return None;
    }
    let cure = info.system.not_promised.get("lost-writes");
    let cure =
        cure.map_or(String::new(), |cure| format!("; lost-writes would be promised by: {cure}"));
    Some(format!(
        "this configuration promises nothing, so a run in which nothing is found ends as unknown, \
         not valid{cure}"
    ))
}

/// That the old leader of a cluster that exists cannot be read at the end, if that is so: nobody
/// rejoins it.
fn left_stopped(info: &RunInfo) -> Option<String> {
    let is = |name: &str, value: &str| info.system.settings.get(name).is_some_and(|v| v == value);
    let attached = info.system.settings.get("attached") == Some(&true.into());
    (attached && is("failover", "operator")).then(|| {
        "after a failover the old leader is left stopped (see docs/own-failover.md): final reads \
         of it cannot be had, so the verdict is at best unknown"
            .to_owned()
    })
}

impl Default for ProgressLine {
    fn default() -> ProgressLine {
        ProgressLine::new()
    }
}

/// Whether standard error takes a line now. A pager that has stopped reading, or a terminal that is
/// held by Ctrl-S, would make the run wait in the middle of a fault; a line left out is no loss.
fn takes_more() -> bool {
    // tidy: allow(print) it is asked, not written to
    let stderr = std::io::stderr();
    let mut fds = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready != 0)
}

impl Progress for ProgressLine {
    fn begins(&self, info: &RunInfo) {
        let notes = unpromised(info).into_iter().chain(left_stopped(info));
        for note in notes.filter(|_| self.speaks && takes_more()) {
            say::errln!("note: {note}");
        }
    }

    fn update(&self, state: &ProgressState) {
        let mut last = self.last.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let elapsed = last.0.elapsed();
        if (!self.terminal && elapsed < PLAIN_EVERY) || !takes_more() {
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
            true => say::status(&line),
            false => say::errln!("{line}"),
        }
    }
}
