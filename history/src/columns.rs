//! A history in memory: operations and micro-operations in columns, keys and nodes by number.
//!
//! Built while reading. An operation is an invocation with its completion on the same process;
//! without one it is `info`. Lists that were read are kept as prefixes of chains, so that the
//! memory for them does not grow with the number of reads.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::chains::Chains;
use crate::event::{Event, EventKind, STAYED};
use crate::key::Key;
use crate::line::{KeyRef, Line, LineBuffer, LineMop, Seen};
use crate::micro_op::{MicroOp, Observed};
use crate::names::Names;
use crate::op::{self, Op};

/// What a micro-operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MopKind {
    /// Reads.
    Read,
    /// Sets a register.
    Write,
    /// Appends to a list.
    Append,
    /// Compares and sets a register; `value` is the new one.
    Cas,
    /// Adds to a set.
    Add,
    /// Removes from a set or list.
    Rem,
    /// Adds to a counter.
    Inc,
}

/// A micro-operation: 16 bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Mop {
    /// The value written; for reads of registers the value shown. For reads of lists it says where
    /// the list is kept: see [`History::list`] and [`History::list_place`].
    pub value: i64,
    /// Its key, by number.
    pub key: u32,
    /// What it does.
    pub kind: MopKind,
    /// What a read showed.
    pub shown: Shown,
}

/// What a read showed. `Nothing` in reads of operations that are not ok, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// `null`.
    Nothing,
    /// A register's value: [`Mop::value`].
    Int,
    /// A list: [`History::list`].
    List,
}

/// Where a list is kept: as the first elements of a chain. Of two lists of one chain the shorter
/// is a prefix of the longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListPlace {
    /// The chain's number. Empty lists are all of chain 0.
    pub chain: u32,
    /// How many elements.
    pub len: u32,
}

/// See the module's doc.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// In order of invocation.
    pub ops: Vec<Op>,
    /// Of all operations.
    pub mops: Vec<Mop>,
    /// Keys by number.
    pub keys: Vec<Key>,
    /// Node names by number.
    pub nodes: Vec<Arc<str>>,
    chains: Chains,
    int_keys: FxHashMap<i64, u32>,
    str_keys: FxHashMap<Arc<str>, u32>,
    node_numbers: FxHashMap<Arc<str>, u32>,
    open: FxHashMap<i64, u32>,
    buffer: LineBuffer,
    names: Names,
    /// Whether there are completions alone.
    untimed: bool,
}

impl History {
    /// A history of these lines; an error says which one breaks the rules, and why.
    pub fn from_events(events: impl IntoIterator<Item = Event>) -> Result<History, String> {
        let mut history = History::default();
        for event in events {
            history.push(event)?;
        }
        Ok(history)
    }

    /// Takes in the next line.
    pub fn push(&mut self, event: Event) -> Result<(), String> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        for mop in &event.value {
            buffer.take(mop);
        }
        let head = Line {
            index: event.index,
            kind: event.kind,
            process: event.process,
            session: event.session,
            node: event.node.as_deref(),
            time: event.time,
            final_read: event.final_read,
            stayed: event.target.as_deref() == Some(STAYED),
        };
        // Strings of keys are the event's, so they are looked up from there.
        let keys = event.value.iter().map(|mop| KeyRef::from(mop.key()));
        let result = self.push_line(&head, keys.zip(&buffer.mops), &buffer.lists);
        self.buffer = buffer;
        result
    }

    /// Takes in a line whose micro-operations are in a buffer.
    pub(crate) fn push_line<'a>(
        &mut self,
        line: &Line<'_>,
        mops: impl ExactSizeIterator<Item = (KeyRef<'a>, &'a LineMop)> + Clone,
        lists: &[i64],
    ) -> Result<(), String> {
        op::fits(line)?;
        if line.kind == EventKind::Invoke {
            return self.invoke(line, mops);
        }
        if self.untimed {
            self.invoke(line, mops.clone())?;
        }
        let Some(place) = self.open.remove(&line.process) else {
            return Err(format!(
                "process {} completes an operation that it did not invoke",
                line.process
            ));
        };
        if !self.same_shape(place, line.kind, mops.clone()) {
            self.open.insert(line.process, place);
            return Err(format!(
                "the completion of process {} is of another transaction than its invocation",
                line.process
            ));
        }
        let place = place as usize;
        if line.session.is_some_and(|session| session != self.ops[place].session()) {
            return Err(format!(
                "the completion of process {} is of another session than its invocation",
                line.process
            ));
        }
        if line.kind == EventKind::Ok {
            let from = self.ops[place].mops().start as usize;
            for (read, (_, done)) in self.mops[from..].iter_mut().zip(mops) {
                if read.kind != MopKind::Read {
                    continue;
                }
                (read.value, read.shown) = match &done.seen {
                    Seen::Nothing => (0, Shown::Nothing),
                    Seen::Int => (done.value, Shown::Int),
                    Seen::List(range) => {
                        let list = &lists[range.start as usize..range.end as usize];
                        (pack(self.chains.keep(read.key, list)), Shown::List)
                    }
                };
            }
        }
        // A redirected operation was answered by another node than it was first sent to.
        let node = line.node.map(|node| self.node_number(node));
        self.ops[place].complete(line, node);
        if self.untimed {
            self.ops[place].forget_when();
        }
        Ok(())
    }

    /// From here on each completion is an operation of its own: there are no invocations.
    pub(crate) fn without_invocations(&mut self) {
        self.untimed = true;
    }

    /// Whether there were no invocations: which operation was over before another began is not
    /// known then, and no `ok` has an index of completion.
    pub fn is_untimed(&self) -> bool {
        self.untimed
    }

    /// The names of processes, sessions and values that are no integers.
    pub fn names(&self) -> &Names {
        &self.names
    }

    pub(crate) fn names_mut(&mut self) -> &mut Names {
        &mut self.names
    }

    fn invoke<'a>(
        &mut self,
        line: &Line<'_>,
        mops: impl Iterator<Item = (KeyRef<'a>, &'a LineMop)>,
    ) -> Result<(), String> {
        match self.open.entry(line.process) {
            Entry::Occupied(_) => {
                return Err(format!(
                    "process {} invokes an operation while another of it is open",
                    line.process
                ));
            }
            Entry::Vacant(free) => free.insert(self.ops.len() as u32),
        };
        let node = line.node.map(|node| self.node_number(node));
        let start = self.mops.len() as u32;
        for (key, mop) in mops {
            let key = self.key_number(key);
            let value = if mop.kind == MopKind::Read { 0 } else { mop.value };
            self.mops.push(Mop { kind: mop.kind, key, value, shown: Shown::Nothing });
        }
        self.ops.push(Op::new(line, node, start..self.mops.len() as u32));
        Ok(())
    }

    fn same_shape<'a>(
        &self,
        place: u32,
        kind: EventKind,
        done: impl ExactSizeIterator<Item = (KeyRef<'a>, &'a LineMop)>,
    ) -> bool {
        // A completion may leave its value out where nothing is known.
        if kind != EventKind::Ok && done.len() == 0 {
            return true;
        }
        let invoked = self.mops_of(&self.ops[place as usize]);
        invoked.len() == done.len()
            && invoked.iter().zip(done).all(|(mop, (key, done))| {
                // What was written is what was to be written; a read is completed by its answer.
                let same = mop.kind == MopKind::Read || mop.value == done.value;
                KeyRef::from(&self.keys[mop.key as usize]) == key && mop.kind == done.kind && same
            })
    }

    fn key_number(&mut self, key: KeyRef<'_>) -> u32 {
        let known = match key {
            KeyRef::Int(key) => self.int_keys.get(&key),
            KeyRef::Str(key) => self.str_keys.get(key),
        };
        if let Some(number) = known {
            return *number;
        }
        let number = self.keys.len() as u32;
        self.keys.push(match key {
            KeyRef::Int(key) => {
                self.int_keys.insert(key, number);
                Key::Int(key)
            }
            KeyRef::Str(key) => {
                let key: Arc<str> = key.into();
                self.str_keys.insert(Arc::clone(&key), number);
                Key::Str(key)
            }
        });
        number
    }

    fn node_number(&mut self, node: &str) -> u32 {
        if let Some(number) = self.node_numbers.get(node) {
            return *number;
        }
        let number = self.nodes.len() as u32;
        let node: Arc<str> = node.into();
        self.nodes.push(Arc::clone(&node));
        self.node_numbers.insert(node, number);
        number
    }

    /// The micro-operations of an operation.
    pub fn mops_of(&self, op: &Op) -> &[Mop] {
        let mops = op.mops();
        &self.mops[mops.start as usize..mops.end as usize]
    }

    /// The elements that a read showed; empty for registers and for nothing.
    pub fn list(&self, mop: &Mop) -> &[i64] {
        self.list_place(mop).map_or(&[], |place| self.chains.list(place))
    }

    /// Where the list that a read showed is kept, if it showed one.
    pub fn list_place(&self, mop: &Mop) -> Option<ListPlace> {
        (mop.shown == Shown::List).then(|| unpack(mop.value))
    }

    /// The chains that lists are kept in: the elements of each, by number.
    pub fn chain(&self, number: u32) -> &[i64] {
        self.chains.whole(number)
    }

    /// How many elements the chains have in all.
    pub(crate) fn kept_elements(&self) -> u64 {
        self.chains.kept()
    }

    /// How many chains there are.
    pub fn chain_count(&self) -> usize {
        self.chains.count()
    }

    /// A micro-operation as it stands in the file.
    pub fn micro_op(&self, mop: &Mop) -> MicroOp {
        let key = self.keys[mop.key as usize].clone();
        match mop.kind {
            MopKind::Read => MicroOp::Read {
                key,
                value: match mop.shown {
                    Shown::Nothing => None,
                    Shown::Int => Some(Observed::Int(mop.value)),
                    Shown::List => Some(Observed::List(self.list(mop).to_vec())),
                },
            },
            MopKind::Write | MopKind::Cas => MicroOp::Write { key, value: mop.value },
            MopKind::Append => MicroOp::Append { key, value: mop.value },
            MopKind::Add => MicroOp::Add { key, value: mop.value },
            MopKind::Rem => MicroOp::Rem { key, value: mop.value },
            MopKind::Inc => MicroOp::Inc { key, delta: mop.value },
        }
    }

    /// The node of an operation, by name.
    pub fn node_name(&self, op: &Op) -> Option<&str> {
        op.node().map(|node| &*self.nodes[node as usize])
    }
}

fn pack(place: ListPlace) -> i64 {
    (i64::from(place.chain) << 32) | i64::from(place.len)
}

fn unpack(value: i64) -> ListPlace {
    ListPlace { chain: (value as u64 >> 32) as u32, len: value as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_micro_operation_is_small() {
        assert_eq!(size_of::<Mop>(), 16);
        let place = ListPlace { chain: u32::MAX, len: u32::MAX - 1 };
        assert_eq!(unpack(pack(place)), place);
    }
}
