//! Run folders: `runs/<name>/<timestamp>-<seed>/`, made exclusively, found again by path or id.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use history::RunInfo;

use crate::error::UserError;

/// A run's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFolder {
    /// Where it is.
    pub path: PathBuf,
}

impl RunFolder {
    /// Makes a folder for a run that starts now; a taken name gets `-2`, `-3`, ...
    pub fn create(base: &Path, name: &str, seed: u64) -> Result<RunFolder, UserError> {
        let fail = |path: &Path, error: io::Error| {
            UserError::environment(format!("cannot make the run's folder: {error}"))
                .at(path.display().to_string())
                .hint("use --runs-dir with a folder that can be written to")
        };
        let parent = base.join(name);
        fs::create_dir_all(&parent).map_err(|error| fail(&parent, error))?;
        let stem = format!("{}-{seed}", timestamp());
        for turn in 1..10_000 {
            let path = match turn {
                1 => parent.join(&stem),
                turn => parent.join(format!("{stem}-{turn}")),
            };
            match fs::create_dir(&path) {
                Ok(()) => return Ok(RunFolder { path }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(fail(&path, error)),
            }
        }
        Err(UserError::environment("every name for the run's folder is taken")
            .at(parent.display().to_string()))
    }

    /// The run that an argument means: a path, `latest`, or the unique part of an id.
    pub fn find(base: &Path, argument: &str) -> Result<RunFolder, UserError> {
        let path = PathBuf::from(argument);
        if path.join("history.jsonl").exists() || path.join("run.json").exists() {
            return Ok(RunFolder { path });
        }
        let mut runs = list(base);
        if argument == "latest" {
            let latest = runs.pop();
            return latest.ok_or_else(|| {
                UserError::usage("there is no run yet").at(base.display().to_string())
            });
        }
        let matching = |run: &&RunFolder| run.id().contains(argument);
        let mut found: Vec<RunFolder> = runs.iter().filter(matching).cloned().collect();
        if found.is_empty() {
            // The simulator's runs have an id that does not know when they were made; of several
            // with the same bytes the latest will do.
            let named = |run: &&RunFolder| run.info().is_ok_and(|info| info.id == argument);
            found.extend(runs.iter().rev().find(named).cloned());
        }
        match (found.pop(), found.len()) {
            (Some(run), 0) => Ok(run),
            (Some(_), others) => Err(UserError::usage(format!(
                "{argument} means {} runs: give more of the id",
                others + 1
            ))),
            (None, _) => Err(UserError::usage(format!("no run and no file is called {argument}"))
                .hint("splitbrain list shows the runs; latest means the last one")),
        }
    }

    /// `<name>/<timestamp>-<seed>`.
    pub fn id(&self) -> String {
        let part = |path: Option<&Path>| {
            path.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned())
        };
        let own = part(Some(&self.path)).unwrap_or_default();
        match part(self.path.parent()) {
            Some(name) => format!("{name}/{own}"),
            None => own,
        }
    }

    /// A file of the run.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file whole or not at all.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), UserError> {
        let path = self.file(name);
        let part = self.file(&format!("{name}.part"));
        fs::write(&part, bytes).and_then(|()| fs::rename(&part, &path)).map_err(|error| {
            UserError::environment(error.to_string()).at(path.display().to_string())
        })
    }

    /// The bytes of a file of the run: a pipe, a device or a link is refused.
    pub fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let path = self.file(name);
        history::source::regular_inside(&path)?;
        fs::read(path)
    }

    /// Whether anything stands under the name of a file of the run, if only a link to nowhere.
    pub fn has(&self, name: &str) -> bool {
        self.file(name).symlink_metadata().is_ok()
    }

    /// Reads `run.json`.
    pub fn info(&self) -> Result<RunInfo, UserError> {
        let path = self.file("run.json");
        let place = path.display().to_string();
        let text = self
            .read("run.json")
            .and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other))
            .map_err(|error| UserError::usage(error.to_string()).at(place.clone()))?;
        serde_json::from_str(&text)
            .map_err(|error| UserError::usage(format!("not a run's facts: {error}")).at(place))
    }
}

/// All runs below `base`, oldest first.
pub fn list(base: &Path) -> Vec<RunFolder> {
    let folders = |path: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    };
    let runs = folders(base).into_iter().flat_map(|name| folders(&name));
    let mut runs: Vec<RunFolder> = runs
        .filter(|path| path.join("history.jsonl").exists())
        .map(|path| RunFolder { path })
        .collect();
    runs.sort_by(|a, b| (a.path.file_name(), a.id()).cmp(&(b.path.file_name(), b.id())));
    runs
}

/// UTC to the second, in a form that sorts and is a good file name.
pub fn timestamp() -> String {
    rfc3339().replace(['-', ':'], "")
}

/// Now, UTC, RFC 3339 to the second.
pub fn rfc3339() -> String {
    // tidy: allow(clock) names the folder and the report's date; nothing is decided by it
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, second) = (now / 86_400, now % 86_400);
    let (year, month, day) = civil(days as i64);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z", second % 60)
}

/// Year, month and day of a day counted from 1970 (Hinnant, "chrono-compatible low-level date
/// algorithms", civil_from_days).
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(19_782), (2024, 2, 29));
        assert_eq!(civil(20_781), (2026, 11, 24));
    }

    #[test]
    fn a_taken_name_gets_a_number_and_ids_must_be_unique() {
        let dir = tempfile::tempdir().unwrap();
        let first = RunFolder::create(dir.path(), "demo", 7).unwrap();
        let mut second = RunFolder::create(dir.path(), "demo", 7).unwrap();
        if second.path.to_string_lossy().ends_with("-7") {
            // The clock ticked between the two.
            second = RunFolder::create(dir.path(), "demo", 7).unwrap();
        }
        assert!(second.path.to_string_lossy().ends_with("-7-2"));
        for run in [&first, &second] {
            fs::write(run.file("history.jsonl"), "").unwrap();
        }
        assert!(RunFolder::find(dir.path(), "demo").is_err());
        assert_eq!(RunFolder::find(dir.path(), "-7-2").unwrap(), second);
        assert_eq!(RunFolder::find(dir.path(), "latest").unwrap(), second);
    }
}
