//! Witnesses in words.

use std::fmt::Write;

use history::{History, Mop, MopKind, Op, Shown};

use crate::cases::Why;
use crate::options::Workload;
use crate::verdict::CycleFound;

/// A transaction as people write it: `append 1 2, r 3 [4 5]`.
pub fn transaction(history: &History, op: &Op) -> String {
    let mops = history.mops_of(op).iter().map(|mop| micro_op(history, mop));
    mops.collect::<Vec<String>>().join(", ")
}

fn micro_op(history: &History, mop: &Mop) -> String {
    let key = &history.keys[mop.key as usize];
    let word = match mop.kind {
        MopKind::Append => "append",
        MopKind::Write => "w",
        MopKind::Read => "r",
        _ => "other",
    };
    match (mop.kind, mop.shown) {
        (MopKind::Read, Shown::Nothing) => format!("r {key} nothing"),
        (MopKind::Read, Shown::List) => {
            let list = history.list(mop);
            let from = list.len().saturating_sub(5);
            let shown: Vec<String> = list[from..].iter().map(i64::to_string).collect();
            let cut = if from > 0 { "... " } else { "" };
            format!("r {key} [{cut}{}]", shown.join(" "))
        }
        _ => format!("{word} {key} {}", mop.value),
    }
}

/// Why `from` comes before `to`, in words.
pub fn because(history: &History, workload: Workload, from: &str, to: &str, why: Why) -> String {
    let name = |key: u32| &history.keys[key as usize];
    let wrote = match workload {
        Workload::ListAppend => "appended",
        Workload::RwRegister => "wrote",
    };
    match why {
        Why::Overwrote { key, from: before, to: after } => format!(
            "{to} {wrote} {after} to key {} after {before}, which {from} had {wrote}",
            name(key)
        ),
        Why::Read { key, value } => {
            format!("{to} read {value} of key {}, which {from} {wrote}", name(key))
        }
        Why::ReadBefore { key, from: Some(before), to: after } => format!(
            "{from} read key {} as of {before}, before {to} {wrote} {after}, the next version",
            name(key)
        ),
        Why::ReadBefore { key, from: None, to: after } => format!(
            "{from} read key {} in its initial state, before {to} {wrote} {after}",
            name(key)
        ),
        Why::Process => format!("process order: the same process ran {from} and then {to}"),
        Why::Realtime => format!("{from} was complete before {to} was invoked"),
    }
}

/// A cycle in words, transaction by transaction and step by step.
pub fn cycle(history: &History, workload: Workload, found: &CycleFound) -> String {
    let mut text = format!("{}. Let:\n", found.anomaly);
    for (at, step) in found.steps.iter().enumerate() {
        let op = &history.ops[step.op as usize];
        let what = transaction(history, op);
        let _ = writeln!(
            text,
            "  T{} = {what} (process {}, line {})",
            at + 1,
            op.process(),
            op.index()
        );
    }
    text.push_str("Then:\n");
    for (at, step) in found.steps.iter().enumerate() {
        let next = (at + 1) % found.steps.len() + 1;
        let (from, to) = (format!("T{}", at + 1), format!("T{next}"));
        let reason = because(history, workload, &from, &to, step.why);
        let _ = writeln!(text, "  {from} < {to}, because {reason}.");
    }
    text.push_str("No transaction can come before itself: this is a cycle.\n");
    text
}

/// A cycle in one sentence, by the lines of its transactions.
pub fn sentence(history: &History, workload: Workload, found: &CycleFound) -> String {
    let name = |at: usize| format!("T{}", at % found.steps.len() + 1);
    let steps = found.steps.iter().enumerate();
    let steps: Vec<String> = steps
        .map(|(at, step)| because(history, workload, &name(at), &name(at + 1), step.why))
        .collect();
    format!("{}: {}", found.anomaly, steps.join("; but "))
}
