//! All appends by key and element: a table that lives only while orders are made from it.

use history::{History, Mop, MopKind};

use crate::cases::Refusal;
use crate::list_append::Writer;

/// An append.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The element.
    pub value: i64,
    /// Who appended it.
    pub writer: Writer,
    /// Whether it is in its key's order.
    pub read: bool,
}

/// See the module's doc.
pub struct Appends {
    /// By key, and of a key by element.
    entries: Vec<Entry>,
    starts: Vec<u32>,
}

impl Appends {
    /// Of a history.
    ///
    /// # Errors
    /// The first element that was appended twice to a key, or micro-operation that belongs to
    /// another workload.
    pub fn of(history: &History) -> Result<Appends, Refusal> {
        let mut starts = vec![0u32; history.keys.len() + 1];
        for op in &history.ops {
            for mop in history.mops_of(op).iter().filter(|mop| mop.kind != MopKind::Read) {
                if mop.kind != MopKind::Append {
                    let key = &history.keys[mop.key as usize];
                    let why = format!("key {key}: {:?} is no part of list-append", mop.kind);
                    return Err(Refusal { line: op.index(), why });
                }
                starts[mop.key as usize + 1] += 1;
            }
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut appends = Appends { entries: filled(history, &mut starts), starts };
        appends.sort(history)?;
        Ok(appends)
    }

    fn sort(&mut self, history: &History) -> Result<(), Refusal> {
        let mut twice: Option<(u32, u32, i64)> = None;
        for key in 0..history.keys.len() as u32 {
            let entries = self.of_key(key);
            // Stable, so that of two alike the later is the one at fault.
            if !entries.is_sorted_by_key(|entry| entry.value) {
                entries.sort_by_key(|entry| entry.value);
            }
            for pair in entries.windows(2).filter(|pair| pair[0].value == pair[1].value) {
                let op = pair[1].writer.append().map_or(u32::MAX, |append| append.op);
                if twice.is_none_or(|(earlier, ..)| op < earlier) {
                    twice = Some((op, key, pair[1].value));
                }
            }
        }
        let Some((op, key, value)) = twice else {
            return Ok(());
        };
        let key = &history.keys[key as usize];
        let why = format!("{value} is appended to key {key} a second time");
        Err(Refusal { line: history.ops[op as usize].index(), why })
    }

    /// A key's appends, by element.
    pub fn of_key(&mut self, key: u32) -> &mut [Entry] {
        let (from, to) = (self.starts[key as usize], self.starts[key as usize + 1]);
        &mut self.entries[from as usize..to as usize]
    }
}

/// The entries of each key in the order of operations. The starts are the same afterwards.
fn filled(history: &History, starts: &mut [u32]) -> Vec<Entry> {
    let total = starts.last().copied().unwrap_or(0) as usize;
    let nobody = Entry { value: 0, writer: Writer::NOBODY, read: false };
    let mut entries = vec![nobody; total];
    for (number, op) in history.ops.iter().enumerate() {
        let mops = history.mops_of(op);
        for (at, mop) in mops.iter().enumerate().filter(|(_, mop)| mop.kind == MopKind::Append) {
            let more = |next: &Mop| next.kind == MopKind::Append && next.key == mop.key;
            let last = !mops[at + 1..].iter().any(more);
            let place = &mut starts[mop.key as usize];
            let writer = Writer::new(number as u32, last);
            entries[*place as usize] = Entry { value: mop.value, writer, read: false };
            *place += 1;
        }
    }
    starts.rotate_right(1);
    starts[0] = 0;
    entries
}
