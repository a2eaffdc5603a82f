//! Lines scanned by hand are compared with what serde reads in them, whole and damaged ones.

use std::fmt::Write;

use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::columns::History;
use crate::event::Event;
use crate::line::{KeyRef, LineBuffer, scan};
use crate::reader::{ReadHistory, read_with};

/// All that a reader of a history can see of it.
fn seen(read: &ReadHistory) -> String {
    let history: &History = &read.history;
    let mut text = format!("{:?} {}\n", read.damage, read.skipped);
    for op in &history.ops {
        let mops: Vec<String> =
            history.mops_of(op).iter().map(|mop| format!("{:?}", history.micro_op(mop))).collect();
        writeln!(text, "{op:?} {mops:?}").unwrap();
    }
    writeln!(text, "{:?} {:?}", history.keys, history.nodes).unwrap();
    text
}

fn both_ways_agree(text: &[u8], what: &str) {
    let (by_hand, by_serde) = (seen(&read_with(text, true)), seen(&read_with(text, false)));
    assert_eq!(by_hand, by_serde, "{what}: {}", String::from_utf8_lossy(text));
}

fn value(rng: &mut ChaCha8Rng) -> i64 {
    let edges = [0, -1, 999_999_999_999_999_999, 1_000_000_000_000_000_000, i64::MIN, i64::MAX];
    if rng.random_bool(0.1) { *edges.choose(rng).unwrap() } else { rng.random_range(0..100) }
}

fn key(rng: &mut ChaCha8Rng) -> String {
    let keys = ["1", "2", "-3", "\"x\"", "\"x y\"", "\"\\u00e9\"", "\"\u{e9}\"", "\"q\\\"\""];
    (*keys.choose(rng).unwrap()).to_owned()
}

/// A micro-operation as it is invoked and as it completes.
fn micro_op(rng: &mut ChaCha8Rng) -> (String, String) {
    let key = key(rng);
    let written = value(rng);
    let same = |text: String| (text.clone(), text);
    match rng.random_range(0..8) {
        0 => same(format!("[\"append\",{key},{written}]")),
        1 => same(format!("[\"w\",{key},{written}]")),
        2 => same(format!("[\"cas\",{key},[{},{written}]]", value(rng))),
        3 => same(format!("[\"add\",{key},{written}]")),
        4 => same(format!("[\"inc\",{key},{written}]")),
        _ => {
            let shown = match rng.random_range(0..3) {
                0 => "null".to_owned(),
                1 => written.to_string(),
                _ => {
                    let elements: Vec<String> =
                        (0..rng.random_range(0..4)).map(|_| value(rng).to_string()).collect();
                    format!("[{}]", elements.join(","))
                }
            };
            (format!("[\"r\",{key},null]"), format!("[\"r\",{key},{shown}]"))
        }
    }
}

fn rare_fields(rng: &mut ChaCha8Rng) -> String {
    let some = |rng: &mut ChaCha8Rng, choices: &[&str]| match rng.random_bool(0.3) {
        true => (*choices.choose(rng).unwrap()).to_owned(),
        false => String::new(),
    };
    let mut text = some(rng, &[",\"final\":true", ",\"final\":false"]);
    text += &some(rng, &[",\"error\":\"gone\"", ",\"error\":\"a \\\"b\\\"\"", ",\"error\":null"]);
    let positions = [
        ",\"position\":12",
        ",\"position\":\"0/1A\"",
        ",\"position\":{}",
        ",\"position\":{\"t\":1,\"i\":\"x\"}",
        ",\"position\":[1]",
        ",\"position\":1.5",
    ];
    text += &some(rng, &positions);
    text += &some(rng, &[",\"target\":\"leader\"", ",\"extra\":1"]);
    text
}

fn history(rng: &mut ChaCha8Rng) -> String {
    let mut text = String::new();
    for turn in 0..rng.random_range(1..6) {
        let mops: Vec<(String, String)> =
            (0..rng.random_range(0..4)).map(|_| micro_op(rng)).collect();
        let list = |done: bool| {
            let of = |(invoked, completed): &(String, String)| match done {
                true => completed.clone(),
                false => invoked.clone(),
            };
            mops.iter().map(of).collect::<Vec<_>>().join(",")
        };
        let head = match rng.random_range(0..3) {
            0 => format!("\"process\":{turn}"),
            1 => format!("\"process\":{turn},\"session\":7,\"node\":\"n1\",\"time\":{turn}"),
            _ => format!("\"process\":{turn},\"node\":\"n\\u0031\""),
        };
        let end = ["ok", "fail", "info"].choose(rng).unwrap();
        for (at, kind, done) in [(0, "invoke", false), (1, *end, true)] {
            let index = 2 * turn + at;
            let value = list(done);
            let rare = rare_fields(rng);
            writeln!(
                text,
                "{{\"index\":{index},\"type\":\"{kind}\",{head},\"f\":\"txn\",\
                 \"value\":[{value}]{rare}}}"
            )
            .unwrap();
        }
    }
    text
}

#[test]
fn scanned_lines_mean_what_serde_reads_in_them() {
    for seed in 0..2_000 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let text = history(&mut rng);
        both_ways_agree(text.as_bytes(), &format!("seed {seed}"));
    }
}

#[test]
fn damaged_lines_are_told_alike() {
    let bytes = b"{}[]\",:0123456789.eE-+ \\\n\xe9nulltruer";
    for seed in 0..4_000 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut text = history(&mut rng).into_bytes();
        for _ in 0..rng.random_range(1..3) {
            let at = rng.random_range(0..text.len());
            match rng.random_range(0..3) {
                0 => text[at] = *bytes.choose(&mut rng).unwrap(),
                1 => drop(text.remove(at)),
                _ => text.insert(at, *bytes.choose(&mut rng).unwrap()),
            }
        }
        if rng.random_bool(0.2) {
            text.truncate(rng.random_range(0..=text.len()));
        }
        both_ways_agree(&text, &format!("seed {seed}"));
    }
}

#[test]
fn lines_as_they_are_written_are_scanned_and_not_left_to_serde() {
    let text = concat!(
        r#"{"index":3,"type":"ok","process":4,"session":9,"node":"n2","time":17,"f":"txn","#,
        r#""value":[["r",1,[1,2]],["append","x",3],["r",2,null]],"final":true,"position":5}"#,
    );
    let event: Event = serde_json::from_str(text).unwrap();
    let mut line = Vec::new();
    event.write_line(&mut line);
    let (mut buffer, mut keys) = (LineBuffer::default(), Vec::new());
    let scanned = scan(&line, &mut buffer, &mut keys).expect("the line is of our own shape");
    assert_eq!((scanned.index, scanned.process, scanned.session), (3, 4, Some(9)));
    assert_eq!((scanned.node, scanned.time, scanned.final_read), (Some("n2"), 17, true));
    assert_eq!(keys, [KeyRef::Int(1), KeyRef::Str("x"), KeyRef::Int(2)]);
    assert_eq!(buffer.lists, [1, 2]);
    assert_eq!(buffer.mops.len(), 3);
}
