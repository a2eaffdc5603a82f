//! `set`: unique elements are added to sets, and whole sets are read.
//!
//! Sets are rotated: each takes a bounded number of elements and then a fresh one replaces it, so
//! that a read stays short however long the run.

use history::MicroOp;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Needs, Settings, Workload, no_labels};
use crate::generator::{GenContext, GenOp, Generator, Next};
use crate::rng::{Stream, stream};

/// Sets in use at a time.
const OPEN_SETS: usize = 4;
/// Elements that a set takes before a fresh set replaces it.
const ELEMENTS_PER_SET_MAX: u32 = 64;
/// Reads in a hundred operations.
const READ_PERCENT: u32 = 40;
/// Reads in a hundred that look at any set there ever was.
const OLD_PERCENT: u32 = 10;

/// See the module's doc.
pub static SET: Workload = Workload {
    name: "set",
    summary: "unique elements are added to sets, and whole sets are read",
    checkers: &["set", "lost-writes", "read-your-writes", "monotonic-reads"],
    needs: Needs { micro_ops: &["r", "add"], atomic_over: "key" },
    generator,
    labels: no_labels,
};

fn generator(settings: &Settings) -> Box<dyn Generator> {
    Box::new(Sets {
        open: (0..OPEN_SETS as i64).map(|key| (key, 0)).collect(),
        next_key: OPEN_SETS as i64,
        next_element: 1,
        last_set: vec![0; settings.sessions],
        rng: stream(settings.seed, Stream::Generator),
    })
}

struct Sets {
    /// Sets in use and how many elements each was given.
    open: Vec<(i64, u32)>,
    next_key: i64,
    next_element: i64,
    /// The set each session last added to: what it will want to read back.
    last_set: Vec<i64>,
    rng: ChaCha8Rng,
}

impl Generator for Sets {
    fn next(&mut self, context: &GenContext<'_>) -> Next {
        let Some(&session) = context.free.first() else {
            return Next::Pending;
        };
        let draw = self.rng.random_range(0..100);
        let mop = if READ_PERCENT <= draw {
            self.add(session)
        } else if self.rng.random_range(0..100) < OLD_PERCENT {
            MicroOp::read(self.rng.random_range(0..self.next_key))
        } else if self.rng.random_bool(0.5) {
            MicroOp::read(self.last_set[session])
        } else {
            MicroOp::read(self.open[self.rng.random_range(0..OPEN_SETS)].0)
        };
        Next::Op(GenOp { session, mops: vec![mop], final_on: None })
    }
}

impl Sets {
    fn add(&mut self, session: usize) -> MicroOp {
        let place = self.rng.random_range(0..OPEN_SETS);
        if self.open[place].1 == ELEMENTS_PER_SET_MAX {
            self.open[place] = (self.next_key, 0);
            self.next_key += 1;
        }
        let (key, elements) = &mut self.open[place];
        *elements += 1;
        self.last_set[session] = *key;
        let value = self.next_element;
        self.next_element += 1;
        MicroOp::Add { key: (*key).into(), value }
    }
}
