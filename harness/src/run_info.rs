//! Builds `run.json`.

use std::collections::BTreeMap;

use history::{RunInfo, SystemInfo};

use crate::config::{LabSpec, TestSpec};
use crate::engine::plan;
use crate::error::UserError;
use crate::run_folder::{RunFolder, rfc3339};

/// The facts of a run.
pub fn build(
    spec: &TestSpec,
    folder: &RunFolder,
    names: &[String],
    host_facts: BTreeMap<String, String>,
    system: SystemInfo,
) -> RunInfo {
    let sim = spec.lab == LabSpec::Sim;
    let config = crate::config::to_toml(spec);
    RunInfo {
        format: 1,
        // The simulator's records must not know where or when they were made.
        id: if sim { format!("{}/sim-{}", spec.name, spec.seed) } else { folder.id() },
        name: spec.name.clone(),
        seed: spec.seed,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        lab: match &spec.lab {
            LabSpec::Local | LabSpec::Kept(_) => "local".to_owned(),
            LabSpec::Hosts(_) => "hosts".to_owned(),
            LabSpec::Sim => "sim".to_owned(),
        },
        started: (!sim).then(rfc3339),
        command: crate::config::command(spec),
        nodes: names.to_vec(),
        servers: BTreeMap::new(),
        timeouts: crate::timeouts::told(spec, system.settings.contains_key("attached")),
        system,
        workload: spec.workload.name.clone(),
        workload_settings: systems::promises::settings(&spec.workload),
        policy: spec.workload.policy.clone(),
        labels: plan::labels(spec),
        config,
        host_facts,
    }
}

/// As it is written.
pub fn to_json(info: &RunInfo) -> Result<Vec<u8>, UserError> {
    let mut text = serde_json::to_vec_pretty(info)
        .map_err(|error| UserError::environment(error.to_string()))?;
    text.push(b'\n');
    Ok(text)
}
