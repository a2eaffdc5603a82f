//! What a run makes in a cluster that is not ours: a name that nobody else has, and the words that
//! mark it as ours. Only what bears both is ever removed.

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
