//! What a replica set that exists promises: what its sessions ask for, as far as what a majority
//! acknowledges is kept there.

use crate::mongodb::promises::promises as known;
use crate::mongodb::spec::MongoSpec;
use crate::promises::Promises;

/// For sessions of this policy; `journaled` is whether a majority's word is in its journals.
pub fn promises(spec: &MongoSpec, policy: &str, journaled: bool) -> Promises {
    let mut promises = known(spec, policy);
    if journaled || spec.journal {
        return promises;
    }
    let missing = "writeConcernMajorityJournalDefault = true in the set's configuration and a \
                   storage engine that persists, or mongodb.journal = true: what a majority has in \
                   memory alone is lost with it";
    for (checker, _) in std::mem::take(&mut promises.made) {
        promises.not_made.insert(checker, missing.to_owned());
    }
    promises
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_memory_alone_is_not_promised() {
        let spec = MongoSpec::default();
        assert!(promises(&spec, "leader", true).made.contains_key("lost-writes"));
        let lossy = promises(&spec, "leader", false);
        assert!(lossy.made.is_empty());
        assert!(lossy.not_made["lost-writes"].starts_with("writeConcernMajorityJournalDefault"));
        let journal = MongoSpec { journal: true, ..spec };
        assert!(promises(&journal, "leader", false).made.contains_key("lost-writes"));
    }
}
