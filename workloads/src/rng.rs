//! One seed, many independent streams: adding a draw to one part never shifts another's.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Which part of a run draws. The numbers are part of the format: a seed means the same run only
/// as long as they stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Stream {
    /// What sessions do.
    Generator = 1,
    /// When they do it.
    Pace = 2,
    /// Which node they ask.
    Policy = 3,
    /// When faults strike.
    Schedule = 4,
    /// Whom faults hit.
    Selector = 5,
    /// The simulated network.
    Network = 6,
}

/// The generator of random numbers for one part of the run `seed`.
pub fn stream(seed: u64, stream: Stream) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream as u64);
    rng
}
