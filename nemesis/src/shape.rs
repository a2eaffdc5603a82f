//! What faults of a link do to its packets: their parameters, and the shape that they come to.

use crate::fault::Fault;
use crate::parameters::{Kind, Parameter, Parameters};

/// How many µs are a ms.
const MS: u64 = 1_000;

const fn parameter(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    bounds: Option<(&'static str, &'static str)>,
    summary: &'static str,
) -> Parameter {
    Parameter { name, kind, default, bounds, summary }
}

const SHARE: Option<(&str, &str)> = Some(("1%", "100%"));

/// Of `delay`.
pub const DELAY: [Parameter; 3] = [
    parameter("delay", Kind::Duration, "100ms", Some(("1ms", "1s")), "how much later, each way"),
    parameter(
        "jitter",
        Kind::Duration,
        "20ms",
        Some(("0ms", "1s")),
        "give or take this much, and no more than the delay",
    ),
    parameter(
        "distribution",
        Kind::Word(&["uniform", "normal"]),
        "uniform",
        None,
        "how the jitter is spread; with normal it is the deviation",
    ),
];
/// Of `loss`.
pub const LOSS: [Parameter; 1] =
    [parameter("loss", Kind::Percent, "10%", SHARE, "share of packets lost, each way")];
/// Of `reorder`: if all were held back, none would overtake another.
pub const REORDER: [Parameter; 2] = [
    parameter(
        "reorder",
        Kind::Percent,
        "25%",
        Some(("1%", "75%")),
        "share of packets that later ones overtake, each way",
    ),
    parameter("hold", Kind::Duration, "20ms", Some(("1ms", "1s")), "how long those are held back"),
];
/// Of `duplicate`.
pub const DUPLICATE: [Parameter; 1] =
    [parameter("duplicate", Kind::Percent, "20%", SHARE, "share of packets sent twice, each way")];
/// Of `corrupt`.
pub const CORRUPT: [Parameter; 1] =
    [parameter("corrupt", Kind::Percent, "5%", SHARE, "share of packets with a bit flipped")];
/// Of `bandwidth`.
pub const BANDWIDTH: [Parameter; 1] = [parameter(
    "rate",
    Kind::Rate,
    "1mbit",
    Some(("8kbit", "100mbit")),
    "what passes from one node to another a second",
)];
/// Of `flapping`.
pub const FLAPPING: [Parameter; 2] = [
    parameter(
        "period",
        Kind::Duration,
        "2s",
        Some(("500ms", "60s")),
        "from one outage to the next",
    ),
    parameter("up", Kind::WholePercent, "50%", Some(("1%", "99%")), "share of the time it is up"),
];

/// What becomes of the packets of a link, one way. Shares are parts of a million.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Each is later.
    Delay {
        /// By this much, µs.
        delay_us: u64,
        /// Give or take this, µs.
        jitter_us: u64,
        /// Whether that is the deviation of a normal distribution.
        normal: bool,
    },
    /// Some are lost.
    Loss(u32),
    /// Some are held back.
    Reorder {
        /// How many.
        share: u32,
        /// For how long, µs.
        hold_us: u64,
    },
    /// Some come twice.
    Duplicate(u32),
    /// Some have a bit flipped.
    Corrupt(u32),
    /// No more than so many bits pass a second.
    Rate(u64),
    /// It comes and goes, and is down first.
    Flap {
        /// From one outage to the next, ms.
        period_ms: u64,
        /// How long one is, ms.
        down_ms: u64,
    },
}

/// Whether a fault shapes packets.
pub fn is(fault: Fault) -> bool {
    Shape::of(fault, &Parameters::defaults(fault)).is_some()
}

impl Shape {
    /// What a fault does to packets, if it does that.
    pub fn of(fault: Fault, parameters: &Parameters) -> Option<Shape> {
        let number = |name| parameters.number(name).max(0) as u64;
        // Kept in thousandths of a percent.
        let share = |name| (number(name) * 10) as u32;
        Some(match fault {
            Fault::Delay => {
                let delay_us = number("delay") * MS;
                let jitter_us = (number("jitter") * MS).min(delay_us);
                let normal = parameters.text("distribution") == "normal";
                Shape::Delay { delay_us, jitter_us, normal }
            }
            Fault::Loss => Shape::Loss(share("loss")),
            Fault::Reorder => {
                Shape::Reorder { share: share("reorder"), hold_us: number("hold") * MS }
            }
            Fault::Duplicate => Shape::Duplicate(share("duplicate")),
            Fault::Corrupt => Shape::Corrupt(share("corrupt")),
            Fault::Bandwidth => Shape::Rate(number("rate")),
            Fault::Flapping => {
                let period_ms = number("period");
                let down_ms = period_ms * (100 - number("up").min(100)) / 100;
                Shape::Flap { period_ms, down_ms }
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_come_to_shapes() {
        let of = |fault| Shape::of(fault, &Parameters::defaults(fault));
        let (delay_us, jitter_us) = (100_000, 20_000);
        assert_eq!(of(Fault::Delay), Some(Shape::Delay { delay_us, jitter_us, normal: false }));
        assert_eq!(of(Fault::Loss), Some(Shape::Loss(100_000)));
        assert_eq!(of(Fault::Bandwidth), Some(Shape::Rate(1_000_000)));
        let flap = Shape::Flap { period_ms: 2_000, down_ms: 1_000 };
        assert_eq!(of(Fault::Flapping), Some(flap));
        assert_eq!(of(Fault::Kill), None);
        let given = [("delay", "5ms"), ("jitter", "20ms")];
        let given = given.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let parameters = Parameters::of(Fault::Delay, &given).unwrap();
        let (delay_us, jitter_us) = (5_000, 5_000);
        let shape = Shape::of(Fault::Delay, &parameters);
        assert_eq!(shape, Some(Shape::Delay { delay_us, jitter_us, normal: false }));
    }
}
