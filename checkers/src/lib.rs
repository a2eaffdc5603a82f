//! Checkers: a history in, a verdict out.
//!
//! What lives here: the verdict's types ([`Verdict`], [`Outcome`], [`Finding`], [`Judgement`]) and
//! one checker a file. What must not: a clock, a file, a socket, a thread that outlives a call;
//! anything that knows a cluster. Definitions follow `docs/checkers/`.

pub mod verdict;

pub use verdict::{
    Context, Coverage, CoverageItem, Finding, Judgement, Outcome, ReadsMode, Role, Verdict, Window,
    WitnessOp,
};
