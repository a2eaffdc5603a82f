//! Draws each operation from one of several generators, by weight.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Completion, GenContext, Generator, Next};

/// A weighted mixture. A part that has nothing now is passed over; the mixture is done when every
/// part is.
pub struct Mix {
    parts: Vec<(u32, Box<dyn Generator>)>,
    rng: ChaCha8Rng,
}

impl Mix {
    /// Parts with their weights; a weight of 0 is never drawn.
    pub fn new(parts: Vec<(u32, Box<dyn Generator>)>, rng: ChaCha8Rng) -> Mix {
        Mix { parts, rng }
    }
}

impl Generator for Mix {
    fn next(&mut self, context: &GenContext<'_>) -> Next {
        let total: u32 = self.parts.iter().map(|(weight, _)| weight).sum();
        if total == 0 {
            return Next::Done;
        }
        let mut draw = self.rng.random_range(0..total);
        let mut first = 0;
        for (place, (weight, _)) in self.parts.iter().enumerate() {
            if draw < *weight {
                first = place;
                break;
            }
            draw -= weight;
        }
        let count = self.parts.len();
        let mut best = Next::Done;
        for offset in 0..count {
            match self.parts[(first + offset) % count].1.next(context) {
                Next::Op(op) => return Next::Op(op),
                Next::Done => {}
                Next::Pending if best == Next::Done => best = Next::Pending,
                Next::Pending => {}
                Next::WaitUntil(at) => {
                    best = match best {
                        Next::WaitUntil(other) => Next::WaitUntil(at.min(other)),
                        _ => Next::WaitUntil(at),
                    };
                }
            }
        }
        best
    }

    /// Every part hears every completion: parts recognise their own by its micro-operations.
    fn update(&mut self, completion: &Completion<'_>) {
        for (_, part) in &mut self.parts {
            part.update(completion);
        }
    }
}
