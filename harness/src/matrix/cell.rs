//! From a judgement to a cell. `held` is the strong word: judged valid, on a run that could have
//! failed, and that nothing cut short.

use checkers::{Judgement, Verdict};
use history::RunInfo;
use reports::matrix::{Cell, CellState};

use crate::exit::Exit;

/// What a judged run says of a guarantee. `cut_short` is why the run did not go its whole way.
pub fn cell(checker: &str, judgement: &Judgement, info: &RunInfo, cut_short: Option<&str>) -> Cell {
    let promises = &info.system.promises;
    let promise = promises.get(checker).or(info.system.not_promised.get(checker));
    let mut cell = Cell {
        promised: promises.contains_key(checker),
        promise: promise.cloned(),
        ..Cell::unknown("the checker was not run")
    };
    let Some(outcome) = judgement.checkers.get(checker) else { return cell };
    let doubt = cut_short.map(str::to_owned).or_else(|| gap(judgement));
    cell.count = outcome.count;
    (cell.state, cell.reason) = match (outcome.verdict, doubt) {
        // A violation stands on its witness, whatever else was missing.
        (Verdict::Invalid, _) => {
            cell.finding = outcome.findings.first().map(|finding| finding.sentence.clone());
            (CellState::Violated, None)
        }
        // What transactions showed beyond their level is worth a line.
        (Verdict::Valid, None) => {
            let remark = outcome.reason.clone().filter(|_| outcome.facts.contains_key("beyond"));
            (CellState::Held, remark)
        }
        (Verdict::Valid, Some(doubt)) => (CellState::Unknown, Some(doubt)),
        (Verdict::Unknown, doubt) => {
            (CellState::Unknown, outcome.reason.clone().or(doubt).or(Some("no reason".to_owned())))
        }
    };
    cell
}

/// A cell of a workload that the client cannot do.
pub fn not_expressible(why: &str) -> Cell {
    Cell { state: CellState::NotExpressible, ..Cell::unknown(why) }
}

/// What the coverage gate missed; a run without a gate has missed all of it.
fn gap(judgement: &Judgement) -> Option<String> {
    if let Some(partial) = &judgement.partial {
        return Some(partial.clone());
    }
    if !judgement.doubts.is_empty() {
        return Some(judgement.doubts.join("; "));
    }
    let Some(coverage) = &judgement.coverage else {
        return Some("the run was not held against the coverage gate".to_owned());
    };
    // That nothing is promised does not make what was judged any less so.
    let missing = coverage.missing.iter().filter(|missing| !missing.starts_with("a promise:"));
    let missing: Vec<&str> = missing.map(String::as_str).collect();
    (!missing.is_empty()).then(|| missing.join("; "))
}

/// How a row ends a matrix.
pub fn exit(row: &reports::matrix::Row) -> Exit {
    use reports::matrix::RowStatus;
    let cells = row.cells.values();
    let of_cells = cells.fold(Exit::Valid, |exit, cell| {
        exit.merge(match (cell.promised, cell.state) {
            (true, CellState::Violated) => Exit::Invalid,
            (true, CellState::Unknown) => Exit::Unknown,
            _ => Exit::Valid,
        })
    });
    match row.status {
        RowStatus::Pending => Exit::Valid,
        RowStatus::Judged => of_cells,
        RowStatus::Environment => of_cells.merge(Exit::Environment),
        RowStatus::Interrupted => of_cells.merge(Exit::Interrupted),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use checkers::{Coverage, Outcome};
    use history::SystemInfo;
    use reports::matrix::{Row, RowStatus};

    use super::*;

    fn info() -> RunInfo {
        let promises = BTreeMap::from([("lost-writes".to_owned(), "because".to_owned())]);
        RunInfo {
            format: 1,
            id: "a/1".to_owned(),
            name: "a".to_owned(),
            seed: 1,
            version: "0".to_owned(),
            lab: "sim".to_owned(),
            started: None,
            command: String::new(),
            nodes: Vec::new(),
            servers: BTreeMap::new(),
            timeouts: None,
            system: SystemInfo {
                name: "store".to_owned(),
                settings: BTreeMap::new(),
                reads: "atomic".to_owned(),
                promises,
                not_promised: BTreeMap::new(),
            },
            workload: String::new(),
            workload_settings: BTreeMap::new(),
            policy: String::new(),
            labels: BTreeMap::new(),
            config: String::new(),
            host_facts: BTreeMap::new(),
        }
    }

    fn judgement(outcome: Outcome, missing: &[&str]) -> Judgement {
        let missing = missing.iter().map(|missing| (*missing).to_owned()).collect();
        Judgement {
            verdict: outcome.verdict,
            checkers: BTreeMap::from([("lost-writes".to_owned(), outcome)]),
            coverage: Some(Coverage { missing, ..Coverage::default() }),
            partial: None,
            doubts: Vec::new(),
            read: None,
        }
    }

    fn state(judgement: &Judgement, cut_short: Option<&str>) -> CellState {
        cell("lost-writes", judgement, &info(), cut_short).state
    }

    #[test]
    fn held_takes_a_valid_checker_a_passed_gate_and_a_whole_run() {
        let invalid = Outcome { verdict: Verdict::Invalid, count: 2, ..Outcome::valid() };
        for (outcome, missing, cut_short, expected) in [
            (Outcome::valid(), &[][..], None, CellState::Held),
            (Outcome::valid(), &["a promise: none"][..], None, CellState::Held),
            (Outcome::valid(), &["ok reads: 3 of 50"][..], None, CellState::Unknown),
            (Outcome::valid(), &[][..], Some("interrupted"), CellState::Unknown),
            (Outcome::unknown("why"), &[][..], None, CellState::Unknown),
            (invalid.clone(), &[][..], None, CellState::Violated),
            (invalid.clone(), &["ok reads: 3 of 50"][..], None, CellState::Violated),
            (invalid, &[][..], Some("the host died"), CellState::Violated),
        ] {
            let judged = judgement(outcome, missing);
            assert_eq!(state(&judged, cut_short), expected, "{judged:?} {cut_short:?}");
        }
        let mut partial = judgement(Outcome::valid(), &[]);
        partial.partial = Some("read up to line 9".to_owned());
        assert_eq!(state(&partial, None), CellState::Unknown);
        let bare = Judgement { coverage: None, partial: None, ..partial };
        assert_eq!(state(&bare, None), CellState::Unknown);
        assert_eq!(cell("causal", &bare, &info(), None).state, CellState::Unknown);
    }

    #[test]
    fn what_was_seen_beyond_a_level_stands_in_its_cell() {
        let remark = "seen, and not forbidden by snapshot-isolation: G2-item";
        let mut outcome = Outcome { reason: Some(remark.to_owned()), ..Outcome::valid() };
        let plain = cell("lost-writes", &judgement(outcome.clone(), &[]), &info(), None);
        assert_eq!((plain.state, plain.reason), (CellState::Held, None));
        outcome.facts.insert("beyond".to_owned(), serde_json::json!(["G2-item"]));
        let told = cell("lost-writes", &judgement(outcome, &[]), &info(), None);
        assert_eq!((told.state, told.reason.as_deref()), (CellState::Held, Some(remark)));
    }

    #[test]
    fn only_what_is_promised_decides_and_an_environment_is_said() {
        let judged =
            judgement(Outcome { verdict: Verdict::Invalid, count: 1, ..Outcome::valid() }, &[]);
        let row = |status, promised, state| {
            let cell = Cell { promised, state, ..cell("lost-writes", &judged, &info(), None) };
            Row {
                name: "a".to_owned(),
                why: String::new(),
                settings: Vec::new(),
                policy: "leader".to_owned(),
                workload: None,
                status,
                error: None,
                run: None,
                took_ms: 0,
                reused: false,
                cells: BTreeMap::from([("lost-writes".to_owned(), cell)]),
            }
        };
        use CellState::{Held, NotExpressible, Unknown, Violated};
        use RowStatus::{Environment, Interrupted, Judged, Pending};
        for (status, promised, state, expected) in [
            (Judged, true, Held, Exit::Valid),
            (Judged, true, Violated, Exit::Invalid),
            (Judged, false, Violated, Exit::Valid),
            (Judged, true, Unknown, Exit::Unknown),
            (Judged, false, Unknown, Exit::Valid),
            (Judged, true, NotExpressible, Exit::Valid),
            (Environment, true, Unknown, Exit::Environment),
            (Environment, true, Violated, Exit::Invalid),
            (Interrupted, false, Unknown, Exit::Interrupted),
            (Pending, true, Unknown, Exit::Valid),
        ] {
            assert_eq!(exit(&row(status, promised, state)), expected, "{status:?} {state:?}");
        }
    }
}
