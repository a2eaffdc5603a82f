//! Hosts: SSH, the local lab of namespaced hosts, inventories, and the agent that acts on a host.
//!
//! What lives here: everything that runs a command on a host ([`Host`], [`SshHost`]), brings hosts
//! up and down ([`lab`]) and says what this machine can do ([`doctor`]). What must not: faults as
//! ideas, systems under test, judging.
//!
//! Read next: [`host`], [`ssh`], [`agent_link`], [`lab`].

pub mod agent_link;
pub mod command_log;
pub mod doctor;
pub mod host;
pub mod inventory;
pub mod lab;
pub mod ssh;

pub use agent_link::AgentLink;
pub use command_log::CommandLog;
pub use host::{Exec, ExecResult, Host, HostAddress, HostError, shell_quote};
pub use inventory::Inventory;
pub use ssh::SshHost;
