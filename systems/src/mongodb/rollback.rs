//! What members turned back when they followed another leader again: files of documents that they
//! put aside.

use std::time::Duration;

use cluster::Host;

use super::provision::{FOLDER, ROLLBACK};
use crate::system::Nodes;

/// What a member put aside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutAside {
    /// Files.
    pub files: usize,
    /// Documents in them.
    pub documents: usize,
}

/// Counts what a member put aside and packs it for collection.
pub fn count(nodes: &Nodes, node: usize) -> Result<PutAside, String> {
    let limit = Duration::from_secs(10);
    let [find, pack] = lines();
    let found = nodes.shell(node, "looking for rollback files", find, limit);
    let found = found.map_err(|error| error.to_string())?;
    let mut aside = PutAside::default();
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
    fn documents_are_counted_by_their_lengths() {
        let empty = [5, 0, 0, 0, 0];
        assert_eq!(documents(&[empty, empty].concat()), 2);
        assert_eq!(documents(&[&empty[..], &[9, 0, 0, 0, 1]].concat()), 1, "one is cut off");
        assert_eq!(documents(&[0, 0, 0, 0]), 0, "no length, no end");
    }
}
