//! What echo requests must show of a shaped link, and whether they do.
//!
//! An echo goes there and back, so it meets the fault once or twice: `ways`.

use agent::ping::{PingPlan, Pings};
use history::Evidence;
use nemesis::Shape;

/// How far a share may be off, in points: of 2,000 echoes that are hit or not, chance alone brings
/// one in a hundred thousand probes as far.
const POINTS: f64 = 5.0;
/// Likewise where it depends on when two nodes began.
const LOOSE_POINTS: f64 = 20.0;
/// How many standard deviations chance is given where it does more: two probes in a thousand
/// million are further off.
const SIGMAS: f64 = 6.0;
/// Longest that a flapping link is watched, ms.
const WATCH_MS: u64 = 3_000;

/// Enough to see how a link is without a fault.
pub const CALM: PingPlan = PingPlan { count: 20, gap_us: 1_000, size: 56, wait_ms: 300 };

/// The echoes that show a shape.
pub fn plan(shape: Shape) -> PingPlan {
    let shares = PingPlan { count: 2_000, gap_us: 500, size: 56, wait_ms: 400 };
    match shape {
        Shape::Delay { delay_us, jitter_us, .. } => PingPlan {
            count: 60,
            gap_us: 5_000,
            size: 56,
            wait_ms: 500 + (delay_us + 2 * jitter_us) / 500,
        },
        Shape::Reorder { hold_us, .. } => PingPlan {
            gap_us: (hold_us / 8).clamp(100, 500),
            wait_ms: 400 + hold_us / 500,
            ..shares
        },
        Shape::Rate(rate) => {
            // Half as much again as passes, in packets of which twenty pass a second at least.
            let size = (rate / 8 / 20).clamp(60, 1_400);
            let gap_us = (size + 28) * 8 * 1_000_000 * 2 / (3 * rate.max(1));
            let count = (500_000 / gap_us.max(1)).clamp(20, 400) as u32;
            PingPlan { count, gap_us, size: size as usize, wait_ms: 1_500 }
        }
        Shape::Flap { period_ms, .. } => {
            let count = (period_ms.min(WATCH_MS) / 2) as u32;
            PingPlan { count, gap_us: 2_000, size: 56, wait_ms: 300 }
        }
        Shape::Loss(share) | Shape::Duplicate(share) | Shape::Corrupt(share) => {
            // Of fewer than ten hits chance could leave less than the third that must be seen.
            PingPlan { count: (10_000_000 / share.max(1)).clamp(shares.count, 7_000), ..shares }
        }
    }
}

/// Requested against measured.
pub fn during(probe: String, shape: Shape, ways: u32, before: &Pings, seen: &Pings) -> Evidence {
    // The share that one way or another of `ways` hits.
    let hit = |share: u32| 100.0 * (1.0 - (1.0 - f64::from(share) / 1e6).powi(ways as i32));
    let lost = percent(seen.sent.saturating_sub(seen.answered), seen.sent);
    let (expected, observed, holds) = match shape {
        Shape::Delay { delay_us, .. } => {
            let asked = ms(delay_us * u64::from(ways));
            let added = ms(seen.median_us) - ms(before.median_us);
            // A fifth, and what a busy machine adds.
            let near = (added - asked).abs() <= asked / 5.0 + 1.0;
            let observed = format!(
                "+{added:.1} ms ({:.1} ms before), 8 in 10 from {:.1} to {:.1} ms",
                ms(before.median_us),
                ms(seen.low_us),
                ms(seen.high_us)
            );
            (format!("+{asked:.0} ms"), observed, near && seen.answered != 0)
        }
        Shape::Loss(share) => share_of("lost", hit(share), lost, POINTS, seen),
        // The checksum breaks, and the packet is dropped where it arrives.
        Shape::Corrupt(share) => share_of("lost", hit(share), lost, POINTS, seen),
        Shape::Reorder { share, .. } => {
            let overtaken = percent(seen.overtaken, seen.answered);
            share_of("overtaken", hit(share), overtaken, 2.0 * POINTS, seen)
        }
        Shape::Duplicate(share) => {
            let asked = 100.0 * ((1.0 + f64::from(share) / 1e6).powi(ways as i32) - 1.0);
            let twice = percent(seen.duplicates, seen.answered);
            let points = POINTS.max(by_chance(answers_variance(share, ways), seen.sent));
            share_of("more answers", asked, twice, points, seen)
        }
        Shape::Rate(rate) => {
            let (asked, passed, calm) = (rate as f64 / 1e3, rate_of(seen), rate_of(before));
            // The system's own packets pass too, so it may be less.
            let holds = 1 < seen.answered && passed <= asked * 1.2 && passed * 1.1 < calm;
            let observed = format!("{passed:.0} kbit/s ({calm:.0} kbit/s before)");
            (format!("at most {asked:.0} kbit/s"), observed, holds)
        }
        Shape::Flap { period_ms, down_ms } => {
            let watched = period_ms.min(WATCH_MS) as f64;
            let asked = 100.0 * (down_ms as f64 / watched).min(1.0);
            share_of("lost", asked, lost, LOOSE_POINTS, seen)
        }
    };
    Evidence { probe, expected, observed, holds }
}

/// How far chance alone may bring the mean of so many echoes, in points.
fn by_chance(variance: f64, echoes: u32) -> f64 {
    100.0 * SIGMAS * (variance / f64::from(echoes.max(1))).sqrt()
}

/// Of how many answers an echo has, if each way sends a share of the packets, in parts of a
/// million, twice. What was sent twice comes back as two: a branching process, whose variance is
/// larger than that of hit or not (Harris 1963, The Theory of Branching Processes, I.5).
fn answers_variance(share: u32, ways: u32) -> f64 {
    let share = f64::from(share) / 1e6;
    let step = |(mean, variance): (f64, f64), _| {
        let more = 1.0 + share;
        (mean * more, variance * more * more + mean * share * (1.0 - share))
    };
    (0..ways).fold((1.0, 0.0), step).1
}

/// A share of the echoes: near what was asked for, and not next to nothing.
fn share_of(
    what: &str,
    asked: f64,
    seen: f64,
    points: f64,
    pings: &Pings,
) -> (String, String, bool) {
    let holds = (seen - asked).abs() <= points && asked / 3.0 <= seen;
    let observed = format!("{seen:.1} % {what} of {}", pings.sent);
    (format!("{asked:.1} % {what}, give or take {points:.0}"), observed, holds)
}

/// As it was before.
pub fn after(probe: String, before: &Pings, seen: &Pings) -> Evidence {
    let limit = 2.0 * ms(before.median_us) + 5.0;
    let most = seen.sent * 9 / 10;
    let holds = most <= seen.answered && ms(seen.median_us) <= limit && seen.duplicates == 0;
    Evidence {
        probe,
        expected: format!("as before: {:.1} ms", ms(before.median_us)),
        observed: format!(
            "{:.1} ms, {} of {} answered, {} twice",
            ms(seen.median_us),
            seen.answered,
            seen.sent,
            seen.duplicates
        ),
        holds,
    }
}

fn percent(part: u32, whole: u32) -> f64 {
    100.0 * f64::from(part) / f64::from(whole.max(1))
}

fn ms(us: u64) -> f64 {
    us as f64 / 1e3
}

/// What came back, in kbit/s: from the first answer, which only starts the clock, to the last.
fn rate_of(pings: &Pings) -> f64 {
    let bits = pings.bytes * 8 * u64::from(pings.answered.saturating_sub(1));
    bits as f64 * 1e3 / pings.span_us.max(1) as f64
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn seen(shape: Shape, change: impl FnOnce(&mut Pings)) -> Evidence {
        let before =
            Pings { sent: 20, answered: 20, median_us: 200, bytes: 84, ..Pings::default() };
        let mut pings = Pings { sent: 2_000, answered: 2_000, median_us: 200, ..before };
        change(&mut pings);
        during("n1 <-> n2".to_owned(), shape, 2, &before, &pings)
    }

    #[test]
    fn what_is_off_does_not_hold() {
        let delay = Shape::Delay { delay_us: 100_000, jitter_us: 0, normal: false };
        for (median_us, holds) in
            [(200, false), (150_000, false), (201_000, true), (250_000, false)]
        {
            assert_eq!(seen(delay, |pings| pings.median_us = median_us).holds, holds);
        }
        // 10 % each way: 19 % of what goes there and back.
        for (answered, holds) in [(2_000, false), (1_800, false), (1_620, true), (1_400, false)] {
            let evidence = seen(Shape::Loss(100_000), |pings| pings.answered = answered);
            assert_eq!(evidence.holds, holds, "{evidence:?}");
        }
        // Of one in a hundred, none at all is within five points, and no effect.
        assert!(!seen(Shape::Loss(10_000), |_| {}).holds);
        assert!(seen(Shape::Loss(10_000), |pings| pings.answered = 1_960).holds);
        assert!(seen(Shape::Duplicate(200_000), |pings| pings.duplicates = 880).holds);
        assert!(!seen(Shape::Duplicate(200_000), |_| {}).holds);
        assert!(!seen(Shape::Reorder { share: 250_000, hold_us: 1 }, |_| {}).holds);
        let flap = Shape::Flap { period_ms: 2_000, down_ms: 1_000 };
        assert!(seen(flap, |pings| pings.answered = 1_000).holds);
        assert!(!seen(flap, |_| {}).holds);
    }

    #[test]
    fn chance_alone_is_no_fault_without_effect() {
        // Two thousand echoes of which each copy is sent twice with one in five, there and back.
        let share = Shape::Duplicate(200_000);
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut twice = || u32::from(random.random_bool(0.2));
        let rounds = 1_000;
        let mut squares = 0.0;
        for _ in 0..rounds {
            let mut answers = 0;
            for _ in 0..2_000 {
                for _ in 0..=twice() {
                    answers += 1 + twice();
                }
            }
            let duplicates = answers - 2_000;
            let off = f64::from(duplicates) / 20.0 - 44.0;
            squares += off * off;
            let evidence = seen(share, |pings| pings.duplicates = duplicates);
            assert!(evidence.holds, "{evidence:?}");
        }
        let sigma = by_chance(answers_variance(200_000, 2), 2_000) / SIGMAS;
        let measured = (squares / f64::from(rounds)).sqrt();
        assert!((measured - sigma).abs() < 0.1, "{measured} measured, {sigma} said");
        assert!(POINTS < 4.0 * sigma, "five points were enough");
        // One way only, or another share, is still seen to be wrong.
        for duplicates in [400, 670] {
            assert!(!seen(share, |pings| pings.duplicates = duplicates).holds, "{duplicates}");
        }
    }

    #[test]
    fn a_rate_holds_if_more_passed_before() {
        let before = Pings { bytes: 1_000, answered: 101, span_us: 500_000, ..Pings::default() };
        let slowed = Pings { span_us: 800_000, ..before };
        let evidence =
            |seen| during("n1".to_owned(), Shape::Rate(1_000_000), 2, &before, seen).holds;
        assert!(evidence(&slowed));
        assert!(!evidence(&before), "nothing changed");
    }

    #[test]
    fn plans_take_less_than_an_agent_may() {
        for rate in [8_000, 1_000_000, 100_000_000] {
            let plan = plan(Shape::Rate(rate));
            assert!(u64::from(plan.count) * plan.gap_us < 2_000_000, "{plan:?}");
        }
        let slow = Shape::Delay { delay_us: 1_000_000, jitter_us: 1_000_000, normal: true };
        let takes = |shape| {
            let plan = plan(shape);
            u64::from(plan.count) * plan.gap_us / 1_000 + plan.wait_ms
        };
        assert!(takes(slow) < 9_000, "{:?}", plan(slow));
        assert!(takes(Shape::Loss(1)) < 4_000, "{:?}", plan(Shape::Loss(1)));
        assert_eq!(plan(Shape::Loss(100_000)).count, 2_000);
        assert_eq!(plan(Shape::Loss(2_000)).count, 5_000);
    }
}
