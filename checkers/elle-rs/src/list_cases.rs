//! List-append: anomalies that show without a cycle.

use history::{EventKind, Mop, MopKind, Op, Shown};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::anomaly::Anomaly;
use crate::cases::{Case, Cases};
use crate::list_append::Lists;

/// Finds them all.
pub fn find(lists: &Lists<'_>, cases: &mut Cases) {
    let bad = bad_places(lists);
    let mut told = FxHashSet::default();
    for (number, op, mop) in lists.reads() {
        if !lists.agrees(mop) && told.insert(mop.key) {
            incompatible(lists, number, mop, cases);
        }
        read(lists, &bad, number, op, mop, cases);
    }
    let history = lists.history;
    let mut expected = FxHashMap::default();
    for (number, op) in history.ops.iter().enumerate() {
        let mops = history.mops_of(op);
        if op.kind == EventKind::Ok && repeats_a_key(mops) {
            expected.clear();
            internal(lists, number as u32, mops, &mut expected, cases);
        }
    }
    for key in 0..lists.orders.len() as u32 {
        dirty_update(lists, key, cases);
    }
    lost_update(lists, cases);
}

/// Per key the elements that no read should show: those of failed appends, and those that nobody
/// appended.
fn bad_places(lists: &Lists<'_>) -> Vec<Vec<(u32, i64)>> {
    let bad = |order: &crate::list_append::Order<'_>| {
        let failed = |op: u32| lists.history.ops[op as usize].kind == EventKind::Fail;
        let bad = order.values.iter().zip(&order.writers).enumerate();
        let bad = bad.filter(|(_, (_, writer))| writer.append().is_none_or(|a| failed(a.op)));
        bad.map(|(place, (value, _))| (place as u32, *value)).collect()
    };
    lists.orders.iter().map(bad).collect()
}

fn case(anomaly: Anomaly, ops: Vec<u32>, mop: &Mop, values: Vec<i64>, sentence: String) -> Case {
    Case { anomaly, ops, key: mop.key, values, sentence }
}

fn incompatible(lists: &Lists<'_>, number: u32, mop: &Mop, cases: &mut Cases) {
    let order = &lists.orders[mop.key as usize];
    let list = lists.history.list(mop);
    let differs = list.iter().zip(order.values.iter()).find(|(a, b)| a != b);
    let (here, there) = differs.map_or((0, 0), |(a, b)| (*a, *b));
    cases.add(Anomaly::IncompatibleOrder, || {
        let key = &lists.history.keys[mop.key as usize];
        let sentence = format!(
            "of key {key} one list was read with {here} where another has {there}: \
             neither can have grown into the other"
        );
        let ops = [Some(number), order.reader].into_iter().flatten().collect();
        case(Anomaly::IncompatibleOrder, ops, mop, vec![here, there], sentence)
    });
}

/// What one read alone may show.
fn read(
    lists: &Lists<'_>,
    bad: &[Vec<(u32, i64)>],
    number: u32,
    op: &Op,
    mop: &Mop,
    cases: &mut Cases,
) {
    let list = lists.history.list(mop);
    let order = &lists.orders[mop.key as usize];
    let prefix = !order.repeats && order.values.starts_with(list);
    if prefix {
        let shown = bad[mop.key as usize].iter().take_while(|(at, _)| (*at as usize) < list.len());
        for (_, value) in shown {
            bad_element(lists, number, mop, *value, cases);
        }
    } else {
        let mut seen = FxHashSet::default();
        if let Some(twice) = list.iter().find(|value| !seen.insert(**value)) {
            cases.add(Anomaly::DuplicateElements, || {
                let key = &lists.history.keys[mop.key as usize];
                let sentence = format!("a list read of key {key} has {twice} twice");
                case(Anomaly::DuplicateElements, vec![number], mop, vec![*twice], sentence)
            });
        }
        for value in list {
            let append = lists.append_of(mop.key, *value);
            let kind = append.map(|append| lists.history.ops[append.op as usize].kind);
            if kind.is_none_or(|kind| kind == EventKind::Fail) {
                bad_element(lists, number, mop, *value, cases);
            }
        }
    }
    let Some(last) = list.last() else {
        return;
    };
    if let Some(append) =
        lists.last_append(mop).filter(|append| !append.last && append.op != number)
    {
        cases.add(Anomaly::G1b, || {
            let key = &lists.history.keys[mop.key as usize];
            let sentence =
                format!("key {key} was read as of {last}, which its writer went on to append to");
            case(Anomaly::G1b, vec![append.op, number], mop, vec![*last], sentence)
        });
    }
    future_read(lists, number, op, mop, list, cases);
}

fn bad_element(lists: &Lists<'_>, number: u32, mop: &Mop, value: i64, cases: &mut Cases) {
    let key = &lists.history.keys[mop.key as usize];
    let append = lists.append_of(mop.key, value);
    let (anomaly, ops) = match append {
        None => (Anomaly::GarbageRead, vec![number]),
        Some(append) => (Anomaly::G1a, vec![append.op, number]),
    };
    cases.add(anomaly, || {
        let sentence = match anomaly {
            Anomaly::G1a => format!("{value} was read of key {key}, and its append failed"),
            _ => format!("{value} was read of key {key}, and nobody appended it"),
        };
        case(anomaly, ops, mop, vec![value], sentence)
    });
}

fn future_read(
    lists: &Lists<'_>,
    number: u32,
    op: &Op,
    mop: &Mop,
    list: &[i64],
    cases: &mut Cases,
) {
    let mops = lists.history.mops_of(op);
    let own = mops.iter().position(|other| std::ptr::eq(other, mop)).unwrap_or(mops.len());
    let later = mops[own..].iter().filter(|m| m.kind == MopKind::Append && m.key == mop.key);
    for append in later {
        if list.contains(&append.value) {
            cases.add(Anomaly::FutureRead, || {
                let key = &lists.history.keys[mop.key as usize];
                let value = append.value;
                let sentence =
                    format!("{value} was read of key {key} before the reader itself appended it");
                case(Anomaly::FutureRead, vec![number], mop, vec![value], sentence)
            });
        }
    }
}

fn repeats_a_key(mops: &[Mop]) -> bool {
    if mops.len() > 16 {
        return true;
    }
    let twice = |(at, mop): (usize, &Mop)| mops[..at].iter().any(|other| other.key == mop.key);
    mops.iter().enumerate().any(twice)
}

/// What a transaction must read next of a key: a known list, or any list, that its own appends
/// follow on.
#[derive(Default)]
struct Expected<'h> {
    known: Option<&'h [i64]>,
    /// Whether what was read was nothing at all, and not an empty list.
    nothing: bool,
    own: Vec<i64>,
}

impl Expected<'_> {
    fn allows(&self, list: &[i64], nothing: bool) -> bool {
        if nothing != (self.nothing && self.own.is_empty()) {
            return false;
        }
        match self.known {
            Some(known) => {
                list.len() == known.len() + self.own.len()
                    && list.starts_with(known)
                    && list.ends_with(&self.own)
            }
            None => list.ends_with(&self.own),
        }
    }
}

fn internal<'h>(
    lists: &Lists<'h>,
    number: u32,
    mops: &'h [Mop],
    expected: &mut FxHashMap<u32, Expected<'h>>,
    cases: &mut Cases,
) {
    for mop in mops {
        if mop.kind == MopKind::Append {
            expected.entry(mop.key).or_default().own.push(mop.value);
            continue;
        }
        let list = lists.history.list(mop);
        let nothing = mop.shown == Shown::Nothing;
        let before = expected.remove(&mop.key);
        if before.is_some_and(|before| !before.allows(list, nothing)) {
            cases.add(Anomaly::Internal, || {
                let key = &lists.history.keys[mop.key as usize];
                let sentence = format!(
                    "a read of key {key} contradicts what its own transaction read or appended \
                     before"
                );
                case(Anomaly::Internal, vec![number], mop, Vec::new(), sentence)
            });
        }
        expected.insert(mop.key, Expected { known: Some(list), nothing, own: Vec::new() });
    }
}

fn dirty_update(lists: &Lists<'_>, key: u32, cases: &mut Cases) {
    let mut failed: Option<(u32, i64)> = None;
    let order = &lists.orders[key as usize];
    for (value, writer) in order.values.iter().zip(&order.writers) {
        let Some(append) = writer.append() else {
            continue;
        };
        match (lists.history.ops[append.op as usize].kind, failed) {
            (EventKind::Fail, _) => failed = Some((append.op, *value)),
            (EventKind::Ok, Some((op, undone))) => {
                failed = None;
                cases.add(Anomaly::DirtyUpdate, || Case {
                    anomaly: Anomaly::DirtyUpdate,
                    ops: vec![op, append.op],
                    key,
                    values: vec![undone, *value],
                    sentence: format!(
                        "{value} was appended to key {} on top of {undone}, whose append failed",
                        lists.history.keys[key as usize]
                    ),
                });
            }
            _ => {}
        }
    }
}

/// Transactions that read one state of a key from outside and append to it.
fn lost_update(lists: &Lists<'_>, cases: &mut Cases) {
    let history = lists.history;
    // Key, length of the list, operation, and which of its micro-operations the read is.
    let mut updates: Vec<(u32, u32, u32, u32)> = Vec::new();
    for (number, op) in history.ops.iter().enumerate() {
        let mops = history.mops_of(op);
        if op.kind != EventKind::Ok {
            continue;
        }
        for (at, mop) in mops.iter().enumerate().filter(|(_, mop)| mop.kind == MopKind::Read) {
            let first = !mops[..at].iter().any(|other| other.key == mop.key);
            let writes = |m: &Mop| m.kind == MopKind::Append && m.key == mop.key;
            if first && mops[at + 1..].iter().any(writes) {
                let length = history.list(mop).len() as u32;
                updates.push((mop.key, length, number as u32, op.mops().start + at as u32));
            }
        }
    }
    updates.sort_unstable();
    let list = |update: &(u32, u32, u32, u32)| history.list(&history.mops[update.3 as usize]);
    // Lists are looked at only where several are of one length, by their last elements first.
    let similar = |a: &(u32, u32, u32, u32), b: &(u32, u32, u32, u32)| (a.0, a.1) == (b.0, b.1);
    for group in updates.chunk_by_mut(similar).filter(|group| group.len() > 1) {
        group.sort_by(|a, b| {
            let (one, other) = (list(a), list(b));
            one.last().cmp(&other.last()).then_with(|| one.cmp(other))
        });
        lost_updates_alike(lists, group, &list, cases);
    }
}

fn lost_updates_alike<'h>(
    lists: &Lists<'h>,
    group: &[(u32, u32, u32, u32)],
    list: &impl Fn(&(u32, u32, u32, u32)) -> &'h [i64],
    cases: &mut Cases,
) {
    let history = lists.history;
    for group in group.chunk_by(|a, b| list(a) == list(b)).filter(|group| group.len() > 1) {
        cases.add(Anomaly::LostUpdate, || Case {
            anomaly: Anomaly::LostUpdate,
            ops: group.iter().map(|(_, _, op, _)| *op).collect(),
            key: group[0].0,
            values: list(&group[0]).last().copied().into_iter().collect(),
            sentence: format!(
                "{} transactions read the same list of key {} and appended to it",
                group.len(),
                history.keys[group[0].0 as usize]
            ),
        });
    }
}
