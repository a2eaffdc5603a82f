//! `splitbrain suite` and `splitbrain merge`.

use std::path::PathBuf;

use clap::Args;

use super::matrix::fresh;
use crate::engine::StopFlag;
use crate::error::UserError;
use crate::exit::Exit;
use crate::run_folder::rfc3339;
use crate::suite::run::{SuiteRun, begin, check_only, exit, read, take_over};
use crate::suite::{Shard, SuiteFile, merge};

/// Flags of `suite`.
#[derive(Clone, Debug, Args)]
pub struct SuiteFlags {
    /// TOML suite file
    file: PathBuf,
    /// Only a slice of the cases: 3/16
    #[arg(long, value_name = "I/N")]
    shard: Option<String>,
    /// Only this case, several times
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Print the cases and run nothing
    #[arg(long)]
    list: bool,
    /// Stop at the first case that is not as expected
    #[arg(long)]
    fail_fast: bool,
    /// Go on with a suite: cases that are finished and unchanged are not run again
    #[arg(long, value_name = "DIR")]
    resume: Option<PathBuf>,
    /// Folder that suites are kept in
    #[arg(long, value_name = "DIR", default_value = "suites")]
    out: PathBuf,
}

/// Flags of `merge`.
#[derive(Clone, Debug, Args)]
pub struct MergeFlags {
    /// Folders of a suite's slices
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// The folder that gets the whole
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
}

/// Runs a suite, or lists its cases.
pub fn suite(flags: &SuiteFlags) -> Result<u8, UserError> {
    let file = SuiteFile::load(&flags.file)?;
    let mut shard = flags.shard.as_deref().map(Shard::parse).transpose()?;
    check_only(&file, &flags.only)?;
    let earlier = flags.resume.as_deref().map(read).transpose()?;
    if let Some(earlier) = &earlier {
        if earlier.name != file.name || earlier.version != env!("CARGO_PKG_VERSION") {
            let what = format!("that is suite {} of {}", earlier.name, earlier.version);
            return Err(UserError::usage(what).at("--resume"));
        }
        let before = earlier.shard.as_deref().map(Shard::parse).transpose()?;
        if shard.is_some() && shard != before {
            return Err(UserError::usage("that is another slice").at("--resume"));
        }
        shard = before;
    }
    let mut suite = begin(&file, shard, rfc3339())?;
    if flags.list {
        for case in &suite.cases {
            say::outln!("{:<34} {}", case.name, case.expectation);
        }
        return Ok(Exit::Valid.code());
    }
    if let Some(earlier) = &earlier {
        take_over(&mut suite, earlier);
        suite.started.clone_from(&earlier.started);
    }
    let folder = match &flags.resume {
        Some(folder) => folder.clone(),
        None => fresh(&flags.out.join(&suite.name))?,
    };
    let stop = StopFlag::install();
    let (only, fail_fast) = (flags.only.clone(), flags.fail_fast);
    let run = SuiteRun { file: &file, folder: folder.clone(), only, fail_fast };
    let exit = run.run(&mut suite, &stop)?;
    say::outln!("{}\n{}", suite.headline(), folder.join("index.html").display());
    Ok(exit.code())
}

/// Joins slices.
pub fn merge(flags: &MergeFlags) -> Result<u8, UserError> {
    let whole = merge::merge(&flags.folders, &flags.into)?;
    say::outln!("{}\n{}", whole.headline(), flags.into.join("index.html").display());
    Ok(exit(&whole).code())
}
