//! What every run of a matrix goes through: calm, a follower cut off, the leader cut off, the
//! leader killed, calm in between.
//!
//! A leader is cut off a moment before it is killed, and stays so: what it acknowledged in that
//! moment is on it alone when another one takes over. Killed without that, it has handed nearly all
//! of it to its kernel, which delivers it still.
//!
//! Where the wrong standby is promoted on purpose, one is cut off before that, so that it has less
//! than another: a leader that nobody hears acknowledges nothing that waits for one of them.

use reports::matrix::Phase;

use crate::config::SystemKind;

/// Names and ends, in thousandths of the main phase. A calm stretch must be long enough for a
/// deposed leader to be brought back.
const PHASES: [(&str, u64); 7] = [
    ("calm", 110),
    ("follower cut", 240),
    ("calm", 330),
    ("leader cut", 560),
    ("calm", 690),
    ("leader kill", 830),
    ("calm", 1_000),
];

/// How long a leader is cut off before it is killed, ms. Less than the system takes to elect
/// another one, or the kill would hit that.
fn alone_before_kill_ms(system: SystemKind) -> u64 {
    match system {
        SystemKind::Store => 200,
        SystemKind::Postgres | SystemKind::Mongodb => 300,
    }
}

/// How long a standby is cut off before the leader is killed, ms, where it is to have less.
const BEHIND_BEFORE_KILL_MS: u64 = 1_500;

/// How long the main phase lasts when nobody says, ms: `quick` or not.
pub fn duration_ms(system: SystemKind, quick: bool) -> u64 {
    match (system, quick) {
        (SystemKind::Store, true) => 12_000,
        (SystemKind::Store, false) => 20_000,
        (SystemKind::Postgres, true) => 16_000,
        (SystemKind::Postgres, false) => 27_000,
        // A leader that is cut off is replaced after 4.2 s: twice the election timeout, and a bit.
        (SystemKind::Mongodb, true) => 24_000,
        (SystemKind::Mongodb, false) => 28_000,
    }
}

/// The phases of a run whose main phase lasts this long. With `behind` it is a follower that is cut
/// off before the leader is killed, instead of the leader.
pub fn phases(system: SystemKind, duration_ms: u64, behind: bool) -> Vec<Phase> {
    let mut start_ms = 0;
    let phase = |(name, end): (&str, u64)| {
        let end_ms = duration_ms * end / 1_000;
        let lasts = end_ms - start_ms;
        let faults = match name {
            "follower cut" => vec![format!("cut:a-follower@{start_ms}ms+{lasts}ms")],
            "leader cut" => vec![format!("leader-alone:leader@{start_ms}ms+{lasts}ms")],
            "leader kill" => {
                let (cut, before) = match behind {
                    true => ("cut:a-follower", BEHIND_BEFORE_KILL_MS),
                    false => ("leader-alone:leader", alone_before_kill_ms(system)),
                };
                vec![
                    format!("{cut}@{}ms+{}ms", start_ms - before, lasts + before),
                    format!("kill:leader@{start_ms}ms+{lasts}ms"),
                ]
            }
            _ => Vec::new(),
        };
        let phase = Phase { name: name.to_owned(), start_ms, end_ms, faults };
        start_ms = end_ms;
        phase
    };
    PHASES.into_iter().map(phase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_fault;

    #[test]
    fn phases_follow_each_other_and_their_faults_stay_within() {
        for system in SystemKind::ALL {
            for (quick, behind) in [(true, false), (false, false), (true, true), (false, true)] {
                let duration = duration_ms(system, quick);
                let phases = phases(system, duration, behind);
                let before = if behind { 1_500 } else { 300 };
                assert_eq!(phases.last().unwrap().end_ms, duration);
                for pair in phases.windows(2) {
                    assert_eq!(pair[0].end_ms, pair[1].start_ms);
                }
                for phase in &phases {
                    for text in &phase.faults {
                        let fault = parse_fault(text).unwrap();
                        let start = fault.start_ms.unwrap();
                        assert_eq!(start + fault.duration_ms.unwrap(), phase.end_ms, "{text}");
                        assert!(phase.start_ms <= start + before, "{text}");
                    }
                }
            }
        }
    }
}
