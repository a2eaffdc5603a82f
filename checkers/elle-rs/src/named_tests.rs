//! Write skew and long fork, against a search of all pairs and quadruples.

use history::History;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::graph::{Graph, RW, WR, WW};
use crate::named::{SHAPES, cycle};
use crate::{Anomaly, Options, Validity, Verdict, Workload, check, verify};

fn judged(transactions: &[&str], workload: Workload) -> (History, Options, Verdict) {
    let mut text = String::new();
    for (at, value) in transactions.iter().enumerate() {
        // All invoked before any completes: real time says nothing.
        let line = |index: usize, kind: &str| {
            format!(
                "{{\"index\":{index},\"type\":\"{kind}\",\"process\":{at},\"f\":\"txn\",\
                 \"value\":[{value}]}}\n"
            )
        };
        text.insert_str(0, &line(at, "invoke"));
        text.push_str(&line(100 + at, "ok"));
    }
    let mut lines: Vec<&str> = text.lines().collect();
    lines[..transactions.len()].reverse();
    let history = history::read_events(lines.join("\n").as_bytes()).history;
    let options = Options::new(workload).model(crate::Model::named("serializable").unwrap());
    let verdict = check(&history, &options).unwrap();
    for cycle in &verdict.cycles {
        verify::cycle(&history, &options, cycle).unwrap();
    }
    (history, options, verdict)
}

fn types(verdict: &Verdict) -> Vec<&'static str> {
    verdict.anomaly_types.iter().map(|anomaly| anomaly.name()).collect()
}

#[test]
fn write_skew_is_named_for_lists_and_registers() {
    let lists = [
        r#"["r","x",[]],["append","y",1]"#,
        r#"["r","y",[]],["append","x",1]"#,
        r#"["r","x",[1]],["r","y",[1]]"#,
    ];
    let (.., verdict) = judged(&lists, Workload::ListAppend);
    assert_eq!(types(&verdict), ["G2-item", "write-skew"]);
    let registers = [r#"["r","x",null],["w","y",1]"#, r#"["r","y",null],["w","x",1]"#];
    let (.., verdict) = judged(&registers, Workload::RwRegister);
    assert_eq!(types(&verdict), ["G2-item", "write-skew"]);
    assert_eq!(verdict.validity, Validity::Invalid);
}

#[test]
fn a_long_fork_is_named() {
    let forked = [
        r#"["append","x",1]"#,
        r#"["append","y",1]"#,
        r#"["r","x",[1]],["r","y",[]]"#,
        r#"["r","x",[]],["r","y",[1]]"#,
    ];
    let (history, options, verdict) = judged(&forked, Workload::ListAppend);
    assert_eq!(types(&verdict), ["G-nonadjacent-item", "long-fork"]);
    // The verifier takes the name seriously.
    let mut wrong = verdict.cycles.iter().find(|c| c.anomaly == Anomaly::LongFork).unwrap().clone();
    wrong.anomaly = Anomaly::WriteSkew;
    assert!(verify::cycle(&history, &options, &wrong).is_err());
    wrong.anomaly = Anomaly::LongFork;
    wrong.steps.rotate_left(1);
    assert!(verify::cycle(&history, &options, &wrong).is_err());
}

#[test]
fn readers_who_agree_on_the_order_are_no_fork() {
    let agreed = [
        r#"["append","x",1]"#,
        r#"["append","y",1]"#,
        r#"["r","x",[1]],["r","y",[]]"#,
        r#"["r","x",[1]],["r","y",[1]]"#,
    ];
    let (.., verdict) = judged(&agreed, Workload::ListAppend);
    assert_eq!(verdict.validity, Validity::Valid);
}

/// Whether distinct vertices exist that such edges join, by trying all.
fn exists(edges: &[(u32, u32, u8)], vertices: u32, kinds: &[u8], path: &mut Vec<u32>) -> bool {
    let kind = kinds[path.len() - 1];
    let at = path[path.len() - 1];
    if path.len() == kinds.len() {
        return edges.contains(&(at, path[0], kind));
    }
    (0..vertices).any(|next| {
        if path.contains(&next) || !edges.contains(&(at, next, kind)) {
            return false;
        }
        path.push(next);
        let found = exists(edges, vertices, kinds, path);
        path.pop();
        found
    })
}

#[test]
fn the_search_finds_one_exactly_where_there_is_one() {
    let mut counts = [[0; 2]; 2];
    for seed in 0..4_000 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let vertices = random.random_range(2..8);
        let mut edges = Vec::new();
        for _ in 0..random.random_range(2..30) {
            let mut any = || random.random_range(0..vertices);
            let (from, to) = (any(), any());
            let kind = [WW, WR, RW, RW, WR][random.random_range(0..5)];
            if from != to {
                edges.push((from, to, kind));
            }
        }
        let graph = Graph::of(vertices as usize, edges.iter().copied());
        for (which, (_, kinds)) in SHAPES.iter().enumerate() {
            let there = (0..vertices).any(|v| exists(&edges, vertices, kinds, &mut vec![v]));
            let found = cycle(&graph, kinds, &|_| false, u64::MAX).cycle;
            assert_eq!(found.is_some(), there, "seed {seed}, {kinds:?}, {edges:?}");
            counts[which][usize::from(there)] += 1;
        }
    }
    // Both answers occur for both shapes.
    assert!(counts.iter().flatten().all(|count| 100 < *count), "{counts:?}");
}

#[test]
fn consistent_view_is_decided_where_no_search_may_be_made() {
    // The second read nothing of what the first overwrote, and all of the rest that it wrote.
    let skewed = [
        r#"["append","x",1],["append","y",1]"#,
        r#"["r","x",[1]],["r","y",[]]"#,
        r#"["r","x",[1]],["r","y",[1]]"#,
    ];
    let (history, mut options, searched) = judged(&skewed, Workload::ListAppend);
    assert!(types(&searched).contains(&"G-single-item"));
    for level in ["consistent-view", "forward-consistent-view"] {
        options.models = vec![crate::Model::named(level).unwrap()];
        options.search_edges_max = 0;
        let verdict = check(&history, &options).unwrap();
        assert!(verdict.cycles.is_empty(), "nothing was looked for");
        assert!(verdict.bounded.contains(&Anomaly::GSingleItem), "and that is said");
        assert_eq!(verdict.validity, Validity::Invalid, "{level}");
        assert_eq!((&verdict.not, &verdict.also_not), (&searched.not, &searched.also_not));
    }
}
