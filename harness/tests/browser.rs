//! The report in headless Chromium: nothing on the console, no request, the findings visible.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

mod support;

use std::path::Path;
use std::process::Command;

use support::{only_run, run};

fn chromium() -> Option<&'static str> {
    let found = ["/usr/bin/chromium", "/usr/bin/chromium-browser"];
    let found = found.into_iter().find(|path| Path::new(path).exists());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "CI must have chromium");
        eprintln!("skipped: chromium is missing");
    }
    found
}

#[test]
fn the_report_opens_by_itself() {
    let Some(chromium) = chromium() else { return };
    let folder = tempfile::tempdir().unwrap();
    let seeds = ["--lab", "sim", "--fault", "kill:leaderx3", "--rate", "800", "--name", "page"];
    run(&[&["run"], &seeds[..]].concat(), folder.path());
    let run_folder = only_run(folder.path(), "page");
    let report = run_folder.join("report.html");
    let verdict: serde_json::Value =
        serde_json::from_slice(&std::fs::read(run_folder.join("verdict.json")).unwrap()).unwrap();
    let lost = &verdict["checkers"]["lost-writes"];
    assert_eq!(lost["verdict"], "invalid", "the page needs a finding to show");

    let log = folder.path().join("net.json");
    let output = Command::new(chromium)
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic"])
        .args(["--no-first-run", "--disable-background-networking", "--disable-component-update"])
        .args(["--disable-sync", "--enable-logging=stderr", "--v=0", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
        .arg(format!("--log-net-log={}", log.display()))
        .arg(format!("file://{}", report.display()))
        .output()
        .unwrap();
    assert!(output.status.success());
    let console = String::from_utf8_lossy(&output.stderr).into_owned();
    let said: Vec<&str> = console.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert_eq!(said, [""; 0], "the console must be silent");
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    let sentence = lost["findings"][0]["sentence"].as_str().unwrap();
    assert!(dom.contains(sentence), "the first finding is on the page");
    assert!(dom.contains("What went wrong"));
    // The page itself must name nothing that could be fetched.
    let text = std::fs::read_to_string(&report).unwrap();
    let source = regexless_references(&text);
    assert_eq!(source, [""; 0], "nothing from elsewhere");
    let requests = std::fs::read_to_string(&log).unwrap_or_default();
    let fetched = requests.matches("\"url\":\"http").count();
    let own = requests.matches("\"url\":\"https://").count();
    assert!(fetched == own || fetched == 0, "{fetched} requests over http");
}

/// Attributes that make a browser fetch something, with their values.
fn regexless_references(page: &str) -> Vec<&str> {
    let marks = [" src=\"", " href=\"http", "url(", "@import"];
    marks.into_iter().filter(|mark| page.contains(mark)).collect()
}
