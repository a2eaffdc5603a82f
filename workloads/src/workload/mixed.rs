//! `mixed`: transactions of three micro-operations, reads and appends, over rotating keys.
//!
//! The shape that isolation checkers want, and the one that the runner is measured with.

use history::MicroOp;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Needs, Settings, Workload, no_labels};
use crate::generator::{GenContext, GenOp, Generator, Next};
use crate::rng::{Stream, stream};

/// Micro-operations in a transaction.
const MICRO_OPS: usize = 3;
/// Entries that a key takes before a fresh key replaces it.
const ENTRIES_PER_KEY_MAX: u32 = 16;
/// Keys open at a time.
const OPEN_KEYS: usize = 16;

/// See the module's doc.
pub static MIXED: Workload = Workload {
    name: "mixed",
    summary: "transactions of three micro-operations, reads and appends",
    checkers: &["lost-writes", "read-your-writes", "monotonic-reads", "consistent-prefix"],
    needs: Needs { micro_ops: &["r", "append"], atomic_over: "shard" },
    generator,
    labels: no_labels,
};

fn generator(settings: &Settings) -> Box<dyn Generator> {
    Box::new(Mixed {
        open: (0..OPEN_KEYS as i64).map(|key| (key, 0)).collect(),
        next_key: OPEN_KEYS as i64,
        next_value: 1,
        shards: i64::from(settings.shards.max(1)),
        rng: stream(settings.seed, Stream::Generator),
    })
}

struct Mixed {
    open: Vec<(i64, u32)>,
    next_key: i64,
    next_value: i64,
    shards: i64,
    rng: ChaCha8Rng,
}

impl Generator for Mixed {
    fn next(&mut self, context: &GenContext<'_>) -> Next {
        let Some(&session) = context.free.first() else {
            return Next::Pending;
        };
        let mut mops: Vec<MicroOp> = Vec::with_capacity(MICRO_OPS);
        let write = self.rng.random_bool(0.5);
        let first = self.rng.random_range(0..OPEN_KEYS);
        let shard = self.open[first].0.rem_euclid(self.shards);
        for _ in 0..MICRO_OPS {
            let mut place = self.rng.random_range(0..OPEN_KEYS);
            // All of a writing transaction stays on one shard: nothing is atomic over several.
            if write && self.open[place].0.rem_euclid(self.shards) != shard {
                place = first;
            }
            if write && self.rng.random_bool(0.5) {
                mops.push(self.append(place));
            } else {
                mops.push(MicroOp::read(self.open[place].0));
            }
        }
        Next::Op(GenOp { session, mops, final_on: None })
    }
}

impl Mixed {
    fn append(&mut self, place: usize) -> MicroOp {
        let (key, entries) = &mut self.open[place];
        *entries += 1;
        let mop = MicroOp::append(*key, self.next_value);
        self.next_value += 1;
        if *entries == ENTRIES_PER_KEY_MAX {
            // The fresh key lies on the same shard as the one it replaces.
            let behind = (*key - self.next_key).rem_euclid(self.shards);
            let fresh = self.next_key + behind;
            self.next_key = fresh + 1;
            self.open[place] = (fresh, 0);
        }
        mop
    }
}
