//! A node that is replaced by an empty one, which fetches its data from the others.

use std::time::Duration;

use history::Evidence;

use crate::system::{Nodes, SystemError};

/// How a system's node loses its place and its data, and gets both again. In the order of the
/// methods: before its process is killed, after it, before it is started again, after it.
pub trait Replacing {
    /// Has the others forget it, where the system has a command for that.
    fn leave(&self, _node: usize) -> Result<Vec<Evidence>, SystemError> {
        Ok(Vec::new())
    }

    /// Takes all its data. Its server does not run.
    fn empty(&self, node: usize) -> Result<Vec<Evidence>, SystemError>;

    /// Copies the data there, where it is not the new server itself that fetches it.
    fn refill(&self, _node: usize) -> Result<Vec<Evidence>, SystemError> {
        Ok(Vec::new())
    }

    /// Makes it one of the others again; waits until it serves.
    fn join(&self, node: usize) -> Result<Vec<Evidence>, SystemError>;
}

/// Empties a folder on a node, and counts what is there before and after.
pub(crate) fn emptied(nodes: &Nodes, node: usize, folder: &str) -> Result<Evidence, SystemError> {
    let count = format!("find {folder} -mindepth 1 -type f | wc -l");
    let line = format!("{count}; {} && {count}", crate::system::emptied(folder));
    let counts = nodes.shell(node, "emptying its data", line, Duration::from_secs(10))?;
    let mut counts = counts.lines().filter_map(|line| line.trim().parse::<u64>().ok());
    let (before, after) = (counts.next().unwrap_or(0), counts.next());
    let after = after.ok_or_else(|| SystemError::new("nobody counted what is left"))?;
    Ok(Evidence {
        probe: format!("{} data", nodes.names[node]),
        expected: "some files before, none after".to_owned(),
        observed: format!("{before} files before, {after} after"),
        holds: 0 < before && after == 0,
    })
}
