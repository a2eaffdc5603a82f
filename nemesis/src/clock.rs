//! Faults of clocks: what a server takes for the time.

use crate::fault::Fault;
use crate::parameters::{Kind, Parameter, Parameters};

/// The least offset that is told from the true time for certain, ms.
const LEAST_MS: i64 = 500;
/// The least change of a rate that is, in thousandths.
const LEAST_RATE: i64 = 50;

/// How far the clock jumps.
pub const OFFSET: Parameter = Parameter {
    name: "offset",
    kind: Kind::Offset,
    default: "+30s",
    bounds: Some(("-24h", "+24h")),
    summary: "how far ahead of the true time the clock jumps, or behind it",
};

/// How far the clock jumps to and fro.
pub const SWING: Parameter = Parameter { default: "+5s", ..OFFSET };

/// Where a clock is that has jumped back.
pub const BACK: Parameter = Parameter {
    default: "-60s",
    summary: "how far ahead of the true time the clock is after it has jumped back",
    ..OFFSET
};

/// How far ahead a clock leaps before it jumps back.
pub const LEAP: Parameter = Parameter {
    name: "leap",
    kind: Kind::Duration,
    default: "60s",
    bounds: Some(("1s", "24h")),
    summary: "how far ahead the clock leaps first, until its server was seen there",
};

/// How long a strobe stays, on either side.
pub const PERIOD: Parameter = Parameter {
    name: "period",
    kind: Kind::Duration,
    default: "3s",
    bounds: Some(("3s", "10s")),
    summary: "how long the clock stays, there as here",
};

/// How fast a drifting clock goes.
pub const RATE: Parameter = Parameter {
    name: "rate",
    kind: Kind::Factor,
    default: "x1.1",
    bounds: Some(("x0.5", "x2")),
    summary: "how fast the clock goes",
};

/// What becomes of a clock until it is healed. Offsets are against the true time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockChange {
    /// It jumps once.
    Jump {
        /// How far ahead, ms.
        offset_ms: i64,
    },
    /// It jumps to and fro.
    Strobe {
        /// How far ahead, ms.
        offset_ms: i64,
        /// How long it stays, ms.
        period_ms: u64,
    },
    /// It goes faster, or slower.
    Drift {
        /// How fast, in thousandths.
        rate: u32,
    },
    /// It leaps ahead, and once it was seen there it jumps back.
    Back {
        /// How far ahead it leaps, ms.
        leap_ms: i64,
        /// How far ahead it is afterwards, ms.
        offset_ms: i64,
    },
}

impl ClockChange {
    /// What a fault does to clocks, if it is one of theirs.
    pub fn of(fault: Fault, parameters: &Parameters) -> Option<ClockChange> {
        let offset_ms = parameters.number("offset");
        Some(match fault {
            Fault::ClockBump => ClockChange::Jump { offset_ms },
            Fault::ClockStrobe => {
                let period_ms = parameters.number("period").unsigned_abs();
                ClockChange::Strobe { offset_ms, period_ms }
            }
            Fault::ClockDrift => {
                ClockChange::Drift { rate: parameters.number("rate").unsigned_abs() as u32 }
            }
            Fault::ClockJumpBack => {
                ClockChange::Back { leap_ms: parameters.number("leap"), offset_ms }
            }
            _ => return None,
        })
    }

    /// Whether a clock is ever ahead of the true time by it.
    pub fn ahead(self) -> bool {
        match self {
            ClockChange::Jump { offset_ms } | ClockChange::Strobe { offset_ms, .. } => {
                0 < offset_ms
            }
            ClockChange::Drift { rate } => 1_000 < rate,
            ClockChange::Back { leap_ms, offset_ms } => 0 < leap_ms.max(offset_ms),
        }
    }

    /// Why it could not be proved to have happened, if it could not.
    pub fn unseen(self) -> Option<String> {
        let near = |what: &str| Some(format!("{what} cannot be told from the true time"));
        match self {
            ClockChange::Jump { offset_ms } | ClockChange::Strobe { offset_ms, .. }
                if offset_ms.abs() < LEAST_MS =>
            {
                near(&format!("an offset of less than {LEAST_MS} ms"))
            }
            ClockChange::Drift { rate } if (i64::from(rate) - 1_000).abs() < LEAST_RATE => {
                near("a rate between x0.95 and x1.05")
            }
            ClockChange::Back { leap_ms, offset_ms } if leap_ms - offset_ms < 2 * LEAST_MS => Some(
                "offset must be at least a second behind leap: the clock jumps back".to_owned(),
            ),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_clock_is_ahead_of_time_whichever_way_it_came_there() {
        let back = |leap_ms, offset_ms| ClockChange::Back { leap_ms, offset_ms };
        for (change, ahead) in [
            (ClockChange::Jump { offset_ms: 1 }, true),
            (ClockChange::Jump { offset_ms: -1 }, false),
            (ClockChange::Strobe { offset_ms: 1, period_ms: 9 }, true),
            (ClockChange::Strobe { offset_ms: -1, period_ms: 9 }, false),
            (ClockChange::Drift { rate: 1_001 }, true),
            (ClockChange::Drift { rate: 999 }, false),
            (back(1, -9), true),
            (back(-1, -9), false),
        ] {
            assert_eq!(change.ahead(), ahead, "{change:?}");
        }
    }

    #[test]
    fn what_could_not_be_seen_is_refused_and_defaults_can() {
        for (fault, told, seen) in [
            (Fault::ClockBump, None, true),
            (Fault::ClockBump, Some(("offset", "-30s")), true),
            (Fault::ClockBump, Some(("offset", "-300ms")), false),
            (Fault::ClockStrobe, None, true),
            (Fault::ClockStrobe, Some(("offset", "0s")), false),
            (Fault::ClockDrift, None, true),
            (Fault::ClockDrift, Some(("rate", "x1.04")), false),
            (Fault::ClockJumpBack, None, true),
            (Fault::ClockJumpBack, Some(("offset", "+60s")), false),
        ] {
            let told = told.map(|(name, value)| (name.to_owned(), value.to_owned()));
            let given: BTreeMap<String, String> = told.clone().into_iter().collect();
            let parameters = Parameters::of(fault, &given).unwrap();
            let change = ClockChange::of(fault, &parameters).unwrap();
            assert_eq!(change.unseen().is_none(), seen, "{fault:?} {told:?}");
        }
        assert_eq!(ClockChange::of(Fault::Kill, &Parameters::default()), None);
    }
}
