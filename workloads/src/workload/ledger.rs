//! `ledger`: unique values appended by many sessions, read back after healing.
//!
//! Keys are rotated: each takes a bounded number of entries and then a fresh one replaces it, so
//! that a read stays short however long the run.

use history::MicroOp;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Needs, Settings, Workload, no_labels};
use crate::generator::{GenContext, GenOp, Generator, Next};
use crate::rng::{Stream, stream};

/// Entries that a key takes before a fresh key replaces it.
const ENTRIES_PER_KEY_MAX: u32 = 48;
/// Keys open at a time, per shard.
const OPEN_KEYS: usize = 6;
/// Reads in a hundred operations.
const READ_PERCENT: u32 = 30;

/// See the module's doc.
pub static LEDGER: Workload = Workload {
    name: "ledger",
    summary: "unique values appended by many sessions, read back after healing",
    checkers: &["lost-writes", "read-your-writes", "monotonic-reads", "consistent-prefix"],
    needs: Needs { micro_ops: &["r", "append"], atomic_over: "key" },
    generator,
    labels: no_labels,
};

fn generator(settings: &Settings) -> Box<dyn Generator> {
    ledger(settings, 0, 1)
}

/// A ledger whose keys are `first`, `first + step`, `first + 2 * step`, ...
pub(super) fn ledger(settings: &Settings, first: i64, step: i64) -> Box<dyn Generator> {
    let open = OPEN_KEYS as i64 * i64::from(settings.shards);
    Box::new(Ledger {
        open: (0..open).map(|place| (first + place * step, 0)).collect(),
        next_key: first + open * step,
        step,
        next_value: 1,
        last_key: vec![first; settings.sessions],
        rng: stream(settings.seed, Stream::Generator),
    })
}

struct Ledger {
    /// Open keys and how many entries each was given.
    open: Vec<(i64, u32)>,
    next_key: i64,
    step: i64,
    next_value: i64,
    /// The key each session last appended to: what it will want to read back.
    last_key: Vec<i64>,
    rng: ChaCha8Rng,
}

impl Generator for Ledger {
    fn next(&mut self, context: &GenContext<'_>) -> Next {
        let Some(&session) = context.free.first() else {
            return Next::Pending;
        };
        let mop = if self.rng.random_range(0..100) < READ_PERCENT {
            let own = self.rng.random_bool(0.5);
            let any = self.rng.random_range(0..self.open.len());
            MicroOp::read(if own { self.last_key[session] } else { self.open[any].0 })
        } else {
            self.append(session)
        };
        Next::Op(GenOp { session, mops: vec![mop], final_on: None })
    }
}

impl Ledger {
    fn append(&mut self, session: usize) -> MicroOp {
        let place = self.rng.random_range(0..self.open.len());
        if self.open[place].1 == ENTRIES_PER_KEY_MAX {
            self.open[place] = (self.next_key, 0);
            self.next_key += self.step;
        }
        let (key, entries) = &mut self.open[place];
        *entries += 1;
        self.last_key[session] = *key;
        let value = self.next_value;
        self.next_value += 1;
        MicroOp::append(*key, value)
    }
}
