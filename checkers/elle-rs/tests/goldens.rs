//! The reference histories: the same verdicts as the original, except where
//! docs/elle-differences.md says otherwise.

use std::collections::BTreeSet;

use elle_rs::{Anomaly, AnomalySet, Model, Options, Validity, Verdict, Workload, check};
use serde_json::Value;

fn options(row: &Value) -> Options {
    let workload = match row["checker"].as_str() {
        Some("list-append") => Workload::ListAppend,
        _ => Workload::RwRegister,
    };
    let given = &row["opts"];
    let mut options = Options::new(workload);
    let names = |value: &Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect()
    };
    if !given["consistency-models"].is_null() {
        let named = |name: &String| Model::named(name).unwrap();
        options.models = names(&given["consistency-models"]).iter().map(named).collect();
    }
    if !given["anomalies"].is_null() {
        let named = |name: &String| Anomaly::named(name).unwrap();
        options.anomalies = names(&given["anomalies"]).iter().map(named).collect();
    }
    let on = |name: &str| given[name].as_bool().unwrap_or(false);
    options.wfr_keys = on("wfr-keys?");
    options.sequential_keys = on("sequential-keys?");
    options.linearizable_keys = on("linearizable-keys?");
    options
}

fn strings(value: &Value) -> BTreeSet<String> {
    value.as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect()
}

fn names(models: &[Model]) -> BTreeSet<String> {
    models.iter().map(|model| model.name().to_owned()).collect()
}

/// What differs from the original's row.
fn differences(row: &Value, verdict: &Verdict) -> Vec<String> {
    let repaired = row["differs-when-union-bug-patched"].as_bool().unwrap_or(false);
    let field = |name: &str| match repaired {
        true => &row[format!("patched-{name}")],
        false => &row[name],
    };
    let mut found = Vec::new();
    let validity = match field("valid") {
        Value::Bool(true) => Validity::Valid,
        Value::Bool(false) => Validity::Invalid,
        _ => Validity::Unknown,
    };
    if validity != verdict.validity {
        found.push(format!("valid: {validity:?}, ours {:?}", verdict.validity));
    }
    for (name, ours) in [("not", &verdict.not), ("also-not", &verdict.also_not)] {
        let (theirs, ours) = (strings(field(name)), names(ours));
        if theirs != ours {
            let more: Vec<_> = ours.difference(&theirs).collect();
            let less: Vec<_> = theirs.difference(&ours).collect();
            found.push(format!("{name}: more {more:?}, less {less:?}"));
        }
    }
    let implied = verdict.found.implied();
    for name in strings(field("anomaly-types")) {
        let there = match Anomaly::named(&name) {
            // A level's own name is implied by whatever rules the level out.
            Some(level) if name.ends_with("-cycle-exists") => {
                let mut with = verdict.found;
                with.insert(level);
                elle_rs::ruled_out(with) == elle_rs::ruled_out(verdict.found)
            }
            Some(anomaly) => implied.contains(anomaly),
            None => false,
        };
        if !there {
            let ours: AnomalySet = verdict.found;
            let ours: Vec<&str> = ours.iter().map(Anomaly::name).collect();
            found.push(format!("anomaly-types: no {name}; ours {ours:?}"));
        }
    }
    found
}

#[test]
fn every_reference_history_gets_the_originals_verdicts() {
    let folder = std::path::PathBuf::from(std::env::var("ELLE_GOLDENS").unwrap());
    let mut rows = 0;
    let mut differ = 0;
    let mut files: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    for path in files {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let Some(name) = name.strip_suffix(".verdicts.json") else {
            continue;
        };
        let all: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let read = history::read_history(&folder.join(format!("{name}.jsonl"))).unwrap();
        assert_eq!(read.damage, None, "{name}");
        for row in all.as_array().unwrap() {
            rows += 1;
            let verdict = match check(&read.history, &options(row)) {
                Ok(verdict) => verdict,
                Err(why) => {
                    differ += 1;
                    println!("{name} {}: refused {why}", row["opts"]);
                    continue;
                }
            };
            let found = differences(row, &verdict);
            if !found.is_empty() {
                differ += 1;
                println!("{name} {}: {found:#?}", row["opts"]);
            }
        }
    }
    println!("{rows} rows, {differ} differ");
    assert_eq!(differ, 0);
}
