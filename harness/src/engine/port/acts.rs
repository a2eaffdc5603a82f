//! When an act was done: from the first thing that was asked of a host to change it to the last
//! answer. Measuring before it and probing after it is not in it.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use agent::disk::asks::DiskAsk;
use agent::press::PressAsk;
use agent::proto::Ask;

use super::HostPort;

/// What one act asked of hosts, so far.
#[derive(Clone, Debug, Default)]
pub struct Acts(Arc<Mutex<Option<(Instant, Instant)>>>);

impl Acts {
    /// Does a part of it.
    pub(super) fn part<R>(&self, part: impl FnOnce() -> R) -> R {
        let asked = Instant::now();
        let done = part();
        let answered = Instant::now();
        let mut whole = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        *whole = Some(
            whole.map_or((asked, answered), |(first, last)| (first.min(asked), last.max(answered))),
        );
        done
    }
}

impl HostPort {
    /// This port, for one act more.
    pub fn timed(&self) -> HostPort {
        HostPort { acts: Acts::default(), ..self.clone() }
    }

    /// When that act was asked for and done; `None` if nothing was asked of a host.
    pub fn acted(&self) -> Option<(Instant, Instant)> {
        *self.acts.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Whether it changes the host, or only looks.
pub(super) fn changes(ask: &Ask) -> bool {
    match ask {
        Ask::Start { .. }
        | Ask::Kill { .. }
        | Ask::Pause { .. }
        | Ask::Slow { .. }
        | Ask::Live { .. }
        | Ask::Drop { .. }
        | Ask::DropClients { .. }
        | Ask::SetClock { .. }
        | Ask::SetHostClock { .. }
        | Ask::Shape { .. }
        | Ask::Duplicate { .. }
        | Ask::Heal { .. }
        | Ask::HealAll
        | Ask::Stop { .. } => true,
        Ask::Disk { about } => !matches!(about, DiskAsk::Probe { .. }),
        // Until a life has settled the agent is at it.
        Ask::LifeOf { .. } => true,
        Ask::Press { about } => match about {
            PressAsk::Burn { .. } | PressAsk::Limit { .. } => true,
            PressAsk::Limited { .. }
            | PressAsk::Cgroup { .. }
            | PressAsk::ProcessorTimes { .. } => false,
        },
        Ask::Renew
        | Ask::Hello
        | Ask::Means { .. }
        | Ask::Addresses
        | Ask::Release
        | Ask::State { .. }
        | Ask::FakeClock { .. }
        | Ask::HostClock
        | Ask::Capture { .. }
        | Ask::EndCapture
        | Ask::Shaped { .. }
        | Ask::Ping { .. }
        | Ask::HttpGet { .. }
        | Ask::Reach { .. }
        | Ask::Sockets { .. }
        | Ask::Tail { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_act_lasts_from_its_first_part_to_its_last() {
        let acts = Acts::default();
        let before = Instant::now();
        let first = acts.part(Instant::now);
        let last = acts.part(Instant::now);
        let (asked, answered) = acts.0.lock().unwrap().unwrap();
        assert!(before <= asked && asked <= first && last <= answered);
    }

    #[test]
    fn looking_is_no_part_of_an_act() {
        assert!(changes(&Ask::Heal { fault: "f1".to_owned() }));
        assert!(!changes(&Ask::State { pidfile: String::new() }));
        assert!(!changes(&Ask::Reach { targets: Vec::new(), timeout_ms: 1 }));
    }
}
