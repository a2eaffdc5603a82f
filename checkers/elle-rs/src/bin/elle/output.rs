//! What is printed of a file, and drawn of its cycles.

use std::fmt::Write;
use std::io;
use std::path::Path;

use elle_rs::draw::Drawing;
use elle_rs::{Anomaly, Model, Validity, Verdict, explain};
use history::History;
use serde_json::{Value, json};

use crate::arguments::Arguments;

/// A file that could not be judged.
pub fn unjudged(file: &str, why: &str, arguments: &Arguments) -> String {
    match arguments.json {
        true => pretty(&json!({"valid?": "unknown", "error": why})),
        false => format!("{file}\tunknown\n"),
    }
}

/// A file that was judged.
pub fn judged(
    file: &str,
    history: &History,
    verdict: &Verdict,
    damage: Option<&str>,
    arguments: &Arguments,
) -> String {
    if arguments.json {
        let mut analysis = analysis(history, verdict, damage, arguments);
        history.names().tell_json(&mut analysis);
        return pretty(&analysis);
    }
    let word = match verdict.validity {
        Validity::Valid => "true",
        Validity::Invalid => "false",
        Validity::Unknown => "unknown",
    };
    let mut text = format!("{file}\t{word}\n");
    if arguments.explain {
        let explained = explained(history, verdict, arguments);
        text.push_str(&history.names().told(&explained, str::to_owned));
    }
    text
}

fn explained(history: &History, verdict: &Verdict, arguments: &Arguments) -> String {
    let mut text = String::new();
    for (name, words) in [
        ("anomaly-types", anomalies(&verdict.anomaly_types)),
        ("not", levels(&verdict.not)),
        ("also-not", levels(&verdict.also_not)),
        ("strongest", levels(&verdict.strongest)),
        ("assuming", verdict.assumptions.clone()),
    ] {
        let _ = writeln!(text, "{name}: {}", words.join(" "));
    }
    if let Some(undecided) = verdict.undecided {
        let _ = writeln!(text, "not-refuted: {}", undecided.words());
    }
    if let Some(implied) = verdict.implied {
        let _ = writeln!(text, "implied-by-the-level: {implied}");
    }
    if !verdict.bounded.is_empty() {
        let words = anomalies(&verdict.bounded).join(" ");
        let _ = writeln!(text, "search-cut-short: {words} (the levels do not depend on it)");
    }
    for cycle in &verdict.cycles {
        let cycle = explain::cycle(history, arguments.options.workload, cycle);
        let _ = writeln!(text, "\n{cycle}");
    }
    for case in &verdict.cases {
        let _ = writeln!(text, "{}: {}", case.anomaly, case.sentence);
    }
    text
}

fn anomalies(all: &[Anomaly]) -> Vec<&'static str> {
    all.iter().map(|anomaly| anomaly.name()).collect()
}

fn levels(all: &[Model]) -> Vec<&'static str> {
    all.iter().map(|model| model.name()).collect()
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// The analysis under the original's names.
fn analysis(
    history: &History,
    verdict: &Verdict,
    damage: Option<&str>,
    arguments: &Arguments,
) -> Value {
    let valid = match verdict.validity {
        Validity::Valid => json!(true),
        Validity::Invalid => json!(false),
        Validity::Unknown => json!("unknown"),
    };
    let workload = arguments.options.workload;
    let lines =
        |ops: &[u32]| ops.iter().map(|op| history.ops[*op as usize].index()).collect::<Vec<u64>>();
    let mut found = serde_json::Map::new();
    for cycle in verdict.cycles.iter().filter(|c| verdict.anomaly_types.contains(&c.anomaly)) {
        let ops: Vec<u32> = cycle.steps.iter().map(|step| step.op).collect();
        let drawing = Drawing::of(history, workload, cycle);
        let steps = drawing.steps.iter().map(|step| {
            json!({"transaction": step.transaction, "place": step.place, "type": step.kind,
                "because": step.because})
        });
        let steps: Vec<Value> = steps.collect();
        let one = json!({"cycle": lines(&ops), "steps": steps, "type": cycle.anomaly.name()});
        found.insert(cycle.anomaly.name().to_owned(), json!([one]));
    }
    for case in verdict.cases.iter().filter(|c| verdict.anomaly_types.contains(&c.anomaly)) {
        let one = json!({
            "ops": lines(&case.ops),
            "key": history.keys[case.key as usize].to_string(),
            "values": case.values,
            "message": case.sentence,
        });
        let all = found.entry(case.anomaly.name()).or_insert_with(|| json!([]));
        if let Some(all) = all.as_array_mut() {
            all.push(one);
        }
    }
    let mut analysis = json!({
        "valid?": valid,
        "anomaly-types": anomalies(&verdict.anomaly_types),
        "anomalies": found,
        "not": levels(&verdict.not),
        "also-not": levels(&verdict.also_not),
        "strongest": levels(&verdict.strongest),
        "assuming": verdict.assumptions,
    });
    if let Some(undecided) = verdict.undecided {
        analysis["decided"] = false.into();
        analysis["undecided-pairs"] = json!([undecided.pairs, undecided.of]);
    }
    if let Some(implied) = verdict.implied {
        analysis["implied-by-the-level"] = implied.into();
    }
    if !verdict.bounded.is_empty() {
        analysis["search-cut-short"] = json!(anomalies(&verdict.bounded));
    }
    if let Some(damage) = damage {
        analysis["error"] = damage.into();
    }
    analysis
}

/// Writes each cycle of a file into a folder named after it: in words, as SVG and as DOT.
pub fn draw(
    folder: &str,
    file: &str,
    history: &History,
    verdict: &Verdict,
    arguments: &Arguments,
) -> io::Result<()> {
    let name = Path::new(file).file_name().map_or(file.into(), |name| name.to_string_lossy());
    let folder = Path::new(folder).join(&*name);
    for cycle in &verdict.cycles {
        std::fs::create_dir_all(&folder)?;
        let drawing = Drawing::of(history, arguments.options.workload, cycle);
        let words = explain::cycle(history, arguments.options.workload, cycle);
        for (ending, text) in [("txt", words), ("svg", drawing.svg()), ("dot", drawing.dot())] {
            let text = history.names().told(&text, |name| escaped(name, ending));
            std::fs::write(folder.join(format!("{}.{ending}", cycle.anomaly)), &*text)?;
        }
    }
    Ok(())
}

/// A name as a drawing may hold it: within quotes, or between tags.
fn escaped(name: &str, ending: &str) -> String {
    let one = |char: char| match (ending, char) {
        ("svg", '<') => "&lt;".to_owned(),
        ("svg", '>') => "&gt;".to_owned(),
        ("svg", '&') => "&amp;".to_owned(),
        ("svg", '"') => "&quot;".to_owned(),
        ("dot", '"' | '\\') => format!("\\{char}"),
        (_, char) => char.to_string(),
    };
    name.chars().map(one).collect()
}
