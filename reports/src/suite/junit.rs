//! JUnit XML: a test case each, a failure for what is not as expected, an error for what could not
//! be told or whose environment failed.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{CaseResult, CaseStatus, Suite};

/// The whole suite; an error says what could not be written.
pub fn junit(suite: &Suite) -> Result<String, String> {
    let mut report = Report::new(suite.title());
    let mut all = TestSuite::new(suite.title());
    let took = Duration::from_millis(suite.cases.iter().map(|case| case.took_ms).sum());
    report.set_time(took);
    all.set_time(took);
    all.add_test_cases(suite.cases.iter().map(|case| test_case(suite, case)));
    report.add_test_suite(all);
    report.to_string().map_err(|error| error.to_string())
}

fn test_case(suite: &Suite, case: &CaseResult) -> TestCase {
    let status = match case.status {
        CaseStatus::AsExpected => TestCaseStatus::success(),
        CaseStatus::NotRun | CaseStatus::Interrupted => TestCaseStatus::skipped(),
        CaseStatus::Unexpected => TestCaseStatus::non_success(NonSuccessKind::Failure),
        CaseStatus::Unknown | CaseStatus::Environment | CaseStatus::Internal => {
            TestCaseStatus::non_success(NonSuccessKind::Error)
        }
    };
    let mut status = status;
    if case.status != CaseStatus::AsExpected {
        let why =
            if case.why.is_empty() { case.status.words().to_owned() } else { case.why.join("; ") };
        status.set_message(why);
        status.set_type(case.status.words());
        status.set_description(format!("expected: {}\n{}", case.expectation, case.command));
    }
    let mut test = TestCase::new(case.name.as_str(), status);
    test.set_classname(format!("splitbrain.{}", suite.name));
    test.set_time(Duration::from_millis(case.took_ms));
    for seed in &case.seeds {
        let name = format!("seed {}", seed.seed);
        test.add_property((name.as_str(), seed.words().as_str()));
        if let Some(report) = seed.report() {
            test.add_property((format!("{name} report").as_str(), report.as_str()));
        }
    }
    test
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_suite_as_junit() {
        insta::assert_snapshot!(super::junit(&super::super::sample::suite()).unwrap());
    }
}
