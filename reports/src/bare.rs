//! The page of a history file of somebody else's: what was found, and nothing of a run.

use history::EventKind;
use maud::{PreEscaped, html};

use crate::findings::findings;
use crate::page::{badge, framed, headline, legend};
use crate::plots::{OUTCOMES, QUANTILES, latency, throughput};
use crate::sections::checkers;
use crate::{ReportInput, seconds};

/// The report of a file. Of the run nothing is read but its name, its command and its version.
pub fn html_of_file(input: &ReportInput<'_>) -> String {
    let run = input.run;
    let verdict = input.judgement.verdict;
    let count = |kind: EventKind| input.ops.iter().filter(|op| op.kind == kind).count();
    let timed = input.ops.iter().any(|op| op.invoked != 0 || op.completed.unwrap_or(0) != 0);
    let form = input.judgement.read.as_ref().map_or("", |read| read.form.as_str());
    let body = html! {
        a.skip href="#findings" { "Skip to the findings" }
        header.bar.(verdict.as_str()) {
            div.bar-top {
                h1 { (badge(verdict)) " " (run.name) }
                button #theme type="button" aria-label="Switch between light and dark" { "◐" }
            }
            p.facts {
                span { "a history file: " (form) }
                @if timed { span { (seconds(input.end())) } }
                span {
                    (input.ops.len()) " operations: " (count(EventKind::Ok)) " ok, "
                    (count(EventKind::Fail)) " fail, " (count(EventKind::Info)) " info"
                }
            }
        }
        main {
            section #reproduce {
                h2 { "Judge it again" }
                div.command {
                    code #command { (run.command) }
                    button.copy type="button" data-copy="command" { "Copy" }
                }
                p.quiet {
                    "All that is known is what the file says: which faults there were, what the \
                     system promises and how its nodes fared is not told."
                }
            }
            section #findings {
                h2 { (headline(input)) }
                (findings(input))
            }
            section #timeline {
                h2 { "What was happening" }
                @if timed {
                    figure {
                        figcaption { "Operations a second, by outcome. " (legend(&OUTCOMES)) }
                        (PreEscaped(throughput(input)))
                    }
                    figure {
                        figcaption { "Latency of ok operations. " (legend(&QUANTILES)) }
                        (PreEscaped(latency(input)))
                    }
                } @else { p { "The file does not tell when its operations were." } }
            }
            (checkers(input))
        }
        footer { "splitbrain " (run.version) }
    };
    framed(&format!("{}: {}", run.name, verdict.as_str()), &body)
}
