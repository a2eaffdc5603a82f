//! Every command that was run on a host, and everything that its agent was asked, a line of JSON
//! each: when, where, what, how it ended, how long it took.
//!
//! What commands read from their standard input is not written down, and uploads are named without
//! their content: secrets travel in these two. Renewals of a lease and requests for a node's or its
//! connections' status are left out: there are hundreds.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use agent::proto::{Answer, Ask};
use serde::Serialize;

use crate::host::{ExecResult, HostError};

/// See the module's doc. Shared by all hosts of a run.
#[derive(Debug)]
pub struct CommandLog {
    file: Mutex<File>,
    /// Zero of the run's clock, once there is one.
    run_began: OnceLock<Instant>,
}

#[derive(Serialize)]
struct Line<'a> {
    /// When it was begun, ms since 1970.
    time_ms: u64,
    host: &'a str,
    /// `command`, `stream`, `upload` or `agent`.
    by: &'a str,
    what: &'a str,
    /// The exit status, where one is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<i32>,
    /// Why there is none, or what the agent could not do.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    took_ms: u64,
    /// When it was begun, ns since the run's start; less than 0 before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    asked: Option<i64>,
    /// When it had ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    answered: Option<i64>,
}

/// Something that was begun.
pub(crate) struct Begun {
    at: SystemTime,
    steady: Instant,
}

impl Begun {
    pub(crate) fn now() -> Begun {
        Begun { at: SystemTime::now(), steady: Instant::now() }
    }
}

impl CommandLog {
    /// Makes the file, empty.
    ///
    /// # Errors
    ///
    /// What the file system said.
    pub fn create(path: &Path) -> std::io::Result<CommandLog> {
        Ok(CommandLog { file: Mutex::new(File::create(path)?), run_began: OnceLock::new() })
    }

    /// From now on lines also have their times on the run's clock, as its other records do.
    pub(crate) fn run_began(&self, at: Instant) {
        let _ = self.run_began.set(at);
    }

    pub(crate) fn command(
        &self,
        (host, what): (&str, &str),
        begun: &Begun,
        result: &Result<ExecResult, HostError>,
    ) {
        let (status, error) = match result {
            Ok(result) => (Some(result.status), None),
            Err(error) => (None, Some(error.to_string())),
        };
        self.write(("command", host, what), begun, status, error);
    }

    pub(crate) fn done(
        &self,
        (by, host, what): (&str, &str, &str),
        begun: &Begun,
        error: Option<String>,
    ) {
        self.write((by, host, what), begun, None, error);
    }

    pub(crate) fn asked(
        &self,
        (host, ask): (&str, &Ask),
        begun: &Begun,
        result: &Result<Result<Answer, String>, HostError>,
    ) {
        if matches!(ask, Ask::Renew | Ask::HttpGet { .. } | Ask::Sockets { .. }) {
            return;
        }
        let what = serde_json::to_string(ask).unwrap_or_else(|_| format!("{ask:?}"));
        let error = match result {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(error.clone()),
            Err(error) => Some(error.to_string()),
        };
        self.write(("agent", host, &what), begun, None, error);
    }

    fn write(
        &self,
        (by, host, what): (&str, &str, &str),
        begun: &Begun,
        status: Option<i32>,
        error: Option<String>,
    ) {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let time_ms = begun.at.duration_since(UNIX_EPOCH).map_or(0, ms);
        // The clock of the day may be set meanwhile.
        let took_ms = ms(begun.steady.elapsed());
        let on_run = |at: Instant| {
            let zero = *self.run_began.get()?;
            let ns = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
            Some(match at.checked_duration_since(zero) {
                Some(since) => ns(since),
                None => -ns(zero.saturating_duration_since(at)),
            })
        };
        let (asked, answered) = (on_run(begun.steady), on_run(Instant::now()));
        let line = Line { time_ms, host, by, what, status, error, took_ms, asked, answered };
        let Ok(mut text) = serde_json::to_string(&line) else { return };
        text.push('\n');
        let mut file = self.file.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // A full disk is told by the history's own recorder.
        let _ = file.write_all(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_when_where_what_and_how_it_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("commands.jsonl");
        let log = CommandLog::create(&path).unwrap();
        let begun = Begun::now();
        let ended = ExecResult { status: 7, stdout: b"secret".to_vec(), stderr: Vec::new() };
        log.command(("n1", "rm -- 'a\nb'"), &begun, &Ok(ended));
        log.asked(("n2", &Ask::Renew), &begun, &Ok(Ok(Answer::Done)));
        log.asked(("n2", &Ask::HealAll), &begun, &Ok(Err("it is stuck".to_owned())));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("secret"), "{text}");
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let [first, second] = &lines[..] else { panic!("a renewal is no line: {text}") };
        assert_eq!((&first["host"], &first["status"]), (&"n1".into(), &7.into()));
        assert_eq!(first["what"], "rm -- 'a\nb'");
        assert_eq!((&second["by"], &second["error"]), (&"agent".into(), &"it is stuck".into()));
        assert!(1_600_000_000_000 < first["time_ms"].as_u64().unwrap());
        assert!(first.get("asked").is_none(), "there is no run yet");
    }

    #[test]
    fn once_a_run_has_begun_lines_have_its_clock_s_times() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("commands.jsonl");
        let log = CommandLog::create(&path).unwrap();
        let before = Begun::now();
        log.run_began(Instant::now());
        let begun = Begun::now();
        for begun in [&before, &begun] {
            log.asked(("n1", &Ask::HealAll), begun, &Ok(Ok(Answer::Done)));
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let time = |line: usize, name: &str| lines[line][name].as_i64().unwrap();
        assert!(time(0, "asked") < 0 && 0 <= time(0, "answered"), "{text}");
        assert!(0 <= time(1, "asked") && time(1, "asked") <= time(1, "answered"), "{text}");
    }
}
