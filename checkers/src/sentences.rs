//! Words for findings: keys, times, witnesses.

use history::{History, Mop, Op};

use crate::verdict::{Context, WitnessOp};

/// A key as people call it.
pub fn key_name(history: &History, context: &Context, key: u32) -> String {
    let key = history.keys[key as usize].to_string();
    match context.labels.get(&key) {
        Some(label) => format!("{label} (key {key})"),
        None => format!("key {key}"),
    }
}

/// ns as seconds.
pub fn seconds(ns: i64) -> String {
    format!("{:.3} s", ns as f64 / 1e9)
}

/// `session 4`, with the node if known.
pub fn on_node(history: &History, op: &Op) -> String {
    history.node_name(op).map_or(String::new(), |node| format!(" on {node}"))
}

/// An operation reduced to the micro-operations that decide.
pub fn witness(history: &History, op: &Op, mops: &[&Mop], note: String) -> WitnessOp {
    WitnessOp {
        index: op.index(),
        completed_index: op.completed_index(),
        process: op.process(),
        session: op.session(),
        node: history.node_name(op).map(str::to_owned),
        invoked: op.invoked(),
        completed: op.completed(),
        kind: op.kind,
        value: mops.iter().map(|mop| history.micro_op(mop)).collect(),
        note,
    }
}

/// The history lines of some operations, in order.
pub fn lines(ops: &[&Op]) -> Vec<u64> {
    let mut lines: Vec<u64> =
        ops.iter().flat_map(|op| [Some(op.index()), op.completed_index()]).flatten().collect();
    lines.sort_unstable();
    lines.dedup();
    lines
}

/// Names of the windows that a moment or stretch falls in.
pub fn windows(context: &Context, from: i64, to: i64) -> Vec<String> {
    let inside = context.windows.iter().filter(|window| window.start <= to && from <= window.end);
    inside.map(|window| window.label.clone()).collect()
}

/// Where on the timeline a moment is: in a window, or how long before or after the nearest.
pub fn placed(context: &Context, at: i64) -> String {
    let inside = context.windows.iter().find(|w| w.start <= at && at <= w.end);
    if let Some(window) = inside {
        return format!("during {}", window.label);
    }
    let before = context.windows.iter().filter(|w| at < w.start).min_by_key(|w| w.start - at);
    let after = context.windows.iter().filter(|w| w.end < at).min_by_key(|w| at - w.end);
    match (before, after) {
        (Some(w), after) if after.is_none_or(|a| w.start - at <= at - a.end) => {
            format!("{} before {}", seconds(w.start - at), w.label)
        }
        (_, Some(w)) => format!("{} after {}", seconds(at - w.end), w.label),
        _ => String::new(),
    }
}

/// Why reads, or keys, of registers were left out.
pub fn uncertain_registers(count: u64, what: &str) -> String {
    format!(
        "{count} {what} left out: a register with several writers, or with a write of unknown \
         outcome that another follows, has no certain order of versions, and a value that two \
         operations wrote names neither"
    )
}
