//! Orders that do not come from data: of one process, and of real time.

use history::{EventKind, History, Op};
use rustc_hash::FxHashMap;

use crate::graph::{Builder, HOP, PROCESS, REALTIME};
use crate::options::Scope;

/// Successive ok transactions of a process, and what it invoked last, of unknown outcome, after
/// them: had it happened, then after what the process had done.
pub fn process(history: &History, scope: &Scope, graph: &mut Builder) {
    let mut last: FxHashMap<i64, u32> = FxHashMap::default();
    for (at, op) in history.ops.iter().enumerate() {
        if op.kind == EventKind::Fail || !scope.vertex(op) {
            continue;
        }
        let before = match op.kind {
            EventKind::Ok => last.insert(op.process(), at as u32),
            _ => last.get(&op.process()).copied(),
        };
        if let Some(before) = before {
            graph.add(before, at as u32, PROCESS);
        }
    }
}

/// Ok transactions in the order of their completion.
pub fn completions(history: &History, scope: &Scope) -> Vec<u32> {
    let done =
        |op: &Op| op.kind == EventKind::Ok && op.completed_index().is_some() && scope.vertex(op);
    let ops = 0..history.ops.len() as u32;
    let mut completions: Vec<u32> = ops.filter(|at| done(&history.ops[*at as usize])).collect();
    // All but sorted, as transactions are short beside a history.
    completions.sort_by_key(|at| history.ops[*at as usize].completed_index());
    completions
}

/// An ok transaction comes before all that are invoked after its completion. A chain of helpers
/// stands for the moments between: three edges a transaction, however many run at once.
/// `completions` as [`completions`] has them.
pub fn realtime(history: &History, scope: &Scope, completions: &[u32], graph: &mut Builder) {
    let mut completions = completions.iter().copied().peekable();
    let before =
        |number: &u32, op: &Op| history.ops[*number as usize].completed_index() < Some(op.index());
    let mut moment: Option<u32> = None;
    for (at, op) in history.ops.iter().enumerate() {
        // One helper for all completions since the last invocation.
        if completions.peek().is_some_and(|number| before(number, op)) {
            let helper = graph.helper();
            if let Some(before) = moment {
                graph.put(before, helper, HOP);
            }
            moment = Some(helper);
            while let Some(done) = completions.next_if(|number| before(number, op)) {
                graph.put(done, helper, REALTIME);
            }
        }
        if let Some(moment) = moment.filter(|_| op.kind != EventKind::Fail && scope.vertex(op)) {
            graph.put(moment, at as u32, HOP);
        }
    }
}
