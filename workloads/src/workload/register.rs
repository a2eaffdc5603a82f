//! `register`: Elle's rw-register. Transactions of 1 to 4 reads and writes over a small pool of
//! registers that all sessions write; every value is written once.
//!
//! A write that ended in `info` may take effect at any later time, over what was written since:
//! its register has no certain order of versions any more, and a fresh key takes its place.

use history::{EventKind, Key, MicroOp};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::key_pool::KeyPool;
use super::{Needs, Settings, Workload, no_labels};
use crate::generator::{Completion, GenContext, GenOp, Generator, Next};
use crate::rng::{Stream, stream};

/// Micro-operations of a transaction, at most.
const MICRO_OPS_MAX: usize = 4;
/// Registers in use at a time.
const OPEN_KEYS: usize = 10;
/// Writes that a register takes before a fresh one replaces it.
const WRITES_PER_KEY_MAX: u32 = 32;

/// See the module's doc.
pub static REGISTER: Workload = Workload {
    name: "register",
    summary: "transactions of 1 to 4 reads and writes over a few registers, as Elle judges them",
    checkers: &["rw-register"],
    needs: Needs { micro_ops: &["r", "w"], atomic_over: "everything" },
    generator,
    labels: no_labels,
};

fn generator(settings: &Settings) -> Box<dyn Generator> {
    Box::new(Register {
        keys: KeyPool::new(OPEN_KEYS, WRITES_PER_KEY_MAX),
        next_value: 1,
        rng: stream(settings.seed, Stream::Generator),
    })
}

struct Register {
    keys: KeyPool,
    next_value: i64,
    rng: ChaCha8Rng,
}

impl Generator for Register {
    fn next(&mut self, context: &GenContext<'_>) -> Next {
        let Some(&session) = context.free.first() else {
            return Next::Pending;
        };
        let count = self.rng.random_range(1..=MICRO_OPS_MAX);
        let mops = (0..count).map(|_| self.micro_op()).collect();
        Next::Op(GenOp { session, mops, final_on: None })
    }

    fn update(&mut self, completion: &Completion<'_>) {
        if completion.status != EventKind::Info {
            return;
        }
        for mop in completion.mops {
            if let (MicroOp::Write { key: Key::Int(key), .. }, None) = (mop, completion.final_on) {
                self.keys.retire(*key);
            }
        }
    }
}

impl Register {
    fn micro_op(&mut self) -> MicroOp {
        let place = self.keys.draw(&mut self.rng);
        if self.rng.random_bool(0.5) {
            return MicroOp::read(self.keys.key(place));
        }
        let value = self.next_value;
        self.next_value += 1;
        MicroOp::write(self.keys.write(place), value)
    }
}
