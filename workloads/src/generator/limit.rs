//! Ends a generator after a number of operations. The end of a run's time is the runner's matter:
//! it goes on for what the coverage gate asks for.

use super::{Completion, GenContext, Generator, Next};

/// Done after `left` operations.
pub struct CountLimit<G> {
    /// What is limited.
    pub inner: G,
    /// Operations still to come.
    pub left: u64,
}

impl<G: Generator> Generator for CountLimit<G> {
    fn next(&mut self, context: &GenContext<'_>) -> Next {
        if self.left == 0 {
            return Next::Done;
        }
        let next = self.inner.next(context);
        if matches!(next, Next::Op(_)) {
            self.left -= 1;
        }
        next
    }

    fn update(&mut self, completion: &Completion<'_>) {
        self.inner.update(completion);
    }
}
