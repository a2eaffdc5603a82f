//! The simulated network: each message has a delay of its own, so that later ones overtake.

use std::collections::BTreeMap;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// Usual delays, ns.
const DELAY: std::ops::Range<u64> = 150_000..1_500_000;
/// Now and then it takes longer, ns: longer than the pause between two shipments of a log, so that
/// those overtake each other too.
const LONG_DELAY: std::ops::Range<u64> = 1_500_000..90_000_000;
/// One message in so many takes longer.
const LONG_ONE_IN: u32 = 10;

/// What the network has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages between nodes.
    pub sent: u64,
    /// Those that arrived.
    pub delivered: u64,
    /// Those that arrived after one sent later on the same link.
    pub reordered: u64,
    /// Those dropped by a cut.
    pub dropped: u64,
}

/// See the module's doc.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// Cuts in force, counted, by (at, from).
    cuts: BTreeMap<(usize, usize), u32>,
    /// By link, the latest sent of those delivered.
    latest: BTreeMap<(usize, usize), u64>,
    /// What it has done.
    pub counters: Counters,
}

impl Network {
    /// How long a message takes.
    pub fn delay(&self, rng: &mut ChaCha8Rng) -> u64 {
        match rng.random_ratio(1, LONG_ONE_IN) {
            true => rng.random_range(LONG_DELAY),
            false => rng.random_range(DELAY),
        }
    }

    /// Numbers a message.
    pub fn sent(&mut self) -> u64 {
        self.counters.sent += 1;
        self.counters.sent
    }

    /// Whether a message arrives.
    pub fn deliver(&mut self, at: usize, from: usize, number: u64) -> bool {
        if self.is_cut(at, from) {
            self.counters.dropped += 1;
            return false;
        }
        self.counters.delivered += 1;
        let latest = self.latest.entry((at, from)).or_default();
        self.counters.reordered += u64::from(number < *latest);
        *latest = number.max(*latest);
        true
    }

    /// Drops what arrives at one node from another.
    pub fn cut(&mut self, at: usize, from: usize) {
        *self.cuts.entry((at, from)).or_default() += 1;
    }

    /// Takes one cut back.
    pub fn restore(&mut self, at: usize, from: usize) {
        if let Some(count) = self.cuts.get_mut(&(at, from)) {
            *count -= 1;
            if *count == 0 {
                self.cuts.remove(&(at, from));
            }
        }
    }

    /// Whether messages of one node are dropped at another.
    pub fn is_cut(&self, at: usize, from: usize) -> bool {
        self.cuts.contains_key(&(at, from))
    }
}
