//! Lists of one key that disagree: what follows from them, and what does not.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

use std::fmt::Write as _;

use elle_rs::{Model, Options, Validity, Verdict, Workload, check, verify};

/// Transactions that all run at once, each by a process of its own.
fn judged(level: &str, transactions: &[&str]) -> Verdict {
    let (mut text, mut index) = (String::new(), 0);
    for kind in ["invoke", "ok"] {
        for (process, value) in transactions.iter().enumerate() {
            let _ = writeln!(
                text,
                r#"{{"index":{index},"type":"{kind}","process":{process},"f":"txn","value":[{value}]}}"#
            );
            index += 1;
        }
    }
    let read = history::read_events(text.as_bytes());
    assert_eq!(read.damage, None);
    let options = Options::new(Workload::ListAppend).model(Model::named(level).unwrap());
    let verdict = check(&read.history, &options).unwrap();
    for cycle in &verdict.cycles {
        verify::cycle(&read.history, &options, cycle).unwrap();
    }
    verdict
}

fn found(verdict: &Verdict) -> Vec<&'static str> {
    let mut names: Vec<&str> = verdict.found.iter().map(|anomaly| anomaly.name()).collect();
    names.sort_unstable();
    names
}

const BRANCHES: [&str; 6] = [
    r#"["append","x",1]"#,
    r#"["append","x",2],["append","y",22]"#,
    r#"["append","x",3],["append","y",33]"#,
    r#"["r","x",[1,2]]"#,
    r#"["r","x",[1,3]]"#,
    r#"["r","y",[33,22]]"#,
];

/// With x as 1, 3, 2 nothing was overwritten in a circle.
#[test]
fn what_only_another_branch_shows_overwrites_nothing_that_is_known() {
    let mut swapped = BRANCHES;
    swapped.swap(3, 4);
    for transactions in [BRANCHES, swapped] {
        let verdict = judged("read-uncommitted", &transactions);
        assert_eq!(verdict.validity, Validity::Valid, "{:?}", found(&verdict));
        let verdict = judged("read-committed", &transactions);
        assert_eq!(verdict.validity, Validity::Invalid);
        assert!(found(&verdict).contains(&"incompatible-order"));
    }
}

/// Nobody read 3 here, so it came after all that was read.
#[test]
fn what_nobody_read_overwrites_the_last_that_was_read() {
    let mut transactions = BRANCHES;
    transactions[4] = r#"["r","x",[1]]"#;
    let verdict = judged("read-uncommitted", &transactions);
    assert_eq!(verdict.validity, Validity::Invalid);
    assert!(found(&verdict).contains(&"G0"), "{:?}", found(&verdict));
}

#[test]
fn a_reader_of_a_list_with_a_repetition_is_not_put_before_what_it_shows() {
    let transactions = [
        r#"["append","x",1]"#,
        r#"["append","x",2],["append","y",1]"#,
        r#"["r","x",[1,2,1]],["r","y",[1]]"#,
    ];
    assert_eq!(found(&judged("serializable", &transactions)), ["duplicate-elements"]);
}

#[test]
fn updates_of_one_list_are_lost_whatever_other_list_ends_alike() {
    let transactions = [
        r#"["append","x",1],["append","x",2]"#,
        r#"["append","x",9]"#,
        r#"["r","x",[1,9]],["append","x",4]"#,
        r#"["r","x",[2,9]],["append","x",5]"#,
        r#"["r","x",[1,9]],["append","x",6]"#,
    ];
    let verdict = judged("snapshot-isolation", &transactions);
    assert!(found(&verdict).contains(&"lost-update"), "{:?}", found(&verdict));
}

/// Too long for the search for the shortest: it is walked once around.
#[test]
fn a_ring_of_three_thousand_reads_has_a_witness() {
    const COUNT: usize = 3_000;
    let all: Vec<String> = (0..COUNT)
        .map(|at| format!(r#"["r",{at},[1]],["append",{},1]"#, (at + 1) % COUNT))
        .collect();
    let transactions: Vec<&str> = all.iter().map(String::as_str).collect();
    let verdict = judged("read-committed", &transactions);
    let cycle = verdict.cycles.iter().find(|cycle| cycle.anomaly.name() == "G1c").unwrap();
    assert_eq!(cycle.steps.len(), COUNT);
}
