//! The index that the session checkers share: who wrote what, and what each read shows.
//!
//! An *element* is a key with a value written to it. For lists a read shows elements directly. For
//! registers, version `n` of a key shows versions 1 to `n` in its one writer's order; a key with an
//! `info` write that a later write follows has no certain order and is left out (see
//! docs/checkers/lost-writes.md). So is a key to which two operations write one value, as a client
//! does that tries again under a new operation: what shows that value names neither. Of sets only
//! membership says something, and of counters nothing names a write: the sum is for other checkers.

use history::{EventKind, History, Mop, MopKind, Op, Shown};
use rustc_hash::{FxBuildHasher, FxHashMap};

/// An element, by number.
pub type Element = u32;

/// What is known of an element.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// Its key, by number.
    pub key: u32,
    /// Its value.
    pub value: i64,
    /// The operation that invoked it, by place in [`History::ops`]; `None` if nobody did.
    pub writer: Option<u32>,
    /// Whether an ok operation other than its writer showed it.
    pub observed: bool,
    /// Whether an operation that may have happened removed it: its absence proves nothing then.
    pub removed: bool,
}

/// How a key is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUse {
    /// Appended to, or only read as a list or as nothing.
    List,
    /// Written to, with a version order.
    Register,
    /// Added to and removed from: what a read shows has no order.
    Set,
    /// Incremented: a read shows a sum, which names no write.
    Counter,
    /// Written to, but its version order, or who wrote what, is not certain.
    Unknown,
}

/// See the module's doc.
pub struct Elements<'a> {
    /// The history.
    pub history: &'a History,
    /// Elements by number: in order of invocation of their writers, then those nobody wrote.
    pub written: Vec<Written>,
    /// By key number.
    pub uses: Vec<KeyUse>,
    /// By key number: a register's versions in order, 1 first.
    pub versions: Vec<Vec<Element>>,
    numbers: FxHashMap<(u32, i64), Element>,
    /// By key number: whether some value was written by two operations.
    repeated: Vec<bool>,
    /// By element number: its place among its key's versions, from 1.
    places: Vec<u32>,
}

impl<'a> Elements<'a> {
    /// Builds the index; linear in the history.
    pub fn new(history: &'a History) -> Elements<'a> {
        let mut elements = Elements {
            history,
            written: Vec::new(),
            uses: vec![KeyUse::List; history.keys.len()],
            versions: vec![Vec::new(); history.keys.len()],
            repeated: vec![false; history.keys.len()],
            numbers: FxHashMap::with_capacity_and_hasher(history.mops.len(), FxBuildHasher),
            places: Vec::new(),
        };
        elements.collect_writes();
        elements.find_uses();
        elements.order_registers();
        elements.mark_removed();
        elements.mark_observed();
        elements.order_versions();
        elements
    }

    fn collect_writes(&mut self) {
        for (place, op) in self.history.ops.iter().enumerate() {
            for mop in self.history.mops_of(op) {
                if !matches!(mop.kind, MopKind::Read | MopKind::Rem | MopKind::Inc) {
                    let number = self.add(mop.key, mop.value, Some(place as u32));
                    let writer = self.written[number as usize].writer;
                    self.repeated[mop.key as usize] |= writer != Some(place as u32);
                }
            }
        }
    }

    /// How each key is used; one that is written as several things is left out.
    fn find_uses(&mut self) {
        let mut found: Vec<Option<KeyUse>> = vec![None; self.uses.len()];
        for mop in &self.history.mops {
            let usage = match mop.kind {
                MopKind::Read => continue,
                MopKind::Append => KeyUse::List,
                MopKind::Add | MopKind::Rem => KeyUse::Set,
                MopKind::Inc => KeyUse::Counter,
                MopKind::Write | MopKind::Cas => KeyUse::Register,
            };
            let before = &mut found[mop.key as usize];
            *before = Some(match (*before, usage) {
                (None, usage) => usage,
                (Some(before), usage) if before == usage => usage,
                (Some(KeyUse::Counter), _) | (_, KeyUse::Counter) => KeyUse::Counter,
                // A list from which something was removed.
                (Some(KeyUse::List | KeyUse::Set), KeyUse::List | KeyUse::Set) => KeyUse::Set,
                _ => KeyUse::Unknown,
            });
        }
        let usages = found.into_iter().zip(&self.repeated);
        let usage = |(usage, repeated): (Option<KeyUse>, &bool)| match usage {
            Some(usage) if *repeated && usage != KeyUse::Counter => KeyUse::Unknown,
            usage => usage.unwrap_or(KeyUse::List),
        };
        self.uses = usages.map(usage).collect();
    }

    fn mark_removed(&mut self) {
        for op in self.history.ops.iter().filter(|op| op.kind != EventKind::Fail) {
            for mop in self.history.mops_of(op).iter().filter(|mop| mop.kind == MopKind::Rem) {
                let Some(number) = self.number(mop.key, mop.value) else {
                    continue;
                };
                // What was over before the element was added did not remove it.
                let added = self.writer(number).map_or(0, Op::index);
                if op.kind != EventKind::Ok || op.completed_index().is_none_or(|done| added < done)
                {
                    self.written[number as usize].removed = true;
                }
            }
        }
    }

    fn add(&mut self, key: u32, value: i64, writer: Option<u32>) -> Element {
        let next = self.written.len() as Element;
        let number = *self.numbers.entry((key, value)).or_insert(next);
        if number == next {
            self.written.push(Written { key, value, writer, observed: false, removed: false });
        }
        number
    }

    /// Finds registers whose order is uncertain: more than one writing session, or an `info`
    /// write that a later write follows.
    fn order_registers(&mut self) {
        #[derive(Clone, Copy)]
        struct Last {
            session: i64,
            info: bool,
        }
        let mut last: Vec<Option<Last>> = vec![None; self.history.keys.len()];
        for op in &self.history.ops {
            for mop in self.history.mops_of(op) {
                let key = mop.key as usize;
                if !matches!(mop.kind, MopKind::Write | MopKind::Cas) || op.kind == EventKind::Fail
                {
                    continue;
                }
                if last[key].is_some_and(|last| last.info || last.session != op.session()) {
                    self.uses[key] = KeyUse::Unknown;
                }
                last[key] = Some(Last { session: op.session(), info: op.kind == EventKind::Info });
            }
        }
    }

    fn mark_observed(&mut self) {
        for (place, op) in self.history.ops.iter().enumerate() {
            if op.kind != EventKind::Ok {
                continue;
            }
            for mop in self.history.mops_of(op) {
                let counter = self.uses[mop.key as usize] == KeyUse::Counter;
                if mop.kind != MopKind::Read || counter {
                    continue;
                }
                match mop.shown {
                    Shown::Nothing => {}
                    Shown::Int => self.mark(mop.key, mop.value, place),
                    Shown::List => {
                        for value in self.history.list(mop) {
                            self.mark(mop.key, *value, place);
                        }
                    }
                }
            }
        }
    }

    fn mark(&mut self, key: u32, value: i64, reader: usize) {
        let number = self.add(key, value, None) as usize;
        let written = &mut self.written[number];
        written.observed |= written.writer != Some(reader as u32);
    }

    /// Registers' versions: ok writes, and others of which something was observed, as invoked.
    fn order_versions(&mut self) {
        self.places = vec![0; self.written.len()];
        for (number, written) in self.written.iter().enumerate() {
            let key = written.key as usize;
            let Some(writer) = written.writer.filter(|_| self.uses[key] == KeyUse::Register) else {
                continue;
            };
            let ok = self.history.ops[writer as usize].kind == EventKind::Ok;
            if ok || written.observed {
                self.versions[key].push(number as Element);
                self.places[number] = self.versions[key].len() as u32;
            }
        }
    }

    /// The element of a key and value, if anybody wrote or showed it.
    pub fn number(&self, key: u32, value: i64) -> Option<Element> {
        self.numbers.get(&(key, value)).copied()
    }

    /// Whether reads of a key say which writes they show.
    pub fn judged(&self, key: u32) -> bool {
        !matches!(self.uses[key as usize], KeyUse::Counter | KeyUse::Unknown)
    }

    /// Whether a value was written to a key by two operations: what shows it names neither.
    pub fn repeated(&self, key: u32) -> bool {
        self.repeated[key as usize]
    }

    /// Whether a key has no certain order of versions, or writers.
    pub fn uncertain(&self, key: u32) -> bool {
        self.uses[key as usize] == KeyUse::Unknown
    }

    /// The version that a read of a register showed: 0 for nothing; `None` if it has no place.
    pub fn version(&self, read: &Mop) -> Option<u32> {
        match read.shown {
            Shown::Nothing => Some(0),
            Shown::Int => {
                let number = self.number(read.key, read.value)?;
                Some(self.places[number as usize]).filter(|place| *place != 0)
            }
            Shown::List => None,
        }
    }

    /// The place of an element among its register's versions; 0 if it has none.
    pub fn place(&self, element: Element) -> u32 {
        self.places[element as usize]
    }

    /// The operation that wrote an element.
    pub fn writer(&self, element: Element) -> Option<&'a Op> {
        let writer = self.written[element as usize].writer?;
        Some(&self.history.ops[writer as usize])
    }
}
