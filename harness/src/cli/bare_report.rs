//! The report of a bare history file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use checkers::Judgement;
use history::{RunInfo, SystemInfo};
use reports::{OpPoint, ReportInput};

use super::check::ReportFlags;
use crate::error::UserError;
use crate::judge::Records;

/// Writes the page; gives where it is.
pub fn write(
    flags: &ReportFlags,
    records: &Records,
    judgement: &Judgement,
) -> Result<PathBuf, UserError> {
    let (file, page, command) = flags.of_file();
    if fs::canonicalize(&page).is_ok_and(|page| fs::canonicalize(file).is_ok_and(|it| it == page)) {
        return Err(UserError::usage("--out names the history itself: the page would replace it")
            .at(page.display().to_string())
            .hint("--out FILE with another name, or leave it out"));
    }
    let name = Path::new(file).file_name().map_or(file.into(), |name| name.to_string_lossy());
    let info = nothing_known(&name, command);
    let ops = OpPoint::of(&records.history);
    let input = ReportInput {
        run: &info,
        judgement,
        ops: &ops,
        faults: &[],
        telemetry: &[],
        outages: &[],
        notes: &[],
    };
    let text = reports::html_of_file(&input);
    let text = records.history.names().told(&text, escaped);
    fs::write(&page, &*text).map_err(|error| {
        UserError::environment(format!("the page cannot be written: {error}"))
            .at(page.display().to_string())
            .hint("--out FILE writes it elsewhere")
    })?;
    Ok(page)
}

/// A name that a page shows in the place of its number.
fn escaped(name: &str) -> String {
    let one = |char: char| match char {
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '&' => "&amp;".to_owned(),
        '"' => "&quot;".to_owned(),
        '\'' => "&#39;".to_owned(),
        char => char.to_string(),
    };
    name.chars().map(one).collect()
}

/// What is known of the run that a file is of: nothing but the file's name.
fn nothing_known(name: &str, command: String) -> RunInfo {
    RunInfo {
        format: 1,
        id: name.to_owned(),
        name: name.to_owned(),
        seed: 0,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        lab: String::new(),
        started: None,
        command,
        nodes: Vec::new(),
        servers: BTreeMap::new(),
        timeouts: None,
        system: SystemInfo {
            name: String::new(),
            settings: BTreeMap::new(),
            reads: "atomic".to_owned(),
            promises: BTreeMap::new(),
            not_promised: BTreeMap::new(),
        },
        workload: String::new(),
        workload_settings: BTreeMap::new(),
        policy: String::new(),
        labels: BTreeMap::new(),
        config: String::new(),
        host_facts: BTreeMap::new(),
    }
}
