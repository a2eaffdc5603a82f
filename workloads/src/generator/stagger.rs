//! Limits a generator's rate.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Completion, GenContext, Generator, Next};

/// Spaces operations by intervals drawn evenly from 0 to twice the mean, so that the rate holds
/// on average and sessions do not march in step. After a stall it does not catch up in a burst.
pub struct Stagger<G> {
    inner: G,
    interval_ns: u64,
    next_at: u64,
    rng: ChaCha8Rng,
}

impl<G: Generator> Stagger<G> {
    /// `rate` operations a second over all sessions; 0 means no limit.
    pub fn new(inner: G, rate: u64, rng: ChaCha8Rng) -> Stagger<G> {
        let interval_ns = 1_000_000_000_u64.checked_div(rate).unwrap_or(0);
        Stagger { inner, interval_ns, next_at: 0, rng }
    }
}

impl<G: Generator> Generator for Stagger<G> {
    fn next(&mut self, context: &GenContext<'_>) -> Next {
        if self.interval_ns != 0 && context.now < self.next_at {
            return Next::WaitUntil(self.next_at);
        }
        let next = self.inner.next(context);
        if matches!(next, Next::Op(_)) && self.interval_ns != 0 {
            let step = self.rng.random_range(0..=2 * self.interval_ns);
            // A timer that fires late may still make up for a millisecond or two.
            let floor = context.now.saturating_sub(4 * self.interval_ns);
            self.next_at = self.next_at.max(floor) + step;
        }
        next
    }

    fn update(&mut self, completion: &Completion<'_>) {
        self.inner.update(completion);
    }
}
