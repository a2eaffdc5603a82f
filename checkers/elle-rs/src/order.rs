//! Orders that do not come from data: of one process, and of real time.

use history::{EventKind, History};
use rustc_hash::FxHashMap;

use crate::graph::{Builder, HOP, PROCESS, REALTIME};
use crate::options::Scope;

/// Successive ok transactions of a process.
pub fn process(history: &History, scope: &Scope, graph: &mut Builder) {
    let mut last: FxHashMap<i64, u32> = FxHashMap::default();
    for (at, op) in history.ops.iter().enumerate() {
        if op.kind == EventKind::Ok
            && scope.vertex(op)
            && let Some(before) = last.insert(op.process(), at as u32)
        {
            graph.add(before, at as u32, PROCESS);
        }
    }
}

/// An ok transaction comes before all that are invoked after its completion. A chain of helpers
/// stands for the moments between: three edges a transaction, however many run at once.
pub fn realtime(history: &History, scope: &Scope, graph: &mut Builder) {
    let mut completions: Vec<(u64, u32)> = Vec::new();
    for (at, op) in history.ops.iter().enumerate() {
        if let (EventKind::Ok, Some(done)) = (op.kind, op.completed_index())
            && scope.vertex(op)
        {
            completions.push((done, at as u32));
        }
    }
    completions.sort_unstable();
    let mut next = 0;
    let mut moment: Option<u32> = None;
    for (at, op) in history.ops.iter().enumerate() {
        // One helper for all completions since the last invocation.
        if completions.get(next).is_some_and(|(done, _)| *done < op.index()) {
            let helper = graph.helper();
            if let Some(before) = moment {
                graph.edges.push((before, helper, HOP));
            }
            moment = Some(helper);
            while let Some((_, done)) = completions.get(next).filter(|(d, _)| *d < op.index()) {
                graph.edges.push((*done, helper, REALTIME));
                next += 1;
            }
        }
        if let Some(moment) = moment.filter(|_| op.kind != EventKind::Fail && scope.vertex(op)) {
            graph.edges.push((moment, at as u32, HOP));
        }
    }
}
