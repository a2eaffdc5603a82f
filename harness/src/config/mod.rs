//! Configuration: the resolved test, how it is read from TOML, how flags override it.

mod canary;
mod command;
mod fault_table;
mod fault_text;
mod lines;
mod package;
mod regions;
pub mod spec;
mod stay;
mod toml_file;

pub use canary::{CanaryFile, CanarySpec, parse_canary};
pub use command::{Words, command};
pub use fault_table::{fault_table, read_table};
pub use fault_text::{duration_text, fault_text, join_parameters, parameters_of, parse_fault};
pub use lines::Lines;
pub use package::{PackageFile, PackageSpec};
pub use regions::{RegionsSpec, RoundTrips};
pub use spec::{
    CoverageSpec, FailoverSpec, FaultSpec, LabSpec, ReplicationSpec, StoreSpec, SystemKind,
    TestSpec, WorkloadSpec,
};
pub use stay::{PolicyFile, PolicyTable, StaySpec};
pub use toml_file::{
    CoverageFile, StoreFile, TestFile, apply_setting, duration, setting, to_toml, unknown_system,
};
