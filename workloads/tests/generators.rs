//! Every workload's generator, against a world that answers, refuses and forgets at random.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

use std::collections::{BTreeMap, BTreeSet};

use history::{EventKind, Key, MicroOp};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use splitbrain_workloads::workload::{BANK_ACCOUNTS, BANK_TOTAL, all, by_name};
use splitbrain_workloads::{Completion, GenContext, GenOp, Next, Settings, Workload};

const SESSIONS: usize = 6;
const OPS: usize = 4_000;
const SEEDS: u64 = 20;

/// An operation with how it ended.
type Done = (GenOp, EventKind);

/// Drives a generator: up to all sessions busy, completions in random order. `info_percent` of the
/// operations end unknown, a third as many fail.
fn drive(workload: &Workload, seed: u64, info_percent: u32) -> Vec<Done> {
    let settings = Settings { sessions: SESSIONS, shards: 1, seed };
    let mut generator = (workload.generator)(&settings);
    let mut world = ChaCha8Rng::seed_from_u64(seed ^ 0x5eed);
    let mut free: Vec<usize> = (0..SESSIONS).collect();
    let mut busy: Vec<GenOp> = Vec::new();
    let mut done: Vec<Done> = Vec::new();
    let mut now = 0;
    while done.len() < OPS {
        now += 1_000;
        let context = GenContext { now, free: &free, in_flight: busy.len() };
        let next = generator.next(&context);
        let invoked = match next {
            Next::Op(op) => {
                let place = free.iter().position(|session| *session == op.session);
                free.remove(place.expect("only free sessions are used"));
                assert!(!op.mops.is_empty() && op.final_on.is_none());
                busy.push(op);
                true
            }
            Next::Pending => false,
            other => panic!("{}: {other:?}", workload.name),
        };
        if invoked && !free.is_empty() && world.random_bool(0.5) {
            continue;
        }
        assert!(!busy.is_empty(), "{}: waits for nothing", workload.name);
        let op = busy.remove(world.random_range(0..busy.len()));
        let draw = world.random_range(0..300);
        let status = match draw {
            _ if draw < 3 * info_percent => EventKind::Info,
            _ if draw < 4 * info_percent => EventKind::Fail,
            _ => EventKind::Ok,
        };
        let (session, mops) = (op.session, &op.mops);
        generator.update(&Completion { now, session, status, mops, final_on: None });
        free.push(session);
        done.push((op, status));
    }
    done
}

fn each(check: impl Fn(&Workload, &[Done])) {
    for workload in all() {
        for seed in 0..SEEDS {
            check(workload, &drive(workload, seed, (seed % 3) as u32 * 5));
        }
    }
}

fn value(mop: &MicroOp) -> Option<i64> {
    match mop {
        MicroOp::Append { value, .. }
        | MicroOp::Write { value, .. }
        | MicroOp::Add { value, .. } => Some(*value),
        _ => None,
    }
}

#[test]
fn one_seed_is_one_sequence_and_another_is_another() {
    for workload in all() {
        assert_eq!(drive(workload, 7, 5), drive(workload, 7, 5), "{}", workload.name);
        assert_ne!(drive(workload, 7, 5), drive(workload, 8, 5), "{}", workload.name);
    }
}

#[test]
fn only_the_micro_operations_that_are_asked_for_are_used_and_each_of_them() {
    each(|workload, done| {
        let used: BTreeSet<&str> =
            done.iter().flat_map(|(op, _)| &op.mops).map(MicroOp::name).collect();
        let asked: BTreeSet<&str> = workload.needs.micro_ops.iter().copied().collect();
        assert_eq!(used, asked, "{}", workload.name);
    });
}

#[test]
fn a_value_names_its_write_and_a_key_takes_so_many_of_them() {
    each(|workload, done| {
        let mut written: BTreeMap<Key, BTreeSet<i64>> = BTreeMap::new();
        for mop in done.iter().flat_map(|(op, _)| &op.mops) {
            if let Some(value) = value(mop) {
                let fresh = written.entry(mop.key().clone()).or_default().insert(value);
                assert!(fresh, "{}: {mop:?} twice", workload.name);
            }
        }
        // Profiles are one key a user for as long as nothing is unknown.
        let most = written.values().map(BTreeSet::len).max().unwrap_or(0);
        assert!(most <= 64 || workload.name == "profile", "{}: {most}", workload.name);
    });
}

#[test]
fn an_unknown_write_is_the_last_that_its_register_or_counter_is_given() {
    for (name, seeds) in [("register", SEEDS), ("counter", SEEDS), ("profile", SEEDS)] {
        for seed in 0..seeds {
            let workload = by_name(name).unwrap();
            let settings = Settings { sessions: 1, shards: 1, seed };
            let mut generator = (workload.generator)(&settings);
            let mut uncertain: BTreeSet<Key> = BTreeSet::new();
            for turn in 0..500 {
                let context = GenContext { now: turn, free: &[0], in_flight: 0 };
                let Next::Op(op) = generator.next(&context) else { panic!("{name} waits") };
                let writes = op.mops.iter().filter(|mop| !mop.is_read());
                assert!(writes.clone().all(|mop| !uncertain.contains(mop.key())), "{name}");
                let status = if turn % 7 == 0 { EventKind::Info } else { EventKind::Ok };
                if status == EventKind::Info {
                    uncertain.extend(writes.map(|mop| mop.key().clone()));
                }
                let mops = &op.mops;
                generator.update(&Completion {
                    now: turn,
                    session: 0,
                    status,
                    mops,
                    final_on: None,
                });
            }
        }
    }
}

/// The balances of all accounts after some of the operations.
fn apply<'a>(ops: impl Iterator<Item = &'a GenOp>) -> BTreeMap<i64, i64> {
    let mut balances = BTreeMap::new();
    for mop in ops.flat_map(|op| &op.mops) {
        if let MicroOp::Inc { key: Key::Int(key), delta } = mop {
            *balances.entry(*key).or_default() += delta;
        }
    }
    balances
}

#[test]
fn a_bank_holds_the_same_total_whatever_happened_to_unknown_transfers() {
    for seed in 0..SEEDS {
        let done = drive(by_name("bank").unwrap(), seed, (seed % 3) as u32 * 10);
        let read = |op: &&GenOp| op.mops.iter().all(MicroOp::is_read);
        let reads: Vec<&GenOp> = done.iter().map(|(op, _)| op).filter(read).collect();
        let accounts: Vec<Key> = reads[0].mops.iter().map(|mop| mop.key().clone()).collect();
        assert_eq!(accounts.len() as i64, BANK_ACCOUNTS);
        for op in &reads {
            let keys: Vec<Key> = op.mops.iter().map(|mop| mop.key().clone()).collect();
            assert_eq!(keys, accounts, "every read is of the whole bank, and there is one");
        }
        // Nobody knows which of the unknown ones happened.
        let mut coin = ChaCha8Rng::seed_from_u64(seed);
        let happened = done.iter().filter(|(_, status)| match status {
            EventKind::Ok => true,
            EventKind::Info => coin.random_bool(0.5),
            _ => false,
        });
        let balances = apply(happened.map(|(op, _)| op));
        let total: i64 = balances
            .iter()
            .filter(|(key, _)| accounts.contains(&Key::Int(**key)))
            .map(|b| b.1)
            .sum();
        assert_eq!(total, BANK_TOTAL);
        for (op, _) in done.iter().filter(|(op, _)| op.mops.len() == 2) {
            assert_eq!(apply([op].into_iter()).values().sum::<i64>(), 0);
            assert_eq!(apply([op].into_iter()).len(), 2, "from one account to another");
        }
    }
}

#[test]
fn some_keys_are_hot_and_some_are_not() {
    for name in ["append", "register"] {
        let done = drive(by_name(name).unwrap(), 3, 0);
        let mut touched: BTreeMap<&Key, usize> = BTreeMap::new();
        for mop in done[..50].iter().flat_map(|(op, _)| &op.mops) {
            *touched.entry(mop.key()).or_default() += 1;
        }
        let (most, least) = (touched.values().max().unwrap(), touched.values().min().unwrap());
        assert!(5 * least < *most, "{name}: {touched:?}");
        let sizes: BTreeSet<usize> = done.iter().map(|(op, _)| op.mops.len()).collect();
        assert_eq!(sizes, (1..=4).collect());
    }
}
