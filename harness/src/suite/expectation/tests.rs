//! Every row of the decision table.

use super::*;

const OK: End = End::Exited(0, None);

fn seed(verdict: &str, found: &[&str], broken: &[&str], missing: &[&str]) -> SeedResult {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    SeedResult {
        seed: 1,
        verdict: Some(verdict.to_owned()),
        found: found.iter().map(|name| ((*name).to_owned(), 3)).collect(),
        broken: owned(broken),
        missing: owned(missing),
        ..SeedResult::default()
    }
}

fn valid() -> Expectation {
    Expectation { valid: true, ..Expectation::default() }
}

fn finds(at_least: Option<AtLeast>) -> Expectation {
    Expectation { finds: vec!["lost-writes".to_owned()], at_least, ..Expectation::default() }
}

fn holds() -> Expectation {
    Expectation { holds: vec!["monotonic-reads".to_owned()], ..Expectation::default() }
}

#[test]
fn one_run() {
    use CaseStatus::{AsExpected, Unexpected, Unknown};
    let (lost, stale) = ("lost-writes", "monotonic-reads");
    for (expectation, run, expected) in [
        (valid(), seed("valid", &[], &[], &[]), AsExpected),
        // What was never promised is told, and does not fail a case that is valid.
        (valid(), seed("valid", &[stale], &[], &[]), AsExpected),
        (valid(), seed("invalid", &[lost], &[lost], &[]), Unexpected),
        (valid(), seed("invalid", &[lost], &[], &[]), Unexpected),
        (valid(), seed("unknown", &[], &[], &["reads"]), Unknown),
        (finds(None), seed("invalid", &[lost], &[], &[]), AsExpected),
        (finds(None), seed("invalid", &[lost], &[lost], &[]), AsExpected),
        // A finding stands on its witness, whatever the gate missed.
        (finds(None), seed("invalid", &[lost], &[], &["reads"]), AsExpected),
        (finds(None), seed("valid", &[], &[], &[]), Unexpected),
        (finds(None), seed("unknown", &[], &[], &["reads"]), Unknown),
        (finds(None), seed("invalid", &[lost, stale], &[stale], &[]), Unexpected),
        (finds(None), seed("invalid", &[lost, stale], &[], &[]), AsExpected),
        (holds(), seed("unknown", &[], &[], &[]), AsExpected),
        (holds(), seed("invalid", &[lost], &[], &[]), AsExpected),
        (holds(), seed("invalid", &[stale], &[], &[]), Unexpected),
        (holds(), seed("valid", &[], &[], &["reads"]), Unknown),
    ] {
        let (status, why) = expectation.judge(1, std::slice::from_ref(&run), &OK);
        assert_eq!(status, expected, "{expectation:?} {run:?}: {why:?}");
        assert_eq!(why.is_empty(), status == AsExpected, "{why:?}");
    }
    let mut unsure = seed("valid", &[], &[], &[]);
    unsure.untold.insert(stale.to_owned(), "no reads".to_owned());
    assert_eq!(holds().judge(1, std::slice::from_ref(&unsure), &OK).0, Unknown);
    assert_eq!(finds(None).judge(1, &[unsure], &OK).0, Unexpected, "lost-writes was judged");
}

#[test]
fn anomalies_of_isolation_are_to_be_shown() {
    use CaseStatus::{AsExpected, Unexpected};
    let expectation =
        Expectation { valid: true, shows: vec!["G2-item".to_owned()], ..Expectation::default() };
    let mut run = seed("valid", &[], &[], &[]);
    let (status, why) = expectation.judge(1, std::slice::from_ref(&run), &OK);
    assert_eq!(status, Unexpected);
    assert_eq!(why, ["G2-item was found in 0 of 1 runs, expected 1; not with seed 1"]);
    run.shown = vec!["G2-item".to_owned()];
    assert_eq!(expectation.judge(1, &[run], &OK).0, AsExpected);
    assert_eq!(expectation.words(1), "valid; transactions show G2-item");
}

#[test]
fn several_runs() {
    use CaseStatus::{AsExpected, Unexpected, Unknown};
    let lost = || seed("invalid", &["lost-writes"], &[], &[]);
    let clean = || seed("valid", &[], &[], &[]);
    let thin = || seed("unknown", &[], &[], &["writes"]);
    for (at_least, runs, expected) in [
        (None, vec![lost(), lost(), lost()], AsExpected),
        (None, vec![lost(), clean(), lost()], Unexpected),
        (Some(AtLeast::Runs(2)), vec![lost(), clean(), lost()], AsExpected),
        (Some(AtLeast::Runs(2)), vec![lost(), clean(), clean()], Unexpected),
        (Some(AtLeast::Runs(2)), vec![lost(), thin(), clean()], Unknown),
        (Some(AtLeast::Share { found: 6, of: 10 }), vec![lost(), clean(), lost()], AsExpected),
        (Some(AtLeast::Share { found: 6, of: 10 }), vec![lost(), clean(), clean()], Unexpected),
        (Some(AtLeast::Share { found: 1, of: 10 }), vec![lost(), clean(), clean()], AsExpected),
        (None, vec![lost(), thin(), clean()], Unexpected),
    ] {
        let (status, why) = finds(at_least).judge(3, &runs, &OK);
        assert_eq!(status, expected, "{at_least:?} {why:?}");
    }
}

#[test]
fn surroundings_are_told_apart_from_findings() {
    use CaseStatus::{Environment, Internal, Interrupted, Unexpected};
    let clean = [seed("valid", &[], &[], &[])];
    let broken = [seed("invalid", &["lost-writes"], &["lost-writes"], &[])];
    let error = || Some("host n2: refused".to_owned());
    for (runs, end, expected) in [
        (&clean[..], End::Exited(75, error()), Environment),
        (&clean[..], End::TimedOut(9_000), Environment),
        (&clean[..], End::Exited(101, None), Internal),
        (&clean[..], End::Exited(70, None), Internal),
        (&clean[..], End::Killed("signal 9".to_owned()), Internal),
        (&clean[..], End::Interrupted, Interrupted),
        (&clean[..], End::Exited(130, None), Interrupted),
        (&[][..], End::Exited(0, None), Internal),
        (&clean[..], End::Exited(1, error()), Environment),
        // A violation found before a crash still is one.
        (&broken[..], End::Exited(75, error()), Unexpected),
    ] {
        let (status, why) = valid().judge(2, runs, &end);
        assert_eq!(status, expected, "{end:?} {why:?}");
    }
    let (status, why) = finds(None).judge(2, &[], &End::Exited(75, error()));
    assert_eq!(status, Environment, "a run that was not made is no missing finding");
    assert!(why.iter().any(|why| why == "host n2: refused"), "{why:?}");
    let mut failed = clean.clone();
    failed[0].exit = 75;
    assert_eq!(valid().judge(1, &failed, &OK).0, Environment);
}

#[test]
fn in_words() {
    assert_eq!(valid().words(3), "valid");
    assert_eq!(
        finds(Some(AtLeast::Runs(2))).words(3),
        "finds lost-writes in at least 2 of 3 seeds"
    );
    assert_eq!(finds(None).words(1), "finds lost-writes");
    let both = Expectation { valid: true, ..holds() };
    assert_eq!(both.words(1), "valid; monotonic-reads held");
}

#[test]
fn what_is_not_refuted_is_enough_only_where_the_case_says_so() {
    use CaseStatus::{AsExpected, Unknown};
    let mut run = seed("unknown", &[], &[], &[]);
    run.undecided = vec!["rw-register".to_owned()];
    run.undecided_alone = true;
    run.untold.insert("rw-register".to_owned(), "not refuted".to_owned());
    let register = Expectation { holds: vec!["rw-register".to_owned()], ..Expectation::default() };
    for expectation in [valid(), register] {
        let accepting = Expectation { undecided_ok: true, ..expectation.clone() };
        let status = |expectation: &Expectation, run: &SeedResult| {
            expectation.judge(1, std::slice::from_ref(run), &OK).0
        };
        assert_eq!(status(&expectation, &run), Unknown);
        assert_eq!(status(&accepting, &run), AsExpected);
        // Whatever else is missing stays missing.
        let gap =
            SeedResult { missing: vec!["reads".to_owned()], undecided_alone: false, ..run.clone() };
        assert_eq!(status(&accepting, &gap), Unknown);
    }
}
