//! Joins the folders of a suite's slices into one, with their runs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use reports::suite::{CaseStatus, Suite};

use super::run::{read, write};
use crate::error::UserError;

/// Joins `folders` into `into`, which must not hold a suite yet; gives the whole.
pub fn merge(folders: &[PathBuf], into: &Path) -> Result<Suite, UserError> {
    let suites: Vec<Suite> = folders.iter().map(|folder| read(folder)).collect::<Result<_, _>>()?;
    let Some(first) = suites.first() else {
        return Err(UserError::usage("there is nothing to merge").at("merge"));
    };
    if into.join("suite.json").exists() {
        return Err(UserError::usage("there is a suite already")
            .at(into.display().to_string())
            .hint("give --into a new folder"));
    }
    let mut whole = Suite { shard: None, cases: Vec::new(), ..first.clone() };
    let mut names = BTreeSet::new();
    for (folder, suite) in folders.iter().zip(&suites) {
        if (&suite.name, &suite.version) != (&whole.name, &whole.version) {
            let what = format!("{} {} and", whole.name, whole.version);
            let what = format!("{what} {} {} are two suites", suite.name, suite.version);
            return Err(UserError::usage(what).at(folder.display().to_string()));
        }
        for case in suite.cases.iter().filter(|case| case.status != CaseStatus::NotRun) {
            if !names.insert(case.name.clone()) {
                let what = format!("case {} is in two of the folders", case.name);
                return Err(UserError::usage(what).at(folder.display().to_string()));
            }
        }
    }
    for (folder, suite) in folders.iter().zip(&suites) {
        for part in ["runs", "logs"] {
            copy(&folder.join(part), &into.join(part))?;
        }
        whole.started = whole.started.min(suite.started.clone());
        let cases = suite.cases.iter().cloned();
        // A case that one slice has run is not "not run" because another has not.
        whole.cases.extend(
            cases.filter(|case| case.status != CaseStatus::NotRun || !names.contains(&case.name)),
        );
    }
    whole.cases.sort_by_key(|case| case.place);
    whole.cases.dedup_by(|a, b| a.name == b.name);
    write(into, &whole)?;
    Ok(whole)
}

/// Copies a folder with all that is below it; one that is not there is none.
fn copy(from: &Path, to: &Path) -> Result<(), UserError> {
    let fail = |path: &Path, error: std::io::Error| {
        UserError::environment(error.to_string()).at(path.display().to_string())
    };
    if !from.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(to).map_err(|error| fail(to, error))?;
    for entry in fs::read_dir(from).map_err(|error| fail(from, error))? {
        let entry = entry.map_err(|error| fail(from, error))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            fs::copy(&path, &target).map_err(|error| fail(&path, error))?;
        }
    }
    Ok(())
}
