//! `guarantees`: a ledger and conversations at once, so that one run can be judged by every session
//! guarantee and by what was lost.
//!
//! The ledger's keys are below zero, those of the conversations are not: neither sees the other's.

use super::conversation::generator as conversations;
use super::ledger::ledger;
use super::{Needs, Settings, Workload, no_labels};
use crate::generator::{Generator, Mix};
use crate::rng::{Stream, stream};

/// How often each part is drawn.
const WEIGHTS: (u32, u32) = (1, 1);
/// Keeps the two parts and the draw between them from running in step.
const APART: u64 = 0x9e37_79b9_7f4a_7c15;

/// See the module's doc.
pub static GUARANTEES: Workload = Workload {
    name: "guarantees",
    summary: "a ledger and conversations at once, for the guarantee matrix",
    checkers: &["read-your-writes", "monotonic-reads", "consistent-prefix", "lost-writes"],
    needs: Needs { micro_ops: &["r", "append"], atomic_over: "key" },
    generator,
    labels: no_labels,
};

fn generator(settings: &Settings) -> Box<dyn Generator> {
    let other = Settings { seed: settings.seed ^ APART, ..*settings };
    let parts = vec![(WEIGHTS.0, ledger(settings, -1, -1)), (WEIGHTS.1, conversations(&other))];
    Box::new(Mix::new(parts, stream(settings.seed.wrapping_add(APART), Stream::Generator)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use history::Key;

    use super::*;
    use crate::generator::{GenContext, Next};

    #[test]
    fn both_parts_are_drawn_and_their_keys_are_apart() {
        let settings = Settings { sessions: 4, shards: 2, seed: 3 };
        let mut generator = generator(&settings);
        let (mut ledger, mut talks) = (BTreeSet::new(), BTreeSet::new());
        for turn in 0..2_000 {
            let context = GenContext { now: turn, free: &[turn as usize % 4], in_flight: 0 };
            let Next::Op(op) = generator.next(&context) else { panic!("a session is free") };
            for mop in &op.mops {
                match mop.key() {
                    Key::Int(key) if *key < 0 => ledger.insert(*key),
                    Key::Int(key) => talks.insert(*key),
                    Key::Str(_) => panic!("integer keys only"),
                };
            }
        }
        let shards: BTreeSet<i64> = ledger.iter().map(|key| key.rem_euclid(2)).collect();
        assert!(12 <= ledger.len() && 12 <= talks.len(), "{ledger:?} {talks:?}");
        assert_eq!(shards.len(), 2, "the ledger is on both shards");
    }
}
