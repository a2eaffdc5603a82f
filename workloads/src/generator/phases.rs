//! One generator after another; a phase starts when all operations of the one before have ended.

use std::collections::VecDeque;

use super::{Completion, GenContext, Generator, Next};

/// See the module's doc.
pub struct Phases {
    phases: VecDeque<Box<dyn Generator>>,
}

impl Phases {
    /// In order.
    pub fn new(phases: Vec<Box<dyn Generator>>) -> Phases {
        Phases { phases: phases.into() }
    }
}

impl Generator for Phases {
    fn next(&mut self, context: &GenContext<'_>) -> Next {
        while let Some(phase) = self.phases.front_mut() {
            match phase.next(context) {
                Next::Done if 0 < context.in_flight => return Next::Pending,
                Next::Done => {
                    self.phases.pop_front();
                }
                other => return other,
            }
        }
        Next::Done
    }

    fn update(&mut self, completion: &Completion<'_>) {
        if let Some(phase) = self.phases.front_mut() {
            phase.update(completion);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::{CountLimit, GenOp, Stagger};
    use crate::rng::{Stream, stream};
    use history::MicroOp;

    struct Reads(i64);

    impl Generator for Reads {
        fn next(&mut self, context: &GenContext<'_>) -> Next {
            match context.free.first() {
                Some(&session) => {
                    Next::Op(GenOp { session, mops: vec![MicroOp::read(self.0)], final_on: None })
                }
                None => Next::Pending,
            }
        }
    }

    fn context(now: u64, free: &[usize], in_flight: usize) -> GenContext<'_> {
        GenContext { now, free, in_flight }
    }

    fn key(next: Next) -> i64 {
        match next {
            Next::Op(op) => match op.mops[0].key() {
                history::Key::Int(key) => *key,
                history::Key::Str(_) => panic!("integer keys only here"),
            },
            other => panic!("expected an operation, got {other:?}"),
        }
    }

    #[test]
    fn a_phase_waits_for_the_operations_of_the_one_before() {
        let one = CountLimit { inner: Reads(1), left: 2 };
        let two = CountLimit { inner: Reads(2), left: 1 };
        let mut phases = Phases::new(vec![Box::new(one), Box::new(two)]);
        assert_eq!(key(phases.next(&context(0, &[0, 1], 0))), 1);
        assert_eq!(key(phases.next(&context(0, &[1], 1))), 1);
        assert_eq!(phases.next(&context(0, &[], 2)), Next::Pending);
        assert_eq!(key(phases.next(&context(5, &[0, 1], 0))), 2);
        assert_eq!(phases.next(&context(6, &[0, 1], 0)), Next::Done);
    }

    #[test]
    fn the_rate_holds_on_average() {
        let mut staggered = Stagger::new(Reads(1), 200, stream(7, Stream::Pace));
        let (mut now, mut count) = (0, 0);
        while now < 1_000_000_000 {
            match staggered.next(&context(now, &[0], 0)) {
                Next::Op(_) => count += 1,
                Next::WaitUntil(at) => now = at,
                Next::Pending | Next::Done => panic!("a session is free"),
            }
        }
        assert!((170..230).contains(&count), "{count} operations in a second at 200/s");
    }
}
