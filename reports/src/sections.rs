//! The tables of the page: faults, coverage, checkers, nodes, configuration.

use std::collections::BTreeMap;

use checkers::{ReadsMode, Role};
use history::{FaultEvent, FaultPhase, FaultResult, TelemetryEvent};
use maud::{Markup, html};

use crate::page::outcome_badge;
use crate::{ReportInput, seconds};

/// Every fault: meant, done, seen, healed.
pub fn faults(input: &ReportInput<'_>) -> Markup {
    let mut ids: Vec<&str> = input.faults.iter().map(|event| event.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    html! {
        section #faults {
            h2 { "Faults" }
            @if ids.is_empty() { p { "No fault was planned." } }
            @for id in ids { (fault(input.faults, id)) }
        }
    }
}

/// When an act was done: between its question and its answer, where they were written down.
fn moment(acted: Option<&FaultEvent>, told: &FaultEvent) -> String {
    match acted.and_then(|acted| Some((acted.asked?, acted.answered?))) {
        Some((asked, answered)) if asked != answered => {
            let milli = |ns: i64| format!("{:.3} s", ns as f64 / 1e9);
            format!("between {} and {}", milli(asked), milli(answered))
        }
        Some((asked, _)) => format!("at {}", seconds(asked)),
        None => format!("at {}", seconds(told.time)),
    }
}

fn fault(events: &[FaultEvent], id: &str) -> Markup {
    let phase = |phase| events.iter().rev().find(|e| e.id == id && e.phase == phase);
    let (injected, seen) = (phase(FaultPhase::Injected), phase(FaultPhase::Evidenced));
    let healed = phase(FaultPhase::Healed);
    let Some(first) = events.iter().find(|event| event.id == id) else {
        return html! {};
    };
    let unmet = healed.and_then(FaultEvent::was_met) == Some(false);
    let result = match seen.and_then(|seen| seen.result) {
        Some(FaultResult::Installed) if unmet => "was in force, and nothing met it",
        Some(FaultResult::Installed) => "took effect",
        Some(FaultResult::Skipped) => "skipped",
        Some(FaultResult::NoEffect) if seen.is_some_and(|seen| seen.in_part().is_some()) => {
            "took effect only in part, which is no proof of it"
        }
        Some(FaultResult::NoEffect) => "had no effect",
        Some(FaultResult::Indeterminate) => "effect not known",
        None if injected.is_some() => "no evidence recorded",
        None => "never injected",
    };
    let hidden = seen.and_then(FaultEvent::not_provable);
    let doubt = healed.and_then(FaultEvent::not_seen_healed);
    let targets = injected.map(|event| event.targets.join(", ")).unwrap_or_default();
    let unhealed = injected.is_some() && healed.is_none_or(|healed| healed.error.is_some());
    html! {
        article {
            h3 {
                (id) " " (first.fault) " of " (first.selector)
                @if first.required { ", required" }
            }
            p {
                @if let Some(injected) = injected {
                    "Hit " strong { (targets) } " " (moment(seen, injected))
                } @else { "Planned for " (seconds(first.time)) }
                ", " (result)
                @if let Some(why) = &hidden { ": " (why) }
                @if let Some(mechanism) = seen.and_then(|seen| seen.mechanism.as_ref()) {
                    ", by " (mechanism)
                }
                @if let Some(took) = seen.and_then(|seen| seen.took) {
                    " in " (format!("{:.1} ms", took as f64 / 1e6))
                }
                @if let Some(healed) = healed {
                    @if doubt.is_some() { ", undone " } @else { ", healed " }
                    (moment(Some(healed), healed))
                }
                "."
            }
            @if let Some(doubt) = &doubt {
                p.note { "Undone, and not seen to be healed: " (doubt) "." }
            }
            @if unhealed { p.note.bad { "It was not seen to be healed." } }
            @if let Some(error) = seen.and_then(|seen| seen.error.as_ref()) { p.note { (error) } }
            @for (what, event) in [("while in force", seen), ("after healing", healed)] {
                @if let Some(event) = event { (evidence(what, event)) }
            }
        }
    }
}

fn evidence(what: &str, event: &FaultEvent) -> Markup {
    if event.evidence.is_empty() && event.unprovable.is_empty() {
        return html! {};
    }
    html! {
        details {
            summary { "Evidence " (what) }
            ul { @for probe in &event.evidence {
                li {
                    (probe.probe) ": expected " (probe.expected) ", saw "
                    (probe.observed) @if !probe.holds { " ✗" } @else { " ✓" }
                }
            }
            @for probe in &event.unprovable {
                li {
                    (probe.probe) ": expected " (probe.expected)
                    @if !probe.observed.is_empty() { ", saw " (probe.observed) }
                    ", " (probe.words())
                }
            } }
        }
    }
}

/// Whether the run could have failed.
pub fn coverage(input: &ReportInput<'_>) -> Markup {
    let Some(coverage) = &input.judgement.coverage else {
        return html! {};
    };
    html! {
        section #coverage {
            h2 { "Could this run have failed?" }
            @if coverage.missing.is_empty() {
                p { "Yes: everything that a verdict needs was there." }
            } @else { p.note { "Not in every way, so the verdict is at best unknown." } }
            div.scroll { table {
                thead { tr {
                    th scope="col" { "needed" } th scope="col" { "have" } th scope="col" { "need" }
                    th scope="col" { "" }
                } }
                tbody { @for item in &coverage.items { tr {
                    td { (item.what) } td.n { (item.have) } td.n { (item.need) }
                    td { @if item.met() { "✓" } @else { "missing" } }
                } } }
            } }
        }
    }
}

/// One row a checker.
pub fn checkers(input: &ReportInput<'_>) -> Markup {
    html! {
        section #checkers {
            h2 { "Checkers" }
            div.scroll { table {
                thead { tr {
                    th scope="col" { "checker" } th scope="col" { "verdict" }
                    th scope="col" { "role" } th scope="col" { "found" } th scope="col" { "remark" }
                } }
                tbody { @for (name, outcome) in &input.judgement.checkers { tr {
                    td { (name) }
                    td { (outcome_badge(outcome)) }
                    td { @match outcome.role {
                        Some(Role::Promised) => "promised",
                        Some(Role::Named) => "named",
                        Some(Role::Observation) => "not promised",
                        None => "",
                    } }
                    td.n { (outcome.count) }
                    td {
                        (outcome.reason.as_deref().unwrap_or(""))
                        @match outcome.reads {
                            Some(ReadsMode::Ordered) => " reads taken as ordered",
                            Some(ReadsMode::Atomic) => " reads taken as atomic",
                            None => "",
                        }
                    }
                } } }
            } }
        }
    }
}

/// A number that a system may not tell.
fn told(number: Option<u64>) -> String {
    number.map_or_else(|| "not told".to_owned(), |number| number.to_string())
}

/// What the numbers of a node count, and who says so.
fn measures(system: &str) -> &'static str {
    match system {
        "postgres" => {
            "As each server last said of itself. Position: bytes of write-ahead log, written by a \
             leader, replayed by a follower. Lag: bytes received and not yet replayed; a server \
             that receives nothing cannot tell it. Kept aside: PostgreSQL does not tell what \
             pg_rewind takes away; lost-writes has what is missing."
        }
        "mongodb" => {
            "As each member last said of itself. Position: the time of the last operation that it \
             has applied. Lag: ms behind the last operation of the leader that it knows of; a \
             member that knows of none, or is not ready, cannot tell it. Kept aside: no member \
             tells it while it runs; what its log counted as reverted is in the notes above."
        }
        _ => {
            "As each node last said of itself. Position: entries of its log. Lag: entries behind \
             the last position of the leader that it knows of. Kept aside: entries that a deposed \
             leader had acknowledged or begun and nobody else had, cut off its log when it \
             followed the new leader."
        }
    }
}

/// How each node ended.
pub fn nodes(input: &ReportInput<'_>) -> Markup {
    let mut last: BTreeMap<&str, &TelemetryEvent> = BTreeMap::new();
    for sample in input.telemetry {
        last.insert(&sample.node, sample);
    }
    html! {
        section #nodes {
            h2 { "Nodes at the end" }
            div.scroll { table {
                thead { tr {
                    th scope="col" { "node" } th scope="col" { "shard" } th scope="col" { "role" }
                    th scope="col" { "term" } th scope="col" { "position" } th scope="col" { "lag" }
                    th scope="col" { "kept aside" }
                } }
                tbody { @for (node, sample) in last {
                    @if sample.shards.is_empty() { tr {
                        td { (node) }
                        td colspan="6" {
                            @if sample.alive && !sample.holds_data() { "votes, holds no data" }
                            @else { (sample.error.as_deref().unwrap_or("silent")) }
                        }
                    } }
                    @for shard in &sample.shards { tr {
                        td { (node) } td.n { (shard.shard) }
                        td { (format!("{:?}", shard.role).to_lowercase()) }
                        td.n { (shard.term) } td.n { (shard.position) }
                        td.n { (told(shard.lag)) } td.n { (told(shard.aside)) }
                    } }
                } }
            } }
            p.quiet { (measures(&input.run.system.name)) }
        }
    }
}

/// What the run was set to.
pub fn configuration(input: &ReportInput<'_>) -> Markup {
    html! {
        section #configuration {
            h2 { "Configuration" }
            pre { (input.run.config) }
            @if !input.run.host_facts.is_empty() {
                dl { @for (name, fact) in &input.run.host_facts { dt { (name) } dd { (fact) } } }
            }
            p.quiet {
                "ok: it happened. fail: it certainly did not. info: nobody knows; it may take \
                 effect at any later time. Lag: a follower's distance behind its leader. Term: \
                 the number of a leadership. Witness: the operations that prove a finding."
            }
        }
    }
}
