//! What an accident took, what a recovery brought back, and what it cost: counted from the history
//! and from reads of the restored server.

use std::collections::{BTreeMap, BTreeSet};

use history::{EventKind, History, Key, MopKind};
use serde::Serialize;

/// The values of every key of the restored server.
pub type Restored = BTreeMap<Key, BTreeSet<i64>>;

/// Counts of acknowledged writes; times are ns since the run's start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reckoning {
    /// Acknowledged before the accident began.
    pub before: u64,
    /// Of these, shown by a final read of some node of the cluster: 0 if it replicated everywhere.
    pub before_left: u64,
    /// Of these, on the restored server.
    pub before_back: u64,
    /// Of these, not there: the recovery failed for them.
    pub before_missing: Vec<(Key, i64)>,
    /// Begun after the accident was over, and acknowledged: the cluster took them.
    pub after: u64,
    /// Of these, not on the restored server: what going back costs.
    pub after_lost: u64,
    /// Under way while the accident was: on either side of it.
    pub meanwhile: u64,
    /// When the last of all was acknowledged.
    pub last: i64,
}

/// Counts. `accident` is from when to when it was under way.
pub fn reckon(history: &History, restored: &Restored, accident: (i64, i64)) -> Reckoning {
    let mut counted = Reckoning::default();
    let left = left_on_cluster(history);
    let there = |key: &Key, value: i64| restored.get(key).is_some_and(|v| v.contains(&value));
    for op in history.ops.iter().filter(|op| op.kind == EventKind::Ok) {
        let Some(completed) = op.completed() else {
            continue;
        };
        for mop in history.mops_of(op).iter().filter(|mop| mop.kind == MopKind::Append) {
            let key = &history.keys[mop.key as usize];
            counted.last = counted.last.max(completed);
            if completed < accident.0 {
                counted.before += 1;
                counted.before_left += u64::from(left.contains(&(key, mop.value)));
                if there(key, mop.value) {
                    counted.before_back += 1;
                } else {
                    counted.before_missing.push((key.clone(), mop.value));
                }
            } else if accident.1 < op.invoked() {
                counted.after += 1;
                counted.after_lost += u64::from(!there(key, mop.value));
            } else {
                counted.meanwhile += 1;
            }
        }
    }
    counted
}

/// All values that final reads showed, of any node.
fn left_on_cluster(history: &History) -> BTreeSet<(&Key, i64)> {
    let finals = history.ops.iter().filter(|op| op.final_read && op.kind == EventKind::Ok);
    let mops = finals.flat_map(|op| history.mops_of(op));
    mops.flat_map(|mop| {
        let key = &history.keys[mop.key as usize];
        history.list(mop).iter().map(move |value| (key, *value))
    })
    .collect()
}

impl Reckoning {
    /// Whether the accident was one, and the recovery brought back all of what it should.
    pub fn shown(&self) -> bool {
        0 < self.before
            && self.before_left == 0
            && self.before_back == self.before
            && 0 < self.after
            && self.after_lost == self.after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(text: &str) -> History {
        history::reader::read_events(text.as_bytes()).history
    }

    #[test]
    fn writes_are_told_apart_by_the_accident() {
        let mut lines = String::new();
        let mut index = 0;
        let mut op = |process: i64, times: [i64; 2], value: String, last: &str| {
            for (kind, time) in ["invoke", "ok"].into_iter().zip(times) {
                lines.push_str(&format!(
                    "{{\"index\":{index},\"type\":\"{kind}\",\"process\":{process},\"node\":\"n1\",\
                     \"time\":{time},\"f\":\"txn\",\"value\":[{value}]{last}}}\n"
                ));
                index += 1;
            }
        };
        op(1, [0, 10], "[\"append\",1,1]".to_owned(), "");
        op(2, [15, 25], "[\"append\",1,2]".to_owned(), "");
        op(3, [40, 50], "[\"append\",1,3]".to_owned(), "");
        op(4, [60, 70], "[\"r\",1,[3]]".to_owned(), ",\"final\":true");
        let history = history(&lines);
        let restored = Restored::from([(Key::Int(1), BTreeSet::from([1, 2]))]);
        let counted = reckon(&history, &restored, (20, 30));
        assert_eq!((counted.before, counted.before_left, counted.before_back), (1, 0, 1));
        assert_eq!((counted.meanwhile, counted.after, counted.after_lost), (1, 1, 1));
        assert_eq!(counted.last, 50);
        assert!(counted.shown());
        let empty = reckon(&history, &Restored::new(), (20, 30));
        assert_eq!(empty.before_missing, [(Key::Int(1), 1)]);
        assert!(!empty.shown());
    }
}
