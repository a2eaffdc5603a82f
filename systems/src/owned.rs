//! What a run makes in a cluster that is not ours: a name that nobody else has, and the words that
//! mark it as ours. Only what bears both is ever removed.

use crate::system::SystemError;

/// What every name begins with.
pub const PREFIX: &str = "splitbrain_";
/// What the mark of each begins with.
pub const MARK: &str = "splitbrain run ";
/// Longest name: the limit of PostgreSQL's identifiers and of MongoDB's databases, bytes.
pub const NAME_MAX: usize = 63;

/// The name of a run's schema or database, by the run's id: letters, digits and underscores.
pub fn name(run: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let id: String = run.chars().map(plain).collect();
    // The end tells runs apart: a time and a seed. The process keeps apart those of one second.
    let tail = format!("{id}_{}", std::process::id());
    let room = NAME_MAX - PREFIX.len();
    let from = tail.len().saturating_sub(room);
    format!("{PREFIX}{}", &tail[from..])
}

/// The words: which run, and whose.
pub fn mark(run: &str) -> String {
    format!("{MARK}{run} of {}", cluster::agent_link::owner())
}

/// A schema or database that a run has made: it is at work, or was killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Its name.
    pub name: String,
    /// The words that mark it.
    pub mark: String,
}

/// A cluster that exists, asked for what runs have left in it.
pub trait Remains {
    /// What a run makes there: a `schema`, a `database`.
    fn thing(&self) -> &'static str;

    /// All that are there, the newest first. Those of runs at work are among them.
    fn left(&self) -> Result<Vec<Left>, SystemError>;

    /// Removes one that [`Remains::left`] named.
    fn remove(&self, left: &Left) -> Result<(), SystemError>;
}
