//! Joins the folders of a suite's slices into one, with their runs.
//!
//! A slice may come from elsewhere: only regular files and folders inside of it are taken, and what
//! its `suite.json` says is looked at before anything is copied.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use reports::suite::{CaseStatus, Suite};

use super::run::{read, write};
use crate::error::UserError;

/// What is taken of a slice beside its `suite.json`.
const PARTS: [&str; 2] = ["runs", "logs"];

/// Joins `folders` into `into`, which must not hold a suite yet; gives the whole.
pub fn merge(folders: &[PathBuf], into: &Path) -> Result<Suite, UserError> {
    for folder in folders {
        regular(&folder.join("suite.json"))?;
        PARTS.iter().try_for_each(|part| all_regular(&folder.join(part)))?;
    }
    let suites: Vec<Suite> = folders.iter().map(|folder| read(folder)).collect::<Result<_, _>>()?;
    for (folder, suite) in folders.iter().zip(&suites) {
        suite.check().map_err(|why| {
            UserError::usage(why).at(folder.join("suite.json").display().to_string())
        })?;
    }
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
        for part in PARTS {
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

fn fail(path: &Path, error: io::Error) -> UserError {
    UserError::environment(error.to_string()).at(path.display().to_string())
}

/// Refuses what is there and is no regular file, by what it is.
fn regular(path: &Path) -> Result<(), UserError> {
    match fs::symlink_metadata(path) {
        Ok(facts) if facts.is_file() => Ok(()),
        Ok(facts) => Err(refused(path, facts.file_type())),
        // Whoever reads it says that it is not there.
        Err(_) => Ok(()),
    }
}

fn refused(path: &Path, kind: fs::FileType) -> UserError {
    let what = match kind {
        kind if kind.is_symlink() => "a symbolic link",
        kind if kind.is_fifo() => "a FIFO",
        kind if kind.is_socket() => "a socket",
        kind if kind.is_dir() => "a folder",
        _ => "a device",
    };
    UserError::usage(format!("it is {what}: nothing was merged"))
        .at(path.display().to_string())
        .hint("a slice has regular files and folders only; take out what does not belong to it")
}

/// Refuses a folder with anything below it that is neither a regular file nor a folder. Links are
/// not followed, so this ends.
fn all_regular(folder: &Path) -> Result<(), UserError> {
    match fs::symlink_metadata(folder) {
        Ok(facts) if facts.is_dir() => {}
        Ok(facts) => return Err(refused(folder, facts.file_type())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(fail(folder, error)),
    }
    for entry in fs::read_dir(folder).map_err(|error| fail(folder, error))? {
        let path = entry.map_err(|error| fail(folder, error))?.path();
        let facts = fs::symlink_metadata(&path).map_err(|error| fail(&path, error))?;
        match facts.is_dir() {
            true => all_regular(&path)?,
            false => regular(&path)?,
        }
    }
    Ok(())
}

/// Copies a folder with all that is below it; one that is not there is none. What was changed since
/// it was looked at is not followed either.
fn copy(from: &Path, to: &Path) -> Result<(), UserError> {
    if !from.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(to).map_err(|error| fail(to, error))?;
    for entry in fs::read_dir(from).map_err(|error| fail(from, error))? {
        let entry = entry.map_err(|error| fail(from, error))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(|error| fail(&path, error))?;
        if kind.is_dir() {
            copy(&path, &target)?;
            continue;
        }
        // A FIFO is opened without waiting for its other end, and then refused.
        let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
        let file = File::options().read(true).custom_flags(flags).open(&path);
        let mut file = file.map_err(|error| fail(&path, error))?;
        let facts = file.metadata().map_err(|error| fail(&path, error))?;
        if !facts.is_file() {
            return Err(refused(&path, facts.file_type()));
        }
        let written = File::create_new(&target).and_then(|mut out| io::copy(&mut file, &mut out));
        written.map_err(|error| fail(&target, error))?;
    }
    Ok(())
}
