//! A test's package, with the faults that its system, lab and size have means for; and the test
//! that a drawn plan comes to.

use nemesis::{FaultRequest, Package, PlannedFault};

use super::plan;
use crate::config::{FaultSpec, PackageSpec, TestSpec, duration_text};
use crate::error::UserError;

/// The package of a test. An error names the entry.
pub fn package_of(
    spec: &TestSpec,
    package: &PackageSpec,
    names: &[String],
) -> Result<Package, UserError> {
    if package.faults.is_empty() {
        return Err(UserError::usage("a package has at least one fault")
            .at("package.faults")
            .hint("faults = [\"network\", \"process\", \"nothing\"]"));
    }
    // Calm at both ends, so that there is a before and an after.
    let (from, until) = (spec.duration_ms / 5, spec.duration_ms * 3 / 4);
    let mut entries = Vec::new();
    for (place, faults) in package.entries()?.into_iter().enumerate() {
        let mut possible = Vec::new();
        let mut refused = None;
        for fault in &faults {
            match request(spec, fault, names, until - from) {
                Ok(request) => possible.push(request),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        if let Some(error) = refused.filter(|_| possible.is_empty()) {
            let text = &package.faults[place];
            let what = match faults.len() {
                1 => error.what.clone(),
                _ => format!("no fault of {text} is possible here: {}", error.what),
            };
            return Err(UserError { what, ..error }.at(format!("package.faults[{place}]")));
        }
        entries.push(possible);
    }
    let (every, lasts) = (package.every_ms, package.lasts_ms);
    let max_faults = package.max_faults;
    Ok(Package { entries, every, lasts, max_faults, from, until })
}

/// A fault that is possible, and fits.
fn request(
    spec: &TestSpec,
    fault: &FaultSpec,
    names: &[String],
    room_ms: u64,
) -> Result<FaultRequest, UserError> {
    let request = plan::request(spec, fault, names)?;
    let least = Package::least_ms(&request);
    if room_ms < least {
        let what = format!(
            "{} takes {} to be made and proven, and faults have {}",
            fault.fault,
            duration_text(least),
            duration_text(room_ms)
        );
        let hint = "they have 11 parts in 20 of the test's duration: give it a longer one";
        return Err(UserError::usage(what).hint(hint));
    }
    Ok(request)
}

/// The test with its faults at the moments that were planned for them: what replays the plan,
/// whatever draws another one.
pub fn fixed(spec: &TestSpec, planned: &[PlannedFault]) -> TestSpec {
    let faults = planned.iter().map(|fault| {
        let written = fault.parameters.written();
        FaultSpec {
            fault: fault.fault.name().to_owned(),
            selector: fault.selector.to_string(),
            start_ms: Some(fault.start / 1_000_000),
            duration_ms: Some(fault.duration / 1_000_000),
            count: 1,
            shard: fault.shard,
            required: Some(fault.required),
            parameters: written.map(|(name, text)| (name.to_owned(), text.to_owned())).collect(),
        }
    });
    TestSpec { faults: faults.collect(), package: None, ..spec.clone() }
}
