//! `elle`: judges history files, with the arguments of elle-cli.
//!
//! Prints each file's name, a tab, and `true`, `false` or `unknown`. Exit status 0 if all are
//! true, 1 if one is false, else 2 if one is unknown or could not be judged, 64 for arguments that
//! cannot be.

mod arguments;
mod files;
mod output;

use std::process::ExitCode;

use arguments::{Arguments, Asked};
use elle_rs::{Validity, check};

fn main() -> ExitCode {
    let arguments = match arguments::parse(std::env::args().skip(1)) {
        Ok(Asked::Judge(arguments)) => arguments,
        Ok(Asked::Help) => return say(arguments::HELP, ExitCode::SUCCESS),
        Ok(Asked::Version) => {
            let version = concat!("elle ", env!("CARGO_PKG_VERSION"));
            return say(version, ExitCode::SUCCESS);
        }
        Err(why) => {
            say::errln!("elle: {why}\nelle --help lists all options");
            return ExitCode::from(64);
        }
    };
    for note in &arguments.notes {
        say::errln!("elle: note: {note}");
    }
    let mut worst = 0;
    for file in &arguments.files {
        let (validity, text) = judge(file, &arguments);
        say::out!("{text}");
        worst = match (validity, worst) {
            (Validity::Invalid, _) | (_, 1) => 1,
            (Validity::Unknown, _) => 2,
            (Validity::Valid, worst) => worst,
        };
    }
    ExitCode::from(worst)
}

fn say(text: &str, code: ExitCode) -> ExitCode {
    say::outln!("{text}");
    code
}

/// Judges a file; gives what to print of it. What is wrong with the file goes to standard error.
fn judge(file: &str, arguments: &Arguments) -> (Validity, String) {
    let wrong = |why: &str| {
        say::errln!("elle: {file}: {why}");
        (Validity::Unknown, output::unjudged(file, why, arguments))
    };
    let read = match files::read(file, &arguments.reading) {
        Ok(read) => read,
        Err(why) => return wrong(&why),
    };
    for note in &read.notes {
        say::errln!("elle: {file}: note: {note}");
    }
    let mut verdict = match check(&read.history, &arguments.options) {
        Ok(verdict) => verdict,
        Err(refusal) => {
            let damage = read.damage.map_or(String::new(), |damage| format!("; and {damage}"));
            let refusal = refusal.to_string();
            let refusal = read.history.names().told(&refusal, str::to_owned);
            return wrong(&format!("{refusal}{damage}"));
        }
    };
    let mut damage = None;
    if let Some(why) = read.damage {
        // What stands before the damage was judged: a violation in it is one.
        if verdict.validity == Validity::Valid {
            verdict.validity = Validity::Unknown;
        }
        let count = read.history.ops.len();
        let why = format!("{why}; judged up to there (transactions: {count})");
        say::errln!("elle: {file}: {why}");
        damage = Some(why);
    }
    if let Some(folder) = &arguments.directory
        && let Err(error) = output::draw(folder, file, &read.history, &verdict, arguments)
    {
        say::errln!("elle: {folder}: {error}");
    }
    if verdict.validity == Validity::Unknown && read.history.is_untimed() {
        say::errln!("elle: {file}: no order of real time is known, which the level asks for");
    }
    let text = output::judged(file, &read.history, &verdict, damage.as_deref(), arguments);
    (verdict.validity, text)
}
