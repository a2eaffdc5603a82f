//! The vocabulary of splitbrain: the three append-only streams of a run and their file formats.
//!
//! What lives here: operations ([`Event`], [`MicroOp`], [`Key`]), the fault stream
//! ([`FaultEvent`]), the telemetry stream ([`TelemetryEvent`]), what kernels say of connections
//! ([`SocketsEvent`]), the facts of a run ([`RunInfo`]) and what reads and writes them. What must
//! not: anything that judges, runs, draws or talks to a cluster. This crate depends on nothing of
//! ours.
//!
//! Read next: [`event`], then [`micro_op`].

mod chains;
mod chunks;
pub mod columns;
mod edn;
pub mod event;
pub mod fault_event;
pub mod key;
mod lenient;
mod line;
#[cfg(test)]
mod line_tests;
pub mod micro_op;
pub mod names;
pub mod op;
pub mod reader;
#[cfg(test)]
mod reader_tests;
pub mod run_info;
pub mod sockets;
pub mod source;
mod taking;
pub mod telemetry;

pub use columns::{History, ListPlace, Mop, MopKind, Shown};
pub use event::{Event, EventKind, Hop, STAYED};
pub use fault_event::{
    Evidence, FAILOVERS_WAITED, FaultEvent, FaultPhase, FaultResult, OPERATIONS_MET, Unprovable,
};
pub use key::Key;
pub use micro_op::{MicroOp, Observed};
pub use names::Names;
pub use op::Op;
pub use reader::{
    Damage, Form, ReadError, ReadHistory, Reading, read_events, read_file, read_history,
};
pub use run_info::{NEVER_REPLACED, RunInfo, SystemInfo};
pub use sockets::{SocketsEvent, WaitingSocket};
pub use source::Limits;
pub use telemetry::{Role, ShardTelemetry, TelemetryEvent};
