//! Rw-register: anomalies that show without a cycle.

use std::collections::BTreeMap;

use history::{EventKind, Mop, MopKind, Shown};

use rustc_hash::FxHashSet;

use crate::anomaly::Anomaly;
use crate::cases::{Case, Cases};
use crate::graph::NONE;
use crate::registers::Registers;

/// Finds them all.
pub fn find(registers: &Registers<'_>, versions: &Versions, cases: &mut Cases) {
    let history = registers.history;
    for (number, op) in history.ops.iter().enumerate() {
        if op.kind != EventKind::Ok {
            continue;
        }
        let mops = history.mops_of(op);
        let reads = mops.iter().filter(|mop| mop.kind == MopKind::Read && mop.shown == Shown::Int);
        for mop in reads {
            read(registers, versions, number as u32, mop, cases);
        }
        internal(registers, number as u32, mops, cases);
        future_read(registers, number as u32, mops, cases);
    }
    lost_update(registers, cases);
}

/// Version numbers by key and value.
pub type Versions = rustc_hash::FxHashMap<(u32, i64), u32>;

fn read(registers: &Registers<'_>, versions: &Versions, number: u32, mop: &Mop, cases: &mut Cases) {
    let history = registers.history;
    let key = &history.keys[mop.key as usize];
    let value = mop.value;
    let facts = versions.get(&(mop.key, value)).map(|at| registers.versions[*at as usize]);
    let writer = facts.filter(|facts| facts.writer != NONE);
    let (anomaly, ops, sentence) = match writer {
        None => {
            let sentence = format!("{value} was read of key {key}, and nobody wrote it");
            (Anomaly::GarbageRead, vec![number], sentence)
        }
        Some(facts) if history.ops[facts.writer as usize].kind == EventKind::Fail => {
            let sentence = format!("{value} was read of key {key}, and its write failed");
            (Anomaly::G1a, vec![facts.writer, number], sentence)
        }
        Some(facts) if !facts.last && facts.writer != number => {
            let sentence =
                format!("{value} was read of key {key}, and its writer overwrote it itself");
            (Anomaly::G1b, vec![facts.writer, number], sentence)
        }
        Some(_) => return,
    };
    cases.add(anomaly, || Case { anomaly, ops, key: mop.key, values: vec![value], sentence });
}

fn internal(registers: &Registers<'_>, number: u32, mops: &[Mop], cases: &mut Cases) {
    let mut expected: BTreeMap<u32, Option<i64>> = BTreeMap::new();
    if mops.len() < 2 {
        return;
    }
    let word = |value: Option<i64>| value.map_or("nothing".to_owned(), |value| value.to_string());
    for mop in mops {
        let known = mop.kind != MopKind::Read || mop.shown == Shown::Int;
        let now = known.then_some(mop.value);
        let before = expected.insert(mop.key, now);
        let contradicts = mop.kind == MopKind::Read && before.is_some_and(|before| before != now);
        if let Some(before) = before.filter(|_| contradicts) {
            cases.add(Anomaly::Internal, || Case {
                anomaly: Anomaly::Internal,
                ops: vec![number],
                key: mop.key,
                values: before.into_iter().collect(),
                sentence: format!(
                    "key {} was read as {} where its own transaction had {}",
                    registers.history.keys[mop.key as usize],
                    word(now),
                    word(before)
                ),
            });
        }
    }
}

fn future_read(registers: &Registers<'_>, number: u32, mops: &[Mop], cases: &mut Cases) {
    let mut read: FxHashSet<(u32, i64)> = FxHashSet::default();
    for mop in mops {
        if mop.kind == MopKind::Read {
            if mop.shown == Shown::Int && mops.len() > 1 {
                read.insert((mop.key, mop.value));
            }
        } else if read.contains(&(mop.key, mop.value)) {
            cases.add(Anomaly::FutureRead, || Case {
                anomaly: Anomaly::FutureRead,
                ops: vec![number],
                key: mop.key,
                values: vec![mop.value],
                sentence: format!(
                    "{} was read of key {} before the reader itself wrote it",
                    mop.value, registers.history.keys[mop.key as usize]
                ),
            });
        }
    }
}

/// Transactions that read one version of a key from outside and write the key.
fn lost_update(registers: &Registers<'_>, cases: &mut Cases) {
    let history = registers.history;
    let mut updates: Vec<(u32, Option<i64>, u32)> = Vec::new();
    for (number, op) in history.ops.iter().enumerate().filter(|(_, op)| op.kind == EventKind::Ok) {
        let mops = history.mops_of(op);
        for (at, mop) in mops.iter().enumerate().filter(|(_, mop)| mop.kind == MopKind::Read) {
            let first = !mops[..at].iter().any(|other| other.key == mop.key);
            let writes = |m: &Mop| m.kind == MopKind::Write && m.key == mop.key;
            if first && mops[at + 1..].iter().any(writes) {
                let value = (mop.shown == Shown::Int).then_some(mop.value);
                updates.push((mop.key, value, number as u32));
            }
        }
    }
    updates.sort_unstable();
    let alike = |a: &(u32, Option<i64>, u32), b: &(u32, Option<i64>, u32)| (a.0, a.1) == (b.0, b.1);
    for group in updates.chunk_by(alike).filter(|group| group.len() > 1) {
        let key = group[0].0;
        cases.add(Anomaly::LostUpdate, || Case {
            anomaly: Anomaly::LostUpdate,
            ops: group.iter().map(|(.., op)| *op).collect(),
            key,
            values: group[0].1.into_iter().collect(),
            sentence: format!(
                "{} transactions read the same version of key {} and wrote the key",
                group.len(),
                history.keys[key as usize]
            ),
        });
    }
}
