//! Runs the cases of a suite one after another, and writes it down after each.

use std::path::{Path, PathBuf};
use std::time::Instant;

use reports::suite::{CaseResult, CaseStatus, Suite};

use super::{Case, Shard, SuiteFile, child};
use crate::engine::StopFlag;
use crate::error::UserError;
use crate::exit::Exit;
use crate::names::nearest;
use crate::run_folder::RunFolder;

/// What is to be run of a suite, and where it is kept.
pub struct SuiteRun<'a> {
    /// The suite.
    pub file: &'a SuiteFile,
    /// Its folder.
    pub folder: PathBuf,
    /// Cases to run; none means all.
    pub only: Vec<String>,
    /// Whether the first case that is not as expected is the last one.
    pub fail_fast: bool,
}

impl SuiteRun<'_> {
    /// Runs every case that is wanted and not finished.
    pub fn run(&self, suite: &mut Suite, stop: &StopFlag) -> Result<Exit, UserError> {
        write(&self.folder, suite)?;
        for place in 0..suite.cases.len() {
            let result = &mut suite.cases[place];
            let asked = self.only.is_empty() || self.only.contains(&result.name);
            if stop.stopped() || !asked || result.status.finished() {
                continue;
            }
            let case = &self.file.cases[result.place];
            let started = Instant::now();
            let ran = child::run(case, &self.folder, stop)?;
            let wanted = seeds_of(case)?;
            (result.status, result.why) = case.expectation().judge(wanted, &ran.seeds, &ran.end);
            result.seeds = ran.seeds;
            result.took_ms = started.elapsed().as_millis() as u64;
            say::outln!("{}", line(result));
            let failed = result.status == CaseStatus::Unexpected;
            write(&self.folder, suite)?;
            if failed && self.fail_fast {
                break;
            }
        }
        let exit = exit(suite);
        Ok(if stop.stopped() { exit.merge(Exit::Interrupted) } else { exit })
    }
}

/// The suite with none of its cases run.
pub fn begin(file: &SuiteFile, shard: Option<Shard>, started: String) -> Result<Suite, UserError> {
    let mut cases = Vec::new();
    for (place, case) in file.cases.iter().enumerate() {
        if shard.is_none_or(|shard| shard.has(place)) {
            cases.push(not_run(case, place)?);
        }
    }
    Ok(Suite {
        format: 1,
        name: file.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started,
        shard: shard.map(Shard::text),
        cases,
    })
}

/// What was finished in an earlier suite, and is still the same case, is taken over.
pub fn take_over(suite: &mut Suite, earlier: &Suite) {
    for case in &mut suite.cases {
        let same = |old: &&CaseResult| old.name == case.name && old.definition == case.definition;
        if let Some(old) = earlier.cases.iter().find(same).filter(|old| old.status.finished()) {
            let place = case.place;
            *case = CaseResult { place, ..old.clone() };
        }
    }
}

fn seeds_of(case: &Case) -> Result<usize, UserError> {
    let flags = case.flags();
    Ok(flags.seeds(&flags.spec()?)?.len())
}

fn not_run(case: &Case, place: usize) -> Result<CaseResult, UserError> {
    Ok(CaseResult {
        name: case.name.clone(),
        place,
        definition: case.definition(),
        expectation: case.expectation().words(seeds_of(case)?),
        status: CaseStatus::NotRun,
        why: Vec::new(),
        took_ms: 0,
        command: case.words().line(),
        seeds: Vec::new(),
    })
}

/// Refuses names that no case has.
pub fn check_only(file: &SuiteFile, only: &[String]) -> Result<(), UserError> {
    let names: Vec<&str> = file.cases.iter().map(|case| case.name.as_str()).collect();
    let Some(unknown) = only.iter().find(|name| !names.contains(&name.as_str())) else {
        return Ok(());
    };
    let near = nearest(unknown, &names);
    let near = near.map_or(String::new(), |near| format!("did you mean {near}? "));
    Err(UserError::usage(format!("there is no case \"{unknown}\""))
        .at("--only")
        .hint(format!("{near}--list shows them")))
}

/// How a suite ends: each case against its expectation. A case that was not run decides nothing.
pub fn exit(suite: &Suite) -> Exit {
    let of_case = |case: &CaseResult| match case.status {
        CaseStatus::AsExpected | CaseStatus::NotRun => Exit::Valid,
        CaseStatus::Unexpected => Exit::Invalid,
        CaseStatus::Unknown => Exit::Unknown,
        CaseStatus::Environment => Exit::Environment,
        CaseStatus::Internal => Exit::Internal,
        CaseStatus::Interrupted => Exit::Interrupted,
    };
    suite.cases.iter().map(of_case).fold(Exit::Valid, Exit::merge)
}

/// Writes everything that is made from a suite, each file whole or not at all.
pub fn write(folder: &Path, suite: &Suite) -> Result<(), UserError> {
    let to = RunFolder { path: folder.to_owned() };
    let mut json = serde_json::to_vec_pretty(suite)
        .map_err(|error| UserError::environment(error.to_string()))?;
    json.push(b'\n');
    to.write("suite.json", &json)?;
    let junit = reports::suite::junit(suite).map_err(UserError::environment)?;
    to.write("junit.xml", junit.as_bytes())?;
    to.write("summary.md", reports::suite::summary(suite).as_bytes())?;
    to.write("index.html", reports::suite::html(suite).as_bytes())
}

/// Reads a `suite.json`.
pub fn read(folder: &Path) -> Result<Suite, UserError> {
    let path = folder.join("suite.json");
    let place = path.display().to_string();
    let text = std::fs::read(&path).map_err(|error| {
        UserError::usage(error.to_string())
            .at(place.clone())
            .hint("give the folder of a suite, such as suites/nightly/20261125T030000Z")
    })?;
    serde_json::from_slice(&text)
        .map_err(|error| UserError::usage(format!("not a suite: {error}")).at(place))
}

fn line(case: &CaseResult) -> String {
    let took = case.took_ms as f64 / 1e3;
    let (symbol, words) = (case.status.symbol(), case.status.words());
    let mut line = format!("{symbol} {:<34} {words:<18} {took:>6.1} s", case.name);
    for why in &case.why {
        line.push_str(&format!("\n    {why}"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite(statuses: &[CaseStatus]) -> Suite {
        let case = |(place, status): (usize, &CaseStatus)| CaseResult {
            name: format!("case-{place}"),
            place,
            definition: "x".to_owned(),
            expectation: "valid".to_owned(),
            status: *status,
            why: Vec::new(),
            took_ms: 0,
            command: String::new(),
            seeds: Vec::new(),
        };
        Suite {
            format: 1,
            name: "s".to_owned(),
            version: "0".to_owned(),
            started: String::new(),
            shard: None,
            cases: statuses.iter().enumerate().map(case).collect(),
        }
    }

    #[test]
    fn the_worst_case_ends_the_suite() {
        use CaseStatus::*;
        for (statuses, expected) in [
            (&[AsExpected, NotRun][..], Exit::Valid),
            (&[AsExpected, Unknown][..], Exit::Unknown),
            (&[Unknown, Interrupted][..], Exit::Interrupted),
            (&[Interrupted, Environment][..], Exit::Environment),
            (&[Environment, Internal][..], Exit::Internal),
            (&[Internal, Unexpected][..], Exit::Invalid),
        ] {
            assert_eq!(exit(&suite(statuses)), expected, "{statuses:?}");
        }
    }

    #[test]
    fn what_is_finished_and_unchanged_is_taken_over() {
        use CaseStatus::*;
        let earlier = suite(&[AsExpected, Environment, Unexpected, Unknown]);
        let mut now = suite(&[NotRun, NotRun, NotRun, NotRun]);
        now.cases[2].definition = "changed".to_owned();
        take_over(&mut now, &earlier);
        let statuses: Vec<CaseStatus> = now.cases.iter().map(|case| case.status).collect();
        assert_eq!(statuses, [AsExpected, NotRun, NotRun, Unknown]);
    }
}
