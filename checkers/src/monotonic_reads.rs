//! Monotonic reads: docs/checkers/monotonic-reads.md.
//!
//! Violated when a session read an element of a key and a later read of that key by the session,
//! both ok, does not show it. It is enough to compare each read with the one before it: an element
//! that went missing did so between two neighbours. One finding a pair of neighbours.

use std::collections::BTreeMap;

use history::{EventKind, History, Mop, MopKind, Op};
use rustc_hash::FxHashSet;

use crate::elements::{Elements, KeyUse};
use crate::registry::Checker;
use crate::sentences::{key_name, lines, on_node, seconds, uncertain_registers, windows, witness};
use crate::verdict::{Context, Finding, Outcome, Verdict};

/// See the module's doc.
pub struct MonotonicReads;

impl Checker for MonotonicReads {
    fn name(&self) -> &'static str {
        "monotonic-reads"
    }

    fn check(&self, history: &History, context: &Context) -> Outcome {
        let elements = Elements::new(history);
        let mut last: BTreeMap<(i64, u32), (&Op, &Mop)> = BTreeMap::new();
        let mut found = Vec::new();
        let (mut judged, mut left_out) = (0u64, 0u64);
        for op in history.ops.iter().filter(|op| op.kind == EventKind::Ok) {
            for mop in history.mops_of(op).iter().filter(|mop| mop.kind == MopKind::Read) {
                let placed = match elements.uses[mop.key as usize] {
                    KeyUse::Register => elements.version(mop).is_some(),
                    _ => elements.judged(mop.key),
                };
                if !placed {
                    left_out += u64::from(elements.uncertain(mop.key));
                    continue;
                }
                let before = last.insert((op.session(), mop.key), (op, mop));
                let Some((earlier, seen)) = before else {
                    continue;
                };
                // Operations of one session may overlap: then neither came first.
                let first = earlier.completed_index().is_none_or(|done| done < op.index());
                if !first && earlier.index() != op.index() {
                    continue;
                }
                judged += 1;
                if let Some(value) = vanished(&elements, seen, mop) {
                    found.push((earlier, seen, op, mop, value));
                }
            }
        }
        let mut outcome = Outcome::valid();
        outcome.count = found.len() as u64;
        if found.is_empty() && 0 < left_out {
            return Outcome::unknown(uncertain_registers(left_out, "reads"));
        }
        if found.is_empty() {
            return match judged {
                0 => Outcome::not_applicable("no session read a list, set or register twice"),
                _ => outcome,
            };
        }
        outcome.verdict = Verdict::Invalid;
        // One operation that contradicts itself is the shorter proof.
        found.sort_by_key(|(earlier, _, op, ..)| (earlier.index() != op.index(), op.index()));
        found.truncate(context.findings_max.unwrap_or(50));
        outcome.findings = found.iter().map(|pair| finding(&elements, context, pair)).collect();
        outcome
    }
}

/// A value of the earlier read that the later does not show.
fn vanished(elements: &Elements<'_>, earlier: &Mop, later: &Mop) -> Option<i64> {
    match elements.uses[later.key as usize] {
        KeyUse::Counter | KeyUse::Unknown => None,
        KeyUse::Register => {
            let (seen, shown) = (elements.version(earlier)?, elements.version(later)?);
            (shown < seen).then_some(earlier.value)
        }
        KeyUse::List | KeyUse::Set => {
            let (seen, shown) = (elements.history.list(earlier), elements.history.list(later));
            // The usual case: the list has only grown.
            if shown.starts_with(seen) {
                return None;
            }
            let shown: FxHashSet<i64> = shown.iter().copied().collect();
            let removed = |value: i64| {
                let number = elements.number(later.key, value);
                number.is_some_and(|number| elements.written[number as usize].removed)
            };
            seen.iter().copied().find(|value| !shown.contains(value) && !removed(*value))
        }
    }
}

fn finding(
    elements: &Elements<'_>,
    context: &Context,
    (earlier, seen, later, shown, value): &(&Op, &Mop, &Op, &Mop, i64),
) -> Finding {
    let history = elements.history;
    let key = key_name(history, context, shown.key);
    let sentence = format!(
        "session {} read {value} in {key} at {}{} and no longer at {}{}",
        later.session(),
        seconds(earlier.completed().unwrap_or(earlier.invoked())),
        on_node(history, earlier),
        seconds(later.invoked()),
        on_node(history, later),
    );
    let same = earlier.index() == later.index();
    let witness = if same {
        vec![witness(history, later, &[*seen, *shown], format!("read {value}, then not"))]
    } else {
        vec![
            witness(history, earlier, &[*seen], format!("read {value}")),
            witness(history, later, &[*shown], format!("read {key} without {value}")),
        ]
    };
    Finding {
        sentence,
        ops: lines(&[*earlier, *later]),
        witness,
        signature: "monotonic-reads/went-back".to_owned(),
        windows: windows(context, earlier.invoked(), later.completed().unwrap_or(later.invoked())),
    }
}
