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

/// Edges while they are gathered.
#[derive(Debug, Default)]
pub struct Builder {
    /// From, to, kind.
    pub edges: Vec<(u32, u32, u8)>,
    vertices: u32,
}

impl Builder {
    /// A graph of so many transactions.
    pub fn new(transactions: usize) -> Builder {
        Builder { edges: Vec::new(), vertices: transactions as u32 }
    }

    /// Adds an edge, unless it leads back to where it begins.
    pub fn add(&mut self, from: u32, to: u32, kind: u8) {
        if from != to {
            self.edges.push((from, to, kind));
        }
    }

    /// A new helper vertex.
    pub fn helper(&mut self) -> u32 {
        self.vertices += 1;
        self.vertices - 1
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
        let first = self.vertices;
        let count = to.len() as u32;
        self.vertices += 2 * count;
        for (at, &b) in to.iter().enumerate() {
            let at = at as u32;
            // Down to the first, up to the last.
            self.edges.push((first + at, b, HOP));
            self.edges.push((first + count + at, b, HOP));
            if at > 0 {
                self.edges.push((first + at, first + at - 1, HOP));
                self.edges.push((first + count + at - 1, first + count + at, HOP));
            }
        }
        for &a in from {
            match to.binary_search(&a) {
                Err(_) => self.edges.push((a, first + count, kind)),
                Ok(at) => {
                    let at = at as u32;
                    if at > 0 {
                        self.edges.push((a, first + at - 1, kind));
                    }
                    if at + 1 < count {
                        self.edges.push((a, first + count + at + 1, kind));
                    }
                }
            }
        }
    }

    /// The graph in rows.
    pub fn build(self) -> Graph {
        Graph::of(self.vertices as usize, self.edges.iter().copied())
    }
}

/// A graph in compressed rows.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    starts: Vec<u32>,
    targets: Vec<u32>,
    kinds: Vec<u8>,
}

impl Graph {
    /// Of these edges, which are gone through twice.
    pub fn of(vertices: usize, edges: impl Iterator<Item = (u32, u32, u8)> + Clone) -> Graph {
        let mut starts = vec![0u32; vertices + 1];
        for (from, ..) in edges.clone() {
            starts[from as usize + 1] += 1;
        }
        for at in 0..vertices {
            starts[at + 1] += starts[at];
        }
        let total = starts[vertices] as usize;
        let (mut targets, mut kinds) = (vec![0u32; total], vec![0u8; total]);
        // Filled through the starts themselves, which then stand one row further on.
        for (from, to, kind) in edges {
            let place = starts[from as usize] as usize;
            targets[place] = to;
            kinds[place] = kind;
            starts[from as usize] += 1;
        }
        starts.rotate_right(1);
        starts[0] = 0;
        Graph { starts, targets, kinds }
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
        self.row(vertex).map(|at| (self.targets[at], self.kinds[at]))
    }

    fn row(&self, vertex: u32) -> std::ops::Range<usize> {
        self.starts[vertex as usize] as usize..self.starts[vertex as usize + 1] as usize
    }

    /// All edges.
    pub fn edges(&self) -> impl Iterator<Item = (u32, u32, u8)> + Clone + '_ {
        (0..self.len() as u32)
            .flat_map(move |v| self.row(v).map(move |at| (v, self.targets[at], self.kinds[at])))
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

/// Tarjan's algorithm without recursion, on a view of a graph.
pub fn components(graph: &Graph, view: View) -> Components {
    let width = if view.nonadjacent { 2 } else { 1 };
    let total = graph.len() * width;
    let mut found = Components { of: vec![NONE; total], count: 0 };
    // 0: not seen; else when it was, from 1. Done ones get MAX, so that they lower nobody's link.
    let mut link = vec![0u32; total];
    let (mut stack, mut frames): (Vec<u32>, Vec<(u32, u32, u32)>) = (Vec::new(), Vec::new());
    let mut clock = 0;
    for root in 0..total as u32 {
        if link[root as usize] != 0 {
            continue;
        }
        clock += 1;
        link[root as usize] = clock;
        stack.push(root);
        frames.push((root, graph.starts[root as usize / width], clock));
        while let Some(frame) = frames.last_mut() {
            let (at, seen) = (frame.0, frame.2);
            let (vertex, state) = (at as usize / width, at % width as u32);
            if frame.1 < graph.starts[vertex + 1] {
                let place = frame.1 as usize;
                frame.1 += 1;
                let Some(state) = view.step(state, graph.kinds[place]) else {
                    continue;
                };
                let next = graph.targets[place] * width as u32 + state;
                if link[next as usize] == 0 {
                    clock += 1;
                    link[next as usize] = clock;
                    stack.push(next);
                    frames.push((next, graph.starts[next as usize / width], clock));
                } else if link[next as usize] < link[at as usize] {
                    link[at as usize] = link[next as usize];
                }
                continue;
            }
            frames.pop();
            let low = link[at as usize];
            if let Some(parent) = frames.last() {
                let parent = parent.0 as usize;
                link[parent] = link[parent].min(low);
            }
            if low == seen {
                close(&mut found, &mut stack, &mut link, at);
                // A finished root must not lower its parent's link: it was larger than it anyway.
            }
        }
    }
    found
}

fn close(found: &mut Components, stack: &mut Vec<u32>, link: &mut [u32], root: u32) {
    let alone = stack.last() == Some(&root);
    while let Some(member) = stack.pop() {
        link[member as usize] = u32::MAX;
        if !alone {
            found.of[member as usize] = found.count;
        }
        if member == root {
            break;
        }
    }
    found.count += u32::from(!alone);
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
