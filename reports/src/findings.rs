//! Findings: a sentence, a drawn witness, and the same as a table.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeMap;

use checkers::{Finding, Outcome, Role, Verdict, WitnessOp};
use elle_rs::draw::{Drawing, Drawn};
use history::NEVER_REPLACED;
use maud::{Markup, PreEscaped, html};
use serde_json::Value;

use crate::page::badge;
use crate::{ReportInput, lanes, leadership, seconds};

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
        (reasons(input))
        @for note in input.judgement.read.iter().flat_map(|read| read.told()) {
            p.note { "The file: " (note) }
        }
        @for (name, outcome) in outcomes {
            article {
                h3 { (badge(outcome.verdict)) " " (name) }
                (meaning(input, name, outcome))
                @if outcome.verdict == Verdict::Invalid { (kinds(outcome)) }
                (beyond(outcome))
            }
        }
    }
}

/// Why the verdict is unknown; of another one, what is doubted all the same.
fn reasons(input: &ReportInput<'_>) -> Markup {
    let judgement = input.judgement;
    if judgement.verdict != Verdict::Unknown {
        return html! {
            @if let Some(partial) = &judgement.partial { p.note { "Partial: " (partial) } }
            @for doubt in &judgement.doubts { p.note { (doubt) } }
        };
    }
    html! {
        p { strong { "The verdict is unknown, neither valid nor invalid" } ":" }
        ul.reasons { @for why in judgement.why_unknown() { li.note { (why) "." } } }
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
            @if let Some(reason) = &outcome.reason { (sentence(reason)) ". " }
            @if let Some(why) = system.promises.get(name)
                && outcome.role == Some(Role::Observation)
                && outcome.verdict == Verdict::Invalid
            {
                "No promise is broken by it. The configuration's words: " (why) "."
            } @else if let Some(why) = system.promises.get(name) {
                "This configuration promises it: " (why) "."
            } @else if let Some(what) = system.not_promised.get(name) {
                "This configuration never promised it; what would: " (cure(input, what)) "."
            }
            @if outcome.verdict == Verdict::Invalid && name != "lost-writes" { (cause(input)) }
        }
    }
}

/// What would promise it; never what this run has shown to be untrue of the cluster.
fn cure<'a>(input: &ReportInput<'_>, what: &'a str) -> Cow<'a, str> {
    let leaders = leadership::leaders(input);
    match what.starts_with(NEVER_REPLACED) && 1 < leaders.len() {
        true => Cow::Owned(format!(
            "a failover that keeps acknowledged writes: this cluster replaces its leaders ({} led \
             in this run), by a rule that is not known here; synchronous_standby_names with a \
             promoted standby that is among the confirmed ones, and an old leader that is fenced \
             before, keep them",
            leaders.join(", then ")
        )),
        false => Cow::Borrowed(what),
    }
}

/// A remark with a capital in front, as it follows a full stop.
pub(crate) fn sentence(remark: &str) -> String {
    let mut characters = remark.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + characters.as_str()
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
        } @else if let Some(cut) = cut.filter(|cut| *cut != 0 && acknowledged) {
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
            @if let Some(cycle) = cycle(outcome, signature) { (picture(&cycle)) }
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

/// The cycle that a finding of transactions is about, if it is one.
fn cycle(outcome: &Outcome, signature: &str) -> Option<Drawing> {
    let (_, anomaly) = signature.split_once('/')?;
    cycles(outcome).into_iter().find(|cycle| cycle.title == anomaly)
}

/// The cycles that transactions showed, forbidden or not.
fn cycles(outcome: &Outcome) -> Vec<Drawing> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let step = |step: &Value| Drawn {
        transaction: word(&step["transaction"]),
        place: word(&step["place"]),
        kind: word(&step["kind"]),
        because: word(&step["because"]),
    };
    let all = outcome.facts.get("cycles").and_then(Value::as_array).into_iter().flatten();
    let drawing = |cycle: &Value| {
        let steps = cycle["steps"].as_array().into_iter().flatten().map(step);
        Drawing { title: word(&cycle["anomaly"]), steps: steps.collect() }
    };
    all.map(drawing).collect()
}

fn picture(cycle: &Drawing) -> Markup {
    html! { div.scroll { (PreEscaped(cycle.svg())) } }
}

/// Cycles that were seen and that the level does not forbid.
fn beyond(outcome: &Outcome) -> Markup {
    let listed = outcome.facts.get("beyond").and_then(Value::as_array).into_iter().flatten();
    let names: Vec<&str> = listed.filter_map(Value::as_str).collect();
    let mut cycles = cycles(outcome);
    cycles.retain(|cycle| names.contains(&cycle.title.as_str()));
    html! {
        @for cycle in cycles {
            details {
                summary { "Seen, and not forbidden: " (cycle.title) }
                (picture(&cycle))
            }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cycles_are_drawn_where_they_were_found_and_where_they_are_not_forbidden() {
        let step = |transaction: &str, kind: &str| {
            json!({"transaction": transaction, "place": "process 1, line 2", "kind": kind,
                "because": "T1 read key <x>"})
        };
        let skew = json!({"anomaly": "G2-item", "steps": [step("r x", "rw"), step("r y", "rw")]});
        let mut outcome = Outcome::valid();
        outcome.facts.insert("cycles".to_owned(), json!([skew]));
        let found = cycle(&outcome, "list-append/G2-item").unwrap();
        assert_eq!(found.steps.len(), 2);
        assert!(cycle(&outcome, "list-append/G0").is_none());
        let page = picture(&found).into_string();
        assert!(page.contains("<svg") && page.contains("key &lt;x&gt;"), "{page}");
        assert!(!beyond(&outcome).into_string().contains("<svg"), "it is forbidden, and found");
        outcome.facts.insert("beyond".to_owned(), json!(["G2-item"]));
        let page = beyond(&outcome).into_string();
        assert!(page.contains("Seen, and not forbidden: G2-item") && page.contains("<svg"));
    }
}
