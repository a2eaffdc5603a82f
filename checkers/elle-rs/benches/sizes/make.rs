//! Histories of any size: what a store did to transactions of up to three micro-operations, one
//! after another, while as many others were open as there are processes.

use std::borrow::Cow;

use elle_rs::Workload;
use history::{Event, EventKind, History, Key, MicroOp, Observed};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What the store does wrong, or what is odd about its load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: strictly serializable.
    Valid,
    /// One read in a thousand shows what was there two writes before.
    Invalid,
    /// Every read shows what was there up to ten writes before: nearly all transactions are in
    /// one component.
    Weak,
    /// The first transaction reads what the last writes: all others lie between them, in one
    /// component, without another fault.
    Ring,
    /// Valid, all on one key, which is read a hundred times.
    OneKey,
    /// Valid, ten keys that grow to 100,000 elements and more, read a thousand times.
    LongLists,
}

impl Kind {
    /// All, by the name on the command line.
    pub const ALL: [(&str, Kind); 6] = [
        ("valid", Kind::Valid),
        ("invalid", Kind::Invalid),
        ("weak", Kind::Weak),
        ("ring", Kind::Ring),
        ("one-key", Kind::OneKey),
        ("long-lists", Kind::LongLists),
    ];

    fn keys(self) -> usize {
        if self == Kind::OneKey { 1 } else { 10 }
    }

    /// Writes after which a key is left for a new one.
    fn writes_per_key(self) -> usize {
        if matches!(self, Kind::OneKey | Kind::LongLists) { usize::MAX } else { 64 }
    }

    fn reads(self, random: &mut ChaCha8Rng, count: usize) -> bool {
        let wanted = match self {
            Kind::OneKey => 100.0,
            Kind::LongLists => 1_000.0,
            _ => return random.random_bool(0.5),
        };
        random.random_bool((wanted / (3.0 * count as f64)).min(1.0))
    }
}

struct Store {
    workload: Workload,
    kind: Kind,
    random: ChaCha8Rng,
    /// What was written to each key, in order.
    keys: Vec<(i64, Vec<i64>)>,
    next_key: i64,
    value: i64,
}

/// A transaction as it is asked and as it is answered.
type Transaction = (Vec<MicroOp>, Vec<MicroOp>);

impl Store {
    fn new(workload: Workload, kind: Kind) -> Store {
        let keys = kind.keys();
        Store {
            workload,
            kind,
            random: ChaCha8Rng::seed_from_u64(1),
            keys: (0..keys as i64).map(|key| (key, Vec::new())).collect(),
            next_key: keys as i64,
            value: 0,
        }
    }

    fn write(&self, key: i64, value: i64) -> MicroOp {
        let key = Key::Int(key);
        match self.workload {
            Workload::ListAppend => MicroOp::Append { key, value },
            Workload::RwRegister => MicroOp::Write { key, value },
        }
    }

    fn shown(&mut self, at: usize) -> Option<Observed> {
        let behind = match self.kind {
            Kind::Invalid if self.random.random_range(0..1000) == 0 => 2,
            Kind::Weak => self.random.random_range(0..10),
            _ => 0,
        };
        let written = &self.keys[at].1;
        let seen = &written[..written.len().saturating_sub(behind)];
        match self.workload {
            Workload::ListAppend => Some(Observed::List(seen.to_vec())),
            Workload::RwRegister => seen.last().copied().map(Observed::Int),
        }
    }

    fn transaction(&mut self, count: usize) -> Transaction {
        let (mut asked, mut done) = (Vec::with_capacity(3), Vec::with_capacity(3));
        for _ in 0..3 {
            let at = self.random.random_range(0..self.keys.len());
            let key = self.keys[at].0;
            if self.kind.reads(&mut self.random, count) {
                let key = Key::Int(key);
                asked.push(MicroOp::Read { key: key.clone(), value: None });
                done.push(MicroOp::Read { key, value: self.shown(at) });
            } else {
                self.value += 1;
                self.keys[at].1.push(self.value);
                asked.push(self.write(key, self.value));
                done.push(self.write(key, self.value));
            }
        }
        let most = self.kind.writes_per_key();
        for key in self.keys.iter_mut().filter(|(_, list)| list.len() >= most) {
            *key = (self.next_key, Vec::new());
            self.next_key += 1;
        }
        (asked, done)
    }
}

/// What closes the ring: a key of its own, read first and written last.
fn ring_ends(number: usize, count: usize, store: &Store) -> Option<Transaction> {
    let key = Key::Int(-1);
    if number == 0 {
        let shown = match store.workload {
            Workload::ListAppend => Observed::List(vec![1]),
            Workload::RwRegister => Observed::Int(1),
        };
        let asked = vec![MicroOp::Read { key: key.clone(), value: None }];
        return Some((asked, vec![MicroOp::Read { key, value: Some(shown) }]));
    }
    let write = || vec![store.write(-1, 1)];
    (number + 1 == count).then(|| (write(), write()))
}

/// So many transactions of so many processes.
pub fn make(workload: Workload, kind: Kind, count: usize, processes: usize) -> History {
    let mut store = Store::new(workload, kind);
    let mut history = History::default();
    let mut waiting: Vec<Option<Vec<MicroOp>>> = vec![None; processes];
    let mut index = 0;
    let mut push = |kind, process, value| {
        let event = Event {
            index,
            kind,
            process: process as i64,
            session: None,
            node: None,
            time: index as i64 * 1_000,
            f: Cow::Borrowed("txn"),
            value,
            final_read: false,
            error: None,
            position: None,
            target: None,
            hops: Vec::new(),
        };
        index += 1;
        history.push(event).unwrap();
    };
    for number in 0..count + processes {
        let process = number % processes;
        if let Some(done) = waiting[process].take() {
            push(EventKind::Ok, process, done);
        }
        if number < count {
            let ends = (kind == Kind::Ring).then(|| ring_ends(number, count, &store)).flatten();
            let (asked, done) = ends.unwrap_or_else(|| store.transaction(count));
            push(EventKind::Invoke, process, asked);
            waiting[process] = Some(done);
        }
    }
    history
}
