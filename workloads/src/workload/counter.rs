//! `counter`: counters are incremented by small positive amounts, and read.
//!
//! A read must lie between the sum of what was acknowledged before it began and the sum of all that
//! was attempted before it ended. An increment of unknown outcome widens that for good, so a fresh
//! counter takes the place of one that has such.

use history::{EventKind, Key, MicroOp};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Needs, Settings, Workload, no_labels};
use crate::generator::{Completion, GenContext, GenOp, Generator, Next};
use crate::rng::{Stream, stream};

/// Counters in use at a time.
const OPEN_COUNTERS: usize = 4;
/// The largest increment.
const INCREMENT_MAX: i64 = 5;

/// See the module's doc.
pub static COUNTER: Workload = Workload {
    name: "counter",
    summary: "counters are incremented by small positive amounts, and read",
    checkers: &["counter"],
    needs: Needs { micro_ops: &["r", "inc"], atomic_over: "key" },
    generator,
    labels: no_labels,
};

fn generator(settings: &Settings) -> Box<dyn Generator> {
    Box::new(Counters {
        open: (0..OPEN_COUNTERS as i64).collect(),
        next_key: OPEN_COUNTERS as i64,
        rng: stream(settings.seed, Stream::Generator),
    })
}

struct Counters {
    open: Vec<i64>,
    next_key: i64,
    rng: ChaCha8Rng,
}

impl Generator for Counters {
    fn next(&mut self, context: &GenContext<'_>) -> Next {
        let Some(&session) = context.free.first() else {
            return Next::Pending;
        };
        let key = self.open[self.rng.random_range(0..OPEN_COUNTERS)];
        let mop = if self.rng.random_bool(0.5) {
            MicroOp::read(key)
        } else {
            let delta = self.rng.random_range(1..=INCREMENT_MAX);
            MicroOp::Inc { key: key.into(), delta }
        };
        Next::Op(GenOp { session, mops: vec![mop], final_on: None })
    }

    fn update(&mut self, completion: &Completion<'_>) {
        if completion.status != EventKind::Info {
            return;
        }
        for mop in completion.mops {
            let MicroOp::Inc { key: Key::Int(key), .. } = mop else {
                continue;
            };
            if let Some(open) = self.open.iter_mut().find(|open| *open == key) {
                *open = self.next_key;
                self.next_key += 1;
            }
        }
    }
}
