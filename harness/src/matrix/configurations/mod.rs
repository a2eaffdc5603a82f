//! The rows: named configurations of each system, as plain data.
//!
//! A row is settings as `--set` takes them and a client policy. Rows that share their settings
//! stand next to each other, so that their cluster can be used again.

mod mongodb;
mod postgres;
mod store;

use crate::config::SystemKind;

/// A named configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// Its name: one plain word.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub why: &'static str,
    /// Settings that differ from the defaults, as `--set` takes them.
    pub settings: &'static [&'static str],
    /// The client policy.
    pub policy: &'static str,
    /// Whether `--quick` runs it too.
    pub quick: bool,
}

/// One of the choices of an axis of `--full`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Its part of the row's name.
    pub name: &'static str,
    /// Its settings.
    pub settings: &'static [&'static str],
}

/// Everything about a system's matrix.
#[derive(Clone, Copy, Debug)]
pub struct Catalogue {
    /// The named rows, at most [`ROWS_MAX`].
    pub rows: &'static [Configuration],
    /// Rows whose clients run transactions, so that the isolation level can be judged; at most
    /// [`ISOLATION_MAX`].
    pub isolation: &'static [Configuration],
    /// The axes whose product `--full` runs; policies come on top.
    pub axes: &'static [&'static [Choice]],
    /// The policies of `--full`.
    pub policies: &'static [&'static str],
}

/// Rows of a matrix that a team can read.
pub const ROWS_MAX: usize = 12;

/// Rows of a matrix that are about isolation.
pub const ISOLATION_MAX: usize = 3;

/// The catalogue of a system.
pub fn of(system: SystemKind) -> &'static Catalogue {
    match system {
        SystemKind::Store => &store::CATALOGUE,
        SystemKind::Postgres => &postgres::CATALOGUE,
        SystemKind::Mongodb => &mongodb::CATALOGUE,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_has_a_name_of_its_own_and_there_are_not_too_many() {
        for system in SystemKind::ALL {
            let rows = of(system).rows;
            assert!(rows.len() <= ROWS_MAX, "{}: {} rows", system.name(), rows.len());
            let isolation = of(system).isolation;
            assert!(isolation.len() <= ISOLATION_MAX, "{}", system.name());
            assert!(isolation.iter().all(|row| row.name.starts_with("isolation-")));
            let all = rows.iter().chain(isolation);
            let names: BTreeSet<&str> = all.map(|row| row.name).collect();
            assert_eq!(names.len(), rows.len() + isolation.len(), "{}", system.name());
            let quick = rows.iter().filter(|row| row.quick).count();
            assert!((3..=6).contains(&quick), "{}: {quick} quick rows", system.name());
        }
    }
}
