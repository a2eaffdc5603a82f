//! Rw-register: which version may follow on which, who wrote and read it, and the dependencies.
//!
//! Values are unique in a key, so a read names its write. The order of versions is inferred: each
//! value comes after the initial state; with the options also by writes that follow reads, and by
//! the order of processes or of real time per key. A source that makes a key's order cyclic is
//! reported and left out for that key.

use history::{EventKind, History, Mop, MopKind, Op, Shown};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::anomaly::Anomaly;
use crate::cases::{Case, Cases, Refusal, VersionSource, Why};
use crate::graph::{Builder, Graph, NONE, RW, View, WR, WW, components};
use crate::mutation;
use crate::options::{Options, Scope};

/// Steps through the order of versions that are made to add what contradicts itself.
const ONE_BY_ONE_MAX: u64 = 50_000_000;

/// A version of a key, by number. Versions `0..keys` are the initial states.
pub type Version = u32;

/// What is known of a version.
#[derive(Clone, Copy, Debug)]
pub struct VersionFacts {
    /// Its key.
    pub key: u32,
    /// Its value; 0 for the initial state.
    pub value: i64,
    /// Who wrote it.
    pub writer: u32,
    /// Whether that is the writer's last write to the key.
    pub last: bool,
}

/// See the module's doc.
#[derive(Clone)]
pub struct Registers<'h> {
    /// The history.
    pub history: &'h History,
    /// By number.
    pub versions: Vec<VersionFacts>,
    /// By key and value.
    pub numbers: FxHashMap<(u32, i64), Version>,
    /// What precedes what, and why.
    pub order: Vec<(Version, Version, VersionSource)>,
    readers: Graph,
    scope: Scope,
}

/// The first and last version that an operation met of a key, from outside and for the outside.
#[derive(Clone, Copy, Debug)]
struct Met {
    key: u32,
    read: Option<Version>,
    wrote: Option<Version>,
}

impl<'h> Registers<'h> {
    /// Indexes a history.
    pub fn new(
        history: &'h History,
        options: &Options,
        scope: Scope,
        cases: &mut Cases,
    ) -> Result<Registers<'h>, Refusal> {
        let initial = |key| VersionFacts { key, value: 0, writer: NONE, last: true };
        let mut registers = Registers {
            history,
            versions: (0..history.keys.len() as u32).map(initial).collect(),
            numbers: FxHashMap::default(),
            order: Vec::new(),
            readers: Graph::default(),
            scope,
        };
        registers.index_writes()?;
        registers.index_reads()?;
        registers.find_order(options, cases);
        Ok(registers)
    }

    fn number(&mut self, key: u32, value: i64) -> Version {
        let versions = &mut self.versions;
        *self.numbers.entry((key, value)).or_insert_with(|| {
            versions.push(VersionFacts { key, value, writer: NONE, last: true });
            versions.len() as u32 - 1
        })
    }

    fn index_writes(&mut self) -> Result<(), Refusal> {
        let history = self.history;
        for (number, op) in history.ops.iter().enumerate() {
            let mops = history.mops_of(op);
            for (at, mop) in mops.iter().enumerate() {
                if mop.kind == MopKind::Read {
                    continue;
                }
                let key = &history.keys[mop.key as usize];
                if mop.kind != MopKind::Write {
                    let why = format!("key {key}: {:?} is no part of rw-register", mop.kind);
                    return Err(Refusal { line: op.index(), why });
                }
                let version = self.number(mop.key, mop.value) as usize;
                if self.versions[version].writer != NONE {
                    let why = format!("{} is written to key {key} a second time", mop.value);
                    return Err(Refusal { line: op.index(), why });
                }
                let more = |next: &Mop| next.kind == MopKind::Write && next.key == mop.key;
                self.versions[version].writer = number as u32;
                self.versions[version].last = !mops[at + 1..].iter().any(more);
            }
        }
        Ok(())
    }

    fn index_reads(&mut self) -> Result<(), Refusal> {
        let history = self.history;
        let mut readers: Vec<(u32, u32, u8)> = Vec::new();
        for (number, op) in history.ops.iter().enumerate() {
            if op.kind != EventKind::Ok || !self.scope.vertex(op) {
                continue;
            }
            for mop in history.mops_of(op).iter().filter(|mop| mop.kind == MopKind::Read) {
                if mop.shown == Shown::List {
                    let key = &history.keys[mop.key as usize];
                    let why = format!("a read of key {key} shows a list");
                    return Err(Refusal { line: op.index(), why });
                }
                let version = self.shown(mop);
                if is_external(history.mops_of(op), mop) {
                    readers.push((version, number as u32, WR));
                }
            }
        }
        self.readers = Graph::of(self.versions.len(), readers.iter().copied());
        Ok(())
    }

    fn shown(&mut self, mop: &Mop) -> Version {
        match mop.shown {
            Shown::Int => self.number(mop.key, mop.value),
            _ => mop.key,
        }
    }

    fn shown_known(&self, mop: &Mop) -> Version {
        match mop.shown {
            Shown::Int => self.numbers.get(&(mop.key, mop.value)).copied().unwrap_or(mop.key),
            _ => mop.key,
        }
    }

    /// Whoever wrote it in the end, unless that failed.
    pub fn installed_by(&self, version: Version) -> Option<u32> {
        let facts = &self.versions[version as usize];
        let there = facts.writer != NONE && facts.last;
        let op = there.then(|| &self.history.ops[facts.writer as usize])?;
        (op.kind != EventKind::Fail).then_some(facts.writer)
    }

    /// Whether somebody read it.
    pub fn is_read(&self, version: Version) -> bool {
        self.readers.out(version).next().is_some()
    }

    /// Whether the order of versions is one together with these.
    pub fn is_acyclic(&self, new: &[(Version, Version, VersionSource)]) -> bool {
        let both = self.order.iter().chain(new).map(|(a, b, _)| (*a, *b, WW));
        let graph = Graph::of(self.versions.len(), both);
        components(&graph, View { kinds: WW, nonadjacent: false }).count == 0
    }

    /// Adds pairs that do not contradict those before them.
    pub fn add_one_by_one(&mut self, new: Vec<(Version, Version, VersionSource)>) {
        let mut after: FxHashMap<Version, Vec<Version>> = FxHashMap::default();
        for (a, b, _) in &self.order {
            after.entry(*a).or_default().push(*b);
        }
        let mut steps_left = ONE_BY_ONE_MAX;
        for pair @ (a, b, _) in new {
            let (mut open, mut seen) = (vec![b], FxHashSet::from_iter([b]));
            while let Some(at) = open.pop().filter(|at| *at != a && 0 < steps_left) {
                for next in after.get(&at).into_iter().flatten() {
                    steps_left = steps_left.saturating_sub(1);
                    if seen.insert(*next) {
                        open.push(*next);
                    }
                }
            }
            if !seen.contains(&a) && 0 < steps_left {
                after.entry(a).or_default().push(b);
                self.order.push(pair);
            }
        }
    }

    fn find_order(&mut self, options: &Options, cases: &mut Cases) {
        let initial = self.initial_order();
        self.merge(initial, cases);
        if options.wfr_keys {
            let order = self.wfr_order();
            self.merge(order, cases);
        }
        if options.sequential_keys {
            let order = self.sequential_order();
            self.merge(order, cases);
        }
        if options.linearizable_keys {
            let order = self.linearizable_order();
            self.merge(order, cases);
        }
    }

    fn initial_order(&self) -> Vec<(Version, Version, VersionSource)> {
        let keys = self.history.keys.len() as u32;
        // What failed and was never read is no version at all.
        let seen =
            |version: &Version| self.installed_by(*version).is_some() || self.is_read(*version);
        let values = (keys..self.versions.len() as u32).filter(seen);
        let key = |version: Version| self.versions[version as usize].key;
        values.map(|version| (key(version), version, VersionSource::Initial)).collect()
    }

    /// What an operation met of each key.
    fn met(&self, op: &Op) -> Vec<Met> {
        let mut met: Vec<Met> = Vec::new();
        if op.kind == EventKind::Fail || !self.scope.vertex(op) {
            return met;
        }
        for mop in self.history.mops_of(op) {
            let at = met.iter().position(|met| met.key == mop.key);
            let first = at.is_none();
            let at = at.unwrap_or_else(|| {
                met.push(Met { key: mop.key, read: None, wrote: None });
                met.len() - 1
            });
            if mop.kind == MopKind::Write {
                met[at].wrote = self.numbers.get(&(mop.key, mop.value)).copied();
            } else if first && op.kind == EventKind::Ok {
                met[at].read = Some(self.shown_known(mop));
            }
        }
        met.retain(|met| met.read.is_some() || met.wrote.is_some());
        met
    }

    fn wfr_order(&self) -> Vec<(Version, Version, VersionSource)> {
        let ok = self.history.ops.iter().filter(|op| op.kind == EventKind::Ok);
        let pairs = ok.flat_map(|op| self.met(op)).filter_map(|met| {
            // Who reads what it writes later has an anomaly of its own.
            let pair = met.read.zip(met.wrote).filter(|(read, wrote)| read != wrote);
            match mutation::active(mutation::WFR_BACKWARD) {
                true => pair.map(|(read, wrote)| (wrote, read)),
                false => pair,
            }
        });
        pairs.map(|(read, wrote)| (read, wrote, VersionSource::WritesFollowReads)).collect()
    }

    /// Per key and process what was met one after the other.
    pub fn sequential_order(&self) -> Vec<(Version, Version, VersionSource)> {
        let mut last: FxHashMap<(i64, u32), Met> = FxHashMap::default();
        let mut order = Vec::new();
        for op in self.history.ops.iter().filter(|op| op.kind == EventKind::Ok) {
            for met in self.met(op) {
                if let Some(before) = last.insert((op.process(), met.key), met) {
                    let (a, b) = match mutation::active(mutation::SEQUENTIAL_BACKWARD) {
                        true => (met, before),
                        false => (before, met),
                    };
                    link(a, b, VersionSource::Sequential, &mut order);
                }
            }
        }
        order
    }

    /// Per key the order of real time, reduced: who completed before whom was invoked, with
    /// nobody between.
    pub fn linearizable_order(&self) -> Vec<(Version, Version, VersionSource)> {
        let history = self.history;
        let mut events: Vec<(u64, u32, bool)> = Vec::new();
        for (number, op) in history.ops.iter().enumerate() {
            events.push((op.index(), number as u32, false));
            if let (EventKind::Ok, Some(done)) = (op.kind, op.completed_index()) {
                events.push((done, number as u32, true));
            }
        }
        events.sort_unstable();
        let mut order = Vec::new();
        let mut frontier: FxHashMap<u32, Vec<(u32, Met)>> = FxHashMap::default();
        let mut open: FxHashMap<u32, Vec<(Met, FxHashSet<u32>)>> = FxHashMap::default();
        for (_, number, done) in events {
            if !done {
                let op = &history.ops[number as usize];
                for met in self.met(op) {
                    let before = frontier.get(&met.key).map(Vec::as_slice).unwrap_or_default();
                    for &(_, earlier) in before {
                        let (a, b) = match mutation::active(mutation::LINEARIZABLE_BACKWARD) {
                            true => (met, earlier),
                            false => (earlier, met),
                        };
                        link(a, b, VersionSource::Linearizable, &mut order);
                    }
                    if op.kind == EventKind::Ok {
                        let seen = before.iter().map(|(op, _)| *op).collect();
                        open.entry(number).or_default().push((met, seen));
                    }
                }
                continue;
            }
            for (met, seen) in open.remove(&number).unwrap_or_default() {
                let frontier = frontier.entry(met.key).or_default();
                frontier.retain(|(op, _)| !seen.contains(op));
                frontier.push((number, met));
            }
        }
        order
    }

    /// Adds a source's order, key by key, where that makes no cycle.
    fn merge(&mut self, new: Vec<(Version, Version, VersionSource)>, cases: &mut Cases) {
        let both = self.order.iter().chain(&new).map(|(a, b, _)| (*a, *b, WW));
        let graph = Graph::of(self.versions.len(), both);
        let found = components(&graph, View { kinds: WW, nonadjacent: false });
        let mut cyclic: FxHashMap<u32, Vec<Version>> = FxHashMap::default();
        let mut told = FxHashMap::default();
        for (version, component) in found.of.iter().enumerate().filter(|(_, c)| **c != NONE) {
            let key = self.versions[version].key;
            if *told.entry(key).or_insert(*component) == *component {
                cyclic.entry(key).or_default().push(version as u32);
            }
        }
        let mut keys: Vec<u32> = cyclic.keys().copied().collect();
        keys.sort_unstable();
        let source = new.first().map(|(.., source)| *source);
        for key in keys {
            self.cyclic_case(key, &cyclic[&key], source, cases);
        }
        let versions = &self.versions;
        let fits = |(a, ..): &(Version, Version, VersionSource)| {
            !cyclic.contains_key(&versions[*a as usize].key)
        };
        self.order.extend(new.into_iter().filter(fits));
        self.order.sort_unstable_by_key(|(a, b, _)| (*a, *b));
        self.order.dedup_by_key(|(a, b, _)| (*a, *b));
    }

    fn cyclic_case(
        &self,
        key: u32,
        versions: &[Version],
        source: Option<VersionSource>,
        cases: &mut Cases,
    ) {
        cases.add(Anomaly::CyclicVersions, || {
            let facts = |version: &Version| &self.versions[*version as usize];
            let written = versions.iter().filter(|v| **v >= self.history.keys.len() as u32);
            let values: Vec<i64> = written.map(|version| facts(version).value).collect();
            let mut ops: Vec<u32> = versions
                .iter()
                .flat_map(|v| self.readers.out(*v).map(|(op, _)| op).chain(self.installed_by(*v)))
                .collect();
            ops.sort_unstable();
            ops.dedup();
            let source = source.map_or(String::new(), |source| format!("{source:?}"));
            Case {
                anomaly: Anomaly::CyclicVersions,
                ops,
                key,
                sentence: format!(
                    "values of key {} would each come before the other, by {source}: {values:?}",
                    self.history.keys[key as usize]
                ),
                values,
            }
        });
    }

    /// All dependencies through data.
    pub fn edges(&self, graph: &mut Builder) {
        for version in self.history.keys.len() as u32..self.versions.len() as u32 {
            let Some(writer) = self.installed_by(version) else {
                continue;
            };
            for (reader, _) in self.readers.out(version) {
                match mutation::active(mutation::READ_BACKWARD) {
                    true => graph.add(reader, writer, WR),
                    false => graph.add(writer, reader, WR),
                }
            }
        }
        for next in self.order.chunk_by(|a, b| a.0 == b.0) {
            let from = next[0].0;
            if from < self.history.keys.len() as u32 && mutation::active(mutation::NO_INITIAL_STATE)
            {
                continue;
            }
            let mut writers: Vec<u32> =
                next.iter().filter_map(|(_, to, _)| self.installed_by(*to)).collect();
            writers.sort_unstable();
            writers.dedup();
            if let Some(writer) = self.installed_by(from) {
                for &next in &writers {
                    graph.add(writer, next, WW);
                }
            }
            let mut readers: Vec<u32> = self.readers.out(from).map(|(op, _)| op).collect();
            readers.dedup();
            graph.fan(&readers, &writers, RW);
        }
    }

    /// Why a dependency exists.
    pub fn why(&self, from: u32, to: u32, kind: u8) -> Option<Why> {
        let op = |number: u32| &self.history.ops[number as usize];
        if kind == WR {
            return self.met(op(to)).iter().find_map(|met| {
                let read = met.read.filter(|read| self.installed_by(*read) == Some(from))?;
                Some(Why::Read { key: met.key, value: self.versions[read as usize].value })
            });
        }
        let (before, after) = (self.met(op(from)), self.met(op(to)));
        before.iter().find_map(|earlier| {
            let later = after.iter().find(|later| later.key == earlier.key)?.wrote?;
            let start = if kind == WW { earlier.wrote } else { earlier.read }?;
            let ordered = self.order.binary_search_by_key(&(start, later), |o| (o.0, o.1)).is_ok();
            let (key, to) = (earlier.key, self.versions[later as usize].value);
            let value = self.versions[start as usize].value;
            ordered.then_some(match kind {
                WW => Why::Overwrote { key, from: value, to },
                _ => {
                    let from = (start >= self.history.keys.len() as u32).then_some(value);
                    Why::ReadBefore { key, from, to }
                }
            })
        })
    }
}

/// Whether a read is the transaction's first touch of its key.
fn is_external(mops: &[Mop], read: &Mop) -> bool {
    let first = mops.iter().find(|mop| mop.key == read.key);
    first.is_some_and(|first| std::ptr::eq(first, read))
}

/// What the later met comes after what the earlier left.
fn link(
    earlier: Met,
    later: Met,
    source: VersionSource,
    order: &mut Vec<(Version, Version, VersionSource)>,
) {
    let (Some(left), Some(found)) = (earlier.wrote.or(earlier.read), later.read.or(later.wrote))
    else {
        return;
    };
    if left != found {
        order.push((left, found, source));
    }
}
