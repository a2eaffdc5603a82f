//! Workloads: a generator with its meaning, its needs, and the names of its keys.

mod append;
mod bank;
mod conversation;
mod counter;
mod final_reads;
mod guarantees;
mod key_pool;
mod ledger;
mod mixed;
mod profile;
mod register;
mod set;

use std::collections::BTreeMap;

pub use bank::{ACCOUNTS as BANK_ACCOUNTS, TOTAL as BANK_TOTAL};
pub use final_reads::FinalReads;

use crate::generator::Generator;

/// What a workload is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Logical users.
    pub sessions: usize,
    /// Independent logs of the system; decides which keys are on one shard.
    pub shards: u32,
    /// The run's seed.
    pub seed: u64,
}

/// What a workload asks of a client: which micro-operations, over what they must be atomic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Names of micro-operations, as in the file format.
    pub micro_ops: &'static [&'static str],
    /// What a transaction of it spans: its parts on one `key`, on one `shard`, or on `everything`,
    /// must happen together or not at all, or its checkers accuse a system of what it never said.
    pub atomic_over: &'static str,
}

/// A workload: pure data and the generator it makes.
pub struct Workload {
    /// Its name.
    pub name: &'static str,
    /// One sentence for lists.
    pub summary: &'static str,
    /// The checkers that judge it, by name.
    pub checkers: &'static [&'static str],
    /// What it asks of a client.
    pub needs: Needs,
    /// Makes its generator, unlimited in time and rate.
    pub generator: fn(&Settings) -> Box<dyn Generator>,
    /// Names of keys for people.
    pub labels: fn(&Settings) -> BTreeMap<String, String>,
}

/// Every workload, in the order in which lists show them.
pub fn all() -> [&'static Workload; 10] {
    [
        &ledger::LEDGER,
        &profile::PROFILE,
        &conversation::CONVERSATION,
        &append::APPEND,
        &register::REGISTER,
        &bank::BANK,
        &set::SET,
        &counter::COUNTER,
        &mixed::MIXED,
        &guarantees::GUARANTEES,
    ]
}

/// The workload called `name`.
pub fn by_name(name: &str) -> Option<&'static Workload> {
    all().into_iter().find(|workload| workload.name == name)
}

fn no_labels(_settings: &Settings) -> BTreeMap<String, String> {
    BTreeMap::new()
}
