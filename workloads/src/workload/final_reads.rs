//! Reads of every key on every live node, after heal and convergence, each retried until it is ok
//! or a deadline has passed.

use std::collections::VecDeque;

use history::{EventKind, Key, MicroOp};

use crate::generator::{Completion, GenContext, GenOp, Generator, Next};

/// Keys read in one transaction.
const BATCH: usize = 8;
/// Pause before a read that was not ok is tried again, ns.
const RETRY_NS: u64 = 50_000_000;

/// See the module's doc.
pub struct FinalReads {
    todo: VecDeque<(usize, Vec<Key>)>,
    /// Reads to be tried again, with the moment from which on.
    retry: VecDeque<(u64, usize, Vec<Key>)>,
    deadline: u64,
}

impl FinalReads {
    /// Every key of `keys` on every node of `nodes` until `deadline` (ns since the run's start).
    pub fn new(keys: &[Key], nodes: &[usize], deadline: u64) -> FinalReads {
        let mut todo = VecDeque::new();
        for batch in keys.chunks(BATCH) {
            for &node in nodes {
                todo.push_back((node, batch.to_vec()));
            }
        }
        FinalReads { todo, retry: VecDeque::new(), deadline }
    }
}

impl Generator for FinalReads {
    fn next(&mut self, context: &GenContext<'_>) -> Next {
        if self.deadline <= context.now {
            return Next::Done;
        }
        if self.retry.front().is_some_and(|(at, _, _)| *at <= context.now)
            && let Some((_, node, keys)) = self.retry.pop_front()
        {
            self.todo.push_back((node, keys));
        }
        if self.todo.is_empty() {
            return match self.retry.front() {
                Some((at, _, _)) => Next::WaitUntil((*at).min(self.deadline)),
                // A read in flight may still fail and come back.
                None if 0 < context.in_flight => Next::Pending,
                None => Next::Done,
            };
        }
        let Some(&session) = context.free.first() else {
            return Next::Pending;
        };
        match self.todo.pop_front() {
            Some((node, keys)) => Next::Op(GenOp {
                session,
                mops: keys.into_iter().map(MicroOp::read).collect(),
                final_on: Some(node),
            }),
            None => Next::Done,
        }
    }

    fn update(&mut self, completion: &Completion<'_>) {
        let Some(node) = completion.final_on else {
            return;
        };
        if completion.status != EventKind::Ok {
            let keys = completion.mops.iter().map(|mop| mop.key().clone()).collect();
            self.retry.push_back((completion.now + RETRY_NS, node, keys));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_that_is_not_ok_is_tried_again_until_the_deadline() {
        let keys: Vec<Key> = (0..10).map(Key::Int).collect();
        let mut reads = FinalReads::new(&keys, &[0, 2], 1_000_000_000);
        let (mut now, mut tries, mut ok) = (0, 0, Vec::new());
        loop {
            match reads.next(&GenContext { now, free: &[4], in_flight: 0 }) {
                Next::Op(op) => {
                    tries += 1;
                    let status = if tries % 3 == 0 { EventKind::Info } else { EventKind::Ok };
                    if status == EventKind::Ok {
                        ok.extend(op.mops.iter().map(|mop| (op.final_on, mop.key().clone())));
                    }
                    reads.update(&Completion {
                        now,
                        session: 4,
                        status,
                        mops: &op.mops,
                        final_on: op.final_on,
                    });
                }
                Next::WaitUntil(at) => now = at,
                Next::Pending => panic!("nothing is in flight"),
                Next::Done => break,
            }
        }
        ok.sort();
        ok.dedup();
        assert_eq!(ok.len(), 20, "every key on both nodes");
    }
}
