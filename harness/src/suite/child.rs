//! A case's process: our own binary's `run --json`, watched, ended when it takes too long.
//!
//! A process of its own, because a case that crashes, hangs or loses its hosts must not touch the
//! next one. What it says goes to a log below the suite's folder.

use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reports::suite::SeedResult;
use serde_json::Value;

use super::Case;
use super::expectation::End;
use crate::engine::StopFlag;
use crate::error::UserError;
use crate::matrix::run::relative;

/// How often the process is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How long it may take to heal, judge and report once it was told to end.
const GRACE: Duration = Duration::from_secs(45);

/// What came of a case's process.
pub struct Ran {
    /// Its runs that were judged, in order.
    pub seeds: Vec<SeedResult>,
    /// How it ended.
    pub end: End,
}

/// Runs a case with its runs and its log below `folder`.
pub fn run(case: &Case, folder: &Path, stop: &StopFlag) -> Result<Ran, UserError> {
    let fail = |what: &str, error: std::io::Error| {
        UserError::environment(format!("{what}: {error}")).at(folder.display().to_string())
    };
    let logs = folder.join("logs");
    std::fs::create_dir_all(&logs).map_err(|error| fail("cannot make a folder", error))?;
    let open = |name: String| File::create(logs.join(name));
    let said = open(format!("{}.jsonl", case.name)).map_err(|error| fail("log", error))?;
    let log = open(format!("{}.log", case.name)).map_err(|error| fail("log", error))?;
    let own = std::env::current_exe().map_err(|error| fail("own path", error))?;
    let child = Command::new(own)
        .args(case.words().arguments())
        .args(["--json", "--runs-dir"])
        .arg(folder.join("runs"))
        // A terminal sends Ctrl-C to the whole group; a case is told once, by us.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(said)
        .stderr(log)
        .spawn()
        .map_err(|error| fail("cannot start a process", error))?;
    let limit = Duration::from_millis(case.timeout_ms()?);
    let end = watch(child, limit, stop).map_err(|error| fail("waiting for a case", error))?;
    let path = logs.join(format!("{}.jsonl", case.name));
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let lines: Vec<Value> = text.lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
    let seeds = lines.iter().filter_map(|line| seed_of(line, folder)).collect();
    let error = lines.iter().find_map(error_of);
    Ok(Ran {
        seeds,
        end: match end {
            End::Exited(code, _) => End::Exited(code, error),
            other => other,
        },
    })
}

/// Waits for its end. When it takes too long, or the user wants the end, it is asked to end, and
/// ended if it does not.
fn watch(mut child: Child, limit: Duration, stop: &StopFlag) -> std::io::Result<End> {
    let started = Instant::now();
    let pid = Pid::from_raw(child.id() as i32);
    let mut asked: Option<(Instant, End)> = None;
    let mut ended = false;
    loop {
        if let Some(status) = child.try_wait()? {
            let signal = status.signal().map(|signal| format!("signal {signal}"));
            return Ok(match (asked, status.code(), signal) {
                (Some((_, end)), _, _) => end,
                (None, Some(code), _) => End::Exited(code, None),
                (None, None, signal) => End::Killed(signal.unwrap_or_default()),
            });
        }
        if asked.is_none() && (stop.stopped() || limit <= started.elapsed()) {
            let end = match stop.stopped() {
                true => End::Interrupted,
                false => End::TimedOut(limit.as_millis() as u64),
            };
            // It may have ended by itself in this moment.
            let _ = kill(pid, Signal::SIGTERM);
            asked = Some((Instant::now(), end));
        }
        let patience = asked.as_ref().is_some_and(|(since, _)| GRACE <= since.elapsed());
        if !ended && asked.is_some() && (patience || stop.hurried()) {
            ended = true;
            child.kill()?;
        }
        thread::sleep(LOOK);
    }
}

fn error_of(line: &Value) -> Option<String> {
    let error = line.get("error")?;
    let text = |field: &str| error[field].as_str().map(str::to_owned);
    let place = text("where").map_or(String::new(), |place| format!("{place}: "));
    Some(format!("{place}{}", text("message")?))
}

/// A run's line with what its verdict says.
fn seed_of(line: &Value, folder: &Path) -> Option<SeedResult> {
    let path = Path::new(line.get("run")?.as_str()?);
    let verdict = std::fs::read(path.join("verdict.json")).ok()?;
    let verdict: Value = serde_json::from_slice(&verdict).ok()?;
    let mut seed = facts(&verdict)?;
    seed.exit = line["exit"].as_u64().unwrap_or(70) as u8;
    seed.run = relative(path, folder);
    Some(seed)
}

/// What a `verdict.json` says, as far as a suite needs it.
fn facts(verdict: &Value) -> Option<SeedResult> {
    let mut seed = SeedResult {
        seed: verdict["seed"].as_u64()?,
        verdict: verdict["verdict"].as_str().map(str::to_owned),
        ..SeedResult::default()
    };
    // Whether something that decides is unknown for another reason than not being refuted.
    let mut open = false;
    for (name, outcome) in verdict["checkers"].as_object()? {
        for list in ["anomaly-types", "beyond"] {
            let anomalies = outcome[list].as_array().into_iter().flatten();
            seed.shown.extend(anomalies.filter_map(Value::as_str).map(str::to_owned));
        }
        match outcome["verdict"].as_str() {
            Some("invalid") => {
                seed.found.insert(name.clone(), outcome["count"].as_u64().unwrap_or(1));
                if outcome["role"] == "promised" {
                    seed.broken.push(name.clone());
                }
                if let Some(sentence) = outcome["findings"][0]["sentence"].as_str() {
                    seed.findings.insert(name.clone(), sentence.to_owned());
                }
            }
            Some("valid") => {}
            _ => {
                let why = outcome["reason"].as_str().unwrap_or("no reason").to_owned();
                seed.untold.insert(name.clone(), why);
                if outcome["decided"] == false {
                    seed.undecided.push(name.clone());
                } else if outcome["role"] != "observation" {
                    open = true;
                }
            }
        }
    }
    let missing = verdict["coverage"]["missing"].as_array().into_iter().flatten();
    let missing = missing.filter_map(Value::as_str).map(str::to_owned);
    let doubts = verdict["doubts"].as_array().into_iter().flatten();
    let doubts = doubts.filter_map(Value::as_str).map(str::to_owned);
    let partial = verdict["partial"].as_str().map(str::to_owned);
    // That nothing is promised makes nothing that was judged less so.
    let missing = missing.filter(|what| !what.starts_with("a promise:"));
    seed.missing = missing.chain(partial).chain(doubts).collect();
    seed.undecided_alone = !open && !seed.undecided.is_empty() && seed.missing.is_empty();
    Some(seed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_verdict_is_reduced_to_what_a_suite_needs() {
        let verdict = json!({
            "seed": 7,
            "verdict": "invalid",
            "checkers": {
                "lost-writes": {"verdict": "invalid", "role": "promised", "count": 2,
                    "findings": [{"sentence": "lost 4"}]},
                "consistent-prefix": {"verdict": "invalid", "role": "observation", "count": 1,
                    "findings": [{"sentence": "odd"}]},
                "monotonic-reads": {"verdict": "valid", "count": 0, "findings": []},
                "read-your-writes": {"verdict": "unknown", "reason": "no reads", "findings": []},
                "list-append": {"verdict": "valid", "count": 0, "findings": [],
                    "anomaly-types": [], "beyond": ["G2-item"]},
            },
            "coverage": {"missing": ["reads: 3 of 50", "a promise: none"]},
            "doubts": ["split brain"],
        });
        let seed = facts(&verdict).unwrap();
        assert_eq!(seed.found.len(), 2);
        assert_eq!(seed.broken, ["lost-writes"]);
        assert_eq!(seed.shown, ["G2-item"]);
        assert_eq!(seed.findings["lost-writes"], "lost 4");
        assert_eq!(seed.untold["read-your-writes"], "no reads");
        assert_eq!(seed.missing, ["reads: 3 of 50", "split brain"]);
    }

    #[test]
    fn a_level_that_is_not_refuted_is_told_from_other_unknowns() {
        let of = |checkers: Value, missing: Value| {
            let verdict = json!({"seed": 7, "verdict": "unknown", "checkers": checkers,
                "coverage": {"missing": missing}});
            let seed = facts(&verdict).unwrap();
            (seed.undecided, seed.undecided_alone)
        };
        let register = json!({"verdict": "unknown", "decided": false, "role": "promised"});
        let lost = |role: &str| json!({"verdict": "unknown", "reason": "x", "role": role});
        let both = |role| json!({"rw-register": register.clone(), "lost-writes": lost(role)});
        let names = vec!["rw-register".to_owned()];
        assert_eq!(of(json!({"rw-register": register}), json!([])), (names.clone(), true));
        assert_eq!(of(both("observation"), json!([])), (names.clone(), true));
        assert_eq!(of(both("promised"), json!([])), (names.clone(), false));
        assert_eq!(of(json!({"rw-register": register}), json!(["reads"])), (names, false));
        assert_eq!(of(json!({"lost-writes": lost("promised")}), json!([])), (vec![], false));
    }

    #[test]
    fn a_process_that_takes_too_long_is_ended() {
        let sleeper = Command::new("sleep").arg("60").spawn().unwrap();
        let end = watch(sleeper, Duration::from_millis(50), &StopFlag::manual()).unwrap();
        assert_eq!(end, End::TimedOut(50));
        let stop = StopFlag::manual();
        stop.stop();
        let sleeper = Command::new("sleep").arg("60").spawn().unwrap();
        assert_eq!(watch(sleeper, Duration::from_secs(60), &stop).unwrap(), End::Interrupted);
    }
}
