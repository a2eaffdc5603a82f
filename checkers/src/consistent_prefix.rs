//! Consistent prefix: docs/checkers/consistent-prefix.md.
//!
//! Violated when no total order of the writes explains every ok read by a prefix. Decided by a
//! graph ([`crate::prefix_graph`]) in time linear in what the history shows. One finding a knot of
//! the graph, and one for every read that shows an element twice.

use history::{History, Mop, MopKind, Op, Shown};
use rustc_hash::FxHashSet;

use crate::elements::Elements;
use crate::prefix_graph::{Graph, Node, build};
use crate::registry::Checker;
use crate::sentences::{lines, on_node, seconds, uncertain_registers, windows, witness};
use crate::verdict::{Context, Finding, Outcome, Verdict};

/// Moments of a knot from which a cycle is looked for.
const STARTS: usize = 48;
/// Cycles that are tried to be made smaller.
const TRIES: usize = 12;
/// Operations of a knot that is searched whole.
const WHOLE: usize = 18;
/// Operations of a knot whose pairs are all tried.
const PAIRS: usize = 80;
/// Operations of a cycle that subsets are drawn from.
const POOL: usize = 10;
/// How often a large witness is looked at with something left out.
const LOOKS: usize = 400;
/// Operations that a sentence tells of.
const SAID: usize = 5;

/// See the module's doc.
pub struct ConsistentPrefix;

impl Checker for ConsistentPrefix {
    fn name(&self) -> &'static str {
        "consistent-prefix"
    }

    fn check(&self, history: &History, context: &Context) -> Outcome {
        let elements = Elements::new(history);
        let all: Vec<u32> = (0..history.ops.len() as u32).collect();
        let graph = build(&elements, &all, context.reads, context.session_scope);
        let mut outcome = Outcome::valid();
        outcome.reads = Some(context.reads);
        let mut repeats = graph.repeats.clone();
        repeats.dedup();
        let knots = graph.knots();
        outcome.count = (repeats.len() + knots.len()) as u64;
        if outcome.count == 0 {
            if 0 < graph.left_out {
                outcome.verdict = Verdict::Unknown;
                outcome.reason = Some(uncertain_registers(graph.left_out, "reads"));
            } else if graph.judged == 0 {
                return Outcome::not_applicable(
                    "no transaction read two lists or registers, or a list of two",
                );
            }
            return outcome;
        }
        outcome.verdict = Verdict::Invalid;
        let most = context.findings_max.unwrap_or(50);
        for op in repeats.iter().take(most) {
            outcome.findings.push(repeat_finding(&elements, context, *op));
        }
        for knot in knots.iter().take(most.saturating_sub(outcome.findings.len())) {
            let ops = smallest(&elements, context, &graph, knot);
            outcome.findings.push(knot_finding(&elements, context, &ops));
        }
        outcome.findings.sort_by_key(|finding| (finding.witness.len(), finding.ops.clone()));
        outcome
    }
}

/// Whether these operations alone admit no order.
pub fn violated(elements: &Elements<'_>, context: &Context, ops: &[u32]) -> bool {
    let graph = build(elements, ops, context.reads, context.session_scope);
    !graph.repeats.is_empty() || !graph.knots().is_empty()
}

/// A small set of operations of a knot that still admits no order.
fn smallest(elements: &Elements<'_>, context: &Context, graph: &Graph, knot: &[u32]) -> Vec<u32> {
    let members: FxHashSet<u32> = knot.iter().copied().collect();
    let moment = |node: &&u32| matches!(graph.nodes[**node as usize], Node::Moment(_));
    let mut starts: Vec<u32> = knot.iter().filter(moment).copied().collect();
    if starts.is_empty() {
        starts = knot.to_vec();
    }
    starts.sort_unstable();
    starts.truncate(STARTS);
    let mut cycles: Vec<Vec<u32>> = starts
        .iter()
        .map(|start| graph.ops_of(&graph.shortest_cycle(*start, &members)))
        .filter(|ops| !ops.is_empty())
        .collect();
    cycles.sort_by_key(|ops| (ops.len(), ops.clone()));
    cycles.dedup();
    let everything = with_evidence(elements, graph, graph.ops_of(knot));
    let mut best: Option<Vec<u32>> = None;
    // A small knot is searched whole; of a larger one the pairs, which long forks are.
    let whole = match everything.len() {
        0..=WHOLE => 5,
        count if count <= PAIRS => 2,
        _ => 0,
    };
    let whole = whole.min(everything.len());
    let found = (1..=whole).find_map(|size| subset(elements, context, &everything, size));
    if let Some(found) = found {
        if everything.len() <= WHOLE || found.len() <= 2 {
            return found;
        }
        best = Some(found);
    }
    for cycle in cycles.iter().take(TRIES) {
        // What decides an edge may lie beside the cycle: who read the order, who saw the missed.
        let mut pool = cycle.clone();
        for op in &everything {
            if pool.len() < POOL && !pool.contains(op) {
                pool.push(*op);
            }
        }
        pool.truncate(POOL);
        pool.sort_unstable();
        let most = best.as_ref().map_or(5, |best| best.len() - 1).min(pool.len());
        if let Some(found) = (1..=most).find_map(|size| subset(elements, context, &pool, size)) {
            best = Some(found);
        }
    }
    best.unwrap_or_else(|| {
        let whole = |cycle: &Vec<u32>| with_evidence(elements, graph, cycle.clone());
        let mut candidates = cycles.iter().take(TRIES).map(whole);
        let first = candidates.find(|ops| violated(elements, context, ops));
        fewer(first.unwrap_or(everything), &mut |ops| violated(elements, context, ops))
    })
}

/// Leaves out what is not needed for `holds`, in ever smaller pieces; down to operations of which
/// each is needed, if that takes no more than [`LOOKS`] looks.
fn fewer(mut ops: Vec<u32>, holds: &mut dyn FnMut(&[u32]) -> bool) -> Vec<u32> {
    let (mut looks, mut piece) = (0, ops.len().div_ceil(2));
    while 0 < piece {
        let mut at = 0;
        while at < ops.len() && looks < LOOKS {
            let rest = [&ops[..at], &ops[ops.len().min(at + piece)..]].concat();
            looks += 1;
            if !rest.is_empty() && holds(&rest) {
                ops = rest;
            } else {
                at += piece;
            }
        }
        piece /= 2;
    }
    ops
}

/// Adds the operations that show the order of the elements these operations read.
fn with_evidence(elements: &Elements<'_>, graph: &Graph, ops: Vec<u32>) -> Vec<u32> {
    let history = elements.history;
    let mops = ops.iter().flat_map(|op| history.mops_of(&history.ops[*op as usize]));
    let evidence = mops.filter_map(|mop| graph.orders.get(&mop.key)).flatten().copied();
    let mut all: Vec<u32> = evidence.chain(ops.iter().copied()).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The first subset of that size that admits no order.
fn subset(
    elements: &Elements<'_>,
    context: &Context,
    pool: &[u32],
    size: usize,
) -> Option<Vec<u32>> {
    let mut places: Vec<usize> = (0..size).collect();
    loop {
        let ops: Vec<u32> = places.iter().map(|place| pool[*place]).collect();
        if violated(elements, context, &ops) {
            return Some(ops);
        }
        // The next combination in order.
        let movable = (0..size).rev().find(|at| places[*at] < pool.len() - size + at)?;
        places[movable] += 1;
        for at in movable + 1..size {
            places[at] = places[at - 1] + 1;
        }
    }
}

/// What an operation did, in words: of lists the end, where what matters is.
fn note(history: &History, mops: &[&Mop]) -> String {
    const END: usize = 4;
    let words = mops.iter().map(|mop| {
        let key = &history.keys[mop.key as usize];
        match (mop.kind, mop.shown) {
            (MopKind::Read, Shown::Nothing) => format!("read key {key}: nothing"),
            (MopKind::Read, Shown::Int) => format!("read key {key}: {}", mop.value),
            (MopKind::Read, Shown::List) => {
                let list = history.list(mop);
                let end: Vec<String> =
                    list.iter().skip(list.len().saturating_sub(END)).map(i64::to_string).collect();
                let before = if END < list.len() { ".. " } else { "" };
                format!("read key {key}: [{before}{}]", end.join(" "))
            }
            _ => format!("wrote {} to key {key}", mop.value),
        }
    });
    words.collect::<Vec<_>>().join(", ")
}

/// The same operation with only the micro-operations on keys that another of the witness touches,
/// if any are: a final read of many keys would hide what it proves.
fn deciding<'a>(history: &'a History, op: &Op, ops: &[&Op]) -> Vec<&'a Mop> {
    let elsewhere = |mop: &Mop| {
        let others = ops.iter().filter(|other| other.index() != op.index());
        others.flat_map(|other| history.mops_of(other)).any(|other| other.key == mop.key)
    };
    let all = history.mops_of(op);
    let shared: Vec<&Mop> = all.iter().filter(|mop| elsewhere(mop)).collect();
    if shared.is_empty() { all.iter().collect() } else { shared }
}

fn knot_finding(elements: &Elements<'_>, context: &Context, ops: &[u32]) -> Finding {
    let history = elements.history;
    let ops: Vec<&Op> = ops.iter().map(|op| &history.ops[*op as usize]).collect();
    let more = ops.len().saturating_sub(SAID);
    let mut said: Vec<String> = ops
        .iter()
        .take(SAID)
        .map(|op| {
            let at = seconds(op.completed().unwrap_or(op.invoked()));
            let did = note(history, &deciding(history, op, &ops));
            format!("session {} {did} at {at}{}", op.session(), on_node(history, op))
        })
        .collect();
    if 0 < more {
        said.push(format!("and {more} more, all of them in the witness"));
    }
    let sentence = format!("no order of the writes explains these together: {}", said.join("; "));
    let proof = ops.iter().map(|op| {
        let mops = deciding(history, op, &ops);
        witness(history, op, &mops, note(history, &mops))
    });
    let from = ops.iter().map(|op| op.invoked()).min().unwrap_or(0);
    let to = ops.iter().filter_map(|op| op.completed()).max().unwrap_or(from);
    Finding {
        sentence,
        ops: lines(&ops),
        witness: proof.collect(),
        signature: "consistent-prefix/no-order".to_owned(),
        windows: windows(context, from, to),
    }
}

fn repeat_finding(elements: &Elements<'_>, context: &Context, op: u32) -> Finding {
    let history = elements.history;
    let op = &history.ops[op as usize];
    let at = op.completed().unwrap_or(op.invoked());
    let mops: Vec<&history::Mop> = history.mops_of(op).iter().collect();
    Finding {
        sentence: format!(
            "session {} saw a value twice in one list at {}{}: {}",
            op.session(),
            seconds(at),
            on_node(history, op),
            note(history, &mops)
        ),
        ops: lines(&[op]),
        witness: vec![witness(history, op, &mops, "saw a value twice".to_owned())],
        signature: "consistent-prefix/repeated".to_owned(),
        windows: windows(context, op.invoked(), at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_needed() {
        // Any two of these three, and one of the others, are needed.
        let holds = |ops: &[u32]| {
            2 <= ops.iter().filter(|op| [3, 70, 71].contains(*op)).count() && ops.contains(&50)
        };
        let left = fewer((0..100).collect(), &mut |ops| holds(ops));
        assert_eq!(left.len(), 3);
        assert!(holds(&left), "{left:?}");
        let mut looks = 0;
        let left = fewer((0..100_000).collect(), &mut |ops| {
            looks += 1;
            ops.len() == 100_000
        });
        assert_eq!((left.len(), looks), (100_000, LOOKS), "it gives up in time");
    }
}
