//! The graph behind consistent-prefix: acyclic exactly when a total order of writes exists that
//! explains every read by a prefix (docs/checkers/consistent-prefix.md).
//!
//! Nodes are transactions, elements nobody here wrote, one *moment* for each read (ordered) or
//! reading transaction (atomic), and per key helpers that stand for "every element that no list
//! shows". Edges say "before". The number of edges is linear in the history as long as lists of a
//! key are prefixes of one another; a list that is not costs as many edges as the longest has
//! elements, and is a violation anyhow.
//!
//! The graph can be built of a part of the operations: what they show of others' writes then
//! counts as written by anonymous transactions, as the definition of minimal witnesses says.

use std::collections::BTreeMap;

use history::{EventKind, MopKind};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::elements::{Element, Elements, KeyUse};
use crate::verdict::ReadsMode;

mod disagreeing;

use disagreeing::Rest;

/// Operations remembered for showing the order of a key's elements.
const ORDERS: usize = 6;

/// What a node stands for, where that is an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// A transaction, by place in the history.
    Txn(u32),
    /// The moment of a read of this transaction.
    Moment(u32),
    /// Anything else.
    Helper,
}

/// See the module's doc.
#[derive(Default)]
pub struct Graph {
    /// By node.
    pub nodes: Vec<Node>,
    /// By node: what comes after it.
    pub after: Vec<Vec<u32>>,
    /// Operations that show one element twice: the state of no order.
    pub repeats: Vec<u32>,
    /// By key: operations that show the order of its elements: the longest list, and some of
    /// those that are no prefix of it.
    pub orders: BTreeMap<u32, Vec<u32>>,
    /// Reads of two or more keys in one transaction, or of a list: something to judge.
    pub judged: u64,
    /// Reads of registers without a certain order of versions.
    pub left_out: u64,
}

/// A read with what it shows of others.
struct Read {
    op: u32,
    moment: u32,
    /// Elements shown, without the transaction's own; for registers only how many versions.
    shown: Vec<Element>,
    upto: u32,
}

struct Builder<'a, 'h> {
    elements: &'a Elements<'h>,
    graph: Graph,
    txns: FxHashMap<u32, u32>,
    anonymous: FxHashMap<Element, u32>,
    /// By key, in order of keys.
    reads: BTreeMap<u32, Vec<Read>>,
    observed: FxHashSet<Element>,
    /// Operations of which something was observed.
    op_observed: FxHashSet<u32>,
}

/// Builds the graph of these operations (places in the history, ascending).
pub fn build(elements: &Elements<'_>, ops: &[u32], mode: ReadsMode, session_scope: bool) -> Graph {
    let graph = Graph::default();
    let mut builder = Builder {
        elements,
        graph,
        txns: FxHashMap::default(),
        anonymous: FxHashMap::default(),
        reads: BTreeMap::new(),
        observed: FxHashSet::default(),
        op_observed: FxHashSet::default(),
    };
    for op in ops {
        let node = builder.node(Node::Txn(*op));
        builder.txns.insert(*op, node);
    }
    builder.collect_reads(ops, mode, session_scope);
    builder.order_sessions(ops);
    let mut universe = builder.universe(ops);
    let reads = std::mem::take(&mut builder.reads);
    for (key, reads) in &reads {
        let others = universe.remove(key).unwrap_or_default();
        match elements.uses[*key as usize] {
            KeyUse::List => builder.order_list(*key, reads, &others),
            KeyUse::Register => builder.order_register(*key, reads, &others),
            KeyUse::Set | KeyUse::Counter | KeyUse::Unknown => {}
        }
    }
    for (key, others) in universe {
        if elements.uses[key as usize] == KeyUse::Register {
            builder.order_register(key, &[], &others);
        }
    }
    builder.graph
}

impl Builder<'_, '_> {
    fn node(&mut self, node: Node) -> u32 {
        self.graph.nodes.push(node);
        self.graph.after.push(Vec::new());
        self.graph.nodes.len() as u32 - 1
    }

    fn edge(&mut self, from: u32, to: u32) {
        self.graph.after[from as usize].push(to);
    }

    /// The node of an element: its writer's, or one of its own.
    fn of(&mut self, element: Element) -> u32 {
        let writer = self.elements.written[element as usize].writer;
        if let Some(node) = writer.and_then(|writer| self.txns.get(&writer)) {
            return *node;
        }
        if let Some(node) = self.anonymous.get(&element) {
            return *node;
        }
        let node = self.node(Node::Helper);
        self.anonymous.insert(element, node);
        node
    }

    fn own(&self, element: Element, op: u32) -> bool {
        self.elements.written[element as usize].writer == Some(op)
    }

    fn collect_reads(&mut self, ops: &[u32], mode: ReadsMode, session_scope: bool) {
        let history = self.elements.history;
        let mut last_of_session: BTreeMap<i64, u32> = BTreeMap::new();
        for &place in ops {
            let op = &history.ops[place as usize];
            if op.kind != EventKind::Ok {
                continue;
            }
            let mut moment: Option<u32> = None;
            let mut keys: Vec<u32> = Vec::new();
            let mut any_list = false;
            for mop in history.mops_of(op).iter().filter(|mop| mop.kind == MopKind::Read) {
                let usage = self.elements.uses[mop.key as usize];
                let version = self.elements.version(mop);
                // Of sets and counters nobody sees an order.
                let placed = match usage {
                    KeyUse::List => true,
                    KeyUse::Register => version.is_some(),
                    KeyUse::Set | KeyUse::Counter | KeyUse::Unknown => false,
                };
                if !placed {
                    self.graph.left_out += u64::from(usage == KeyUse::Unknown);
                    continue;
                }
                let before = moment;
                let now = match (mode, moment) {
                    (ReadsMode::Atomic, Some(moment)) => moment,
                    _ => self.node(Node::Moment(place)),
                };
                if let Some(before) = before.filter(|before| *before != now) {
                    self.edge(before, now);
                }
                let last = last_of_session.get(&op.session()).copied();
                if let Some(last) = last.filter(|_| before.is_none() && session_scope) {
                    self.edge(last, now);
                }
                moment = Some(now);
                keys.push(mop.key);
                any_list |= usage == KeyUse::List && 1 < history.list(mop).len();
                let shown = self.shown(place, mop, usage);
                let upto = version.unwrap_or(0);
                let read = Read { op: place, moment: now, shown, upto };
                self.reads.entry(mop.key).or_default().push(read);
            }
            keys.sort_unstable();
            keys.dedup();
            if let Some(moment) = moment {
                last_of_session.insert(op.session(), moment);
                self.graph.judged += u64::from(1 < keys.len() || any_list || session_scope);
            }
        }
    }

    /// Elements of others that a list shows; notes what is observed, and repeats.
    fn shown(&mut self, place: u32, mop: &history::Mop, usage: KeyUse) -> Vec<Element> {
        let elements = self.elements;
        if usage == KeyUse::Register {
            let upto = elements.version(mop).unwrap_or(0) as usize;
            // All of them count as observed; only the last needs to be noted for that.
            if let Some(last) = upto.checked_sub(1) {
                let element = elements.versions[mop.key as usize][last];
                self.observe(element, place);
            }
            return Vec::new();
        }
        let list = elements.history.list(mop);
        let mut shown = Vec::with_capacity(list.len());
        for value in list {
            let Some(element) = elements.number(mop.key, *value) else {
                continue;
            };
            if !self.own(element, place) {
                self.observe(element, place);
                shown.push(element);
            }
        }
        let distinct: FxHashSet<i64> = list.iter().copied().collect();
        if distinct.len() < list.len() {
            self.graph.repeats.push(place);
            let mut once = FxHashSet::default();
            shown.retain(|element| once.insert(*element));
        }
        shown
    }

    fn observe(&mut self, element: Element, reader: u32) {
        if self.own(element, reader) {
            return;
        }
        self.observed.insert(element);
        if let Some(writer) = self.elements.written[element as usize].writer {
            self.op_observed.insert(writer);
        }
    }

    fn takes_part(&self, op: u32) -> bool {
        let ok = self.elements.history.ops[op as usize].kind == EventKind::Ok;
        ok || self.op_observed.contains(&op)
    }

    /// From each ok transaction of a session to the next that is ok or was observed.
    fn order_sessions(&mut self, ops: &[u32]) {
        let history = self.elements.history;
        let mut last_ok: BTreeMap<i64, u32> = BTreeMap::new();
        for &place in ops {
            let op = &history.ops[place as usize];
            if !self.takes_part(place) {
                continue;
            }
            let node = self.txns[&place];
            if let Some(before) = last_ok.get(&op.session()).copied() {
                self.edge(before, node);
            }
            if op.kind == EventKind::Ok {
                last_ok.insert(op.session(), node);
            }
        }
    }

    /// By key: elements of transactions that take part, in order of their writers.
    fn universe(&self, ops: &[u32]) -> BTreeMap<u32, Vec<Element>> {
        let history = self.elements.history;
        let mut universe: BTreeMap<u32, Vec<Element>> = BTreeMap::new();
        for &place in ops {
            if !self.takes_part(place) {
                continue;
            }
            for mop in history.mops_of(&history.ops[place as usize]) {
                let number = self.elements.number(mop.key, mop.value);
                let Some(element) = number.filter(|_| mop.kind != MopKind::Read) else {
                    continue;
                };
                if self.own(element, place) {
                    universe.entry(mop.key).or_default().push(element);
                }
            }
        }
        universe
    }

    fn order_list(&mut self, key: u32, reads: &[Read], written: &[Element]) {
        let longest = reads.iter().max_by_key(|read| read.shown.len());
        if let Some(read) = longest {
            self.graph.orders.entry(key).or_default().push(read.op);
        }
        let longest: Vec<Element> = longest.map(|read| read.shown.clone()).unwrap_or_default();
        let listed: FxHashSet<Element> = longest.iter().copied().collect();
        let mut rest: Vec<Element> =
            written.iter().copied().filter(|element| !listed.contains(element)).collect();
        let mut strays: Vec<Element> = Vec::new();
        for read in reads.iter().filter(|read| !longest.starts_with(&read.shown)) {
            strays.extend(read.shown.iter().filter(|element| !listed.contains(element)));
        }
        let known: FxHashSet<Element> = rest.iter().copied().collect();
        strays.retain(|element| !known.contains(element));
        strays.sort_unstable();
        strays.dedup();
        // Without strays `rest` is in order of its writers, which the helpers rely on.
        let ordered = strays.is_empty();
        rest.extend(strays);
        for pair in longest.windows(2) {
            self.chain(pair[0], pair[1]);
        }
        let helpers = self.helpers(&rest);
        let mut tree: Option<Rest> = None;
        for read in reads {
            if ordered && longest.starts_with(&read.shown) {
                self.explain_prefix(read, &longest, &rest, &helpers);
            } else {
                let orders = self.graph.orders.entry(key).or_default();
                if orders.len() < ORDERS {
                    orders.push(read.op);
                }
                let tree = tree.get_or_insert_with(|| self.rest(&longest, &rest));
                self.explain_any(read, &longest, &rest, tree);
            }
        }
    }

    fn chain(&mut self, first: Element, second: Element) {
        let (before, after) = (self.of(first), self.of(second));
        // One transaction's elements stand in the order in which it wrote them; shown otherwise,
        // they are the state of no order, which a node before itself says as well.
        if before != after || second < first {
            self.edge(before, after);
        }
    }

    /// Two chains of helpers over `rest`: from each, every element from there on, or up to there.
    fn helpers(&mut self, rest: &[Element]) -> Vec<(u32, u32)> {
        let helpers: Vec<(u32, u32)> =
            rest.iter().map(|_| (self.node(Node::Helper), self.node(Node::Helper))).collect();
        for (place, element) in rest.iter().enumerate() {
            let node = self.of(*element);
            let (forward, backward) = helpers[place];
            self.edge(forward, node);
            self.edge(backward, node);
            if let Some((next, _)) = helpers.get(place + 1) {
                self.edge(forward, *next);
                self.edge(helpers[place + 1].1, backward);
            }
        }
        helpers
    }

    fn explain_prefix(
        &mut self,
        read: &Read,
        longest: &[Element],
        rest: &[Element],
        helpers: &[(u32, u32)],
    ) {
        self.seen(&read.shown, read);
        let missed = longest[read.shown.len()..].iter().find(|e| !self.own(**e, read.op));
        if let Some(missed) = missed {
            self.missed(*missed, read);
        }
        // Own elements stand together in `rest`: everything before and everything after them.
        let first_own = rest.partition_point(|element| self.writer_before(*element, read.op));
        let after_own = first_own
            + rest[first_own..].iter().take_while(|element| self.own(**element, read.op)).count();
        if let Some((forward, _)) = helpers.get(after_own) {
            self.edge(read.moment, *forward);
        }
        if let Some((_, backward)) = first_own.checked_sub(1).and_then(|last| helpers.get(last)) {
            self.edge(read.moment, *backward);
        }
    }

    /// Whether an element's writer was invoked before `op`; those without one come last.
    fn writer_before(&self, element: Element, op: u32) -> bool {
        self.elements.written[element as usize].writer.is_some_and(|writer| writer < op)
    }

    /// Everything shown comes before the moment, and its writers before the reader. Elements are
    /// chained, so that the last of each sort speaks for those before it. A writer that is not
    /// among the operations is nobody, and nobody happened before anything.
    fn seen(&mut self, shown: &[Element], read: &Read) {
        if let Some(last) = shown.last() {
            let node = self.of(*last);
            self.edge(node, read.moment);
        }
        let writer = shown.iter().rev().find_map(|element| {
            let writer = self.elements.written[*element as usize].writer?;
            self.txns.get(&writer).copied()
        });
        let reader = self.txns[&read.op];
        if let Some(writer) = writer.filter(|writer| *writer != reader) {
            self.edge(writer, reader);
        }
    }

    fn missed(&mut self, element: Element, read: &Read) {
        let node = self.of(element);
        self.edge(read.moment, node);
    }

    /// A register: its versions are a chain, each read a prefix of it.
    fn order_register(&mut self, key: u32, reads: &[Read], written: &[Element]) {
        let elements = self.elements;
        let versions = &elements.versions[key as usize];
        let upto = reads.iter().map(|read| read.upto).max().unwrap_or(0) as usize;
        let mut chain: Vec<Element> = versions[..upto].to_vec();
        chain.extend(written.iter().filter(|e| upto < elements.place(**e) as usize));
        for pair in chain.windows(2) {
            self.chain(pair[0], pair[1]);
        }
        for read in reads {
            let (before, after) = chain.split_at(read.upto as usize);
            // Own versions stand at the end of what is shown.
            let others = before.iter().rposition(|element| !self.own(*element, read.op));
            self.seen(&before[..others.map_or(0, |last| last + 1)], read);
            if let Some(missed) = after.iter().find(|element| !self.own(**element, read.op)) {
                self.missed(*missed, read);
            }
        }
    }
}
