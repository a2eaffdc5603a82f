//! `[package]`: faults of several families at random intervals, drawn from the seed.

use nemesis::fault::ALL;
use nemesis::{Family, Fault};
use serde::{Deserialize, Serialize};

use super::fault_text::{duration_text, parse_duration, parse_fault};
use super::spec::{FaultSpec, TestSpec};
use crate::error::UserError;
use crate::names::nearest;

/// A package, resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageSpec {
    /// Families and faults, as they are written.
    pub faults: Vec<String>,
    /// From one fault's start to the next one's, ms: from, to.
    pub every_ms: (u64, u64),
    /// How long a fault lasts, ms: from, to.
    pub lasts_ms: (u64, u64),
    /// How many are in force at once at most.
    pub max_faults: usize,
}

impl Default for PackageSpec {
    fn default() -> PackageSpec {
        PackageSpec {
            faults: Vec::new(),
            every_ms: (500, 2_000),
            lasts_ms: (500, 2_000),
            max_faults: 1,
        }
    }
}

/// `[package]` as it is written; what is absent has its default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageFile {
    /// Families, such as `network`, and faults as text.
    pub faults: Option<Vec<String>>,
    /// `500ms..2s`: from one fault's start to the next one's.
    pub every: Option<String>,
    /// `500ms..2s`: how long a fault lasts.
    #[serde(rename = "for")]
    pub lasts: Option<String>,
    /// 1 to 9.
    pub max_faults: Option<usize>,
}

impl PackageFile {
    /// Puts what the table says over `spec`.
    pub fn apply(&self, spec: &mut TestSpec) -> Result<(), UserError> {
        let mut package = spec.package.clone().unwrap_or_default();
        if let Some(faults) = &self.faults {
            for (place, text) in faults.iter().enumerate() {
                entry(text).map_err(|error| error.at(format!("package.faults[{place}]")))?;
            }
            package.faults.clone_from(faults);
        }
        for (field, text, to) in [
            ("package.every", &self.every, &mut package.every_ms),
            ("package.for", &self.lasts, &mut package.lasts_ms),
        ] {
            if let Some(text) = text {
                *to = range(text).ok_or_else(|| {
                    let what = format!("\"{text}\" is not a range of durations, both above 0");
                    UserError::usage(what).at(field).hint("such as 500ms..2s, or 2s")
                })?;
            }
        }
        package.max_faults = self.max_faults.unwrap_or(package.max_faults);
        if !(1..=9).contains(&package.max_faults) {
            let what = format!("{} is not between 1 and 9", package.max_faults);
            return Err(UserError::usage(what).at("package.max_faults"));
        }
        spec.package = Some(package);
        Ok(())
    }
}

impl PackageSpec {
    /// The table that reads back as this.
    pub fn file(&self) -> PackageFile {
        let range = |(from, to): (u64, u64)| match from == to {
            true => duration_text(from),
            false => format!("{}..{}", duration_text(from), duration_text(to)),
        };
        PackageFile {
            faults: Some(self.faults.clone()),
            every: Some(range(self.every_ms)),
            lasts: Some(range(self.lasts_ms)),
            max_faults: Some(self.max_faults),
        }
    }

    /// Every fault that may come of it; those of an entry together.
    pub fn entries(&self) -> Result<Vec<Vec<FaultSpec>>, UserError> {
        let read = |(place, text): (usize, &String)| {
            entry(text).map_err(|error| error.at(format!("package.faults[{place}]")))
        };
        self.faults.iter().enumerate().map(read).collect()
    }
}

/// The faults that an entry stands for.
fn entry(text: &str) -> Result<Vec<FaultSpec>, UserError> {
    if let Some(family) = Family::by_name(text) {
        let faults = ALL.into_iter().filter(|fault| fault.family() == family);
        return faults.map(|fault| parse_fault(fault.name())).collect();
    }
    let families = Family::ALL.map(Family::as_str);
    let fault = parse_fault(text).map_err(|error| match nearest(text, &families) {
        // `networ` is nearer to a family than to any fault.
        Some(near) if Fault::by_name(text).is_none() && !error.what.starts_with("in fault") => {
            let hint = format!("did you mean {near}? families are {}", families.join(", "));
            UserError::usage(format!("\"{text}\" is neither a family nor a fault")).hint(hint)
        }
        _ => error,
    })?;
    if fault.start_ms.is_some() || fault.count != 1 {
        let what = format!("\"{text}\": when and how often is drawn from the seed");
        return Err(UserError::usage(what).hint("a fault at a moment of its own is a [[fault]]"));
    }
    Ok(vec![fault])
}

/// `500ms..2s`, or one duration for both ends.
fn range(text: &str) -> Option<(u64, u64)> {
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    let (from, to) = (parse_duration(from.trim())?, parse_duration(to.trim())?);
    (0 < from && from <= to).then_some((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<PackageSpec, UserError> {
        let mut spec = TestSpec::default();
        let file: PackageFile = toml::from_str(text).unwrap();
        file.apply(&mut spec)?;
        Ok(spec.package.unwrap())
    }

    #[test]
    fn a_package_reads_back() {
        let text = "faults = [\"network\", \"kill:n1+1s\", \"nothing\"]\nevery = \"1s..2s\"\n\
                    for = \"700ms\"\nmax_faults = 2\n";
        let package = read(text).unwrap();
        assert_eq!((package.every_ms, package.lasts_ms), ((1_000, 2_000), (700, 700)));
        let entries = package.entries().unwrap();
        assert!(5 < entries[0].len());
        assert_eq!(entries[1][0].duration_ms, Some(1_000));
        assert_eq!(read(&toml::to_string(&package.file()).unwrap()).unwrap(), package);
    }

    #[test]
    fn what_is_wrong_with_a_package_has_its_field() {
        for (text, place, part) in [
            ("faults = [\"networ\"]", "package.faults[0]", "neither a family nor a fault"),
            ("faults = [\"kill\", \"kil\"]", "package.faults[1]", "unknown fault"),
            ("faults = [\"kill@3s\"]", "package.faults[0]", "is drawn from the seed"),
            ("every = \"2s..1s\"", "package.every", "not a range of durations"),
            ("for = \"0s\"", "package.for", "not a range of durations"),
            ("max_faults = 0", "package.max_faults", "0 is not between 1 and 9"),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.place.as_deref(), Some(place), "{text}");
            assert!(error.what.contains(part), "{text}: {}", error.what);
        }
    }
}
