//! The nemesis: faults as data, whom they hit, when, and what proves that they did.
//!
//! What lives here: the catalogue ([`Fault`]), selectors ([`Selector`]), schedules
//! ([`schedule`]) and the acts that a port carries out ([`Act`], [`ActReport`]). All of it is
//! pure. What must not: sockets, processes, clocks; a port that acts on hosts or on the simulator
//! is handed an [`Act`] and hands back an [`ActReport`].

pub mod act;
pub mod beside;
pub mod clash;
pub mod clock;
pub mod cluster_view;
pub mod disk;
pub mod family;
pub mod fault;
pub mod life;
pub mod limit;
pub mod package;
pub mod parameters;
pub mod planned;
pub mod regions;
pub mod schedule;
pub mod selector;
pub mod shape;
mod topology;
mod unseats;

pub use act::{Act, ActReport, Link};
pub use beside::Beside;
pub use clash::Clash;
pub use cluster_view::ClusterView;
pub use disk::{DiskAct, DiskOperation, FileClass};
pub use family::Family;
pub use fault::Fault;
pub use limit::Limit;
pub use package::Package;
pub use parameters::{Kind, Parameter, ParameterError, Parameters};
pub use planned::{PlannedFault, Resolved, Unresolved};
pub use regions::Regions;
pub use schedule::{FaultRequest, Timeline, schedule};
pub use selector::{Selector, UnknownSelector};
pub use shape::Shape;
