//! `conversation`: a question on one shard, an answer on another by a session that read the
//! question; readers fetch both, in one transaction and in two.
//!
//! Conversation `c` keeps its question under key `2c` and its answer under `2c + 1`: with two
//! shards and keys dealt out by remainder, that is one shard each. Readers ask for the answer
//! first: reads of several requests each have their own moment, and only the order "answer seen,
//! question then missing" is an effect before its cause.

use history::{EventKind, Key, MicroOp, Observed};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Needs, Settings, Workload, no_labels};
use crate::generator::{Completion, GenContext, GenOp, Generator, Next};
use crate::rng::{Stream, stream};

/// Conversations that readers look at: the latest ones.
const RECENT: usize = 12;
/// Conversations that may wait for an answer before no new question is asked.
const WAITING_MAX: usize = 12;

/// See the module's doc.
pub static CONVERSATION: Workload = Workload {
    name: "conversation",
    summary: "a question on one shard, an answer on another; readers fetch both",
    checkers: &["consistent-prefix", "read-your-writes", "monotonic-reads", "lost-writes"],
    needs: Needs { micro_ops: &["r", "append"], atomic_over: "key" },
    generator,
    labels: no_labels,
};

pub(super) fn generator(settings: &Settings) -> Box<dyn Generator> {
    Box::new(Conversations {
        talks: Vec::new(),
        second_read: vec![None; settings.sessions],
        may_answer: vec![None; settings.sessions],
        next_value: 1,
        rng: stream(settings.seed, Stream::Generator),
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Talk {
    /// The question is on its way.
    Asked,
    /// The question was acknowledged; some session may read it and answer.
    Waiting,
    /// The answer was sent.
    Answered,
    /// Something about it is unknown or failed; left alone.
    Dropped,
}

struct Conversations {
    talks: Vec<Talk>,
    /// A session that read an answer and will ask for its question in a second transaction.
    second_read: Vec<Option<usize>>,
    /// A session that read this question and will answer it.
    may_answer: Vec<Option<usize>>,
    next_value: i64,
    rng: ChaCha8Rng,
}

fn question(talk: usize) -> i64 {
    2 * talk as i64
}

fn answer(talk: usize) -> i64 {
    2 * talk as i64 + 1
}

fn talk_of(key: &Key) -> Option<(usize, bool)> {
    match key {
        Key::Int(key) if 0 <= *key => Some(((key / 2) as usize, key % 2 == 1)),
        _ => None,
    }
}

impl Generator for Conversations {
    fn next(&mut self, context: &GenContext<'_>) -> Next {
        let Some(&session) = context.free.first() else {
            return Next::Pending;
        };
        let mops = if let Some(talk) = self.may_answer[session].take() {
            self.answer(talk)
        } else if let Some(talk) = self.second_read[session].take() {
            vec![MicroOp::read(question(talk))]
        } else {
            self.fresh(session)
        };
        Next::Op(GenOp { session, mops, final_on: None })
    }

    fn update(&mut self, completion: &Completion<'_>) {
        if completion.final_on.is_some() {
            return;
        }
        for mop in completion.mops {
            let Some((talk, is_answer)) = talk_of(mop.key()) else {
                continue;
            };
            match mop {
                MicroOp::Append { .. } if !is_answer && talk < self.talks.len() => {
                    self.talks[talk] = match completion.status {
                        EventKind::Ok => Talk::Waiting,
                        _ => Talk::Dropped,
                    };
                }
                MicroOp::Read { value: Some(Observed::List(list)), .. }
                    if !is_answer && !list.is_empty() && self.talks[talk] == Talk::Waiting =>
                {
                    self.talks[talk] = Talk::Answered;
                    self.may_answer[completion.session] = Some(talk);
                }
                _ => {}
            }
        }
    }
}

impl Conversations {
    fn append(&mut self, key: i64) -> Vec<MicroOp> {
        let value = self.next_value;
        self.next_value += 1;
        vec![MicroOp::append(key, value)]
    }

    fn answer(&mut self, talk: usize) -> Vec<MicroOp> {
        self.append(answer(talk))
    }

    fn fresh(&mut self, session: usize) -> Vec<MicroOp> {
        let waiting = self.talks.iter().rev().take(4 * RECENT);
        let waiting = waiting.filter(|talk| **talk == Talk::Waiting).count();
        let draw = self.rng.random_range(0..100);
        if self.talks.is_empty() || (draw < 20 && waiting < WAITING_MAX) {
            self.talks.push(Talk::Asked);
            return self.append(question(self.talks.len() - 1));
        }
        let recent = self.talks.len().min(RECENT);
        let talk = self.talks.len() - 1 - self.rng.random_range(0..recent);
        if draw < 45 {
            // Somebody who looks for questions to answer.
            return vec![MicroOp::read(question(talk))];
        }
        if draw < 65 {
            self.second_read[session] = Some(talk);
            return vec![MicroOp::read(answer(talk))];
        }
        vec![MicroOp::read(answer(talk)), MicroOp::read(question(talk))]
    }
}
