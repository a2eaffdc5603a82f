//! What a run's records say of one moment must agree: notes, faults, commands, the history.

use std::path::Path;

use serde_json::Value;

/// How late an answer may be taken in, ns: its thread's turn on a busy machine.
const TURN: i64 = 250_000_000;

/// A file of JSON lines.
pub fn lines(run: &Path, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(run.join(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The operator's notes, in their order: from when to when (ns), and what.
pub fn deeds(said: &str) -> Vec<(i64, i64, String)> {
    let ns = |text: &str| (text.trim_end_matches(" s").parse::<f64>().unwrap() * 1e9) as i64;
    let one = |line: &str| {
        let (_, told) = line.split_once("operator, ")?;
        let (when, what) = told.split_once(": ")?;
        Some(match when.strip_prefix("between ").and_then(|both| both.split_once(" and ")) {
            Some((asked, answered)) => (ns(asked), ns(answered), what.to_owned()),
            None => (ns(when), ns(when), what.to_owned()),
        })
    };
    said.lines().filter_map(one).collect()
}

/// Every fault's times: asked for after it was decided, done before it was probed, and what was
/// asked of agents for it lies between.
pub fn faults_agree(run: &Path) {
    let commands = match run.join("commands.jsonl").exists() {
        true => lines(run, "commands.jsonl"),
        false => Vec::new(),
    };
    let mut decided = 0;
    for event in lines(run, "faults.jsonl") {
        let time = event["time"].as_i64().unwrap();
        if event["phase"] == "injected" {
            decided = time;
        }
        if event["result"] == "skipped" || event["phase"] == "planned" {
            continue;
        }
        let (Some(asked), Some(answered)) = (event["asked"].as_i64(), event["answered"].as_i64())
        else {
            assert_eq!(event["phase"], "injected", "no times of the act: {event}");
            continue;
        };
        assert!(decided <= asked && asked <= answered && answered <= time, "{event}");
        let ask = if event["phase"] == "healed" { "heal" } else { "drop" };
        let id = event["id"].as_str().unwrap();
        let own = commands.iter().filter(|line| {
            let what = line["what"].as_str().unwrap();
            line["by"] == "agent"
                && what.contains(&format!("\"ask\":\"{ask}\""))
                && what.contains(&format!("\"fault\":\"{id}\""))
        });
        for line in own {
            let (from, to) = (line["asked"].as_i64().unwrap(), line["answered"].as_i64().unwrap());
            // Whoever takes in the answer does so a little later than the log.
            assert!(asked <= from && to <= answered, "{line}\nis not within\n{event}");
        }
    }
}

/// No write that was asked of this node after this moment, and until the other, was acknowledged,
/// and no earlier one was later than its answer's turn.
pub fn nothing_acknowledged(run: &Path, node: &str, since: i64, until: i64) {
    let mut invoked = std::collections::BTreeMap::new();
    for line in lines(run, "history.jsonl") {
        let (process, time) = (line["process"].as_i64().unwrap(), line["time"].as_i64().unwrap());
        if line["type"] == "invoke" {
            invoked.insert(process, time);
        }
        let writes = line["value"].as_array().into_iter().flatten().any(|mop| mop[0] != "r");
        if line["type"] == "ok" && line["node"] == node && writes {
            let asked = invoked[&process];
            assert!(asked < since || until <= asked, "asked at {asked}: {line}");
            assert!(time <= since + TURN || until <= time, "since {since}: {line}");
        }
    }
}
