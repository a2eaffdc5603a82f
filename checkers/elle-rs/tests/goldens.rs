//! The reference histories: the same verdicts as the original, except where
//! docs/elle-differences.md says otherwise.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

use std::collections::BTreeSet;

use elle_rs::{Anomaly, Model, Options, Validity, Verdict, Workload, check, verify};
use history::History;
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
    // Where no order of the versions was inferred that proves the level, the original says valid
    // and we say that it is not refuted.
    let undecided = verdict.undecided.is_some() && validity == Validity::Valid;
    if validity != verdict.validity && !undecided {
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
            let ours: Vec<&str> = verdict.found.iter().map(Anomaly::name).collect();
            found.push(format!("anomaly-types: no {name}; ours {ours:?}"));
        }
    }
    found
}

const DIFFERENCES: &str = include_str!("../../../docs/elle-differences.md");

/// Histories that the document lists, each in a heading of its own.
fn listed() -> BTreeSet<String> {
    let names = DIFFERENCES.lines().filter_map(|line| line.strip_prefix("### `"));
    names.filter_map(|rest| rest.split('`').next()).map(str::to_owned).collect()
}

/// Whether a level implies an order of each key's versions of which the original makes nothing
/// unless told so; told, it sees the violation too. (docs/elle-differences.md, "A level implies".)
fn by_implied_order(row: &Value, rows: &[Value], verdict: &Verdict) -> bool {
    let Some(implied) = verdict.implied else {
        return false;
    };
    let told = |other: &&Value| {
        let options = other["opts"].as_object().unwrap();
        options.len() == 1 && options.get(&format!("{implied}?")) == Some(&Value::Bool(true))
    };
    let told = rows.iter().find(told).unwrap();
    row["valid"] == true && verdict.validity == Validity::Invalid && told["valid"] == false
}

/// Every witness, gone over by code that did not find it.
fn re_check(history: &History, options: &Options, verdict: &Verdict) -> Result<u64, String> {
    for cycle in &verdict.cycles {
        verify::cycle(history, options, cycle)?;
    }
    for case in &verdict.cases {
        verify::case(history, options, case)?;
    }
    Ok((verdict.cycles.len() + verdict.cases.len()) as u64)
}

#[test]
fn every_reference_history_gets_the_originals_verdicts_with_sound_witnesses() {
    let packed: &[u8] = include_bytes!("goldens/elle.jsonl.zst");
    let text = String::from_utf8(zstd::decode_all(packed).unwrap()).unwrap();
    let (mut rows, mut witnesses, mut implied, mut wrong) = (0u64, 0, 0, Vec::new());
    let mut differ = BTreeSet::new();
    for line in text.lines() {
        let golden: Value = serde_json::from_str(line).unwrap();
        let name = golden["name"].as_str().unwrap();
        let read = history::read_events(golden["history"].as_str().unwrap().as_bytes());
        assert_eq!(read.damage, None, "{name}");
        for row in golden["rows"].as_array().unwrap() {
            rows += 1;
            let options = options(row);
            let verdict = check(&read.history, &options).unwrap();
            let found = differences(row, &verdict);
            if by_implied_order(row, golden["rows"].as_array().unwrap(), &verdict) {
                implied += 1;
            } else if !found.is_empty() {
                differ.insert(name.to_owned());
                if !listed().contains(name) {
                    wrong.push(format!("{name} {}: {found:#?}", row["opts"]));
                }
            }
            match re_check(&read.history, &options, &verdict) {
                Ok(count) => witnesses += count,
                Err(why) => wrong.push(format!("{name} {}: witness: {why}", row["opts"])),
            }
            if !verdict.bounded.is_empty() {
                wrong.push(format!("{name} {}: search was cut short", row["opts"]));
            }
        }
    }
    println!("{rows} rows, {witnesses} witnesses re-checked, {differ:?} differ as listed");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!((rows, implied), (2189, 40));
    assert_eq!(differ, listed(), "the list of differences is not what differs");
}

/// The original throws on these.
#[test]
fn what_the_original_throws_on_gets_a_verdict() {
    let throws: [(&str, Validity, &[Anomaly]); 3] = [
        // An acknowledged append is missing from a read that was invoked later.
        (
            include_str!("goldens/hand-la-hang-observed.jsonl"),
            Validity::Invalid,
            &[Anomaly::GSingleItemRealtime],
        ),
        (
            include_str!("goldens/hand-la-phantom-element.jsonl"),
            Validity::Invalid,
            &[Anomaly::GarbageRead],
        ),
        (include_str!("goldens/hand-la-valid-hang-unobserved.jsonl"), Validity::Valid, &[]),
    ];
    for (text, validity, types) in throws {
        let read = history::read_events(text.as_bytes());
        let options = Options::new(Workload::ListAppend);
        let verdict = check(&read.history, &options).unwrap();
        re_check(&read.history, &options, &verdict).unwrap();
        assert_eq!((verdict.validity, &verdict.anomaly_types[..]), (validity, types));
    }
}
