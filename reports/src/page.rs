//! The page: one file, nothing from elsewhere, readable without a script.

use checkers::{Outcome, Verdict};
use history::EventKind;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::clocks::clocks;
use crate::findings::findings;
use crate::lag::lag;
use crate::plots::{Legend, OUTCOMES, QUANTILES, latency, throughput};
use crate::sections::{checkers, configuration, coverage, faults, nodes};
use crate::{ReportInput, lanes, leadership, seconds};

const CSS: &str = include_str!("../assets/report.css");
const JS: &str = include_str!("../assets/report.js");
/// No request is ever made: scripts and styles are in the page, and nothing else is allowed.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      img-src data:";

/// The whole report.
pub fn html(input: &ReportInput<'_>) -> String {
    let run = input.run;
    let body = html! {
        a.skip href="#findings" { "Skip to the findings" }
        (bar(input))
        main {
            (reproduce(input))
            section #findings {
                h2 { (headline(input)) }
                (findings(input))
            }
            (timeline(input))
            (faults(input))
            (coverage(input))
            (checkers(input))
            (nodes(input))
            (configuration(input))
        }
        footer { "splitbrain " (run.version) " · format " (run.format) }
    };
    framed(&format!("{}: {}", run.id, input.judgement.verdict.as_str()), &body)
}

/// A whole page around its body.
pub(crate) fn framed(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(CSS)) }
            }
            body {
                (body)
                script { (PreEscaped(JS)) }
            }
        }
    };
    page.into_string()
}

/// Symbol and word, never colour alone.
pub(crate) fn badge(verdict: Verdict) -> Markup {
    let symbol = match verdict {
        Verdict::Valid => "✓",
        Verdict::Unknown => "?",
        Verdict::Invalid => "✗",
    };
    html! { span class={ "badge " (verdict.as_str()) } { (symbol) " " (verdict.as_str()) } }
}

/// The same of a checker, which may have looked and not decided.
pub(crate) fn outcome_badge(outcome: &Outcome) -> Markup {
    match outcome.not_refuted() {
        true => html! { span.badge.unknown { "? not refuted" } },
        false => badge(outcome.verdict),
    }
}

fn bar(input: &ReportInput<'_>) -> Markup {
    let run = input.run;
    let count = |kind: EventKind| input.ops.iter().filter(|op| op.kind == kind).count();
    let bands = input.bands();
    let faults: Vec<&str> = bands.iter().map(|band| band.label.as_str()).collect();
    let faults = if faults.is_empty() { "no faults".to_owned() } else { faults.join("; ") };
    html! {
        header.bar.(input.judgement.verdict.as_str()) {
            div.bar-top {
                h1 { (badge(input.judgement.verdict)) " " (run.name) }
                button #theme type="button" aria-label="Switch between light and dark" { "◐" }
            }
            p.facts {
                span { (run.workload) " on " (run.system.name) ", policy " (run.policy) }
                span { (faults) }
                span { "seed " (run.seed) }
                span { (seconds(input.end())) }
                span {
                    (input.ops.len()) " operations: " (count(EventKind::Ok)) " ok, "
                    (count(EventKind::Fail)) " fail, " (count(EventKind::Info)) " info"
                }
            }
        }
    }
}

fn reproduce(input: &ReportInput<'_>) -> Markup {
    let run = input.run;
    html! {
        section #reproduce {
            h2 { "Reproduce" }
            div.command {
                code #command { (run.command) }
                button.copy type="button" data-copy="command" { "Copy" }
            }
            p.quiet { (crate::findings::sentence(&crate::repeat::sentence(run))) "." }
            p.quiet {
                "run " code { (run.id) } ", splitbrain " (run.version)
                @if let Some(started) = &run.started { ", started " (started) }
                ". " code { "splitbrain check " (run.id) } " judges it again from its folder alone."
            }
            @for (nodes, version) in run.server_lines() {
                p.quiet { (nodes) ": " (version) }
            }
            @for note in input.notes { p.note { (note) } }
        }
    }
}

pub(crate) fn headline(input: &ReportInput<'_>) -> String {
    let found = |outcome: &&Outcome| outcome.verdict == Verdict::Invalid;
    match input.judgement.checkers.values().filter(found).count() {
        0 if input.judgement.verdict == Verdict::Unknown => "Why nothing is proved".to_owned(),
        0 => "What was proved, and what was not".to_owned(),
        _ => "What went wrong".to_owned(),
    }
}

fn timeline(input: &ReportInput<'_>) -> Markup {
    html! {
        section #timeline {
            h2 { "What was happening" }
            p.quiet { "Shaded bands are faults in force." }
            @for remark in leadership::remarks(input) { p.note { (remark) } }
            figure {
                figcaption { "Operations a second, by outcome. " (legend(&OUTCOMES)) }
                (PreEscaped(throughput(input)))
            }
            figure {
                figcaption { "Latency of ok operations. " (legend(&QUANTILES)) }
                (PreEscaped(latency(input)))
            }
            figure {
                figcaption { "Roles over time" }
                (lanes::roles(input))
            }
            (clocks(input))
            (lag(input))
        }
    }
}

pub(crate) fn legend(legend: &Legend) -> Markup {
    html! {
        span.legend {
            @for (name, colour) in legend {
                span { i.swatch style={ "background:" (colour) } {} " " (name) }
            }
        }
    }
}
