//! Read your writes: docs/checkers/read-your-writes.md.
//!
//! Violated when an ok operation of a session wrote an element, and a later ok operation of the
//! session reads its key without it. One finding a read: the latest write that it misses. Linear:
//! each read is compared with the session's own writes of that key, which it shows if all is well.

use std::collections::BTreeMap;

use history::{EventKind, History, Mop, MopKind, Op};
use rustc_hash::FxHashSet;

use crate::elements::{Element, Elements, KeyUse};
use crate::registry::Checker;
use crate::sentences::{key_name, lines, on_node, seconds, uncertain_registers, windows, witness};
use crate::verdict::{Context, Finding, Outcome, Verdict};

/// See the module's doc.
pub struct ReadYourWrites;

impl Checker for ReadYourWrites {
    fn name(&self) -> &'static str {
        "read-your-writes"
    }

    fn check(&self, history: &History, context: &Context) -> Outcome {
        let elements = Elements::new(history);
        // By session and key: what it wrote in ok operations, oldest first.
        let mut own: BTreeMap<(i64, u32), Vec<Element>> = BTreeMap::new();
        let mut outcome = Outcome::valid();
        let (mut judged, mut left_out) = (0u64, 0u64);
        for (place, op) in history.ops.iter().enumerate() {
            if op.kind != EventKind::Ok {
                continue;
            }
            for mop in history.mops_of(op).iter().filter(|mop| mop.kind == MopKind::Read) {
                let Some(written) = own.get(&(op.session(), mop.key)) else {
                    continue;
                };
                if !elements.judged(mop.key) {
                    left_out += u64::from(elements.uncertain(mop.key));
                    continue;
                }
                // Operations of one session may overlap: a write still open obliges nothing.
                let over = |element: &Element| -> bool {
                    let done = elements.writer(*element).and_then(Op::completed_index);
                    done.is_none_or(|done| done < op.index())
                };
                if !written.iter().rev().any(over) {
                    continue;
                }
                judged += 1;
                if let Some(missing) = missing(&elements, mop, written, over) {
                    outcome.count += 1;
                    if outcome.findings.len() < context.findings_max.unwrap_or(50) {
                        outcome.findings.push(finding(&elements, context, op, mop, missing));
                    }
                }
            }
            for mop in history.mops_of(op) {
                if let Some(number) = elements.number(mop.key, mop.value)
                    && mop.kind != MopKind::Read
                    && elements.written[number as usize].writer == Some(place as u32)
                {
                    own.entry((op.session(), mop.key)).or_default().push(number);
                }
            }
        }
        if 0 < outcome.count {
            outcome.verdict = Verdict::Invalid;
        } else if 0 < left_out {
            return Outcome::unknown(uncertain_registers(left_out, "reads of own keys"));
        } else if judged == 0 {
            return Outcome::not_applicable(
                "no session read a list, set or register that it had written",
            );
        }
        outcome
    }
}

/// The latest of the session's own elements that were `over` and that the read does not show.
fn missing(
    elements: &Elements<'_>,
    read: &Mop,
    written: &[Element],
    over: impl Fn(&Element) -> bool,
) -> Option<Element> {
    let mut written = written.iter().rev().copied();
    match elements.uses[read.key as usize] {
        KeyUse::Counter | KeyUse::Unknown => None,
        KeyUse::Register => {
            let shown = elements.version(read)?;
            written.find(|element| shown < elements.place(*element) && over(element))
        }
        KeyUse::List | KeyUse::Set => {
            let list = elements.history.list(read);
            let shown: FxHashSet<i64> = list.iter().copied().collect();
            let absent = |e: &Element| {
                let own = &elements.written[*e as usize];
                !own.removed && !shown.contains(&own.value) && over(e)
            };
            written.find(absent)
        }
    }
}

fn finding(
    elements: &Elements<'_>,
    context: &Context,
    read: &Op,
    mop: &Mop,
    missing: Element,
) -> Finding {
    let history = elements.history;
    let value = elements.written[missing as usize].value;
    let write = elements.writer(missing).expect("own writes have a writer");
    let is_write = |m: &&Mop| m.kind != MopKind::Read && m.key == mop.key && m.value == value;
    let write_mops: Vec<&Mop> = history.mops_of(write).iter().filter(is_write).collect();
    let key = key_name(history, context, mop.key);
    let acknowledged = write.completed().unwrap_or(write.invoked());
    let sentence = format!(
        "session {} wrote {value} to {key} (acknowledged at {}{}) and did not see it when it read \
         that key at {}{}",
        read.session(),
        seconds(acknowledged),
        on_node(history, write),
        seconds(read.invoked()),
        on_node(history, read),
    );
    Finding {
        sentence,
        ops: lines(&[write, read]),
        witness: vec![
            witness(history, write, &write_mops, format!("wrote {value}, acknowledged")),
            witness(history, read, &[mop], format!("read {key} without {value}")),
        ],
        signature: "read-your-writes/stale-read".to_owned(),
        windows: windows(context, acknowledged, read.completed().unwrap_or(read.invoked())),
    }
}
