//! The report in headless Chromium: nothing on the console, no request, the findings visible.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

mod support;

use std::path::Path;

use serde_json::Value;
use support::chromium::Chromium;
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

/// Texts of the events of these kinds.
fn said(events: &[Value], methods: &[&str]) -> Vec<String> {
    let about = |event: &&Value| methods.iter().any(|method| event["method"] == *method);
    events.iter().filter(about).map(|event| event["params"].to_string()).collect()
}

#[test]
fn the_report_opens_by_itself() {
    let Some(program) = chromium() else { return };
    let folder = tempfile::tempdir().unwrap();
    let flags = ["run", "--lab", "sim", "--fault", "kill:leaderx3", "--rate", "800"];
    run(&[&flags[..], &["--name", "page"]].concat(), folder.path());
    let run_folder = only_run(folder.path(), "page");
    let verdict = std::fs::read(run_folder.join("verdict.json")).unwrap();
    let verdict: Value = serde_json::from_slice(&verdict).unwrap();
    let lost = &verdict["checkers"]["lost-writes"];
    assert_eq!(lost["verdict"], "invalid", "the page needs a finding to show");

    let url = format!("file://{}", run_folder.join("report.html").display());
    let mut browser = Chromium::start(program, folder.path());
    browser.open(&url);
    let text = browser.evaluate("document.body.innerText");
    let text = text.as_str().unwrap();
    let sentence = lost["findings"][0]["sentence"].as_str().unwrap();
    assert!(text.contains(sentence), "the first finding is visible: {text}");
    assert!(text.contains("What went wrong"));
    let drawn = browser.evaluate("document.querySelectorAll('svg.witness .op').length");
    assert!(drawn.as_u64() >= Some(4), "witnesses are drawn: {drawn}");
    let plots = browser.evaluate("document.querySelectorAll('svg.plot').length");
    assert_eq!(plots.as_u64(), Some(2), "throughput and latency are plotted");
    let dark = "document.getElementById('theme').click(); document.documentElement.dataset.theme";
    assert_eq!(browser.evaluate(dark), "dark", "the switch works");

    let console = ["Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"];
    assert_eq!(said(&browser.events, &console), [""; 0], "the console must be silent");
    let requests = browser.events.iter().filter(|e| e["method"] == "Network.requestWillBeSent");
    let urls: Vec<&str> =
        requests.map(|event| event["params"]["request"]["url"].as_str().unwrap()).collect();
    assert_eq!(urls, [url.as_str()], "the page itself and nothing else");
}

#[test]
fn hostile_text_stays_text() {
    let Some(program) = chromium() else { return };
    let folder = tempfile::tempdir().unwrap();
    let flags = ["run", "--lab", "sim", "--fault", "kill:leaderx3", "--name", "hostile"];
    run(&flags, folder.path());
    let run_folder = only_run(folder.path(), "hostile");
    let hostile = "</script><img src=x onerror=alert(1)>";
    for name in ["run.json", "history.jsonl", "telemetry.jsonl", "faults.jsonl"] {
        let path = run_folder.join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.replace("\"n1\"", &format!("{:?}", format!("n1{hostile}")));
        std::fs::write(&path, text.replace("not-leader", hostile)).unwrap();
    }
    let rebuilt = run(&["report", run_folder.to_str().unwrap()], folder.path());
    assert!(rebuilt.status.success(), "{}", support::errors(&rebuilt));
    let mut browser = Chromium::start(program, folder.path());
    browser.open(&format!("file://{}", run_folder.join("report.html").display()));
    assert_eq!(browser.evaluate("document.images.length"), 0, "no image was made of text");
    let text = browser.evaluate("document.body.innerText");
    assert!(text.as_str().unwrap().contains(hostile), "it is shown as it is");
    assert_eq!(said(&browser.events, &["Page.javascriptDialogOpening"]), [""; 0]);
}
