//! What becomes of a packet: pure, from the shape, the seed, and what came before on its link.

use super::{Counters, Distribution, Flap, MILLION, Shape};

/// How long packets may wait for their turn at a rate, ns; later ones are dropped, as by a router
/// whose buffer is full.
const QUEUE_NS: u64 = 400_000_000;

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is gone.
    Drop,
    /// It passes at this moment, ns; with this bit, counted round its payload, flipped.
    Pass {
        /// When.
        at: u64,
        /// A number that chooses the bit.
        flip: Option<u64>,
    },
}

/// One peer's packets.
#[derive(Clone, Debug)]
pub struct Link {
    shape: Shape,
    seed: u64,
    /// When the last packet that waits for its turn at the rate will have passed, ns.
    free_at: u64,
    /// What was done so far.
    pub counters: Counters,
}

impl Link {
    /// A link that nothing has come over yet.
    pub fn new(shape: Shape, seed: u64) -> Link {
        Link { shape, seed, free_at: 0, counters: Counters::default() }
    }

    /// Whether packets are needed whole.
    pub fn changes_packets(&self) -> bool {
        self.shape.corrupt != 0
    }

    /// Decides on the next packet, of `length` bytes; `now` is ns since the fault began.
    pub fn decide(&mut self, now: u64, length: usize) -> Decision {
        // A stream of its own for each packet: the n-th has the same fate whatever the others drew.
        let mut chance = Chance::new(self.seed, self.counters.seen);
        self.counters.seen += 1;
        let [lost, corrupted, held] = [self.shape.loss, self.shape.corrupt, self.shape.reorder]
            .map(|share| chance.below(u64::from(MILLION)) < u64::from(share));
        let (bit, jitter) = (chance.next(), self.jitter(&mut chance));
        if self.shape.flap.is_some_and(|flap| is_down(flap, now)) {
            self.counters.down += 1;
            return Decision::Drop;
        }
        if lost {
            self.counters.lost += 1;
            return Decision::Drop;
        }
        let Some(mut at) = self.turn(now, length) else {
            self.counters.full += 1;
            return Decision::Drop;
        };
        at = at.saturating_add_signed(jitter.max(-to_ns(self.shape.delay_us)));
        at += self.shape.delay_us * 1_000;
        if held {
            self.counters.held += 1;
            at += self.shape.hold_us * 1_000;
        }
        self.counters.passed += 1;
        self.counters.corrupted += u64::from(corrupted);
        Decision::Pass { at, flip: corrupted.then_some(bit) }
    }

    /// When a packet has got through the rate; nothing if too many wait.
    fn turn(&mut self, now: u64, length: usize) -> Option<u64> {
        if self.shape.rate == 0 {
            return Some(now);
        }
        if now + QUEUE_NS < self.free_at {
            return None;
        }
        let takes = length as u128 * 8 * 1_000_000_000 / u128::from(self.shape.rate);
        self.free_at = self.free_at.max(now) + takes as u64;
        Some(self.free_at)
    }

    /// ns, more or less than the delay.
    fn jitter(&self, chance: &mut Chance) -> i64 {
        let width = to_ns(self.shape.jitter_us);
        match self.shape.distribution {
            Distribution::Uniform => chance.below(2 * width as u64 + 1) as i64 - width,
            // The sum of twelve has a deviation of one, and no tail that takes seconds.
            Distribution::Normal => {
                let sum: u64 = (0..12).map(|_| chance.below(1_000_001)).sum();
                let deviation = i128::from(sum) - 6_000_000;
                (deviation * i128::from(width) / 1_000_000) as i64
            }
        }
    }
}

/// µs to ns, for arithmetic with a sign.
fn to_ns(us: u64) -> i64 {
    us.saturating_mul(1_000).min(i64::MAX as u64 / 4) as i64
}

fn is_down(flap: Flap, now: u64) -> bool {
    (now / 1_000_000) % flap.period_ms.max(1) < flap.down_ms
}

/// SplitMix64: small, and the same on every machine.
struct Chance(u64);

impl Chance {
    fn new(seed: u64, number: u64) -> Chance {
        let mut chance = Chance(seed ^ number.wrapping_mul(0xd134_2543_de82_ef95));
        chance.0 = chance.next();
        chance
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `limit`.
    fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Packets of 1,000 bytes, one every `gap` ns; when they pass, counted from when they came.
    fn late(shape: Shape, count: u64, gap: u64) -> Vec<Option<u64>> {
        let mut link = Link::new(shape, 7);
        let pass = |number: u64| match link.decide(number * gap, 1_000) {
            Decision::Pass { at, .. } => Some(at - number * gap),
            Decision::Drop => None,
        };
        (0..count).map(pass).collect()
    }

    #[test]
    fn delays_keep_to_their_distribution() {
        let uniform = Shape { delay_us: 100_000, jitter_us: 20_000, ..Shape::default() };
        let seen: Vec<u64> = late(uniform, 10_000, MS).into_iter().flatten().collect();
        assert_eq!(seen.len(), 10_000);
        assert!(seen.iter().all(|late| (80 * MS..=120 * MS).contains(late)));
        let mean = seen.iter().sum::<u64>() / 10_000;
        assert!((99 * MS..=101 * MS).contains(&mean), "{mean}");
        let normal = Shape { distribution: Distribution::Normal, ..uniform };
        let seen: Vec<u64> = late(normal, 10_000, MS).into_iter().flatten().collect();
        let within = seen.iter().filter(|late| (80 * MS..=120 * MS).contains(late)).count();
        assert!((6_600..7_100).contains(&within), "{within} of 10,000 within a deviation");
        let wild = Shape { delay_us: 1_000, jitter_us: 50_000, ..normal };
        assert_eq!(late(wild, 1_000, MS).into_iter().flatten().min(), Some(0), "never in the past");
    }

    #[test]
    fn shares_are_kept() {
        let shape = Shape { loss: 100_000, corrupt: 50_000, reorder: 250_000, ..Shape::default() };
        let mut link = Link::new(Shape { hold_us: 20_000, ..shape }, 3);
        for number in 0..20_000 {
            let _ = link.decide(number, 100);
        }
        let Counters { seen, passed, lost, corrupted, held, .. } = link.counters;
        assert_eq!((seen, passed), (20_000, 20_000 - lost));
        assert!((1_850..2_150).contains(&lost), "{lost}");
        assert!((820..980).contains(&corrupted), "{corrupted}");
        assert!((4_300..4_700).contains(&held), "{held}");
    }

    #[test]
    fn a_rate_is_kept_and_its_queue_is_short() {
        // 1 Mbit/s: 8 ms a packet, and twice as many come.
        let shape = Shape { rate: 1_000_000, ..Shape::default() };
        let seen = late(shape, 1_000, 4 * MS);
        let passed = seen.iter().flatten().count();
        // 4 s of 125 a second, and what the queue holds.
        assert!((500..=560).contains(&passed), "{passed}");
        assert!(seen.iter().flatten().all(|late| *late <= QUEUE_NS + 8 * MS));
        assert_eq!(seen[0], Some(8 * MS));
    }

    #[test]
    fn a_flapping_link_starts_with_being_down() {
        let flap = Some(Flap { period_ms: 100, down_ms: 30 });
        let seen = late(Shape { flap, ..Shape::default() }, 200, MS);
        for (ms, late) in seen.iter().enumerate() {
            assert_eq!(late.is_none(), ms % 100 < 30, "at {ms} ms");
        }
    }

    #[test]
    fn one_seed_one_fate() {
        let shape = Shape { loss: 500_000, jitter_us: 1_000, ..Shape::default() };
        let fates = |seed| -> Vec<Decision> {
            let mut link = Link::new(shape, seed);
            (0..100).map(|_| link.decide(5_000_000, 60)).collect()
        };
        assert_eq!(fates(1), fates(1));
        assert_ne!(fates(1), fates(2));
    }
}
