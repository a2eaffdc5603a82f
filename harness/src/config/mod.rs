//! Configuration: the resolved test, how it is read from TOML, how flags override it.

pub mod spec;

pub use spec::{
    CoverageSpec, FailoverSpec, FaultSpec, LabSpec, ReplicationSpec, StoreSpec, TestSpec,
    WorkloadSpec,
};
