//! A history in memory: operations and micro-operations in columns, keys and nodes by number.
//!
//! Built while reading. An operation is an invocation with its completion on the same process;
//! without one it is `info`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use std::sync::Arc;

use crate::event::{Event, EventKind};
use crate::key::Key;
use crate::micro_op::{MicroOp, Observed};

/// An operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Op {
    /// History index of the invocation: operations are in its order.
    pub index: u64,
    /// History index of the completion.
    pub completed_index: Option<u64>,
    /// Its process.
    pub process: i64,
    /// Its session.
    pub session: i64,
    /// The node that answered, else the one it was sent to, by number.
    pub node: Option<u32>,
    /// ns since the run's start.
    pub invoked: i64,
    /// ns since the run's start.
    pub completed: Option<i64>,
    /// `Ok`, `Fail` or `Info`.
    pub kind: EventKind,
    /// A read after heal and convergence.
    pub final_read: bool,
    /// Its micro-operations, in [`History::mops`].
    pub mops: Range<u32>,
}

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

/// A micro-operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Mop {
    /// What it does.
    pub kind: MopKind,
    /// Its key, by number.
    pub key: u32,
    /// The value written; for reads of registers the value shown.
    pub value: i64,
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
    /// A list: from and to in the history's list store.
    List(u32, u32),
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
    lists: Vec<i64>,
    key_numbers: BTreeMap<Key, u32>,
    node_numbers: BTreeMap<Arc<str>, u32>,
    open: BTreeMap<i64, usize>,
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
        if event.kind == EventKind::Invoke {
            return self.invoke(event);
        }
        let Some(place) = self.open.remove(&event.process) else {
            return Err(format!(
                "process {} completes an operation that it did not invoke",
                event.process
            ));
        };
        let matches = same_shape(&self.mops, &self.ops[place], &event, &self.keys);
        if !matches {
            self.open.insert(event.process, place);
            return Err(format!(
                "the completion of process {} is of another transaction than its invocation",
                event.process
            ));
        }
        if event.kind == EventKind::Ok {
            let from = self.ops[place].mops.start as usize;
            for (offset, mop) in event.value.iter().enumerate() {
                if let MicroOp::Read { value, .. } = mop {
                    let (value, shown) = self.shown(value.as_ref());
                    let read = &mut self.mops[from + offset];
                    read.value = value;
                    read.shown = shown;
                }
            }
        }
        // A redirected operation was answered by another node than it was first sent to.
        let node = event.node.as_ref().map(|node| self.node_number(node));
        let op = &mut self.ops[place];
        op.node = node.or(op.node);
        op.kind = event.kind;
        op.completed_index = Some(event.index);
        op.completed = Some(event.time);
        op.final_read |= event.final_read;
        Ok(())
    }

    fn invoke(&mut self, event: Event) -> Result<(), String> {
        let place = self.ops.len();
        match self.open.entry(event.process) {
            Entry::Occupied(_) => {
                return Err(format!(
                    "process {} invokes an operation while another of it is open",
                    event.process
                ));
            }
            Entry::Vacant(free) => free.insert(place),
        };
        let node = event.node.as_ref().map(|node| self.node_number(node));
        let start = self.mops.len() as u32;
        for mop in &event.value {
            let key = self.key_number(mop.key());
            let (kind, value) = match mop {
                MicroOp::Read { .. } => (MopKind::Read, 0),
                MicroOp::Write { value, .. } => (MopKind::Write, *value),
                MicroOp::Append { value, .. } => (MopKind::Append, *value),
                MicroOp::Cas { new, .. } => (MopKind::Cas, *new),
                MicroOp::Add { value, .. } => (MopKind::Add, *value),
                MicroOp::Rem { value, .. } => (MopKind::Rem, *value),
                MicroOp::Inc { delta, .. } => (MopKind::Inc, *delta),
            };
            self.mops.push(Mop { kind, key, value, shown: Shown::Nothing });
        }
        self.ops.push(Op {
            index: event.index,
            completed_index: None,
            process: event.process,
            session: event.session_or_process(),
            node,
            invoked: event.time,
            completed: None,
            kind: EventKind::Info,
            final_read: event.final_read,
            mops: start..self.mops.len() as u32,
        });
        Ok(())
    }

    fn shown(&mut self, value: Option<&Observed>) -> (i64, Shown) {
        match value {
            None => (0, Shown::Nothing),
            Some(Observed::Int(value)) => (*value, Shown::Int),
            Some(Observed::List(list)) => {
                let from = self.lists.len() as u32;
                self.lists.extend_from_slice(list);
                (0, Shown::List(from, self.lists.len() as u32))
            }
        }
    }

    fn key_number(&mut self, key: &Key) -> u32 {
        if let Some(number) = self.key_numbers.get(key) {
            return *number;
        }
        let number = self.keys.len() as u32;
        self.keys.push(key.clone());
        self.key_numbers.insert(key.clone(), number);
        number
    }

    fn node_number(&mut self, node: &Arc<str>) -> u32 {
        if let Some(number) = self.node_numbers.get(node) {
            return *number;
        }
        let number = self.nodes.len() as u32;
        self.nodes.push(Arc::clone(node));
        self.node_numbers.insert(Arc::clone(node), number);
        number
    }

    /// The micro-operations of an operation.
    pub fn mops_of(&self, op: &Op) -> &[Mop] {
        &self.mops[op.mops.start as usize..op.mops.end as usize]
    }

    /// The elements that a read showed; empty for registers and for nothing.
    pub fn list(&self, mop: &Mop) -> &[i64] {
        match mop.shown {
            Shown::List(from, to) => &self.lists[from as usize..to as usize],
            Shown::Nothing | Shown::Int => &[],
        }
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
                    Shown::List(..) => Some(Observed::List(self.list(mop).to_vec())),
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
        op.node.map(|node| &*self.nodes[node as usize])
    }
}

fn same_shape(mops: &[Mop], op: &Op, completion: &Event, keys: &[Key]) -> bool {
    let invoked = &mops[op.mops.start as usize..op.mops.end as usize];
    // A completion may leave its value out where nothing is known.
    if completion.kind != EventKind::Ok && completion.value.is_empty() {
        return true;
    }
    invoked.len() == completion.value.len()
        && invoked.iter().zip(&completion.value).all(|(mop, done)| {
            let read = mop.kind == MopKind::Read;
            keys[mop.key as usize] == *done.key() && read == done.is_read()
        })
}
