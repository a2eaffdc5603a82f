//! What a history is judged against, and under which assumptions.

use history::Op;

use crate::anomaly::{Anomaly, AnomalySet};
use crate::lattice::Model;

/// What transactions do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Append to lists and read them whole.
    ListAppend,
    /// Write registers and read them.
    RwRegister,
}

/// How a check is done.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the transactions do.
    pub workload: Workload,
    /// The levels to hold.
    pub models: Vec<Model>,
    /// Anomalies that are forbidden besides.
    pub anomalies: Vec<Anomaly>,
    /// Registers: a transaction that reads a value and writes another writes a later one.
    pub wfr_keys: bool,
    /// Registers: every key is sequentially consistent by itself.
    pub sequential_keys: bool,
    /// Registers: every key is linearizable by itself.
    pub linearizable_keys: bool,
    /// Reads marked as final (by whoever recorded the history) are no transactions of their own:
    /// lists that they show order the appends, and no more is made of them. For reads of replicas
    /// that promise less than the level.
    pub final_reads_only_order: bool,
    /// Most edges that the search for one kind of witness may walk. The levels do not depend on
    /// it.
    pub search_edges_max: u64,
    /// Most cases of an anomaly that are told; all are counted.
    pub cases_max: usize,
}

impl Options {
    /// Strict serializability and no assumption.
    pub fn new(workload: Workload) -> Options {
        Options {
            workload,
            models: Model::named("strong-serializable").into_iter().collect(),
            anomalies: Vec::new(),
            wfr_keys: false,
            sequential_keys: false,
            linearizable_keys: false,
            final_reads_only_order: false,
            search_edges_max: 20_000_000,
            cases_max: 10,
        }
    }

    /// The same, against this level.
    pub fn model(mut self, model: Model) -> Options {
        self.models = vec![model];
        self
    }

    /// What a valid history may not show.
    pub fn prohibited(&self) -> AnomalySet {
        let named = self.anomalies.iter().copied().collect::<AnomalySet>().implying();
        self.models.iter().fold(named, |all, model| all.union(model.prohibits()))
    }

    /// The assumptions that a verdict rests on, by the options' names. Registers always rest on
    /// `initial-state`: every value comes after what was there before the first write.
    pub fn assumptions(&self) -> Vec<&'static str> {
        let registers = self.workload == Workload::RwRegister;
        let all = [
            (registers, "initial-state"),
            (self.wfr_keys, "wfr-keys"),
            (self.sequential_keys, "sequential-keys"),
            (self.linearizable_keys, "linearizable-keys"),
        ];
        all.into_iter().filter(|(on, _)| *on).map(|(_, name)| name).collect()
    }
}

/// Which operations are transactions.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// See [`Options::final_reads_only_order`].
    pub final_reads_only_order: bool,
}

impl Scope {
    /// Whether an operation takes part as a transaction.
    pub fn vertex(&self, op: &Op) -> bool {
        !(self.final_reads_only_order && op.final_read)
    }
}
