//! List-append: which version follows on which, who wrote it, and the dependencies that follow.
//!
//! The longest list that was read of a key is its version order; appends that nobody read come
//! after it, in no known order among themselves. Elements of failed appends are passed over: a
//! later append overwrites the last one that may have been committed.

use std::borrow::Cow;

use history::{EventKind, History, Mop, MopKind, Op, Shown};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::appends::Appends;
use crate::cases::{Refusal, Why};
use crate::graph::{Builder, RW, WR, WW};
use crate::options::Scope;

/// No place in an order, or nobody.
pub const NOWHERE: u32 = u32::MAX;

/// Who appended an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Append {
    /// The operation.
    pub op: u32,
    /// Whether it is the operation's last append to the key.
    pub last: bool,
}

/// An [`Append`] in a word, or [`NOWHERE`] for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writer(u32);

impl Writer {
    /// Nobody.
    pub const NOBODY: Writer = Writer(NOWHERE);

    /// Of an operation below 2^31 - 1.
    pub fn new(op: u32, last: bool) -> Writer {
        Writer(op << 1 | u32::from(last))
    }

    /// Who it was, if there was one.
    pub fn append(self) -> Option<Append> {
        (self != Writer::NOBODY).then_some(Append { op: self.0 >> 1, last: self.0 & 1 == 1 })
    }
}

/// A key's versions.
#[derive(Clone, Debug, Default)]
pub struct Order<'h> {
    /// The elements, each once.
    pub values: Cow<'h, [i64]>,
    /// Who appended each of them.
    pub writers: Vec<Writer>,
    /// Who read it.
    pub reader: Option<u32>,
    /// The chain that it is kept in.
    chain: Option<u32>,
    /// Whether an element was in it twice.
    pub repeats: bool,
    /// Places by element, if some list that was read disagrees with the order; else empty.
    places: Vec<(i64, u32)>,
    /// For each place, and for the end: the place of the next element that may be committed.
    /// Empty if all may be.
    next: Vec<u32>,
    /// Elements that are not in `values`, sorted, with who appended them.
    rest: Vec<(i64, Writer)>,
    /// Who appended elements that are not in the order, and may have committed; sorted.
    pub unread: Vec<u32>,
    /// Those of them whose elements nobody read, if there are others: what is in another branch
    /// comes after all that its readers and those of the order saw, and what it overwrote is not
    /// known.
    unseen: Option<Vec<u32>>,
}

impl Order<'_> {
    /// The place of the first element from a place on that may be committed.
    fn next(&self, place: usize) -> u32 {
        match self.next.get(place) {
            Some(next) => *next,
            None if place < self.values.len() => place as u32,
            None => NOWHERE,
        }
    }

    /// Where an element is. Unless some list disagrees this is for witnesses alone, and all are
    /// gone through.
    fn place(&self, value: i64) -> Option<usize> {
        if self.places.is_empty() {
            return self.values.iter().position(|other| *other == value);
        }
        let at = self.places.binary_search_by_key(&value, |(value, _)| *value).ok()?;
        Some(self.places[at].1 as usize)
    }

    /// Who appended an element.
    pub fn append_of(&self, value: i64) -> Option<Append> {
        if let Some(place) = self.place(value) {
            return self.writers[place].append();
        }
        let at = self.rest.binary_search_by_key(&value, |(value, _)| *value).ok()?;
        self.rest[at].1.append()
    }
}

/// See the module's doc.
pub struct Lists<'h> {
    /// The history.
    pub history: &'h History,
    /// By key.
    pub orders: Vec<Order<'h>>,
    scope: Scope,
}

impl<'h> Lists<'h> {
    /// Indexes a history.
    ///
    /// # Errors
    /// If an element was appended twice to a key, or a micro-operation is of another workload.
    pub fn new(history: &'h History, scope: Scope) -> Result<Lists<'h>, Refusal> {
        let orders = vec![Order::default(); history.keys.len()];
        let mut lists = Lists { history, orders, scope };
        let table = Appends::of(history)?;
        lists.find_orders()?;
        let elsewhere = lists.elsewhere();
        lists.place(table, &elsewhere);
        Ok(lists)
    }

    /// Reads of ok transactions, as operation number, operation and micro-operation.
    pub fn reads(&self) -> impl Iterator<Item = (u32, &'h Op, &'h Mop)> + use<'h> {
        let (history, scope) = (self.history, self.scope);
        let ok = move |(_, op): &(usize, &Op)| op.kind == EventKind::Ok && scope.vertex(op);
        history.ops.iter().enumerate().filter(ok).flat_map(move |(number, op)| {
            let reads = history.mops_of(op).iter().filter(|mop| mop.kind == MopKind::Read);
            reads.map(move |mop| (number as u32, op, mop))
        })
    }

    fn find_orders(&mut self) -> Result<(), Refusal> {
        let history = self.history;
        for (number, op, mop) in self.reads() {
            if mop.shown == Shown::Int {
                let key = &history.keys[mop.key as usize];
                let why = format!("a read of key {key} shows no list");
                return Err(Refusal { line: op.index(), why });
            }
            let order = &mut self.orders[mop.key as usize];
            let list = history.list(mop);
            if list.len() > order.values.len() {
                order.values = Cow::Borrowed(list);
                order.chain = history.list_place(mop).map(|place| place.chain);
                order.reader = Some(number);
            }
        }
        let scope = self.scope;
        let onlookers = |op: &&Op| op.kind == EventKind::Ok && !scope.vertex(op);
        for op in history.ops.iter().filter(onlookers) {
            for mop in history.mops_of(op).iter().filter(|mop| mop.kind == MopKind::Read) {
                let order = &mut self.orders[mop.key as usize];
                let list = history.list(mop);
                if list.len() > order.values.len() && list.starts_with(&order.values) {
                    order.values = Cow::Borrowed(list);
                    order.chain = history.list_place(mop).map(|place| place.chain);
                }
            }
        }
        Ok(())
    }

    /// By key the elements of lists that are no prefix of its longest.
    fn elsewhere(&self) -> FxHashMap<u32, FxHashSet<i64>> {
        let history = self.history;
        let longest: Vec<Option<u32>> = self.orders.iter().map(|order| order.chain).collect();
        let mut elsewhere: FxHashMap<u32, FxHashSet<i64>> = FxHashMap::default();
        for op in history.ops.iter().filter(|op| op.kind == EventKind::Ok) {
            for mop in history.mops_of(op).iter().filter(|mop| mop.kind == MopKind::Read) {
                let Some(place) = history.list_place(mop).filter(|place| place.len != 0) else {
                    continue;
                };
                // Of two lists of one chain the shorter is a prefix.
                let order = &self.orders[mop.key as usize];
                let same = longest[mop.key as usize] == Some(place.chain)
                    && place.len as usize <= order.values.len();
                let list = history.list(mop);
                if !same && !order.values.starts_with(list) {
                    elsewhere.entry(mop.key).or_default().extend(list);
                }
            }
        }
        elsewhere
    }

    fn place(&mut self, mut table: Appends, elsewhere: &FxHashMap<u32, FxHashSet<i64>>) {
        let mut seen = FxHashSet::default();
        for (key, order) in self.orders.iter_mut().enumerate() {
            seen.clear();
            if !order.values.iter().all(|value| seen.insert(*value)) {
                seen.clear();
                order.repeats = true;
                order.values.to_mut().retain(|value| seen.insert(*value));
            }
            let appends = table.of_key(key as u32);
            let mut guess = 0;
            order.writers = Vec::with_capacity(order.values.len());
            for value in order.values.iter() {
                // Elements mostly are read in the order in which they were appended.
                let here = |at: &usize| appends.get(*at).is_some_and(|a| a.value == *value);
                let search = || appends.binary_search_by_key(value, |a| a.value).ok();
                let found = Some(guess).filter(here).or_else(search);
                guess = found.map_or(guess, |at| at + 1);
                order.writers.push(found.map_or(Writer::NOBODY, |at| {
                    appends[at].read = true;
                    appends[at].writer
                }));
            }
            let may_commit = |op: u32| self.history.ops[op as usize].kind != EventKind::Fail;
            let committed =
                |writer: &Writer| writer.append().is_some_and(|append| may_commit(append.op));
            if !order.writers.iter().all(committed) {
                order.next = vec![NOWHERE; order.values.len() + 1];
                for (place, writer) in order.writers.iter().enumerate().rev() {
                    let next = order.next[place + 1];
                    order.next[place] = if committed(writer) { place as u32 } else { next };
                }
            }
            let rest = appends.iter().filter(|append| !append.read);
            order.rest = rest.map(|append| (append.value, append.writer)).collect();
            let elsewhere = elsewhere.get(&(key as u32));
            let writers = |some: &dyn Fn(i64) -> bool| {
                let rest = order.rest.iter().filter(|(value, _)| some(*value));
                let ops = rest.filter_map(|(_, writer)| writer.append()).map(|append| append.op);
                let mut ops: Vec<u32> = ops.filter(|op| may_commit(*op)).collect();
                ops.sort_unstable();
                ops.dedup();
                ops
            };
            order.unread = writers(&|_| true);
            if let Some(elsewhere) = elsewhere {
                order.unseen = Some(writers(&|value| !elsewhere.contains(&value)));
                let places = order.values.iter().zip(0..).map(|(value, place)| (*value, place));
                order.places = places.collect();
                order.places.sort_unstable();
            }
        }
    }

    /// Whether a list agrees with the key's version order.
    pub fn agrees(&self, mop: &Mop) -> bool {
        let order = &self.orders[mop.key as usize];
        let list = self.history.list(mop);
        // What was read twice in one list has its own case.
        order.values.starts_with(list) || (order.repeats && self.agrees_repeating(mop))
    }

    fn agrees_repeating(&self, mop: &Mop) -> bool {
        let order = &self.orders[mop.key as usize];
        let Some(reader) = order.reader else {
            return false;
        };
        let list = self.history.list(mop);
        let op = &self.history.ops[reader as usize];
        let same = |other: &&Mop| other.key == mop.key && other.kind == MopKind::Read;
        self.history.mops_of(op).iter().filter(same).any(|other| {
            let whole = self.history.list(other);
            whole.len() >= order.values.len() && whole.starts_with(list)
        })
    }

    /// The place after the last element that a read showed, if the list agrees with the order:
    /// what comes next after another branch is not known.
    fn end_of(&self, mop: &Mop) -> Option<usize> {
        let order = &self.orders[mop.key as usize];
        let list = self.history.list(mop);
        let Some(last) = list.last() else {
            return Some(0);
        };
        // Without other branches all lists are prefixes; elements left out for being there twice
        // make a list another.
        let prefix = match order.places.is_empty() && !order.repeats {
            true => order.values.get(list.len() - 1) == Some(last),
            false => order.values.starts_with(list),
        };
        prefix.then_some(list.len())
    }

    /// Who appended the last element that a read showed.
    pub fn last_append(&self, mop: &Mop) -> Option<Append> {
        let list = self.history.list(mop);
        let last = list.last()?;
        let order = &self.orders[mop.key as usize];
        if order.values.get(list.len() - 1) == Some(last) {
            return order.writers[list.len() - 1].append();
        }
        order.append_of(*last)
    }

    /// Who appended an element.
    pub fn append_of(&self, key: u32, value: i64) -> Option<Append> {
        self.orders[key as usize].append_of(value)
    }

    fn op_at(&self, key: u32, place: u32) -> u32 {
        let writer = self.orders[key as usize].writers[place as usize];
        writer.append().map_or(NOWHERE, |append| append.op)
    }

    /// All dependencies through data.
    pub fn edges(&self, graph: &mut Builder) {
        for key in 0..self.orders.len() as u32 {
            self.write_edges(key, graph);
        }
        let mut at_end: Vec<Vec<u32>> = vec![Vec::new(); self.orders.len()];
        for (number, _, mop) in self.reads() {
            if let Some(append) = self.last_append(mop)
                && self.history.ops[append.op as usize].kind != EventKind::Fail
            {
                graph.add(append.op, number, WR);
            }
            let order = &self.orders[mop.key as usize];
            let Some(end) = self.end_of(mop) else {
                continue;
            };
            match order.next(end) {
                NOWHERE if !order.unread.is_empty() => {
                    let at_end = &mut at_end[mop.key as usize];
                    if at_end.last() != Some(&number) {
                        at_end.push(number);
                    }
                }
                NOWHERE => {}
                place => {
                    let mutated = crate::mutation::active(crate::mutation::READ_SKIPS_ONE);
                    let place = if mutated { order.next(place as usize + 1) } else { place };
                    if place != NOWHERE {
                        graph.add(number, self.op_at(mop.key, place), RW);
                    }
                }
            }
        }
        if crate::mutation::active(crate::mutation::UNREAD_FORGOTTEN) {
            return;
        }
        for (key, readers) in at_end.iter().enumerate() {
            graph.fan(readers, &self.orders[key].unread, RW);
        }
    }

    fn write_edges(&self, key: u32, graph: &mut Builder) {
        let order = &self.orders[key as usize];
        let mut before: Option<u32> = None;
        let mut place = order.next(0);
        while place != NOWHERE {
            let writer = self.op_at(key, place);
            if let Some(before) = before
                && !crate::mutation::active(crate::mutation::NO_OVERWRITES)
            {
                graph.add(before, writer, WW);
            }
            before = Some(writer);
            place = order.next(place as usize + 1);
        }
        if let Some(before) = before {
            for &writer in order.unseen.as_ref().unwrap_or(&order.unread) {
                graph.add(before, writer, WW);
            }
        }
    }

    /// Why a dependency exists.
    pub fn why(&self, from: u32, to: u32, kind: u8) -> Option<Why> {
        let history = self.history;
        match kind {
            WW => history.mops_of(&history.ops[to as usize]).iter().find_map(|mop| {
                let (key, value) = (mop.key, mop.value);
                let order = &self.orders[key as usize];
                let append = order.append_of(value)?;
                let written = mop.kind == MopKind::Append && append.op == to;
                let end = order.place(value).unwrap_or(order.values.len());
                let before = (0..end).rev().find_map(|place| {
                    let append = order.writers[place].append()?;
                    let failed = history.ops[append.op as usize].kind == EventKind::Fail;
                    (!failed).then_some((append.op, order.values[place]))
                });
                let (op, before) = before.filter(|_| written)?;
                (op == from).then_some(Why::Overwrote { key, from: before, to: value })
            }),
            WR => history.mops_of(&history.ops[to as usize]).iter().find_map(|mop| {
                let last = history.list(mop).last()?;
                let append = self.append_of(mop.key, *last)?;
                (append.op == from).then_some(Why::Read { key: mop.key, value: *last })
            }),
            _ => history.mops_of(&history.ops[from as usize]).iter().find_map(|mop| {
                if mop.kind != MopKind::Read {
                    return None;
                }
                let order = &self.orders[mop.key as usize];
                let next = match order.next(self.end_of(mop)?) {
                    NOWHERE => self.unread_by(mop.key, to)?,
                    place => {
                        let there = self.op_at(mop.key, place) == to;
                        there.then_some(order.values[place as usize])?
                    }
                };
                let from = history.list(mop).last().copied();
                Some(Why::ReadBefore { key: mop.key, from, to: next })
            }),
        }
    }

    fn unread_by(&self, key: u32, op: u32) -> Option<i64> {
        let mops = self.history.mops_of(&self.history.ops[op as usize]).iter();
        let mut appends = mops.filter(|mop| mop.kind == MopKind::Append && mop.key == key);
        let order = &self.orders[key as usize];
        appends.find(|mop| order.place(mop.value).is_none()).map(|mop| mop.value)
    }
}
