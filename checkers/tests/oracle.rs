//! The checkers against brute force: small random histories, judged by the definitions taken
//! literally. The oracle shares no code with the checkers.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

use std::collections::{BTreeMap, BTreeSet};

use history::{Event, EventKind, History, Key, MicroOp, Observed};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use splitbrain_checkers::{Context, ReadsMode, Verdict, by_name};

const CASES: u64 = 30_000;

/// An operation as the oracle sees it.
#[derive(Clone, Debug)]
struct Txn {
    session: i64,
    kind: EventKind,
    mops: Vec<MicroOp>,
    final_read: bool,
}

fn int(key: &Key) -> i64 {
    match key {
        Key::Int(key) => *key,
        Key::Str(_) => unreachable!("integer keys only here"),
    }
}

/// A list read as a vector; nothing is the empty list.
fn list(mop: &MicroOp) -> Option<(i64, Vec<i64>)> {
    match mop {
        MicroOp::Read { key, value: Some(Observed::List(list)) } => Some((int(key), list.clone())),
        MicroOp::Read { key, value: None } => Some((int(key), Vec::new())),
        _ => None,
    }
}

fn append(mop: &MicroOp) -> Option<(i64, i64)> {
    match mop {
        MicroOp::Append { key, value } => Some((int(key), *value)),
        _ => None,
    }
}

/// A random history of a store that mostly behaves: a log, replicas that lag, now and then a lie.
fn random_history(seed: u64) -> Vec<Txn> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut log: Vec<(i64, i64)> = Vec::new();
    let mut txns = Vec::new();
    let mut value = 0;
    let (sessions, keys) = (rng.random_range(1..4), rng.random_range(1..3));
    for _ in 0..rng.random_range(2..8) {
        let kind = match rng.random_range(0..10) {
            0 => EventKind::Info,
            1 => EventKind::Fail,
            _ => EventKind::Ok,
        };
        let final_read = rng.random_ratio(1, 6);
        let mut seen = rng.random_range(0..=log.len());
        let mut own: Vec<(i64, i64)> = Vec::new();
        let mut mops = Vec::new();
        for _ in 0..rng.random_range(1..4) {
            let key = rng.random_range(0..keys);
            if !final_read && rng.random_bool(0.45) {
                value += 1;
                own.push((key, value));
                mops.push(MicroOp::append(key, value));
                continue;
            }
            if rng.random_ratio(1, 4) {
                seen = rng.random_range(0..=log.len());
            }
            let shown = log[..seen].iter().chain(&own).filter(|(k, _)| *k == key);
            let mut shown: Vec<i64> = shown.map(|(_, v)| *v).collect();
            if rng.random_ratio(1, 12) && 1 < shown.len() {
                let at = rng.random_range(0..shown.len() - 1);
                match rng.random_range(0..3) {
                    0 => shown.swap(at, at + 1),
                    1 => drop(shown.remove(at)),
                    _ => shown.push(shown[at]),
                }
            }
            let value = (kind == EventKind::Ok && !shown.is_empty()).then_some(shown);
            mops.push(MicroOp::Read { key: key.into(), value: value.map(Observed::List) });
        }
        let happens = kind == EventKind::Ok || (kind == EventKind::Info && rng.random_bool(0.5));
        if happens && !rng.random_ratio(1, 15) {
            log.extend(&own);
        }
        txns.push(Txn { session: rng.random_range(0..sessions), kind, mops, final_read });
    }
    txns
}

fn history(txns: &[Txn]) -> History {
    let mut events = Vec::new();
    for (place, txn) in txns.iter().enumerate() {
        let event = |index: u64, kind| Event {
            index,
            kind,
            process: place as i64,
            session: Some(txn.session),
            node: None,
            time: index as i64,
            f: "txn".into(),
            value: txn.mops.clone(),
            final_read: txn.final_read,
            error: None,
            position: None,
            target: None,
            hops: Vec::new(),
        };
        events.push(event(2 * place as u64, EventKind::Invoke));
        events.push(event(2 * place as u64 + 1, txn.kind));
    }
    History::from_events(events).unwrap()
}

/// A history in a form for people.
fn told(txns: &[Txn]) -> String {
    let line = |txn: &Txn| {
        let mops = serde_json::to_string(&txn.mops).unwrap();
        format!("s{} {} {mops}", txn.session, txn.kind.as_str())
    };
    txns.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn ok(txn: &Txn) -> bool {
    txn.kind == EventKind::Ok
}

fn read_your_writes(txns: &[Txn]) -> bool {
    txns.iter().enumerate().any(|(place, reader)| {
        let earlier = txns[..place].iter().filter(|w| ok(w) && w.session == reader.session);
        let owed: Vec<(i64, i64)> =
            earlier.flat_map(|w| w.mops.iter().filter_map(append)).collect();
        ok(reader)
            && reader
                .mops
                .iter()
                .filter_map(list)
                .any(|(key, shown)| owed.iter().any(|(k, v)| *k == key && !shown.contains(v)))
    })
}

fn monotonic_reads(txns: &[Txn]) -> bool {
    let mut reads: Vec<(i64, i64, Vec<i64>)> = Vec::new();
    for txn in txns.iter().filter(|txn| ok(txn)) {
        for (key, shown) in txn.mops.iter().filter_map(list) {
            let back = reads.iter().any(|(session, k, seen)| {
                *session == txn.session && *k == key && seen.iter().any(|v| !shown.contains(v))
            });
            if back {
                return true;
            }
            reads.push((txn.session, key, shown));
        }
    }
    false
}

fn lost(txns: &[Txn]) -> BTreeSet<(i64, i64)> {
    let mut lost = BTreeSet::new();
    for (place, writer) in txns.iter().enumerate().filter(|(_, txn)| ok(txn)) {
        for (key, value) in writer.mops.iter().filter_map(append) {
            let finals = txns[place + 1..].iter().filter(|txn| ok(txn) && txn.final_read);
            let reads: Vec<Vec<i64>> = finals
                .flat_map(|txn| txn.mops.iter().filter_map(list))
                .filter(|(k, _)| *k == key)
                .map(|(_, shown)| shown)
                .collect();
            if !reads.is_empty() && reads.iter().all(|shown| !shown.contains(&value)) {
                lost.insert((key, value));
            }
        }
    }
    lost
}

/// Whether some total order of the writing transactions explains every read by a prefix.
fn explained(txns: &[Txn], mode: ReadsMode) -> bool {
    let writer = |element: &(i64, i64)| {
        txns.iter().position(|txn| txn.mops.iter().filter_map(append).any(|own| own == *element))
    };
    let shown = |place: usize| -> Vec<(i64, Vec<i64>)> {
        if ok(&txns[place]) { txns[place].mops.iter().filter_map(list).collect() } else { vec![] }
    };
    let mut observed = BTreeSet::new();
    for reader in 0..txns.len() {
        for (key, values) in shown(reader) {
            if values.iter().collect::<BTreeSet<_>>().len() < values.len() {
                return false;
            }
            let by = values.iter().filter_map(|value| writer(&(key, *value)));
            observed.extend(by.filter(|by| *by != reader));
        }
    }
    let part: Vec<usize> =
        (0..txns.len()).filter(|t| ok(&txns[*t]) || observed.contains(t)).collect();
    // Happens-before, closed.
    let mut before = BTreeSet::new();
    for &a in &part {
        for &b in part.iter().filter(|b| a < **b) {
            if ok(&txns[a]) && txns[a].session == txns[b].session {
                before.insert((a, b));
            }
        }
        for (key, values) in shown(a) {
            let by = values.iter().filter_map(|value| writer(&(key, *value)));
            before.extend(by.filter(|by| *by != a).map(|by| (by, a)));
        }
    }
    for &k in &part {
        for &i in &part {
            for &j in &part {
                if before.contains(&(i, k)) && before.contains(&(k, j)) {
                    before.insert((i, j));
                }
            }
        }
    }
    if part.iter().any(|t| before.contains(&(*t, *t))) {
        return false;
    }
    let writes = |t: &usize| txns[*t].mops.iter().any(|mop| append(mop).is_some());
    let writers: Vec<usize> = part.iter().copied().filter(writes).collect();
    orders(&writers, &before, &mut Vec::new(), &|order| fits(txns, order, mode))
}

/// Tries every order that extends `before`.
fn orders(
    left: &[usize],
    before: &BTreeSet<(usize, usize)>,
    order: &mut Vec<usize>,
    fits: &impl Fn(&[usize]) -> bool,
) -> bool {
    if left.is_empty() {
        return fits(order);
    }
    left.iter().any(|next| {
        let rest: Vec<usize> = left.iter().copied().filter(|other| other != next).collect();
        if rest.iter().any(|other| before.contains(&(*other, *next))) {
            return false;
        }
        order.push(*next);
        let found = orders(&rest, before, order, fits);
        order.pop();
        found
    })
}

fn fits(txns: &[Txn], order: &[usize], mode: ReadsMode) -> bool {
    txns.iter().enumerate().filter(|(_, txn)| ok(txn)).all(|(place, txn)| {
        let own: BTreeSet<(i64, i64)> = txn.mops.iter().filter_map(append).collect();
        let reads: Vec<(i64, Vec<i64>)> = txn
            .mops
            .iter()
            .filter_map(list)
            .map(|(key, values)| {
                (key, values.into_iter().filter(|value| !own.contains(&(key, *value))).collect())
            })
            .collect();
        let state = |upto: usize, key: i64| -> Vec<i64> {
            let others = order[..upto].iter().filter(|writer| **writer != place);
            let elements = others.flat_map(|w| txns[*w].mops.iter().filter_map(append));
            elements.filter(|(k, _)| *k == key).map(|(_, value)| value).collect()
        };
        match mode {
            ReadsMode::Atomic => (0..=order.len())
                .any(|upto| reads.iter().all(|(key, shown)| state(upto, *key) == *shown)),
            ReadsMode::Ordered => {
                // The earliest prefix that fits leaves most room for what follows.
                let mut from = 0;
                reads.iter().all(|(key, shown)| {
                    let found = (from..=order.len()).find(|upto| state(*upto, *key) == *shown);
                    from = found.unwrap_or(from);
                    found.is_some()
                })
            }
        }
    })
}

#[test]
fn checkers_agree_with_the_definitions() {
    let mut invalid: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..CASES {
        let txns = random_history(seed);
        let history = history(&txns);
        for mode in [ReadsMode::Atomic, ReadsMode::Ordered] {
            let context = Context { reads: mode, ..Context::default() };
            let expected = [
                ("read-your-writes", read_your_writes(&txns)),
                ("monotonic-reads", monotonic_reads(&txns)),
                ("consistent-prefix", !explained(&txns, mode)),
            ];
            for (name, violated) in expected {
                let outcome = by_name(name).unwrap().check(&history, &context);
                let said = outcome.verdict == Verdict::Invalid;
                assert_eq!(said, violated, "seed {seed} {mode:?} {name}:\n{}", told(&txns));
                *invalid.entry(name).or_default() += u64::from(violated);
            }
            let outcome = by_name("lost-writes").unwrap().check(&history, &context);
            let pairs: BTreeSet<(i64, i64)> =
                serde_json::from_value(outcome.facts["lost"].clone()).unwrap();
            assert_eq!(pairs, lost(&txns), "seed {seed} lost-writes:\n{}", told(&txns));
            *invalid.entry("lost-writes").or_default() += u64::from(!pairs.is_empty());
        }
    }
    // Otherwise agreement would mean little.
    for (name, count) in invalid {
        assert!(CASES / 50 < count, "{name}: only {count} of {CASES} histories violate it");
    }
}
