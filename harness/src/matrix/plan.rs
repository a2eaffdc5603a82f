//! Which rows a matrix has, and the test that each comes to.

use reports::matrix::{Matrix, Phase, Row, RowStatus};
use systems::postgres::spec::Candidate;
use workloads::workload;

use super::configurations::{self, Choice};
use super::phases::phases;
use crate::cli::RunFlags;
use crate::config::{SystemKind, TestSpec, Words};
use crate::error::UserError;
use crate::names::nearest;

/// The workload of every row that is not about isolation: the only one that four guarantees can be
/// judged by.
pub const WORKLOAD: &str = "guarantees";
/// The workload of the rows about isolation.
pub const TRANSACTIONS: &str = "append";
/// The column of those rows.
pub const ISOLATION: &str = "list-append";
/// Operations a second.
const RATE: u64 = 300;

/// Which rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Few, and short.
    Quick,
    /// The named ones.
    Normal,
    /// The product of all settings.
    Full,
}

impl Profile {
    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Quick => "quick",
            Profile::Normal => "normal",
            Profile::Full => "full",
        }
    }

    /// The one called `name`.
    pub fn by_name(name: &str) -> Option<Profile> {
        [Profile::Quick, Profile::Normal, Profile::Full].into_iter().find(|p| p.name() == name)
    }
}

/// Where and with what every row runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatrixPlan {
    /// The system.
    pub system: SystemKind,
    /// Which rows.
    pub profile: Profile,
    /// Length of the main phase, ms.
    pub duration_ms: u64,
    /// The seed of every row.
    pub seed: u64,
    /// How many hosts.
    pub hosts: usize,
    /// As `--lab` takes it.
    pub lab: String,
}

impl MatrixPlan {
    /// The matrix with none of its rows run.
    pub fn matrix(&self, started: String) -> Result<Matrix, UserError> {
        let workload = workload::by_name(WORKLOAD).expect("the matrix's workload is built");
        let built = |name: &&&str| checkers::by_name(name).is_some();
        let rows = self.rows()?;
        let mut columns: Vec<String> =
            workload.checkers.iter().filter(built).map(|c| (*c).to_owned()).collect();
        if rows.iter().any(|row| row.workload.is_some()) {
            columns.push(ISOLATION.to_owned());
        }
        Ok(Matrix {
            format: 1,
            system: self.system.name().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            profile: self.profile.name().to_owned(),
            lab: self.lab.clone(),
            hosts: self.hosts,
            workload: WORKLOAD.to_owned(),
            seed: self.seed,
            started,
            command: self.command(&[]),
            columns,
            phases: self.phases(),
            rows,
        })
    }

    /// The phases of every row; where the wrong standby is promoted, another cut precedes the kill.
    pub fn phases(&self) -> Vec<Phase> {
        phases(self.system, self.duration_ms, false)
    }

    /// The command that makes it again; `only`: these rows alone, or all.
    pub fn command(&self, only: &[String]) -> String {
        let MatrixPlan { system, profile, duration_ms, seed, hosts, lab } = self;
        let mut words = Words::of("matrix");
        words.flag("system", system.name());
        match profile {
            Profile::Normal => {}
            other => words.switch(other.name()),
        }
        if lab != "local" {
            words.flag("lab", lab);
        }
        words.flag("seed", seed.to_string());
        words.flag("hosts", hosts.to_string());
        words.flag("time-limit", format!("{duration_ms}ms"));
        only.iter().for_each(|row| words.flag("only", row));
        words.line()
    }

    fn rows(&self) -> Result<Vec<Row>, UserError> {
        let catalogue = configurations::of(self.system);
        if self.profile == Profile::Full {
            return Ok(self.product(catalogue.axes, catalogue.policies));
        }
        let row = |row: &configurations::Configuration, workload: Option<&str>| {
            let mut settings: Vec<String> = self.always();
            settings.extend(row.settings.iter().map(|set| (*set).to_owned()));
            let pending = pending(row.name.to_owned(), row.why.to_owned(), settings, row.policy);
            Row { workload: workload.map(str::to_owned), ..pending }
        };
        let wanted =
            |row: &&configurations::Configuration| row.quick || self.profile == Profile::Normal;
        let plain = catalogue.rows.iter().filter(wanted).map(|one| row(one, None));
        let isolation = catalogue.isolation.iter().filter(wanted);
        Ok(plain.chain(isolation.map(|one| row(one, Some(TRANSACTIONS)))).collect())
    }

    /// Settings of every row: a row has 40 s for all its phases, so servers notice early.
    fn always(&self) -> Vec<String> {
        let lab = self.system == SystemKind::Postgres;
        lab.then(|| "postgres.timeouts=lab".to_owned()).into_iter().collect()
    }

    /// The product of all axes, without what contradicts itself.
    fn product(&self, axes: &[&[Choice]], policies: &[&str]) -> Vec<Row> {
        let mut combined: Vec<(String, Vec<String>)> = vec![(String::new(), self.always())];
        for axis in axes {
            let mut next = Vec::new();
            for (name, settings) in &combined {
                for choice in *axis {
                    let name = match name.is_empty() {
                        true => choice.name.to_owned(),
                        false => format!("{name}-{}", choice.name),
                    };
                    let more = choice.settings.iter().map(|set| (*set).to_owned());
                    next.push((name, settings.iter().cloned().chain(more).collect()));
                }
            }
            combined = next;
        }
        let rows = combined.into_iter().flat_map(|(name, settings)| {
            let row = move |policy: &&str| {
                let why = "One of the product of all settings.".to_owned();
                pending(format!("{name}-{policy}"), why, settings.clone(), policy)
            };
            policies.iter().map(row).collect::<Vec<_>>()
        });
        rows.filter(|row| self.spec(row).is_ok()).collect()
    }

    /// The test that a row comes to, checked.
    pub fn spec(&self, row: &Row) -> Result<TestSpec, UserError> {
        let flags = |faults| RunFlags {
            name: Some(row.name.clone()),
            seed: Some(self.seed),
            lab: Some(self.lab.clone()),
            hosts: Some(self.hosts),
            system: Some(self.system.name().to_owned()),
            set: row.settings.clone(),
            policy: Some(row.policy.clone()),
            workload: Some(row.workload.clone().unwrap_or_else(|| WORKLOAD.to_owned())),
            rate: Some(RATE),
            time_limit: Some(format!("{}ms", self.duration_ms)),
            faults,
            ..RunFlags::default()
        };
        let wrong = flags(Vec::new()).spec()?.postgres.candidate == Candidate::LeastAdvanced;
        let phases = phases(self.system, self.duration_ms, wrong);
        let mut spec = flags(phases.into_iter().flat_map(|phase| phase.faults).collect()).spec()?;
        // A phase that had no effect must not pass for one that was survived.
        spec.faults.iter_mut().for_each(|fault| fault.required = Some(true));
        Ok(spec)
    }
}

fn pending(name: String, why: String, settings: Vec<String>, policy: &str) -> Row {
    Row {
        name,
        why,
        settings,
        policy: policy.to_owned(),
        workload: None,
        status: RowStatus::Pending,
        error: None,
        run: None,
        took_ms: 0,
        reused: false,
        cells: Default::default(),
    }
}

/// Refuses names that no row has; gives whether a row is wanted.
pub fn check_only(matrix: &Matrix, only: &[String]) -> Result<(), UserError> {
    let names: Vec<&str> = matrix.rows.iter().map(|row| row.name.as_str()).collect();
    let Some(unknown) = only.iter().find(|name| !names.contains(&name.as_str())) else {
        return Ok(());
    };
    let near = nearest(unknown, &names);
    let near = near.map_or(String::new(), |near| format!("did you mean {near}? "));
    Err(UserError::usage(format!("there is no configuration \"{unknown}\""))
        .at("--only")
        .hint(format!("{near}splitbrain matrix list shows them")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(system: SystemKind, profile: Profile) -> MatrixPlan {
        let lab = "local".to_owned();
        MatrixPlan { system, profile, duration_ms: 20_000, seed: 1, hosts: 3, lab }
    }

    #[test]
    fn every_row_comes_to_a_test_and_can_be_judged_by_every_column() {
        for system in SystemKind::ALL {
            for profile in [Profile::Quick, Profile::Normal] {
                let plan = plan(system, profile);
                let matrix = plan.matrix(String::new()).unwrap();
                assert!(4 <= matrix.columns.len());
                for row in &matrix.rows {
                    let spec = plan.spec(row).unwrap();
                    assert!(spec.faults.iter().all(|fault| fault.required == Some(true)));
                    assert_eq!(spec.workload.policy, row.policy);
                }
            }
        }
    }

    #[test]
    fn a_standby_is_behind_when_the_wrong_one_is_promoted() {
        let plan = plan(SystemKind::Postgres, Profile::Normal);
        let of = |name: &str| {
            let matrix = plan.matrix(String::new()).unwrap();
            let row = matrix.rows.iter().find(|row| row.name == name).unwrap();
            let faults = plan.spec(row).unwrap().faults;
            let (kill, before) = (faults.last().unwrap().clone(), faults[faults.len() - 2].clone());
            assert_eq!(kill.fault, "kill");
            (before.fault.clone(), kill.start_ms.unwrap() - before.start_ms.unwrap())
        };
        assert_eq!(of("any1-wrong-candidate"), ("cut".to_owned(), 1_500));
        assert_eq!(of("any1-leader"), ("leader-alone".to_owned(), 300));
    }

    #[test]
    fn the_product_has_every_combination_once() {
        for system in SystemKind::ALL {
            let matrix = plan(system, Profile::Full).matrix(String::new()).unwrap();
            let names: std::collections::BTreeSet<&String> =
                matrix.rows.iter().map(|row| &row.name).collect();
            assert_eq!(names.len(), matrix.rows.len());
            assert!(20 < names.len(), "{}", names.len());
        }
    }

    #[test]
    fn a_row_that_is_not_there_is_named_with_the_nearest() {
        let matrix = plan(SystemKind::Store, Profile::Normal).matrix(String::new()).unwrap();
        assert_eq!(check_only(&matrix, &["sync-leader".to_owned()]), Ok(()));
        let error = check_only(&matrix, &["sync-leeder".to_owned()]).unwrap_err();
        assert!(error.hint.unwrap().contains("did you mean sync-leader?"));
    }
}
