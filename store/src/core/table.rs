//! The key-value state that a log comes to.

use std::collections::BTreeMap;

use history::{Key, MicroOp, Observed};

/// Registers and lists by key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    data: BTreeMap<Key, Observed>,
}

impl Table {
    /// What a read of `key` shows.
    pub fn read(&self, key: &Key) -> Option<Observed> {
        self.data.get(key).cloned()
    }

    /// Takes in one micro-operation that writes.
    pub fn apply(&mut self, mop: &MicroOp) {
        match mop {
            MicroOp::Write { key, value } | MicroOp::Cas { key, new: value, .. } => {
                self.data.insert(key.clone(), Observed::Int(*value));
            }
            MicroOp::Append { key, value } => {
                match self.data.entry(key.clone()).or_insert_with(|| Observed::List(Vec::new())) {
                    Observed::List(list) => list.push(*value),
                    other @ Observed::Int(_) => *other = Observed::List(vec![*value]),
                }
            }
            MicroOp::Read { .. }
            | MicroOp::Add { .. }
            | MicroOp::Rem { .. }
            | MicroOp::Inc { .. } => {}
        }
    }

    /// Takes in a micro-operation on top of what `below` holds under its key.
    pub fn apply_over(&mut self, below: &Table, mop: &MicroOp) {
        if let (false, Some(value)) = (self.data.contains_key(mop.key()), below.read(mop.key())) {
            self.data.insert(mop.key().clone(), value);
        }
        self.apply(mop);
    }

    /// Whether `mop` is something the store can do, and would do now.
    pub fn accepts(&self, mop: &MicroOp) -> Result<(), String> {
        match mop {
            MicroOp::Read { .. } | MicroOp::Write { .. } | MicroOp::Append { .. } => Ok(()),
            MicroOp::Cas { key, old, .. } => match self.data.get(key) {
                Some(Observed::Int(held)) if held == old => Ok(()),
                held => Err(format!("cas of {key} expected {old} and found {held:?}")),
            },
            other => Err(format!("the store has no micro-operation \"{}\"", other.name())),
        }
    }
}
