//! `run.json`: what a run was, so that everything else can be recomputed from its folder.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The system under test as it was configured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SystemInfo {
    /// `store`.
    pub name: String,
    /// Every setting, resolved.
    pub settings: BTreeMap<String, serde_json::Value>,
    /// `atomic` or `ordered`: whether all reads of a transaction share one moment.
    pub reads: String,
    /// Checker name to the reason why this configuration promises it.
    pub promises: BTreeMap<String, String>,
    /// Checker name to the setting that would promise what this configuration does not.
    #[serde(default)]
    pub not_promised: BTreeMap<String, String>,
}

/// How a setting begins that would promise more of a cluster that exists, if it were true of it.
pub const NEVER_REPLACED: &str = "failover = \"none\" under [attach]";

/// `run.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// Version of this format: 1.
    pub format: u32,
    /// The run's name and folder below `runs/`.
    pub id: String,
    /// The test's name.
    pub name: String,
    /// The seed everything was drawn from.
    pub seed: u64,
    /// splitbrain's version.
    pub version: String,
    /// `local`, `hosts` or `sim`.
    pub lab: String,
    /// When it started, UTC, RFC 3339; absent in the simulator, whose records do not know the day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<String>,
    /// The exact command that repeats this run.
    pub command: String,
    /// The nodes.
    pub nodes: Vec<String>,
    /// Each node's server and its version, as the node said before the run; a node that did not
    /// say is not in here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub servers: BTreeMap<String, String>,
    /// Whose timeouts recovery figures depend on, and which they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<String>,
    /// The system.
    pub system: SystemInfo,
    /// The workload's name.
    pub workload: String,
    /// The workload's settings, resolved.
    pub workload_settings: BTreeMap<String, serde_json::Value>,
    /// The client policy's name.
    pub policy: String,
    /// Names of keys for people, such as `17` to `Alice`.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The full resolved configuration, as TOML.
    pub config: String,
    /// Facts of the hosts: kernel, mechanisms chosen.
    #[serde(default)]
    pub host_facts: BTreeMap<String, String>,
}

impl RunInfo {
    /// Servers as people read them: which nodes have which, nodes of one version together; `not
    /// told` for those that did not say.
    pub fn server_lines(&self) -> Vec<(String, String)> {
        let mut lines: Vec<(String, String)> = Vec::new();
        for node in &self.nodes {
            let version = self.servers.get(node).map_or("not told", String::as_str);
            match lines.iter_mut().find(|(_, known)| known == version) {
                Some((nodes, _)) => nodes.push_str(&format!(", {node}")),
                None => lines.push((node.clone(), version.to_owned())),
            }
        }
        // The simulator has no servers, and older records say nothing of them.
        if self.servers.is_empty() { Vec::new() } else { lines }
    }
}
