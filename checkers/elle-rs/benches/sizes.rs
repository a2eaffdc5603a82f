//! `cargo bench -p elle-rs`: time and peak memory by size, on histories made here.
//!
//! Valid: transactions of three micro-operations take effect one after another, ten processes
//! overlapping. Invalid: one read in a thousand shows a list as it was two appends before.
//! `ELLE_BENCH_MAX` bounds the number of transactions (100,000 unless set).

#![allow(clippy::unwrap_used, reason = "a bench: its reader sees the panic")]

use std::borrow::Cow;
use std::time::Instant;

use elle_rs::{Options, Workload, check};
use history::{Event, EventKind, History, MicroOp, Observed};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const PROCESSES: i64 = 10;
const APPENDS_PER_KEY: usize = 64;

fn event(index: u64, kind: EventKind, process: i64, value: Vec<MicroOp>) -> Event {
    let line = serde_json::json!({
        "index": index, "type": kind, "process": process, "f": "txn", "value": []
    });
    let mut event: Event = serde_json::from_value(line).unwrap();
    event.value = value;
    event.f = Cow::Borrowed("txn");
    event
}

fn make(count: usize, stale: bool) -> History {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut history = History::default();
    let mut keys: Vec<(i64, Vec<i64>)> = (0..10).map(|key| (key, Vec::new())).collect();
    let mut next_key = 10;
    let mut waiting: Vec<Option<Vec<MicroOp>>> = vec![None; PROCESSES as usize];
    let (mut index, mut value) = (0, 0);
    for number in 0..count + PROCESSES as usize {
        let process = number as i64 % PROCESSES;
        if let Some(done) = waiting[process as usize].take() {
            history.push(event(index, EventKind::Ok, process, done)).unwrap();
            index += 1;
        }
        if number >= count {
            continue;
        }
        let (mut asked, mut done) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let (key, list) = &mut keys[random.random_range(0..10)];
            let name = history::Key::Int(*key);
            if random.random_bool(0.5) {
                value += 1;
                list.push(value);
                asked.push(MicroOp::Append { key: name.clone(), value });
                done.push(MicroOp::Append { key: name, value });
            } else {
                let old = stale && random.random_range(0..1000) == 0;
                let to = list.len().saturating_sub(if old { 2 } else { 0 });
                asked.push(MicroOp::Read { key: name.clone(), value: None });
                let shown = Some(Observed::List(list[..to].to_vec()));
                done.push(MicroOp::Read { key: name, value: shown });
            }
        }
        for key in keys.iter_mut().filter(|(_, list)| list.len() >= APPENDS_PER_KEY) {
            *key = (next_key, Vec::new());
            next_key += 1;
        }
        history.push(event(index, EventKind::Invoke, process, asked)).unwrap();
        index += 1;
        waiting[process as usize] = Some(done);
    }
    history
}

/// Peak memory of this process so far, MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

fn main() {
    let most = std::env::var("ELLE_BENCH_MAX").ok().and_then(|most| most.parse().ok());
    let most: usize = most.unwrap_or(100_000);
    for count in [10_000, 100_000, 1_000_000, 5_000_000].into_iter().filter(|n| *n <= most) {
        for stale in [false, true] {
            let history = make(count, stale);
            let before = peak();
            let start = Instant::now();
            let verdict = check(&history, &Options::new(Workload::ListAppend)).unwrap();
            println!(
                "{count} transactions, stale reads {stale}: {:?} in {:?}; peak {} MiB, of which \
                 the history {before} MiB; cut short {:?}",
                verdict.validity,
                start.elapsed(),
                peak(),
                verdict.bounded
            );
        }
    }
}
