//! Build tasks in Rust, without a dependency: this must build where nothing is installed yet.
//!
//! `cargo xtask test` installs what is missing and runs every check; `cargo demo` installs what is
//! missing and runs the main job; `cargo xtask tidy` holds the house rules; `cargo xtask ci` is
//! what CI runs.

mod packages;
mod tidy;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rest = arguments.get(1..).unwrap_or_default();
    let done = match arguments.first().map(String::as_str) {
        Some("test") => test(),
        Some("demo") => demo(rest),
        Some("tidy") => tidy::run(Path::new(".")),
        Some("ci") => test().and_then(|()| smoke()),
        Some("bench") => cargo(&["bench", "--workspace"]),
        _ => Err("usage: cargo xtask test | demo | tidy | ci | bench".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Every check, in the order in which they fail fastest.
fn test() -> Result<(), String> {
    let databases = [packages::DATABASES, packages::MONGODB];
    packages::install(
        &[&[packages::BUILD, packages::LAB, packages::TESTS][..], &databases].concat(),
    )?;
    nextest_is_there()?;
    step("fmt", || cargo(&["fmt", "--all", "--check"]))?;
    step("tidy", || tidy::run(Path::new(".")))?;
    step("clippy", || cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    // What is published on its own must stay publishable: metadata, versions, files.
    step("package", || {
        let published =
            ["package", "-p", "splitbrain-say", "-p", "splitbrain-history", "-p", "elle-rs"];
        cargo(&[&published[..], &["--offline", "--no-verify", "--allow-dirty"]].concat())
    })?;
    // The binaries that integration tests start must be there beside the one they test.
    step("build", || cargo(&["build", "--workspace", "--bins"]))?;
    servers_are_there();
    let profile = if std::env::var_os("CI").is_some() { "ci" } else { "default" };
    step("nextest", || {
        cargo(&["nextest", "run", "--workspace", "--no-tests=fail", "--profile", profile])
    })
}

/// The main job: built for speed, run as root because it makes namespaces.
fn demo(arguments: &[String]) -> Result<(), String> {
    packages::install(&[packages::BUILD, packages::LAB])?;
    let package = ["-p", "splitbrain", "-p", "splitbrain-store", "--bins"];
    let mut build = vec!["build", "--release"];
    build.extend(package);
    cargo(&build)?;
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
    let binary = format!("{target}/release/splitbrain");
    let mut words = packages::as_root();
    words.extend([binary, "demo".to_owned()]);
    words.extend(arguments.iter().cloned());
    let status = Command::new(&words[0])
        .args(&words[1..])
        .status()
        .map_err(|error| format!("{}: {error}", words[0]))?;
    match status.code() {
        Some(0) => Ok(()),
        Some(code) => Err(format!("the demo ended with {code}: see splitbrain --help")),
        None => Err("the demo was ended by a signal".to_owned()),
    }
}

/// The demo, and that it left a report.
fn smoke() -> Result<(), String> {
    step("demo", || demo(&["--runs-dir".to_owned(), "target/smoke-runs".to_owned()]))?;
    let runs = std::fs::read_dir("target/smoke-runs/demo-async").map_err(|e| e.to_string())?;
    let report = runs.flatten().any(|run| run.path().join("report.html").is_file());
    if report { Ok(()) } else { Err("the demo left no report.html".to_owned()) }
}

fn step(name: &str, run: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    eprintln!("== {name}");
    let started = Instant::now();
    run()?;
    eprintln!("== {name} took {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

fn cargo(arguments: &[&str]) -> Result<(), String> {
    let program = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(program);
    command.args(arguments);
    let status = command.status().map_err(|error| format!("cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("cargo {} failed", arguments.join(" "))) }
}

/// Fetches servers. Without one its tests say that they were skipped, and why.
fn servers_are_there() {
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
    for server in ["mongodb", "postgres-17", "postgres-18"] {
        let mut words = packages::as_root();
        words.push(format!("{target}/debug/splitbrain"));
        words.extend(["lab", "install", server].map(str::to_owned));
        let done = Command::new(&words[0]).args(&words[1..]).status();
        if !done.is_ok_and(|status| status.success()) {
            eprintln!("xtask: {server} could not be installed: its tests will be skipped");
        }
    }
}

fn nextest_is_there() -> Result<(), String> {
    let there = Command::new("cargo").args(["nextest", "--version"]).output();
    if there.is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    eprintln!("installing: cargo-nextest from crates.io, which takes some minutes");
    cargo(&["install", "cargo-nextest", "--locked"])
}
