//! What checkers may know beside the history, and the coverage gate.

use std::collections::BTreeMap;

use checkers::coverage::CoverageInput;
use checkers::{Context, Coverage, CoverageRules, FaultSpan, ReadsMode, Window};
use history::RunInfo;
use nemesis::ClusterView;

use super::{Records, Selection};
use crate::config::{TestFile, TestSpec};

/// The isolation level to judge, by checker: the one named, else the one that is promised or that
/// some setting would promise.
fn levels(info: Option<&RunInfo>, selection: &Selection) -> BTreeMap<String, String> {
    let level = |name: &str| {
        if selection.model.is_some() {
            return selection.model.clone();
        }
        let system = &info?.system;
        let text = system.promises.get(name).or_else(|| system.not_promised.get(name))?;
        text.split_whitespace().find(|word| checkers::is_judged_level(word)).map(str::to_owned)
    };
    let levels = checkers::ISOLATION.into_iter();
    levels.filter_map(|name| Some((name.to_owned(), level(name)?))).collect()
}

pub(super) fn context(records: &Records, selection: &Selection, spans: &[FaultSpan]) -> Context {
    let info = records.info.as_ref();
    let declared = info.map(|info| info.system.reads.as_str());
    let reads = selection.reads.unwrap_or(match declared {
        Some("ordered") => ReadsMode::Ordered,
        _ => ReadsMode::Atomic,
    });
    let mut windows: Vec<Window> = spans
        .iter()
        .filter(|span| span.effect)
        .map(|span| Window { label: span.label.clone(), start: span.start, end: span.end })
        .collect();
    windows.sort_by_key(|window| window.start);
    Context {
        reads,
        session_scope: selection.session_scope,
        nodes: info.map(|info| replicas(records, info)),
        converged: info.and_then(|info| Some(converged(records, info)?.is_ok())),
        windows,
        levels: levels(info, selection),
        assume: selection.assume.clone(),
        labels: info.map(|info| info.labels.clone()).unwrap_or_default(),
        findings_max: None,
    }
}

/// The nodes that hold data: those that never said that they only vote.
fn replicas(records: &Records, info: &RunInfo) -> Vec<String> {
    let mut view = ClusterView::new(&info.nodes);
    records.telemetry.iter().for_each(|sample| view.learn(sample));
    info.nodes.iter().filter(|node| view.holds_data(node)).cloned().collect()
}

/// Whether the telemetry before the first final read shows that all replicas agreed, or what it
/// shows instead.
pub(super) fn converged(records: &Records, info: &RunInfo) -> Option<Result<(), String>> {
    let first = records.history.ops.iter().find(|op| op.final_read)?.invoked();
    if records.telemetry.is_empty() {
        return None;
    }
    let mut view = ClusterView::new(&info.nodes);
    for sample in records.telemetry.iter().filter(|sample| sample.received <= first) {
        view.learn(sample);
    }
    Some(view.converged(shards(info)))
}

/// How many independent logs the system has.
pub(super) fn shards(info: &RunInfo) -> u32 {
    let shards = info.system.settings.get("shards").and_then(|shards| shards.as_u64());
    shards.unwrap_or(1).max(1) as u32
}

pub(super) fn gate(records: &Records, info: &RunInfo, spans: &[FaultSpan]) -> Coverage {
    let spec = spec_of(info);
    let rules = CoverageRules {
        ok_outside_min: spec.coverage.ok_outside_min,
        attempts_during_min: spec.coverage.attempts_during_min,
        ..CoverageRules::default()
    };
    let mut view = ClusterView::new(&info.nodes);
    for sample in &records.telemetry {
        view.learn(sample);
    }
    let failover = info.system.settings.get("failover").and_then(|f| f.as_str());
    let input = CoverageInput {
        faults: spans,
        nodes: &replicas(records, info),
        leader_changes: view.leader_changes(),
        // Of a cluster that exists it may be unknown whether anybody replaces a leader.
        failover: !matches!(failover, Some("none" | "unknown")),
    };
    checkers::coverage(&records.history, &rules, &input)
}

/// The test that a run was, from its own record.
pub fn spec_of(info: &RunInfo) -> TestSpec {
    let mut spec = TestSpec::default();
    if let Ok(file) = toml::from_str::<TestFile>(&info.config) {
        // A record of another version may have what this one does not know; defaults stand then.
        let _ = file.apply(&mut spec);
    }
    spec
}
