//! `profile`: every user updates their own profile and reads it and others'.
//!
//! Registers with one writer each. A write that ended in `info` may take effect at any later
//! time, so its key has no certain version order any more: the user moves on to a fresh key.

use std::collections::BTreeMap;

use history::{EventKind, MicroOp};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Needs, Settings, Workload};
use crate::generator::{Completion, GenContext, GenOp, Generator, Next};
use crate::rng::{Stream, stream};

/// Writes in a hundred operations.
const WRITE_PERCENT: u32 = 30;
/// Reads of the own profile in a hundred operations; the rest reads another's.
const READ_OWN_PERCENT: u32 = 40;
/// People, so that a report can say "Alice".
const NAMES: [&str; 20] = [
    "Alice", "Bob", "Carol", "Dan", "Erin", "Frank", "Grace", "Heidi", "Ivan", "Judy", "Ken",
    "Lena", "Mallory", "Nia", "Olivia", "Peggy", "Quentin", "Rupert", "Sybil", "Trent",
];

/// See the module's doc.
pub static PROFILE: Workload = Workload {
    name: "profile",
    summary: "every user updates their own profile and reads it and others'",
    checkers: &["read-your-writes", "monotonic-reads", "lost-writes"],
    needs: Needs { micro_ops: &["r", "w"], atomic_over: "key" },
    generator,
    labels,
};

fn generator(settings: &Settings) -> Box<dyn Generator> {
    Box::new(Profile {
        keys: (0..settings.sessions as i64).collect(),
        next_version: vec![1; settings.sessions],
        last_seen: (0..settings.sessions).collect(),
        rng: stream(settings.seed, Stream::Generator),
    })
}

fn labels(settings: &Settings) -> BTreeMap<String, String> {
    (0..settings.sessions)
        .map(|user| {
            let name = NAMES[user % NAMES.len()];
            let round = user / NAMES.len();
            let name = if round == 0 { name.to_owned() } else { format!("{name} {}", round + 1) };
            (user.to_string(), format!("{name}'s profile"))
        })
        .collect()
}

struct Profile {
    /// The key each user writes now.
    keys: Vec<i64>,
    next_version: Vec<i64>,
    /// Whose profile each user looked at last: people look again.
    last_seen: Vec<usize>,
    rng: ChaCha8Rng,
}

impl Generator for Profile {
    fn next(&mut self, context: &GenContext<'_>) -> Next {
        let Some(&session) = context.free.first() else {
            return Next::Pending;
        };
        let draw = self.rng.random_range(0..100);
        let mop = if draw < WRITE_PERCENT {
            let version = self.next_version[session];
            self.next_version[session] += 1;
            MicroOp::write(self.keys[session], version)
        } else if draw < WRITE_PERCENT + READ_OWN_PERCENT {
            MicroOp::read(self.keys[session])
        } else {
            if self.rng.random_bool(0.5) {
                self.last_seen[session] = self.rng.random_range(0..self.keys.len());
            }
            MicroOp::read(self.keys[self.last_seen[session]])
        };
        Next::Op(GenOp { session, mops: vec![mop], final_on: None })
    }

    fn update(&mut self, completion: &Completion<'_>) {
        let unknown = completion.status == EventKind::Info;
        let wrote = completion.mops.iter().any(|mop| !mop.is_read());
        if unknown && wrote {
            // Keys of one user are congruent to it, so that they stay apart from others'.
            self.keys[completion.session] += self.keys.len() as i64;
            self.next_version[completion.session] = 1;
        }
    }
}
