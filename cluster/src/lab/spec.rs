//! What a lab is asked to be, and what it turned out to be.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::host::HostAddress;

/// Where the inner process finds the lab's description.
pub(super) const ENVIRONMENT: &str = "SPLITBRAIN_LAB";
/// Where the lab's own tmpfs is mounted, in its private mount namespace.
pub(super) const FOLDER: &str = "/run/splitbrain-lab";

/// A lab to be brought up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabSpec {
    /// How many hosts, 3 to 9.
    pub hosts: usize,
    /// Names the lab in lists.
    pub id: String,
}

/// A lab that is up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabInfo {
    /// Its name.
    pub id: String,
    /// Its hosts.
    pub hosts: Vec<HostAddress>,
    /// The harness's own address on the data network.
    pub harness_data: IpAddr,
    /// How long it took until every host's sshd had been started, ms.
    pub up_ms: u64,
}

/// Why there is no lab.
#[derive(Debug, Error)]
pub enum LabError {
    /// Not root.
    #[error(
        "the local lab needs root, for network and mount namespaces: run with sudo, or use \
         --lab sim, which needs none"
    )]
    NotRoot,
    /// A program is missing.
    #[error("{program} is missing: install {package}")]
    Missing {
        /// The program.
        program: &'static str,
        /// The package that has it.
        package: &'static str,
    },
    /// A number of hosts that is none.
    #[error("a lab has 3 to 9 hosts, not {0}")]
    Hosts(usize),
    /// Something of the system did not do what it should.
    #[error("the lab could not be brought up: {0}")]
    Setup(String),
    /// It came up, and ended before what ran in it.
    #[error(
        "the lab was ended from outside: {0}; what was recorded until then can be judged: \
         splitbrain check latest"
    )]
    Ended(String),
    /// No such lab.
    #[error("there is no lab {0}: see splitbrain lab list")]
    NoSuchLab(String),
}

/// The address of host `number` (from 1) on the control network.
pub(super) fn control(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(198, 18, 0, 10 + number as u8)
}

/// The address of host `number` (from 1) on the data network.
pub(super) fn data(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(198, 19, 0, 10 + number as u8)
}

/// The harness's address on the data network.
pub(super) const HARNESS_DATA: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 254);

impl LabInfo {
    pub(super) fn of(spec: &LabSpec, up_ms: u64) -> LabInfo {
        let folder = PathBuf::from(FOLDER);
        let hosts = (1..=spec.hosts).map(|number| HostAddress {
            name: format!("n{number}"),
            address: control(number).to_string(),
            port: 22,
            user: "root".to_owned(),
            key: folder.join("keys/user"),
            known_hosts: folder.join("keys/known_hosts"),
            ssh_agent: false,
            sudo: false,
            jump: None,
            region: None,
            data_address: IpAddr::V4(data(number)),
        });
        LabInfo {
            id: spec.id.clone(),
            hosts: hosts.collect(),
            harness_data: IpAddr::V4(HARNESS_DATA),
            up_ms,
        }
    }
}

/// The lab that this process runs in, if it does.
pub fn current() -> Option<LabInfo> {
    let path = std::env::var_os(ENVIRONMENT)?;
    let text = std::fs::read(path).ok()?;
    serde_json::from_slice(&text).ok()
}
