//! What members turned back when they followed another leader again: how many commands, by their
//! own log, and files of the documents that they put aside.
//!
//! Two numbers for two things. A command is a write that was reverted; of a document that several
//! of them changed one version is put aside, the last.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster::Host;
use serde_json::Value;

use super::provision::{FOLDER, LOG, ROLLBACK};
use crate::system::Nodes;

/// What a member put aside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutAside {
    /// Commands that it says it reverted, by kind; `None` if it says of none.
    pub reverted: Option<BTreeMap<String, u64>>,
    /// Files.
    pub files: usize,
    /// Documents in them.
    pub documents: usize,
}

impl PutAside {
    /// In words, for a member of this name; `None` if it turned nothing back.
    pub fn sentence(&self, name: &str) -> Option<String> {
        let reverted = match &self.reverted {
            None if self.files == 0 => return None,
            None => "commands reverted: not told by its log".to_owned(),
            Some(counts) => {
                let kinds = counts.iter().map(|(kind, count)| format!("{kind} {count}"));
                let (total, kinds) =
                    (counts.values().sum::<u64>(), kinds.collect::<Vec<_>>().join(", "));
                format!("{total} commands reverted ({kinds}), by its own log")
            }
        };
        let aside = match self.files {
            0 => "no documents put aside".to_owned(),
            files => format!(
                "{} documents as they were last put aside, in {files} files: rollback.tar.gz of \
                 its logs",
                self.documents
            ),
        };
        Some(format!("{name} rolled back: {reverted}; {aside}"))
    }
}

/// Counts what a member put aside and packs it for collection.
pub fn count(nodes: &Nodes, node: usize) -> Result<PutAside, String> {
    let limit = Duration::from_secs(10);
    let [find, pack] = lines();
    let said = nodes.shell(node, "looking for what was reverted", counts_line(), limit);
    let said = said.map_err(|error| error.to_string())?;
    let found = nodes.shell(node, "looking for rollback files", find, limit);
    let found = found.map_err(|error| error.to_string())?;
    let mut aside = PutAside { reverted: reverted(&said), ..PutAside::default() };
    for path in found.lines() {
        let bytes = nodes.hosts[node].download(path).map_err(|error| error.to_string())?;
        aside.files += 1;
        aside.documents += documents(&bytes);
    }
    nodes.shell(node, "packing rollback files", pack, limit).map_err(|error| error.to_string())?;
    Ok(aside)
}

/// Lists what was rolled back; packs it.
pub(super) fn lines() -> [String; 2] {
    [
        format!("find {FOLDER}/data/rollback -name '*.bson' -type f 2>/dev/null | sort"),
        format!(
            "cd {FOLDER}/data && if [ -d rollback ]; then tar -czf {ROLLBACK} rollback; \
             else tar -czf {ROLLBACK} -T /dev/null; fi"
        ),
    ]
}

/// What a member's log says when it has turned back.
const COUNTS: &str = "Rollback reverted command counts";

fn counts_line() -> String {
    format!("grep -hF '{COUNTS}' {LOG} || true")
}

/// The commands that these lines of a log count, over all its rollbacks; `None` without any.
fn reverted(log: &str) -> Option<BTreeMap<String, u64>> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut counts = None;
    for line in lines.filter(|line| line["msg"] == COUNTS) {
        let counts: &mut BTreeMap<String, u64> = counts.get_or_insert_default();
        add(&line["attr"], counts);
    }
    counts
}

/// The numbers of an object, also of those in it.
fn add(attributes: &Value, counts: &mut BTreeMap<String, u64>) {
    for (name, value) in attributes.as_object().into_iter().flatten() {
        match value.as_u64() {
            Some(count) => *counts.entry(name.clone()).or_default() += count,
            None => add(value, counts),
        }
    }
}

/// How many documents lie one after the other: each begins with its length, little-endian.
fn documents(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let Some((length, _)) = bytes.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length) as usize;
        if length < 5 || bytes.len() < length {
            break;
        }
        bytes = &bytes[length..];
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reverted_commands_are_counted_from_the_member_s_own_log() {
        let line = |attr: &str| {
            format!("{{\"s\":\"I\",\"c\":\"ROLLBACK\",\"msg\":\"{COUNTS}\",\"attr\":{attr}}}\n")
        };
        let log =
            line("{\"insert\":23,\"update\":1070}") + "no JSON\n" + &line("{\"c\":{\"insert\":2}}");
        let counts = reverted(&log);
        let aside = PutAside { reverted: counts, files: 2, documents: 29 };
        assert_eq!(
            aside.sentence("n1").unwrap(),
            "n1 rolled back: 1095 commands reverted (insert 25, update 1070), by its own log; 29 \
             documents as they were last put aside, in 2 files: rollback.tar.gz of its logs"
        );
        assert_eq!(reverted(""), None);
        assert_eq!(PutAside::default().sentence("n1"), None);
        let silent = PutAside { reverted: None, files: 1, documents: 3 };
        let said = silent.sentence("n1").unwrap();
        assert!(said.contains("commands reverted: not told by its log"), "{said}");
    }

    #[test]
    fn documents_are_counted_by_their_lengths() {
        let empty = [5, 0, 0, 0, 0];
        assert_eq!(documents(&[empty, empty].concat()), 2);
        assert_eq!(documents(&[&empty[..], &[9, 0, 0, 0, 1]].concat()), 1, "one is cut off");
        assert_eq!(documents(&[0, 0, 0, 0]), 0, "no length, no end");
    }
}
