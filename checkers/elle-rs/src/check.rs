//! The check itself: index, dependencies, level tests, witnesses, verdict.

use history::History;

use crate::anomaly::{Anomaly, AnomalySet};
use crate::both::both;
use crate::cases::{Cases, Refusal, Why};
use crate::graph::{
    Builder, Graph, Knot, PROCESS, REALTIME, RW, TooLarge, View, WR, WW, components, knot,
};
use crate::lattice::{ruled_out, strongest};
use crate::list_append::Lists;
use crate::options::{Options, Scope, Workload};
use crate::registers::Registers;
use crate::search::{Cycle, Found, Search, shapes, simple};
use crate::verdict::{CycleFound, Step, Validity, Verdict};
use crate::{decide, levels, list_cases, named, order, reach, register_cases};

enum Index<'h> {
    Lists(Lists<'h>),
    Registers(Registers<'h>),
}

impl Index<'_> {
    fn why(&self, from: u32, to: u32, kind: u8) -> Option<Why> {
        match (kind, self) {
            (PROCESS, _) => Some(Why::Process),
            (REALTIME, _) => Some(Why::Realtime),
            (_, Index::Lists(lists)) => lists.why(from, to, kind),
            (_, Index::Registers(registers)) => registers.why(from, to, kind),
        }
    }
}

/// Judges a history.
///
/// # Errors
/// If it is none that can be judged: a value written twice, a micro-operation of another
/// workload, a read that shows a list where a value belongs.
pub fn check(history: &History, options: &Options) -> Result<Verdict, Refusal> {
    let scope = Scope { final_reads_only_order: options.final_reads_only_order };
    let mut cases = Cases::new(options.cases_max);
    let index = match options.workload {
        Workload::ListAppend => Index::Lists(Lists::new(history, scope)?),
        Workload::RwRegister => {
            Index::Registers(Registers::new(history, options, scope, &mut cases)?)
        }
    };
    let extra = extra_order(options);
    let cases_found = || {
        match &index {
            Index::Lists(lists) => list_cases::find(lists, &mut cases),
            Index::Registers(registers) => {
                register_cases::find(registers, &registers.numbers, &mut cases);
            }
        }
        cases
    };
    let edges = |builder: &mut Builder| match &index {
        Index::Lists(lists) => lists.edges(builder),
        Index::Registers(registers) => registers.edges(builder),
    };
    let graph = || dependencies(history, &edges, extra, &scope);
    let (graph, cases) = both(history.mops.len(), graph, cases_found);
    let graph = graph.map_err(|TooLarge| too_large(history))?;
    let mut found: AnomalySet = cases.counts.keys().copied().collect();
    if graph.is_empty() {
        found.insert(Anomaly::EmptyTransactionGraph);
    }
    let mut cycles = Cycles::default();
    let why = |from, to, kind| index.why(from, to, kind);
    cycles.find(graph, extra, history.ops.len() as u32, options, &why);
    let verdict = conclude(options, extra, found, &cases, cycles);
    let mut verdict = match index {
        Index::Registers(registers) if verdict.validity == Validity::Valid => {
            decide::decide(registers, options, extra, &cases, verdict)?
        }
        _ => verdict,
    };
    // What a level says of real time cannot be held against what tells none.
    if extra == REALTIME && history.is_untimed() && verdict.validity == Validity::Valid {
        verdict.validity = Validity::Unknown;
    }
    Ok(verdict)
}

/// Why a dependency of a kind exists.
pub type Reason<'a> = &'a dyn Fn(u32, u32, u8) -> Option<Why>;

/// The dependencies that `edges` tells, and those of the order beside data.
pub fn dependencies(
    history: &History,
    edges: &dyn Fn(&mut Builder),
    extra: u8,
    scope: &Scope,
) -> Result<Graph, TooLarge> {
    let completions = match extra {
        REALTIME => order::completions(history, scope),
        _ => Vec::new(),
    };
    let tell = &mut |builder: &mut Builder| {
        edges(builder);
        match extra {
            REALTIME => order::realtime(history, scope, &completions, builder),
            PROCESS => order::process(history, scope, builder),
            _ => {}
        }
    };
    Graph::told(history.ops.len(), tell)
}

/// Why such a history cannot be judged.
pub fn too_large(history: &History) -> Refusal {
    let why = format!(
        "a history of {} operations has more dependencies than can be kept at once: judge parts \
         of it",
        history.ops.len()
    );
    Refusal { line: history.ops.last().map_or(0, |op| op.index()), why }
}

/// The order beside data: real time if some level asked for speaks of it, else that of processes
/// if one does. Never both, as the original has it: real time contains the other.
fn extra_order(options: &Options) -> u8 {
    let prohibited = options.prohibited();
    let speaks_of = |ending: &str| prohibited.iter().any(|a| a.name().ends_with(ending));
    if speaks_of("-realtime") {
        REALTIME
    } else if speaks_of("-process") {
        PROCESS
    } else {
        0
    }
}

/// What cycles a graph has.
#[derive(Default)]
pub struct Cycles {
    /// A shortest one of each kind.
    pub found: Vec<CycleFound>,
    /// The level tests that fail.
    pub levels: Vec<Anomaly>,
    /// Kinds whose search was cut short.
    pub bounded: Vec<Anomaly>,
}

impl Cycles {
    /// Finds them; vertices from `ops` on are helpers.
    pub fn find(&mut self, graph: Graph, extra: u8, ops: u32, options: &Options, why: Reason<'_>) {
        let all = WW | WR | RW | extra;
        let tied = components(&graph, View { kinds: all, nonadjacent: false });
        if tied.count == 0 {
            return;
        }
        let knot = knot(&graph, &tied);
        drop((graph, tied));
        self.levels = levels::failed(&knot.graph, extra);
        let helper = |vertex: u32| knot.old[vertex as usize] >= ops;
        let mut search = Search::new(&knot.graph);
        let mut known = AnomalySet::default();
        for shape in shapes(extra) {
            let implied = known.implied().contains(shape.anomaly);
            if implied || !levels::may_show(shape.anomaly, &self.levels) {
                continue;
            }
            let mut result = search.shortest(shape, &helper, options.search_edges_max);
            result.cycle = result.cycle.and_then(|cycle| simple(cycle, shape.anomaly));
            let open = result.bounded && shape.anomaly == Anomaly::GSingleItem;
            if self.take(shape.anomaly, result, &knot, why) {
                known.insert(shape.anomaly);
            } else if open && reach::has_single(&knot.graph) {
                // Without a witness: the search was cut short, and the levels stand all the same.
                self.levels.push(Anomaly::GSingle);
            }
        }
        drop(search);
        for (anomaly, kinds) in named::SHAPES {
            if !levels::may_show(anomaly, &self.levels) {
                continue;
            }
            let result = named::cycle(&knot.graph, kinds, &helper, options.search_edges_max);
            self.take(anomaly, result, &knot, why);
        }
    }

    /// Keeps what a search found, if there is anything, with the reasons for each edge.
    fn take(&mut self, anomaly: Anomaly, found: Found, knot: &Knot, why: Reason<'_>) -> bool {
        if found.bounded {
            self.bounded.push(anomaly);
        }
        let steps = found.cycle.and_then(|cycle| explained(&cycle, knot, why));
        let steps = steps.map(|steps| self.found.push(CycleFound { anomaly, steps }));
        steps.is_some()
    }
}

/// A cycle's steps, with why each edge exists. An edge that cannot be explained would be a fault
/// of ours: the cycle is left out then, and the level tests stand.
fn explained(cycle: &Cycle, knot: &Knot, why: Reason<'_>) -> Option<Vec<Step>> {
    let old = |vertex: u32| knot.old[vertex as usize];
    let next = |at: usize| old(cycle[(at + 1) % cycle.len()].0);
    let steps = cycle.iter().enumerate().map(|(at, &(vertex, kind))| {
        let why = why(old(vertex), next(at), kind)?;
        Some(Step { op: old(vertex), kind, why })
    });
    steps.collect()
}

/// The verdict on all that was found.
pub fn conclude(
    options: &Options,
    extra: u8,
    mut found: AnomalySet,
    cases: &Cases,
    cycles: Cycles,
) -> Verdict {
    for cycle in &cycles.found {
        found.insert(cycle.anomaly);
    }
    // A level that fails says so only where no witness already rules it out.
    for level in &cycles.levels {
        let (not, also) = ruled_out(found);
        let mut with = found;
        with.insert(*level);
        if ruled_out(with) != (not, also) {
            found = with;
        }
    }
    let prohibited = options.prohibited();
    let unknown = Anomaly::EmptyTransactionGraph;
    let mut types: Vec<Anomaly> =
        found.iter().filter(|a| prohibited.contains(*a) || *a == unknown).collect();
    types.sort_by_key(|anomaly| anomaly.name());
    let validity = match types[..] {
        [] => Validity::Valid,
        [only] if only == unknown => Validity::Unknown,
        _ => Validity::Invalid,
    };
    let (not, also_not) = match validity {
        Validity::Valid => (Vec::new(), Vec::new()),
        _ => ruled_out(found),
    };
    let judged = |name: &str| match extra {
        REALTIME => !name.starts_with("strong-session"),
        PROCESS => !name.starts_with("strong-") || name.starts_with("strong-session"),
        _ => !name.starts_with("strong-"),
    };
    Verdict {
        validity,
        anomaly_types: types,
        found,
        not,
        also_not,
        strongest: strongest(found, |model| judged(model.name())),
        cases: cases.kept.clone(),
        counts: cases.counts.clone(),
        cycles: cycles.found,
        assumptions: options.assumptions(),
        undecided: None,
        implied: None,
        bounded: cycles.bounded,
    }
}
