//! The dependency graph: edges by kind in compressed rows, and its strongly connected components.
//!
//! Besides transactions a graph holds helper vertices, so that many-to-many dependencies cost a
//! linear number of edges. An edge into a helper carries the dependency's kind; edges out of it
//! are [`HOP`]s, which have no length and no kind of their own.

/// A write that overwrites a write.
pub const WW: u8 = 1;
/// A read of a write.
pub const WR: u8 = 2;
/// A write that overwrites what was read.
pub const RW: u8 = 4;
/// One process's order.
pub const PROCESS: u8 = 8;
/// Completed before the other was invoked.
pub const REALTIME: u8 = 16;
/// The way on from a helper vertex.
pub const HOP: u8 = 32;

/// A vertex and a kind share a word: the kind's number is in the upper bits.
const KIND_SHIFT: u32 = 29;
const VERTEX: u32 = (1 << KIND_SHIFT) - 1;

fn packed(to: u32, kind: u8) -> u32 {
    kind.trailing_zeros() << KIND_SHIFT | to
}

fn unpacked(word: u32) -> (u32, u8) {
    (word & VERTEX, 1 << (word >> KIND_SHIFT))
}

/// Takes edges. A graph's edges are told twice, first to be counted and then to be put in place,
/// so that they are never kept as a list: that list would be the largest thing in memory.
#[derive(Debug, Default)]
pub struct Builder {
    /// While counting: how many edges leave a vertex, one row further on. Then: where the next
    /// edge of a vertex goes.
    starts: Vec<u32>,
    /// Empty while counting.
    targets: Vec<u32>,
    filling: bool,
    vertices: u32,
    total: u64,
}

impl Builder {
    /// Adds an edge, unless it leads back to where it begins.
    pub fn add(&mut self, from: u32, to: u32, kind: u8) {
        if from != to {
            self.put(from, to, kind);
        }
    }

    /// Adds an edge, which leads on.
    pub fn put(&mut self, from: u32, to: u32, kind: u8) {
        let at = from as usize;
        if self.filling {
            self.targets[self.starts[at] as usize] = packed(to, kind);
            self.starts[at] += 1;
            return;
        }
        if self.starts.len() <= at + 1 {
            self.starts.resize(at + 2, 0);
        }
        self.starts[at + 1] += 1;
        self.total += 1;
    }

    /// A new helper vertex.
    pub fn helper(&mut self) -> u32 {
        self.helpers(1)
    }

    fn helpers(&mut self, count: u32) -> u32 {
        let first = self.vertices;
        self.vertices = first.saturating_add(count);
        first
    }

    /// Counting is done: each vertex gets its row.
    fn begin_to_fill(&mut self, transactions: usize) -> Result<(), TooLarge> {
        // The greatest vertex must differ from what stands for none.
        if self.vertices > VERTEX || self.total > u64::from(u32::MAX) {
            return Err(TooLarge);
        }
        self.starts.resize(self.vertices as usize + 1, 0);
        for at in 0..self.vertices as usize {
            self.starts[at + 1] += self.starts[at];
        }
        self.targets = vec![0; self.total as usize];
        self.vertices = transactions as u32;
        self.filling = true;
        Ok(())
    }

    /// An edge from each to each other. Both lists sorted, without repetition. Many to many is
    /// done by two chains of helpers, so that none who is in both depends on itself.
    pub fn fan(&mut self, from: &[u32], to: &[u32], kind: u8) {
        if from.len() <= 2 || to.len() <= 2 {
            for &a in from {
                for &b in to {
                    self.add(a, b, kind);
                }
            }
            return;
        }
        let count = to.len() as u32;
        let first = self.helpers(2 * count);
        for (at, &b) in to.iter().enumerate() {
            let at = at as u32;
            // Down to the first, up to the last.
            self.put(first + at, b, HOP);
            self.put(first + count + at, b, HOP);
            if at > 0 {
                self.put(first + at, first + at - 1, HOP);
                self.put(first + count + at - 1, first + count + at, HOP);
            }
        }
        for &a in from {
            match to.binary_search(&a) {
                Err(_) => self.put(a, first + count, kind),
                Ok(at) => {
                    let at = at as u32;
                    if at > 0 {
                        self.put(a, first + at - 1, kind);
                    }
                    if at + 1 < count {
                        self.put(a, first + count + at + 1, kind);
                    }
                }
            }
        }
    }
}

/// More vertices or edges than a graph's words have room for: half a thousand million vertices,
/// four thousand million edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

/// A graph in compressed rows.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    starts: Vec<u32>,
    /// See [`packed`].
    targets: Vec<u32>,
}

impl Graph {
    /// Of the edges that `tell` tells, twice alike, among so many transactions and helpers.
    ///
    /// # Errors
    /// If there are too many.
    pub fn told(
        transactions: usize,
        tell: &mut dyn FnMut(&mut Builder),
    ) -> Result<Graph, TooLarge> {
        let vertices = u32::try_from(transactions).map_err(|_| TooLarge)?;
        let mut builder = Builder { vertices, ..Builder::default() };
        // Helpers come after transactions, at most about as many.
        builder.starts.reserve(2 * transactions + 1);
        tell(&mut builder);
        builder.begin_to_fill(transactions)?;
        tell(&mut builder);
        let Builder { mut starts, targets, .. } = builder;
        // Filled through the starts themselves, which now stand one row further on.
        starts.rotate_right(1);
        starts[0] = 0;
        Ok(Graph { starts, targets })
    }

    /// Of these edges, which are gone through twice.
    pub fn of(vertices: usize, edges: impl Iterator<Item = (u32, u32, u8)> + Clone) -> Graph {
        let tell = &mut |builder: &mut Builder| {
            edges.clone().for_each(|(from, to, kind)| builder.put(from, to, kind));
        };
        // Parts of graphs and orders of versions: smaller than what has been built before.
        Graph::told(vertices, tell).unwrap_or_default()
    }

    /// How many vertices.
    pub fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Whether there is no edge at all.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// How many edges.
    pub fn edge_count(&self) -> usize {
        self.targets.len()
    }

    /// Edges out of a vertex.
    pub fn out(&self, vertex: u32) -> impl Iterator<Item = (u32, u8)> + Clone + '_ {
        self.row(vertex).map(|at| unpacked(self.targets[at]))
    }

    fn row(&self, vertex: u32) -> std::ops::Range<usize> {
        self.starts[vertex as usize] as usize..self.starts[vertex as usize + 1] as usize
    }

    /// All edges.
    pub fn edges(&self) -> impl Iterator<Item = (u32, u32, u8)> + Clone + '_ {
        (0..self.len() as u32).flat_map(move |v| self.out(v).map(move |(to, kind)| (v, to, kind)))
    }
}

/// Components of more than one vertex: for each vertex its component's number, or `NONE`.
#[derive(Clone, Debug)]
pub struct Components {
    /// By vertex (by state, of a product).
    pub of: Vec<u32>,
    /// How many there are.
    pub count: u32,
}

/// In no component of more than one vertex.
pub const NONE: u32 = u32::MAX;

/// Which edges and walks count.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Kinds of edges; hops go with those that lead to them.
    pub kinds: u8,
    /// Whether two anti-dependencies may not follow on each other: the graph's product with the
    /// question whether the last edge was one.
    pub nonadjacent: bool,
}

impl View {
    /// The state that an edge leads to, if it may be taken. States: 0, or 1 after an
    /// anti-dependency; always 0 if it does not matter.
    fn step(self, state: u32, kind: u8) -> Option<u32> {
        if kind == HOP {
            return Some(state);
        }
        if kind & self.kinds == 0 {
            return None;
        }
        if !self.nonadjacent || kind != RW {
            return Some(0);
        }
        (state == 0).then_some(1)
    }
}

/// A vertex on the way down: the upper bit says that it leads back to one above it.
const LEADS_BACK: u32 = 1 << 31;

/// Strongly connected components of a view of a graph, without recursion, after Pearce ("A
/// space-efficient algorithm for finding strongly connected components", 2016): one word a vertex,
/// and only vertices that lead back to earlier ones are ever stacked.
pub fn components(graph: &Graph, view: View) -> Components {
    let width = if view.nonadjacent { 2 } else { 1 };
    let total = graph.len() * width;
    // 0: not seen. Small: the earliest that is reached. From the top down: a component's number,
    // the greatest for all who are alone.
    let mut mark = vec![0u32; total];
    let mut count = 0;
    let (mut stack, mut frames): (Vec<u32>, Vec<(u32, u32)>) = (Vec::new(), Vec::new());
    let mut clock = 0;
    // Edges mostly lead on in time: from the end on, the ways down are short.
    for root in (0..total as u32).rev() {
        if mark[root as usize] != 0 {
            continue;
        }
        clock += 1;
        mark[root as usize] = clock;
        frames.push((root, graph.starts[root as usize / width]));
        while let Some(frame) = frames.last_mut() {
            let at = (frame.0 & !LEADS_BACK) as usize;
            let (vertex, state) = (at / width, at % width);
            if frame.1 < graph.starts[vertex + 1] {
                let (to, kind) = unpacked(graph.targets[frame.1 as usize]);
                frame.1 += 1;
                let Some(state) = view.step(state as u32, kind) else {
                    continue;
                };
                let next = to as usize * width + state as usize;
                if mark[next] == 0 {
                    clock += 1;
                    mark[next] = clock;
                    frames.push((next as u32, graph.starts[to as usize]));
                } else if mark[next] < mark[at] {
                    mark[at] = mark[next];
                    frame.0 |= LEADS_BACK;
                }
                continue;
            }
            let leads_back = frame.0 & LEADS_BACK != 0;
            frames.pop();
            if leads_back {
                stack.push(at as u32);
            } else {
                count += u32::from(close(&mut mark, &mut stack, at, count));
            }
            if let Some((parent, _)) = frames.last_mut() {
                let above = (*parent & !LEADS_BACK) as usize;
                if mark[at] < mark[above] {
                    mark[above] = mark[at];
                    *parent |= LEADS_BACK;
                }
            }
        }
    }
    for mark in mark.iter_mut().filter(|mark| **mark != NONE) {
        *mark = NONE - 1 - *mark;
    }
    Components { of: mark, count }
}

/// Gives a component its number, if it has more than one member; says whether it does.
fn close(mark: &mut [u32], stack: &mut Vec<u32>, root: usize, number: u32) -> bool {
    let (earliest, mut alone) = (mark[root], true);
    while let Some(&member) = stack.last().filter(|member| earliest <= mark[**member as usize]) {
        stack.pop();
        mark[member as usize] = NONE - 1 - number;
        alone = false;
    }
    mark[root] = if alone { NONE } else { NONE - 1 - number };
    !alone
}

/// The part of a graph that lies within components, with what its vertices were.
#[derive(Debug)]
pub struct Knot {
    /// Edges within components.
    pub graph: Graph,
    /// Old number by new.
    pub old: Vec<u32>,
}

/// Cuts out what can be part of a cycle.
pub fn knot(graph: &Graph, components: &Components) -> Knot {
    let mut new = vec![NONE; graph.len()];
    let mut old = Vec::new();
    for (vertex, component) in components.of.iter().enumerate() {
        if *component != NONE {
            new[vertex] = old.len() as u32;
            old.push(vertex as u32);
        }
    }
    let of = &components.of;
    let edges = old.iter().flat_map(|&v| graph.out(v).map(move |(to, kind)| (v, to, kind)));
    let inside = edges.filter(|(a, b, _)| of[*a as usize] == of[*b as usize]);
    let renamed = inside.map(|(a, b, kind)| (new[a as usize], new[b as usize], kind));
    Knot { graph: Graph::of(old.len(), renamed), old }
}
