//! Ends a generator at a moment or after a number of operations.

use super::{Completion, GenContext, Generator, Next};

/// Done from `end` on.
pub struct TimeLimit<G> {
    /// What is limited.
    pub inner: G,
    /// ns since the run's start.
    pub end: u64,
}

impl<G: Generator> Generator for TimeLimit<G> {
    fn next(&mut self, context: &GenContext<'_>) -> Next {
        if self.end <= context.now {
            return Next::Done;
        }
        match self.inner.next(context) {
            Next::WaitUntil(at) => Next::WaitUntil(at.min(self.end)),
            // Asked again at the end, or a pending inner generator would hold the phase open.
            Next::Pending => Next::WaitUntil(self.end),
            other => other,
        }
    }

    fn update(&mut self, completion: &Completion<'_>) {
        self.inner.update(completion);
    }
}

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
