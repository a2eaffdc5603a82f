//! All checkers by name, and judging by several at once.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use history::History;

use crate::consistent_prefix::ConsistentPrefix;
use crate::isolation::{ListAppend, RwRegister};
use crate::lost_writes::LostWrites;
use crate::monotonic_reads::MonotonicReads;
use crate::read_your_writes::ReadYourWrites;
use crate::verdict::{Context, Outcome};

/// A judge of histories. Pure.
pub trait Checker: Sync {
    /// Its name in the contract.
    fn name(&self) -> &'static str;

    /// Its verdict.
    fn check(&self, history: &History, context: &Context) -> Outcome;
}

/// Every name of the contract, built or not.
pub const ALL_NAMES: [&str; 25] = [
    "read-your-writes",
    "monotonic-reads",
    "monotonic-writes",
    "writes-follow-reads",
    "consistent-prefix",
    "causal",
    "lost-writes",
    "staleness",
    "convergence",
    "linearizable",
    "list-append",
    "rw-register",
    "bank",
    "counter",
    "set",
    "unique-ids",
    "long-fork",
    "cart",
    "siblings",
    "document",
    "log",
    "queue",
    "availability",
    "dirty-reads",
    "crashes",
];

/// What `--checker session` stands for.
pub const SESSION: [&str; 6] = [
    "read-your-writes",
    "monotonic-reads",
    "monotonic-writes",
    "writes-follow-reads",
    "consistent-prefix",
    "causal",
];

/// What `--model` judges by.
pub const ISOLATION: [&str; 2] = ["list-append", "rw-register"];

static BUILT: [&dyn Checker; 6] =
    [&ReadYourWrites, &MonotonicReads, &ConsistentPrefix, &LostWrites, &ListAppend, &RwRegister];

/// The checkers there are.
pub fn built() -> &'static [&'static dyn Checker] {
    &BUILT
}

/// The checker of that name, if it is built.
pub fn by_name(name: &str) -> Option<&'static dyn Checker> {
    BUILT.iter().copied().find(|checker| checker.name() == name)
}

/// Runs checkers one after another. One that panics is unknown, with what it said: our bug must
/// not take the others' verdicts with it, and must never pass for valid.
pub fn judge(
    checkers: &[&dyn Checker],
    history: &History,
    context: &Context,
) -> BTreeMap<String, Outcome> {
    let judged = checkers.iter().map(|checker| {
        let run = AssertUnwindSafe(|| checker.check(history, context));
        let outcome = catch_unwind(run).unwrap_or_else(|panic| {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
            Outcome::unknown(format!("the checker failed: {}", said.unwrap_or("it panicked")))
        });
        (checker.name().to_owned(), outcome)
    });
    judged.collect()
}
