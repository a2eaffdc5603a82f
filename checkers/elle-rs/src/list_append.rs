//! List-append: which version follows on which, who wrote it, and the dependencies that follow.
//!
//! The longest list that was read of a key is its version order; appends that nobody read come
//! after it, in no known order among themselves. Elements of failed appends are passed over: a
//! later append overwrites the last one that may have been committed.

use std::borrow::Cow;

use history::{EventKind, History, Mop, MopKind, Op, Shown};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::cases::{Refusal, Why};
use crate::graph::{Builder, RW, WR, WW};
use crate::options::Scope;

/// No place in an order.
pub const NOWHERE: u32 = u32::MAX;

/// Who appended an element.
#[derive(Clone, Copy, Debug)]
pub struct Append {
    /// The operation.
    pub op: u32,
    /// Where it stands in the version order, or [`NOWHERE`].
    pub place: u32,
    /// Whether it is the operation's last append to the key.
    pub last: bool,
    /// Which micro-operation of the history it is.
    mop: u32,
}

/// A key's versions.
#[derive(Clone, Debug, Default)]
pub struct Order<'h> {
    /// The elements, each once.
    pub values: Cow<'h, [i64]>,
    /// Who appended each of them; none where nobody did. Beside `appends`, because a look-up there
    /// for every read would be most of a check's time.
    pub writers: Vec<Option<Append>>,
    /// Who read it.
    pub reader: Option<u32>,
    /// Whether an element was in it twice.
    pub repeats: bool,
    /// For each place, and for the end: the place of the next element that may be committed.
    next: Vec<u32>,
    /// Who appended elements that nobody read; sorted.
    pub unread: Vec<u32>,
}

/// See the module's doc.
pub struct Lists<'h> {
    /// The history.
    pub history: &'h History,
    /// By key and element.
    pub appends: FxHashMap<(u32, i64), Append>,
    /// By key.
    pub orders: Vec<Order<'h>>,
    scope: Scope,
}

impl<'h> Lists<'h> {
    /// Indexes a history.
    pub fn new(history: &'h History, scope: Scope) -> Result<Lists<'h>, Refusal> {
        let orders = vec![Order::default(); history.keys.len()];
        let mut lists = Lists { history, appends: FxHashMap::default(), orders, scope };
        lists.index_appends()?;
        lists.find_orders()?;
        lists.place();
        Ok(lists)
    }

    fn index_appends(&mut self) -> Result<(), Refusal> {
        let history = self.history;
        let writes = |mop: &&Mop| mop.kind == MopKind::Append;
        self.appends.reserve(history.mops.iter().filter(writes).count());
        for (number, op) in history.ops.iter().enumerate() {
            let mops = history.mops_of(op);
            for (at, mop) in mops.iter().enumerate() {
                if mop.kind == MopKind::Read {
                    continue;
                }
                let key = &history.keys[mop.key as usize];
                if mop.kind != MopKind::Append {
                    let why = format!("key {key}: {:?} is no part of list-append", mop.kind);
                    return Err(Refusal { line: op.index(), why });
                }
                let more = |next: &Mop| next.kind == MopKind::Append && next.key == mop.key;
                let last = !mops[at + 1..].iter().any(more);
                let place = op.mops().start + at as u32;
                let append = Append { op: number as u32, place: NOWHERE, last, mop: place };
                if self.appends.insert((mop.key, mop.value), append).is_some() {
                    let why = format!("{} is appended to key {key} a second time", mop.value);
                    return Err(Refusal { line: op.index(), why });
                }
            }
        }
        Ok(())
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
                }
            }
        }
        Ok(())
    }

    fn place(&mut self) {
        let history = self.history;
        let mut read = vec![false; history.mops.len()];
        let mut seen = FxHashSet::default();
        for (key, order) in self.orders.iter_mut().enumerate() {
            seen.clear();
            if !order.values.iter().all(|value| seen.insert(*value)) {
                seen.clear();
                order.repeats = true;
                order.values.to_mut().retain(|value| seen.insert(*value));
            }
            order.next = vec![NOWHERE; order.values.len() + 1];
            order.writers = vec![None; order.values.len()];
            for place in (0..order.values.len()).rev() {
                order.next[place] = order.next[place + 1];
                let append = self.appends.get_mut(&(key as u32, order.values[place]));
                if let Some(append) = append {
                    append.place = place as u32;
                    order.writers[place] = Some(*append);
                    read[append.mop as usize] = true;
                    if history.ops[append.op as usize].kind != EventKind::Fail {
                        order.next[place] = place as u32;
                    }
                }
            }
        }
        for (number, op) in history.ops.iter().enumerate() {
            if op.kind == EventKind::Fail {
                continue;
            }
            for (at, mop) in op.mops().zip(history.mops_of(op)) {
                if mop.kind == MopKind::Append && !read[at as usize] {
                    let unread = &mut self.orders[mop.key as usize].unread;
                    if unread.last() != Some(&(number as u32)) {
                        unread.push(number as u32);
                    }
                }
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

    /// The place after the last element that a read showed.
    fn end_of(&self, mop: &Mop) -> Option<usize> {
        let order = &self.orders[mop.key as usize];
        let list = self.history.list(mop);
        let Some(last) = list.last() else {
            return Some(0);
        };
        if order.values.get(list.len() - 1) == Some(last) {
            return Some(list.len());
        }
        let append = self.appends.get(&(mop.key, *last))?;
        (append.place != NOWHERE).then_some(append.place as usize + 1)
    }

    /// Who appended the last element that a read showed.
    pub fn last_append(&self, mop: &Mop) -> Option<Append> {
        let list = self.history.list(mop);
        let last = list.last()?;
        let order = &self.orders[mop.key as usize];
        if order.values.get(list.len() - 1) == Some(last) {
            return order.writers[list.len() - 1];
        }
        self.appends.get(&(mop.key, *last)).copied()
    }

    fn op_at(&self, key: u32, place: u32) -> u32 {
        let writer = self.orders[key as usize].writers[place as usize];
        writer.map_or(NOWHERE, |append| append.op)
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
            match order.next[end] {
                NOWHERE if !order.unread.is_empty() => {
                    let at_end = &mut at_end[mop.key as usize];
                    if at_end.last() != Some(&number) {
                        at_end.push(number);
                    }
                }
                NOWHERE => {}
                place => {
                    let mutated = crate::mutation::active(crate::mutation::READ_SKIPS_ONE);
                    let place = if mutated { order.next[place as usize + 1] } else { place };
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
        let mut place = order.next.first().copied().unwrap_or(NOWHERE);
        while place != NOWHERE {
            let writer = self.op_at(key, place);
            if let Some(before) = before
                && !crate::mutation::active(crate::mutation::NO_OVERWRITES)
            {
                graph.add(before, writer, WW);
            }
            before = Some(writer);
            place = order.next[place as usize + 1];
        }
        if let Some(before) = before {
            for &writer in &order.unread {
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
                let append = self.appends.get(&(key, value))?;
                let written = mop.kind == MopKind::Append && append.op == to;
                let values = &self.orders[key as usize].values;
                let end = values.len().min(append.place as usize);
                let before = values[..end].iter().rev().find_map(|value| {
                    let append = self.appends.get(&(key, *value))?;
                    let failed = history.ops[append.op as usize].kind == EventKind::Fail;
                    (!failed).then_some((append.op, *value))
                });
                let (op, before) = before.filter(|_| written)?;
                (op == from).then_some(Why::Overwrote { key, from: before, to: value })
            }),
            WR => history.mops_of(&history.ops[to as usize]).iter().find_map(|mop| {
                let last = history.list(mop).last()?;
                let append = self.appends.get(&(mop.key, *last))?;
                (append.op == from).then_some(Why::Read { key: mop.key, value: *last })
            }),
            _ => history.mops_of(&history.ops[from as usize]).iter().find_map(|mop| {
                if mop.kind != MopKind::Read {
                    return None;
                }
                let order = &self.orders[mop.key as usize];
                let next = match order.next[self.end_of(mop)?] {
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
        let unread = |mop: &&Mop| self.appends[&(key, mop.value)].place == NOWHERE;
        appends.find(unread).map(|mop| mop.value)
    }
}
