//! Histories made to hurt: one component of everything, one key, very long lists. On the small
//! stack of a test's thread, so that recursion would show. Their sizes times ten and their memory
//! are rows of `cargo bench -p elle-rs`.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

use std::fmt::Write as _;

use elle_rs::{Anomaly, Model, Options, Validity, Verdict, Workload, check};

/// Transactions one after the other, each as `micro_ops` writes it.
fn judged(count: usize, level: &str, micro_ops: impl Fn(usize, &mut String)) -> Verdict {
    let (mut text, mut value) = (String::new(), String::new());
    for at in 0..count {
        value.clear();
        micro_ops(at, &mut value);
        for (index, kind) in [(2 * at, "invoke"), (2 * at + 1, "ok")] {
            let _ = writeln!(
                text,
                r#"{{"index":{index},"type":"{kind}","process":{},"f":"txn","value":[{value}]}}"#,
                at % 10
            );
        }
    }
    let read = history::read_events(text.as_bytes());
    assert_eq!(read.damage, None);
    let mut options = Options::new(Workload::ListAppend).model(Model::named(level).unwrap());
    options.search_edges_max = 1_000_000;
    check(&read.history, &options).unwrap()
}

fn names(models: &[Model]) -> Vec<&'static str> {
    models.iter().map(|model| model.name()).collect()
}

#[test]
fn a_ring_around_a_hundred_thousand_transactions_is_judged_without_a_witness() {
    const COUNT: usize = 100_000;
    // Each reads what the one before appended, and the first what the last did.
    let ring = |at: usize, value: &mut String| {
        let next = (at + 1) % COUNT;
        let _ = write!(value, r#"["r",{at},[1]],["append",{next},1]"#);
    };
    let verdict = judged(COUNT, "serializable", ring);
    assert_eq!(verdict.validity, Validity::Invalid);
    assert_eq!(names(&verdict.not), ["read-committed"], "a cycle of reads of writes");
    assert!(verdict.cycles.is_empty(), "no cycle is short enough to be shown");
    assert!(verdict.bounded.contains(&Anomaly::named("G1c").unwrap()), "and that is said");
    // With the last left out there is no ring.
    let chain = |at: usize, value: &mut String| {
        let _ = match at {
            0 => write!(value, r#"["append",1,1]"#),
            _ => write!(value, r#"["r",{at},[1]],["append",{},1]"#, at + 1),
        };
    };
    let verdict = judged(COUNT, "strict-serializable", chain);
    assert_eq!((verdict.validity, verdict.bounded.len()), (Validity::Valid, 0));
}

#[test]
fn one_key_that_everybody_writes_is_judged() {
    const COUNT: usize = 30_000;
    let mut list = String::new();
    for at in 0..COUNT {
        let _ = write!(list, "{}{at}", if at == 0 { "" } else { "," });
    }
    let shown = |stale: bool| {
        let list = list.clone();
        move |at: usize, value: &mut String| {
            let _ = match at {
                // The last two: all that was appended, then nothing.
                _ if at == COUNT => write!(value, r#"["r","x",[{list}]]"#),
                _ if at > COUNT && stale => write!(value, r#"["r","x",[]]"#),
                _ if at > COUNT => write!(value, r#"["r","x",[{list}]]"#),
                _ => write!(value, r#"["append","x",{at}]"#),
            };
        }
    };
    let verdict = judged(COUNT + 2, "strict-serializable", shown(false));
    assert_eq!(verdict.validity, Validity::Valid);
    let verdict = judged(COUNT + 2, "strict-serializable", shown(true));
    assert_eq!(verdict.validity, Validity::Invalid);
    assert!(names(&verdict.not).contains(&"strong-snapshot-isolation"), "{:?}", verdict.not);
}

#[test]
fn lists_of_a_hundred_thousand_elements_that_differ_at_the_end_are_told() {
    const COUNT: usize = 100_000;
    let list = |ends: [usize; 2]| {
        let head: Vec<String> = (0..COUNT - 2).map(|at| at.to_string()).collect();
        format!("{},{},{}", head.join(","), ends[0], ends[1])
    };
    let (one, other) = (list([COUNT - 2, COUNT - 1]), list([COUNT - 1, COUNT - 2]));
    let verdict = judged(12, "serializable", |at: usize, value: &mut String| {
        if at < 10 {
            for element in (at..COUNT).step_by(10) {
                let comma = if value.is_empty() { "" } else { "," };
                let _ = write!(value, r#"{comma}["append","x",{element}]"#);
            }
            return;
        }
        let _ = write!(value, r#"["r","x",[{}]]"#, if at == 10 { &one } else { &other });
    });
    assert_eq!(verdict.validity, Validity::Invalid);
    let kind = Anomaly::named("incompatible-order").unwrap();
    let case = verdict.cases.iter().find(|case| case.anomaly == kind).unwrap();
    let ends = [COUNT as i64 - 1, COUNT as i64 - 2];
    assert!(ends.iter().all(|end| case.values.contains(end)), "{:?}", case.values);
}
