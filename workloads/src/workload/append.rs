//! `append`: Elle's list-append. Transactions of 1 to 4 reads and appends over a small pool of
//! keys, some of them hot; every value is appended once.
//!
//! A list shows who wrote what and in which order, so that a checker can tell every anomaly of
//! isolation from what transactions read. That means nothing unless a transaction's parts are
//! atomic together, over whatever keys: see [`Needs`].

use history::MicroOp;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::key_pool::KeyPool;
use super::{Needs, Settings, Workload, no_labels};
use crate::generator::{GenContext, GenOp, Generator, Next};
use crate::rng::{Stream, stream};

/// Micro-operations of a transaction, at most.
const MICRO_OPS_MAX: usize = 4;
/// Keys in use at a time, as in Elle's tests.
const OPEN_KEYS: usize = 10;
/// Appends that a key takes before a fresh key replaces it, as in Elle's tests.
const WRITES_PER_KEY_MAX: u32 = 32;

/// See the module's doc.
pub static APPEND: Workload = Workload {
    name: "append",
    summary: "transactions of 1 to 4 reads and appends over a few keys, as Elle judges them",
    checkers: &[
        "list-append",
        "lost-writes",
        "read-your-writes",
        "monotonic-reads",
        "consistent-prefix",
    ],
    needs: Needs { micro_ops: &["r", "append"], atomic_over: "everything" },
    generator,
    labels: no_labels,
};

fn generator(settings: &Settings) -> Box<dyn Generator> {
    Box::new(Append {
        keys: KeyPool::new(OPEN_KEYS, WRITES_PER_KEY_MAX),
        next_value: 1,
        rng: stream(settings.seed, Stream::Generator),
    })
}

struct Append {
    keys: KeyPool,
    next_value: i64,
    rng: ChaCha8Rng,
}

impl Generator for Append {
    fn next(&mut self, context: &GenContext<'_>) -> Next {
        let Some(&session) = context.free.first() else {
            return Next::Pending;
        };
        let count = self.rng.random_range(1..=MICRO_OPS_MAX);
        let mops = (0..count).map(|_| self.micro_op()).collect();
        Next::Op(GenOp { session, mops, final_on: None })
    }
}

impl Append {
    fn micro_op(&mut self) -> MicroOp {
        let place = self.keys.draw(&mut self.rng);
        if self.rng.random_bool(0.5) {
            return MicroOp::read(self.keys.key(place));
        }
        let value = self.next_value;
        self.next_value += 1;
        MicroOp::append(self.keys.write(place), value)
    }
}
