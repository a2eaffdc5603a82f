//! Random small histories judged by brute force: levels by their definitions, with no graph.
//!
//! Serializable: some order of all that happened, in which every read shows just what was
//! written before. Strong session and strict: one that also keeps the order of processes, or of
//! real time. Snapshot isolation: some interleaving of starts and commits in which reads show the
//! state at the start and no two transactions that run at once write one key. `info` transactions
//! may have happened or not.

use std::collections::BTreeMap;

use history::{Event, EventKind, History, MicroOp, Mop, MopKind, Observed, Shown};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::options::{Options, Workload};
use crate::verdict::{Validity, Verdict};
use crate::{Model, check, mutation, verify};

type State = BTreeMap<u32, Vec<i64>>;

/// A transaction being made: process, kind, micro-operations, lines.
struct Made {
    process: i64,
    kind: EventKind,
    value: Vec<MicroOp>,
    invoked: u64,
    completed: u64,
}

fn read_of(workload: Workload, list: &[i64]) -> Option<Observed> {
    match workload {
        Workload::ListAppend => Some(Observed::List(list.to_vec())),
        Workload::RwRegister => list.last().map(|value| Observed::Int(*value)),
    }
}

/// A random small history.
pub fn make(random: &mut ChaCha8Rng, workload: Workload) -> History {
    let count = random.random_range(2..=4);
    let mut made: Vec<Made> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let (mut clock, mut value, mut retired) = (0u64, 0, 0);
    while made.len() < count || !open.is_empty() {
        let may_invoke = made.len() < count && open.len() < 3;
        if may_invoke && (open.is_empty() || random.random_bool(0.5)) {
            let busy: Vec<i64> = open.iter().map(|at| made[*at].process).collect();
            let free = (0..4).map(|p| p + retired).find(|p| !busy.contains(p));
            let length = random.random_range(1..=3);
            let mut mop = || {
                let key = random.random_range(0..2i64).into();
                value += 1;
                match (random.random_bool(0.5), workload) {
                    (true, _) => MicroOp::Read { key, value: None },
                    (_, Workload::ListAppend) => MicroOp::Append { key, value },
                    _ => MicroOp::Write { key, value },
                }
            };
            let mops: Vec<MicroOp> = (0..length).map(|_| mop()).collect();
            let kind = match random.random_range(0..10) {
                0 => EventKind::Info,
                1 => EventKind::Fail,
                _ => EventKind::Ok,
            };
            let process = free.unwrap();
            made.push(Made { process, kind, value: mops, invoked: clock, completed: 0 });
            open.push(made.len() - 1);
        } else {
            let at = open.swap_remove(random.random_range(0..open.len()));
            made[at].completed = clock;
            retired += i64::from(made[at].kind == EventKind::Info) * 10;
        }
        clock += 1;
    }
    fill_reads(random, workload, &mut made);
    let mut events: Vec<Event> = Vec::new();
    for txn in &made {
        for (index, kind) in [(txn.invoked, EventKind::Invoke), (txn.completed, txn.kind)] {
            let mut value = txn.value.clone();
            for mop in value.iter_mut().filter(|_| kind != EventKind::Ok) {
                if let MicroOp::Read { value, .. } = mop {
                    *value = None;
                }
            }
            let line = serde_json::json!({
                "index": index, "type": kind, "process": txn.process, "f": "txn", "value": value
            });
            events.push(serde_json::from_value(line).unwrap());
        }
    }
    events.sort_by_key(|event| event.index);
    History::from_events(events).unwrap()
}

/// Runs the transactions in some order, most one after another, then spoils a few reads.
fn fill_reads(random: &mut ChaCha8Rng, workload: Workload, made: &mut [Made]) {
    let mut order: Vec<usize> = (0..made.len()).collect();
    for at in 1..order.len() {
        if random.random_bool(0.4) {
            order.swap(at, random.random_range(0..=at));
        }
    }
    let happens: Vec<bool> = made
        .iter()
        .map(|txn| match txn.kind {
            EventKind::Ok => true,
            EventKind::Info => random.random_bool(0.5),
            _ => random.random_bool(0.1),
        })
        .collect();
    let mut steps: Vec<usize> =
        order.iter().flat_map(|at| vec![*at; made[*at].value.len()]).collect();
    // Some run all at once, with no isolation at all.
    if random.random_bool(0.25) {
        for at in 1..steps.len() {
            steps.swap(at, random.random_range(0..=at));
        }
    }
    let mut state: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    let mut done = vec![0; made.len()];
    for at in steps {
        let mop = &mut made[at].value[done[at]];
        done[at] += 1;
        let list = state.entry(mop.key().to_string()).or_default();
        match mop {
            MicroOp::Read { value, .. } => *value = read_of(workload, list),
            MicroOp::Append { value, .. } | MicroOp::Write { value, .. } if happens[at] => {
                list.push(*value);
            }
            _ => {}
        }
    }
    let spoil = random.random_range(0..3);
    for _ in 0..spoil {
        let at = random.random_range(0..made.len());
        for mop in &mut made[at].value {
            let list = state.get(&mop.key().to_string()).cloned().unwrap_or_default();
            if let MicroOp::Read { value, .. } = mop
                && random.random_bool(0.6)
            {
                let to = random.random_range(0..=list.len());
                *value = read_of(workload, &list[..to]);
            }
        }
    }
}

/// Which must come before which.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    Process,
    Realtime,
}

fn precedes(history: &History, a: usize, b: usize, before: Before) -> bool {
    let (first, second) = (&history.ops[a], &history.ops[b]);
    let done = first.kind == EventKind::Ok && first.completed_index() < Some(second.index());
    match before {
        Before::Nothing => false,
        Before::Process => done && first.process() == second.process(),
        Before::Realtime => done,
    }
}

/// Runs a transaction on a state; whether its reads show just that.
fn run(history: &History, op: usize, state: &mut State) -> bool {
    let ok = history.ops[op].kind == EventKind::Ok;
    history.mops_of(&history.ops[op]).iter().all(|mop| {
        let list = state.entry(mop.key).or_default();
        if mop.kind != MopKind::Read {
            list.push(mop.value);
            return true;
        }
        !ok || shows(history, mop, list)
    })
}

fn shows(history: &History, mop: &Mop, list: &[i64]) -> bool {
    match mop.shown {
        Shown::List => history.list(mop) == list,
        Shown::Int => list.last() == Some(&mop.value),
        Shown::Nothing => list.is_empty(),
    }
}

/// Every choice of which `info` transactions happened.
fn choices(history: &History) -> Vec<Vec<usize>> {
    let mut choices = vec![Vec::new()];
    for (at, op) in history.ops.iter().enumerate() {
        let mut more = Vec::new();
        for choice in &mut choices {
            match op.kind {
                EventKind::Ok => choice.push(at),
                EventKind::Info => {
                    let mut with: Vec<usize> = choice.clone();
                    with.push(at);
                    more.push(with);
                }
                _ => {}
            }
        }
        choices.extend(more);
    }
    choices
}

fn serial(history: &History, left: &[usize], state: &State, before: Before) -> bool {
    if left.is_empty() {
        return true;
    }
    left.iter().any(|&op| {
        if left.iter().any(|&other| other != op && precedes(history, other, op, before)) {
            return false;
        }
        let rest: Vec<usize> = left.iter().copied().filter(|other| *other != op).collect();
        let mut state = state.clone();
        run(history, op, &mut state) && serial(history, &rest, &state, before)
    })
}

fn serializable(history: &History, before: Before) -> bool {
    choices(history).iter().any(|choice| serial(history, choice, &State::new(), before))
}

/// A transaction that runs: its number, its keys written, and whether a commit broke it.
fn snapshot(
    history: &History,
    waiting: &[usize],
    running: &[usize],
    state: &State,
    conflicts: &[usize],
) -> bool {
    let keys = |op: usize| {
        let mops = history.mops_of(&history.ops[op]).iter();
        mops.filter(|mop| mop.kind != MopKind::Read).map(|mop| mop.key).collect::<Vec<u32>>()
    };
    let without = |all: &[usize], op: usize| -> Vec<usize> {
        all.iter().copied().filter(|other| *other != op).collect()
    };
    let start = waiting.iter().any(|&op| {
        // All reads show the state at the start; own writes on top.
        let mut running = running.to_vec();
        running.push(op);
        run(history, op, &mut state.clone())
            && snapshot(history, &without(waiting, op), &running, state, conflicts)
    });
    let commit = || {
        running.iter().any(|&op| {
            if conflicts.contains(&op) {
                return false;
            }
            let rest = without(running, op);
            let wrote = keys(op);
            let mut conflicts = conflicts.to_vec();
            let hit = |other: &&usize| keys(**other).iter().any(|key| wrote.contains(key));
            conflicts.extend(rest.iter().filter(hit));
            let mut state = state.clone();
            run_writes(history, op, &mut state);
            snapshot(history, waiting, &rest, &state, &conflicts)
        })
    };
    (waiting.is_empty() && running.is_empty()) || start || commit()
}

fn run_writes(history: &History, op: usize, state: &mut State) {
    for mop in history.mops_of(&history.ops[op]).iter().filter(|mop| mop.kind != MopKind::Read) {
        state.entry(mop.key).or_default().push(mop.value);
    }
}

fn snapshot_isolated(history: &History) -> bool {
    choices(history).iter().any(|choice| snapshot(history, choice, &[], &State::new(), &[]))
}

/// How many appends that may have happened stay unread, at most, of one key.
fn unread_max(history: &History) -> usize {
    let ok = |op: &&history::Op| op.kind == EventKind::Ok;
    let reads = history.ops.iter().filter(ok).flat_map(|op| history.mops_of(op));
    let read: Vec<(u32, i64)> =
        reads.flat_map(|mop| history.list(mop).iter().map(|value| (mop.key, *value))).collect();
    let mut unread: BTreeMap<u32, usize> = BTreeMap::new();
    for op in history.ops.iter().filter(|op| op.kind != EventKind::Fail) {
        for mop in history.mops_of(op).iter().filter(|mop| mop.kind == MopKind::Append) {
            if !read.contains(&(mop.key, mop.value)) {
                *unread.entry(mop.key).or_default() += 1;
            }
        }
    }
    unread.values().copied().max().unwrap_or(0)
}

#[derive(Default)]
struct Tally {
    /// By definition it does not hold; of those, ours says so.
    broken: u64,
    caught: u64,
    /// It holds, and ours says otherwise.
    false_alarms: u64,
    /// It is broken, and ours says that it is proved to hold.
    false_proofs: u64,
    /// Ours says one or the other.
    decided: u64,
    missed_where_complete: u64,
    unsound_witnesses: u64,
}

fn judge(history: &History, options: &Options) -> Verdict {
    check(history, options).unwrap()
}

fn compare(history: &History, options: &Options, holds: bool, complete: bool, tally: &mut Tally) {
    let verdict = judge(history, options);
    let invalid = verdict.validity == Validity::Invalid;
    tally.broken += u64::from(!holds);
    tally.caught += u64::from(!holds && invalid);
    tally.false_alarms += u64::from(holds && invalid);
    let valid = verdict.validity == Validity::Valid;
    let proved = options.workload == Workload::RwRegister && valid;
    tally.false_proofs += u64::from(!holds && proved);
    tally.decided += u64::from(valid || invalid);
    tally.missed_where_complete += u64::from(!holds && !invalid && complete);
    let cycles = verdict.cycles.iter().all(|c| verify::cycle(history, options, c).is_ok());
    let cases = verdict.cases.iter().all(|c| verify::case(history, options, c).is_ok());
    tally.unsound_witnesses += u64::from(!cycles || !cases);
}

fn lists(seeds: std::ops::Range<u64>) -> BTreeMap<&'static str, Tally> {
    let mut tallies: BTreeMap<&'static str, Tally> = BTreeMap::new();
    for seed in seeds {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let history = make(&mut random, Workload::ListAppend);
        let levels = [
            ("serializable", serializable(&history, Before::Nothing), true),
            ("strong-session-serializable", serializable(&history, Before::Process), true),
            ("strong-serializable", serializable(&history, Before::Realtime), true),
            ("snapshot-isolation", snapshot_isolated(&history), unread_max(&history) <= 1),
        ];
        for (level, holds, complete) in levels {
            let options = Options::new(Workload::ListAppend).model(Model::named(level).unwrap());
            compare(&history, &options, holds, complete, tallies.entry(level).or_default());
        }
    }
    tallies
}

fn registers(seeds: std::ops::Range<u64>) -> BTreeMap<String, Tally> {
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    for seed in seeds {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let history = make(&mut random, Workload::RwRegister);
        let serial = |before| serializable(&history, before);
        // What an option assumes of each key follows from the level in each of these.
        let levels = [
            ("serializable", serial(Before::Nothing), "plain"),
            ("serializable", serial(Before::Nothing), "wfr"),
            ("snapshot-isolation", snapshot_isolated(&history), "wfr"),
            ("strong-session-serializable", serial(Before::Process), "wfr seq"),
            ("strong-serializable", serial(Before::Realtime), "plain"),
            ("strong-serializable", serial(Before::Realtime), "wfr seq lin"),
        ];
        for (level, holds, assume) in levels {
            let mut options = Options::new(Workload::RwRegister);
            options.models = vec![Model::named(level).unwrap()];
            options.wfr_keys = assume.contains("wfr");
            options.sequential_keys = assume.contains("seq");
            options.linearizable_keys = assume.contains("lin");
            let tally = tallies.entry(format!("{level}, {assume}")).or_default();
            compare(&history, &options, holds, false, tally);
        }
    }
    tallies
}

/// Histories to try: `ELLE_ORACLE_HISTORIES`, or a few thousand.
pub fn seeds() -> std::ops::Range<u64> {
    let count = std::env::var("ELLE_ORACLE_HISTORIES").ok().and_then(|n| n.parse().ok());
    0..count.unwrap_or(3_000)
}

#[test]
fn list_append_agrees_with_the_definitions_both_ways() {
    for (level, tally) in lists(seeds()) {
        println!("list-append {level}: {} broken, {} caught", tally.broken, tally.caught);
        assert_eq!(tally.false_alarms, 0, "{level}");
        assert_eq!(tally.missed_where_complete, 0, "{level}");
        assert_eq!(tally.unsound_witnesses, 0, "{level}");
        assert!(tally.broken > seeds().end / 20, "{level}: too few broken histories");
    }
}

#[test]
fn rw_register_never_alarms_where_the_definition_holds() {
    for (level, tally) in registers(seeds()) {
        let share = tally.caught as f64 / tally.broken as f64;
        let decided = tally.decided as f64 / seeds().end as f64;
        println!(
            "rw-register {level}: {} broken, {share:.3} of them caught; {decided:.3} decided",
            tally.broken
        );
        assert_eq!(tally.false_alarms, 0, "{level}");
        assert_eq!(tally.false_proofs, 0, "{level}");
        assert!(decided > 0.6, "{level}: {decided}");
        assert_eq!(tally.unsound_witnesses, 0, "{level}");
        assert!(share > 0.3, "{level}: {share}");
    }
}

/// With a rule broken the tests above must fail: what they count is then not zero.
#[test]
fn a_broken_edge_rule_is_noticed() {
    let spoilt = |tally: &Tally| {
        tally.false_alarms + tally.missed_where_complete + tally.unsound_witnesses > 0
    };
    for rule in [mutation::READ_SKIPS_ONE, mutation::UNREAD_FORGOTTEN, mutation::NO_OVERWRITES] {
        mutation::BROKEN.with(|broken| broken.set(rule));
        let noticed = lists(0..2_000).values().any(spoilt);
        mutation::BROKEN.with(|broken| broken.set(0));
        assert!(noticed, "rule {rule}");
    }
    let share = |tallies: &BTreeMap<String, Tally>| -> u64 {
        tallies.values().map(|tally| tally.caught).sum()
    };
    let right = share(&registers(0..1_000));
    mutation::BROKEN.with(|broken| broken.set(mutation::NO_INITIAL_STATE));
    let forgetful = share(&registers(0..1_000));
    mutation::BROKEN.with(|broken| broken.set(mutation::READ_BACKWARD));
    let backward = registers(0..1_000).values().any(|tally| tally.false_alarms > 0);
    mutation::BROKEN.with(|broken| broken.set(0));
    assert!(forgetful < right, "fewer are caught without the initial state");
    assert!(backward, "backward reads alarm falsely");
}

/// Each assumption about registers, turned around, contradicts histories that keep it.
#[test]
fn a_broken_rule_of_version_order_is_noticed() {
    for (rule, assuming) in [
        (mutation::WFR_BACKWARD, "wfr"),
        (mutation::SEQUENTIAL_BACKWARD, "seq"),
        (mutation::LINEARIZABLE_BACKWARD, "lin"),
    ] {
        mutation::BROKEN.with(|broken| broken.set(rule));
        let tallies = registers(0..1_000);
        mutation::BROKEN.with(|broken| broken.set(0));
        for (name, tally) in tallies {
            let assumed = name.split_once(", ").is_some_and(|(_, all)| all.contains(assuming));
            // The level itself says that keys are linearizable.
            let implied = assuming == "lin" && name.starts_with("strong-serializable");
            let assumed = assumed || implied;
            assert_eq!(0 < tally.false_alarms, assumed, "rule {rule}, {name}");
        }
    }
}
