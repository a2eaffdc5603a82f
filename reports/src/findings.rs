//! Findings: a sentence, a drawn witness, and the same as a table.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use checkers::{Finding, Outcome, Role, Verdict, WitnessOp};
use maud::{Markup, html};

use crate::page::badge;
use crate::{ReportInput, lanes, seconds};

/// Findings of one kind that are drawn; the rest is a list.
const DRAWN: usize = 3;

/// Everything that was found, worst first; what was proved where nothing was.
pub fn findings(input: &ReportInput<'_>) -> Markup {
    let mut outcomes: Vec<(&String, &Outcome)> = input.judgement.checkers.iter().collect();
    outcomes.sort_by_key(|(name, outcome)| {
        let (found, promised) = (outcome.verdict, outcome.role == Some(Role::Promised));
        // What was lost explains the rest.
        (Reverse(found), !promised, *name != "lost-writes", *name)
    });
    html! {
        @if let Some(partial) = &input.judgement.partial { p.note { "Partial: " (partial) } }
        @for (name, outcome) in outcomes {
            article {
                h3 { (badge(outcome.verdict)) " " (name) }
                (meaning(input, name, outcome))
                @if outcome.verdict == Verdict::Invalid { (kinds(outcome)) }
            }
        }
    }
}

fn meaning(input: &ReportInput<'_>, name: &str, outcome: &Outcome) -> Markup {
    let system = &input.run.system;
    html! {
        p {
            @match outcome.verdict {
                Verdict::Valid => "Nothing found. ",
                Verdict::Unknown => "Could not be told. ",
                Verdict::Invalid => { (outcome.count) " found. " }
            }
            @if let Some(reason) = &outcome.reason { (reason) ". " }
            @if let Some(why) = system.promises.get(name) {
                "This configuration promises it: " (why) "."
            } @else if let Some(what) = system.not_promised.get(name) {
                "This configuration never promised it; what would: " (what) "."
            }
            @if outcome.verdict == Verdict::Invalid && name != "lost-writes" { (cause(input)) }
        }
    }
}

/// What explains stale or vanished reads even where they come from the leader.
fn cause(input: &ReportInput<'_>) -> Markup {
    let lost = input.judgement.checkers.get("lost-writes");
    let lost = lost.is_some_and(|outcome| outcome.verdict == Verdict::Invalid);
    let cut = input.cut_off();
    let acknowledged = input.run.system.settings.get("replication") == Some(&"async".into());
    html! {
        @if lost {
            " Acknowledged writes were lost in this run (see lost-writes): what was read of them \
             is gone too, which shows here even where reads come from the leader."
        } @else if cut != 0 && acknowledged {
            " In this run " (cut) " entries were cut off the log of a deposed leader, which had \
             acknowledged them on its own (asynchronous replication): acknowledged writes were \
             lost, which shows here even where reads come from the leader."
        }
    }
}

fn kinds(outcome: &Outcome) -> Markup {
    let mut kinds: BTreeMap<&str, Vec<&Finding>> = BTreeMap::new();
    for finding in &outcome.findings {
        kinds.entry(&finding.signature).or_default().push(finding);
    }
    let written = outcome.findings.len() as u64;
    html! {
        @for (signature, findings) in kinds {
            h4 { (signature) }
            @for finding in findings.iter().take(DRAWN) { (drawn(finding)) }
            @if DRAWN < findings.len() {
                details {
                    summary { (findings.len() - DRAWN) " more of this kind" }
                    ol.more { @for finding in &findings[DRAWN..] { li { (finding.sentence) } } }
                }
            }
        }
        @if written < outcome.count {
            p.quiet { "Showing " (written) " of " (outcome.count) "; verdict.json has the rest." }
        }
    }
}

fn drawn(finding: &Finding) -> Markup {
    html! {
        div.finding {
            p.sentence { (finding.sentence) "." }
            (lanes::witness(&finding.witness))
            details {
                summary { "As a table" }
                div.scroll { table {
                    thead { tr {
                        th scope="col" { "line" }
                        th scope="col" { "session" }
                        th scope="col" { "node" }
                        th scope="col" { "invoked" }
                        th scope="col" { "completed" }
                        th scope="col" { "outcome" }
                        th scope="col" { "what" }
                        th scope="col" { "transaction" }
                    } }
                    tbody { @for op in &finding.witness { (row(op)) } }
                } }
            }
        }
    }
}

fn row(op: &WitnessOp) -> Markup {
    let value = serde_json::to_string(&op.value).unwrap_or_default();
    html! {
        tr {
            td { (op.index) }
            td { (op.session) }
            td { (op.node.as_deref().unwrap_or("")) }
            td { (seconds(op.invoked)) }
            td { @if let Some(completed) = op.completed { (seconds(completed)) } }
            td { (op.kind.as_str()) }
            td { (op.note) }
            td { code { (value) } }
        }
    }
}
