//! A server that runs over a folder already, when a layer is to be laid over it: it is ended by its
//! own command, and started by it again, with the layer and without.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::life::Graceful;
use crate::process;
use crate::proto::{ProcessState, Start};

/// How long one question waits for a server to end: less than a lease, because nothing is heard
/// meanwhile. Whoever asks may ask again.
const WAIT: Duration = Duration::from_secs(4);

/// Whose server it is, and how it is ended and started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Served {
    /// How it is found and started.
    pub start: Start,
    /// How it is asked to end.
    pub graceful: Graceful,
}

impl Served {
    /// Whether it runs.
    fn running(&self) -> bool {
        let process = process::from_pidfile(&self.start.pidfile);
        process.is_some_and(|process| !gone(process::state(&process)))
    }

    /// Asks it to end; one that does not run has ended. A second time it is only waited for.
    pub fn end(&self, again: bool) -> Result<(String, u64), String> {
        let Some(process) = process::from_pidfile(&self.start.pidfile) else {
            return Ok(("ended".to_owned(), 0));
        };
        if !again {
            // A command that goes on asking ends with the agent at the latest.
            drop(self.graceful.ask(&process)?);
        }
        match gone(process::wait(&process, WAIT, gone)) && !self.running() {
            true => Ok(("ended".to_owned(), 0)),
            false => Ok((format!("process {} runs still", process.pid), 1)),
        }
    }
}

fn gone(state: ProcessState) -> bool {
    matches!(state, ProcessState::Absent | ProcessState::Zombie)
}

/// Refuses a folder with links to folders elsewhere: files there would not be under the layer, and
/// a fault would spare them without anybody knowing.
pub fn all_within(folder: &Path) -> Result<(), String> {
    let folder = fs::canonicalize(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut places = vec![folder.clone()];
    // PostgreSQL's table spaces.
    places.push(folder.join("pg_tblspc"));
    for place in places {
        let Ok(entries) = fs::read_dir(&place) else {
            continue;
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            let target = fs::read_link(&path).ok().and_then(|_| fs::canonicalize(&path).ok());
            if let Some(target) = target.filter(|target: &PathBuf| !target.starts_with(&folder)) {
                return Err(format!(
                    "{} leads to {}, which faults of the disk would spare",
                    path.display(),
                    target.display()
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_that_lead_elsewhere_are_refused_by_name() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir_all(folder.path().join("pg_tblspc")).unwrap();
        fs::create_dir(folder.path().join("real")).unwrap();
        symlink("real", folder.path().join("within")).unwrap();
        assert_eq!(all_within(folder.path()), Ok(()));
        for link in ["pg_tblspc/16385", "pg_wal"] {
            let link = folder.path().join(link);
            symlink(other.path(), &link).unwrap();
            let error = all_within(folder.path()).unwrap_err();
            let target = other.path().display().to_string();
            assert!(error.contains(&target) && error.contains("would spare"), "{error}");
            fs::remove_file(link).unwrap();
        }
    }

    #[test]
    fn a_server_that_does_not_run_has_ended() {
        let start = Start { pidfile: "main-of:/nowhere".to_owned(), ..Start::default() };
        let served = Served { start, graceful: Graceful::Int };
        assert_eq!(served.end(false), Ok(("ended".to_owned(), 0)));
    }
}
