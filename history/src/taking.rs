//! Takes in the operations of a history one by one, whatever form they were written in.

use crate::columns::History;
use crate::event::{Event, EventKind, possible_time};
use crate::lenient::{self, Oddities};
use crate::line::{self, LineBuffer};
use crate::micro_op::{MicroOp, Observed};
use crate::names::Names;
use crate::reader::{Damage, Form, ReadHistory};
use crate::source::Limits;

/// See the module's doc.
pub struct Taking {
    history: History,
    odd: Oddities,
    buffer: LineBuffer,
    by_hand: bool,
    /// Elements of lists kept at most.
    elements: u64,
    skipped: u64,
    /// Operations met, those of no client too: the place of one that has no index.
    place: u64,
    last_index: Option<u64>,
    /// Whether lines have an index of their own.
    indexed: Option<bool>,
    /// Whether the line before was the nemesis's: they come in groups.
    nemesis: bool,
    /// The first line of a history that has completions alone, and its process.
    alone: Option<(u64, i64)>,
    /// Whether an invocation came after all.
    mixed: bool,
}

impl Taking {
    /// Of nothing yet.
    pub fn new(by_hand: bool, limits: &Limits) -> Taking {
        Taking {
            history: History::default(),
            odd: Oddities::default(),
            buffer: LineBuffer::default(),
            by_hand,
            elements: limits.elements(),
            skipped: 0,
            place: 0,
            last_index: None,
            indexed: None,
            nemesis: false,
            alone: None,
            mixed: false,
        }
    }

    /// Takes in a JSON line.
    pub fn line(&mut self, line: &[u8], number: u64) -> Result<(), String> {
        // Few lines have many micro-operations, so this seldom costs an allocation.
        let mut keys = Vec::with_capacity(8);
        let mut buffer = std::mem::take(&mut self.buffer);
        let scanned = match self.by_hand {
            true => line::scan(line, &mut buffer, &mut keys),
            false => None,
        };
        if let Some(scanned) = scanned {
            let known = self.follows(scanned.index, true).and_then(|()| {
                self.may_stand(scanned.process, scanned.session, scanned.kind, number)
            });
            let mops = keys.iter().copied().zip(&buffer.mops);
            let result = known.and_then(|()| self.history.push_line(&scanned, mops, &buffer.lists));
            self.buffer = buffer;
            return result.and_then(|()| self.fits());
        }
        self.buffer = buffer;
        if self.nemesis && lenient::of_nemesis(line) {
            return self.skip();
        }
        if let Ok(event) = serde_json::from_slice::<Event>(line)
            && possible_time(event.time)
        {
            known_values(&event, self.history.names_mut())?;
            self.may_stand(event.process, event.session, event.kind, number)?;
            return self.push(event, true);
        }
        if lenient::of_nemesis(line) {
            return self.skip();
        }
        self.value(lenient::value(line)?, number)
    }

    /// Takes in an operation that was read otherwise, of a line.
    pub fn value(&mut self, value: serde_json::Value, number: u64) -> Result<(), String> {
        let indexed = value.get("index").is_some();
        let names = self.history.names_mut();
        match lenient::event(value, self.place, number, names, &mut self.odd)? {
            None => self.skip(),
            Some(event) => {
                self.lone(event.process, event.kind, number)?;
                self.push(event, indexed)
            }
        }
    }

    fn skip(&mut self) -> Result<(), String> {
        self.skipped += 1;
        self.place += 1;
        self.nemesis = true;
        Ok(())
    }

    fn push(&mut self, event: Event, indexed: bool) -> Result<(), String> {
        self.follows(event.index, indexed)?;
        self.history.push(event)?;
        self.fits()
    }

    fn fits(&self) -> Result<(), String> {
        match self.history.kept_elements() <= self.elements {
            true => Ok(()),
            false => Err(format!(
                "lists that differ have more than {} elements in all: --max-size raises that limit",
                self.elements
            )),
        }
    }

    fn follows(&mut self, index: u64, indexed: bool) -> Result<(), String> {
        self.nemesis = false;
        self.place += 1;
        if *self.indexed.get_or_insert(indexed) != indexed {
            return Err("some lines have an index, and others have none".to_owned());
        }
        match self.last_index.replace(index) {
            Some(before) if index <= before => {
                Err(format!("index {index} does not follow on the one before"))
            }
            _ => Ok(()),
        }
    }

    /// What a line of integers may not say, or not here.
    fn may_stand(
        &mut self,
        process: i64,
        session: Option<i64>,
        kind: EventKind,
        number: u64,
    ) -> Result<(), String> {
        for user in [Some(process), session].into_iter().flatten() {
            if Names::is_reserved(user) {
                return Err(format!("process or session {user} is in a range kept for names"));
            }
        }
        self.lone(process, kind, number)
    }

    /// A history that begins with a completion has no invocations at all, or its head is missing.
    fn lone(&mut self, process: i64, kind: EventKind, number: u64) -> Result<(), String> {
        match (kind, self.alone) {
            (EventKind::Invoke, Some(_)) => {
                self.mixed = true;
                Err(String::new())
            }
            (EventKind::Invoke, None) => Ok(()),
            (_, None) if self.history.ops.is_empty() => {
                self.alone = Some((number, process));
                self.history.without_invocations();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// All that was taken in.
    pub fn done(self, damage: Option<Damage>, form: Form) -> ReadHistory {
        let Taking { mut history, odd, skipped, alone, mixed, .. } = self;
        let names = history.names().clone();
        let tell = |Damage { line, why }| Damage {
            line,
            why: names.told(&why, str::to_owned).into_owned(),
        };
        let (mut damage, mut notes) = (damage.map(tell), odd.told());
        if let Some((line, process)) = alone {
            if mixed {
                // Its head is missing: what was read of it stands on nothing.
                history = History::default();
                let why =
                    format!("process {process} completes an operation that it did not invoke");
                let why = names.told(&why, str::to_owned).into_owned();
                damage = Some(Damage { line, why });
            } else {
                notes.push(
                    "completions alone, without invocations: each is an operation of its own, \
                     and no order of real time can be told"
                        .to_owned(),
                );
            }
        }
        ReadHistory { history, damage, skipped, notes, form }
    }
}

fn known_values(event: &Event, names: &mut Names) -> Result<(), String> {
    for mop in &event.value {
        match mop {
            MicroOp::Read { value: None, .. } | MicroOp::Inc { .. } => {}
            MicroOp::Read { value: Some(Observed::List(list)), .. } => {
                list.iter().try_for_each(|value| names.meets(*value))?;
            }
            MicroOp::Read { value: Some(Observed::Int(value)), .. }
            | MicroOp::Write { value, .. }
            | MicroOp::Append { value, .. }
            | MicroOp::Add { value, .. }
            | MicroOp::Rem { value, .. } => names.meets(*value)?,
            MicroOp::Cas { old, new, .. } => {
                names.meets(*old)?;
                names.meets(*new)?;
            }
        }
    }
    Ok(())
}
