//! Generators: pure values that say what the next operation is, when, and by whom.
//!
//! A generator is asked with the sessions that are free; it answers with an operation, a moment to
//! be asked again, or that it is done. It learns from completions. It never sees a clock: `now` is
//! handed in, so that the simulator and real hosts drive the same code.

mod limit;
mod mix;
mod phases;
mod stagger;

use history::{EventKind, MicroOp};

pub use limit::CountLimit;
pub use mix::Mix;
pub use phases::Phases;
pub use stagger::Stagger;

/// An operation that a generator wants done.
#[derive(Clone, Debug, PartialEq)]
pub struct GenOp {
    /// Which session does it, one of those that were free.
    pub session: usize,
    /// The transaction; reads carry `None`.
    pub mops: Vec<MicroOp>,
    /// A final read, pinned to this node.
    pub final_on: Option<usize>,
}

/// What a generator answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Do this now.
    Op(GenOp),
    /// Nothing before this moment (ns since the run's start).
    WaitUntil(u64),
    /// Nothing until something completes.
    Pending,
    /// Nothing ever again.
    Done,
}

/// What a generator may know when asked.
#[derive(Clone, Copy, Debug)]
pub struct GenContext<'a> {
    /// ns since the run's start.
    pub now: u64,
    /// Sessions with nothing in flight, in the order in which they became free.
    pub free: &'a [usize],
    /// Operations in flight.
    pub in_flight: usize,
}

/// How an operation ended; the three completions of the history.
pub type Status = EventKind;

/// What a generator learns from.
#[derive(Clone, Copy, Debug)]
pub struct Completion<'a> {
    /// ns since the run's start.
    pub now: u64,
    /// Who did it.
    pub session: usize,
    /// `Ok`, `Fail` or `Info`.
    pub status: Status,
    /// The transaction; after `Ok` reads carry what they showed.
    pub mops: &'a [MicroOp],
    /// The node of a final read.
    pub final_on: Option<usize>,
}

/// See the module's doc.
pub trait Generator: Send {
    /// The next operation, or when to ask again.
    fn next(&mut self, context: &GenContext<'_>) -> Next;

    /// Told of every completion of an operation that came from this generator.
    fn update(&mut self, _completion: &Completion<'_>) {}
}

impl Generator for Box<dyn Generator> {
    fn next(&mut self, context: &GenContext<'_>) -> Next {
        (**self).next(context)
    }

    fn update(&mut self, completion: &Completion<'_>) {
        (**self).update(completion);
    }
}
