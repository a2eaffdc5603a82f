//! Regions of a test's nodes, and how far apart they are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::fault_text::{parse_duration, parse_fault};
use crate::error::UserError;

/// Longest round trip, ms.
const MOST_MS: u64 = 2_000;
/// The word for the built-in distances.
pub const PROFILE: &str = "profile";

/// Nodes by region, and the round trips that are in force all through a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionsSpec {
    /// Names of nodes by region.
    pub members: BTreeMap<String, Vec<String>>,
    /// `profile`, or `eu/us=80ms`, as they are written; a pair that is named goes before the
    /// profile.
    pub latency: Vec<String>,
}

/// Round trips between regions, and within one, ms. A pair is in order.
pub type RoundTrips = BTreeMap<(String, String), u64>;

impl RegionsSpec {
    /// `eu=n1+n2`.
    pub fn member(text: &str) -> Result<(String, Vec<String>), UserError> {
        let fail = || {
            let what = format!("\"{text}\" is not REGION=NODE+NODE, such as eu=n1+n2");
            UserError::usage(what).at("--region")
        };
        let (region, nodes) = text.split_once('=').ok_or_else(fail)?;
        let nodes: Vec<String> = nodes.split('+').map(str::to_owned).collect();
        if region.is_empty() || nodes.iter().any(String::is_empty) {
            return Err(fail());
        }
        Ok((region.to_owned(), nodes))
    }

    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Refuses what cannot be: a node that there is not, or that is in two regions.
    pub fn check(&self, names: &[String]) -> Result<(), UserError> {
        let refuse =
            |what: String, hint: String| Err(UserError::usage(what).at("regions").hint(hint));
        let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
        for (region, nodes) in &self.members {
            let whom = format!("region:{region}");
            let readable = parse_fault(&format!("kill:{whom}")).is_ok_and(|f| f.selector == whom);
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if !readable || !region.chars().all(plain) || !region.starts_with(char::is_alphabetic) {
                let hint = "expected lower-case letters, digits and -, and no x before the last \
                            digits";
                return refuse(format!("\"{region}\" is no name of a region"), hint.to_owned());
            }
            if nodes.is_empty() {
                return refuse(format!("region {region} has no node"), "name one".to_owned());
            }
            for node in nodes {
                if !names.contains(node) {
                    let hint = format!("nodes are {}", names.join(", "));
                    return refuse(format!("region {region}: there is no node {node}"), hint);
                }
                if let Some(other) = seen.insert(node, region) {
                    let hint = "a node is in one region at most".to_owned();
                    return refuse(format!("{node} is in {other} and in {region}"), hint);
                }
            }
        }
        self.round_trips().map(drop)
    }

    /// The round trips that are to be made.
    pub fn round_trips(&self) -> Result<RoundTrips, UserError> {
        let mut trips = RoundTrips::new();
        let names: Vec<&String> = self.members.keys().collect();
        if self.latency.iter().any(|text| text == PROFILE) {
            for (place, one) in names.iter().enumerate() {
                for other in &names[place..] {
                    let pair = ((*one).clone(), (*other).clone());
                    trips.insert(pair, profile(one, other));
                }
            }
        }
        for text in self.latency.iter().filter(|text| *text != PROFILE) {
            let fail = |why: String, hint: &str| {
                Err(UserError::usage(why).at(format!("--latency {text}")).hint(hint))
            };
            let form = "expected profile, or REGION/REGION=DURATION such as eu/us=80ms";
            let parts = text.split_once('=');
            let parts = parts.and_then(|(pair, time)| Some((pair.split_once('/')?, time)));
            let Some(((one, other), time)) = parts else {
                return fail(format!("\"{text}\" is no round trip"), form);
            };
            let unknown = [one, other].into_iter().find(|r| !self.members.contains_key(*r));
            if let Some(region) = unknown {
                let known: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
                let hint = match known.is_empty() {
                    true => "regions are given by --region eu=n1+n2".to_owned(),
                    false => format!("regions are {}", known.join(", ")),
                };
                return fail(format!("there is no region {region}"), &hint);
            }
            match parse_duration(time) {
                Some(ms) if (1..=MOST_MS).contains(&ms) => {
                    trips.insert((one.min(other).to_owned(), one.max(other).to_owned()), ms);
                }
                _ => return fail(format!("\"{time}\" is not from 1ms to 2s"), form),
            }
        }
        if trips.is_empty() && !self.latency.is_empty() {
            let what = "there are no regions whose latency could be made";
            let hint = "regions are given by --region eu=n1+n2, or region = \"eu\" in an inventory";
            return Err(UserError::usage(what).at("--latency").hint(hint));
        }
        Ok(trips)
    }
}

/// The built-in distances: 1 ms within a region; 10 to 50 ms between near ones, whose names begin
/// with the same part before the first dash (`eu-west`, `eu-north`); 100 to 300 ms between others.
/// Where in between, the names decide: the same pair is always as far apart.
fn profile(one: &str, other: &str) -> u64 {
    if one == other {
        return 1;
    }
    let part = |name: &str| name.split('-').next().unwrap_or_default().to_owned();
    let drawn = one.bytes().chain([b'/']).chain(other.bytes()).fold(0xcbf2_9ce4_8422_2325, mix);
    match part(one) == part(other) {
        true => 10 + drawn % 41,
        false => 100 + drawn % 201,
    }
}

/// FNV-1a.
fn mix(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(members: &[&str], latency: &[&str]) -> RegionsSpec {
        let members = members.iter().map(|text| RegionsSpec::member(text).unwrap()).collect();
        let latency = latency.iter().map(|text| (*text).to_owned()).collect();
        RegionsSpec { members, latency }
    }

    #[test]
    fn near_regions_are_near_and_what_is_named_goes_before() {
        let members = ["eu-north=n1", "eu-west=n2", "us-east=n3"];
        let trip = |latency: &[&str], one: &str, other: &str| {
            let trips = spec(&members, latency).round_trips().unwrap();
            trips.get(&(one.to_owned(), other.to_owned())).copied()
        };
        assert_eq!(trip(&[PROFILE], "eu-west", "eu-west"), Some(1));
        assert!((10..=50).contains(&trip(&[PROFILE], "eu-north", "eu-west").unwrap()));
        assert!((100..=300).contains(&trip(&[PROFILE], "eu-west", "us-east").unwrap()));
        let named = ["us-east/eu-west=80ms"];
        assert_eq!(trip(&named, "eu-west", "us-east"), Some(80));
        assert_eq!(trip(&named, "eu-north", "us-east"), None);
        assert_eq!(trip(&[named[0], PROFILE], "eu-west", "us-east"), Some(80));
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_name() {
        let names = ["n1", "n2", "n3"].map(str::to_owned);
        let none: &[&str] = &[];
        for (members, latency, what) in [
            (&["eu=n1+n9"] as &[&str], none, "no node n9"),
            (&["eu=n1", "us=n1"], none, "n1 is in eu and in us"),
            (&["EU=n1"], none, "\"EU\" is no name of a region"),
            (&["zonex2=n1"], none, "\"zonex2\" is no name of a region"),
            (&["eu=n1"], &["eu/us=80ms"], "no region us"),
            (&["eu=n1"], &["eu/eu=9s"], "\"9s\" is not from 1ms to 2s"),
            (&["eu=n1"], &["far"], "\"far\" is no round trip"),
            (none, &["profile"], "no regions whose latency"),
        ] {
            let error = spec(members, latency).check(&names).unwrap_err();
            assert!(error.what.contains(what), "{}", error.what);
        }
        assert!(RegionsSpec::member("eu").is_err() && RegionsSpec::member("eu=n1+").is_err());
        let member = RegionsSpec::member("eu=n1+n2").unwrap();
        assert_eq!(member, ("eu".to_owned(), vec!["n1".to_owned(), "n2".to_owned()]));
    }
}
