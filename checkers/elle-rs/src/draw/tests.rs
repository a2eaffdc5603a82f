//! Drawings of a cycle whose keys are markup, quotes and backslashes.

use history::History;

use super::*;
use crate::{Model, Options, Workload, check};

/// A write skew whose keys are as nasty as keys can be.
fn skewed() -> (History, Drawing) {
    let lines = [
        r#"{"index":0,"type":"invoke","process":0,"f":"txn","value":[["r","<b>&\"",null],["append","y\\",1]]}"#,
        r#"{"index":1,"type":"invoke","process":1,"f":"txn","value":[["r","y\\",null],["append","<b>&\"",1]]}"#,
        r#"{"index":2,"type":"ok","process":0,"f":"txn","value":[["r","<b>&\"",[]],["append","y\\",1]]}"#,
        r#"{"index":3,"type":"ok","process":1,"f":"txn","value":[["r","y\\",[]],["append","<b>&\"",1]]}"#,
    ];
    let read = history::read_events(lines.join("\n").as_bytes());
    assert_eq!(read.damage, None);
    let level = Model::named("serializable").unwrap();
    let verdict = check(&read.history, &Options::new(Workload::ListAppend).model(level)).unwrap();
    let drawing = Drawing::of(&read.history, Workload::ListAppend, &verdict.cycles[0]);
    (read.history, drawing)
}

#[test]
fn a_cycle_in_dot_is_one_quoted_string_a_label() {
    let (_, drawing) = skewed();
    let dot = drawing.dot();
    assert!(dot.starts_with("digraph \"G2-item\" {\n"), "{dot}");
    assert!(
        dot.contains(r#"T1 [label="T1: r <b>&\" [], append y\\ 1\nprocess 0, line 0"];"#),
        "{dot}"
    );
    assert!(dot.contains("T2 -> T1 [label=\"rw\""), "{dot}");
}

#[test]
fn a_cycle_in_svg_is_well_formed_and_escaped() {
    let (_, drawing) = skewed();
    let svg = drawing.svg();
    assert!(svg.contains("r &lt;b&gt;&amp;&quot; []"), "{svg}");
    assert!(!svg.contains("<b>"), "{svg}");
    // Every element is closed, and nothing but markup begins with an angle.
    let mut open: Vec<&str> = Vec::new();
    for tag in svg.split('<').skip(1) {
        let (tag, rest) = tag.split_once('>').expect("a tag ends");
        assert!(!rest.contains('>'), "{rest}");
        if let Some(closed) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(closed));
        } else if !tag.ends_with('/') {
            open.push(tag.split(' ').next().unwrap());
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
    }
    assert!(open.is_empty());
    assert_eq!(svg.matches("<rect").count(), 2);
    // One arrow on, one back.
    assert_eq!(svg.matches("stroke-width=\"2\"").count(), 2);
}

#[test]
fn long_texts_are_broken_and_nothing_of_them_is_lost() {
    let text = format!("a {} b c", "x".repeat(25));
    let lines = wrapped(&text, 10);
    assert!(lines.iter().all(|line| line.chars().count() <= 10), "{lines:?}");
    let all: String = lines.concat().replace(' ', "");
    assert_eq!(all, text.replace(' ', ""));
}
