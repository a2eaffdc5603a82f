//! `policy.stay`: how many sessions of the policy `leader` stay with a deposed leader.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::UserError;

/// A share of the sessions, or a number of them: at least one, or a deposed leader that goes on
/// acknowledging would never be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StaySpec {
    /// Percent of the sessions, rounded up.
    Percent(u32),
    /// So many sessions.
    Sessions(usize),
}

impl Default for StaySpec {
    fn default() -> StaySpec {
        StaySpec::Percent(25)
    }
}

impl StaySpec {
    /// From `25%` or `5`.
    pub fn parse(text: &str) -> Result<StaySpec, UserError> {
        let fail = || {
            let what = format!("\"{text}\" is no share of the sessions such as 25%, or a number");
            let hint = "from 1% to 100%, or from 1: sessions that stay show what a deposed leader \
                        acknowledges";
            UserError::usage(what).at("policy.stay").hint(hint)
        };
        let number = text.trim_end_matches('%');
        let number: usize = number.trim().parse().map_err(|_| fail())?;
        match text.ends_with('%') {
            true if (1..=100).contains(&number) => Ok(StaySpec::Percent(number as u32)),
            false if 1 <= number => Ok(StaySpec::Sessions(number)),
            _ => Err(fail()),
        }
    }

    /// How many of so many sessions stay: at least one, at most all.
    pub fn sessions(self, all: usize) -> usize {
        match self {
            StaySpec::Percent(percent) => (all * percent as usize).div_ceil(100),
            StaySpec::Sessions(number) => number,
        }
        .clamp(1, all.max(1))
    }
}

impl fmt::Display for StaySpec {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StaySpec::Percent(percent) => write!(to, "{percent}%"),
            StaySpec::Sessions(number) => write!(to, "{number}"),
        }
    }
}

/// `policy` of a file: a name, or a table of `name` and `stay`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PolicyFile {
    /// The policy's name.
    Name(String),
    /// A name and how many sessions stay, each optional.
    Table(PolicyTable),
}

/// `[policy]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyTable {
    /// The policy's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many sessions stay: `"25%"`, or a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stay: Option<StayFile>,
}

/// A number of sessions, or a share of them as text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum StayFile {
    /// `5`.
    Number(u32),
    /// `"25%"`.
    Text(String),
}

impl PolicyFile {
    /// The file that comes to this policy.
    pub fn of(name: &str, stay: StaySpec) -> PolicyFile {
        if stay == StaySpec::default() {
            return PolicyFile::Name(name.to_owned());
        }
        let stay = Some(StayFile::Text(stay.to_string()));
        PolicyFile::Table(PolicyTable { name: Some(name.to_owned()), stay })
    }

    /// Puts what it says over a policy.
    pub fn apply(&self, name: &mut String, stay: &mut StaySpec) -> Result<(), UserError> {
        let table = match self {
            PolicyFile::Name(name) => PolicyTable { name: Some(name.clone()), stay: None },
            PolicyFile::Table(table) => table.clone(),
        };
        if let Some(given) = table.name {
            *name = given;
        }
        match table.stay {
            None => {}
            Some(StayFile::Number(number)) => *stay = StaySpec::parse(&number.to_string())?,
            Some(StayFile::Text(text)) => *stay = StaySpec::parse(&text)?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{TestFile, TestSpec, command, setting, to_toml};

    #[test]
    fn at_least_one_session_stays_and_at_most_all() {
        let stay = |text: &str, all| StaySpec::parse(text).unwrap().sessions(all);
        assert_eq!(StaySpec::default().sessions(20), 5);
        assert_eq!((stay("25%", 1), stay("1%", 3), stay("25%", 5)), (1, 1, 2));
        assert_eq!((stay("100%", 20), stay("3", 20), stay("30", 20)), (20, 3, 20));
        for wrong in ["0", "0%", "101%", "-1", "some", "", "%"] {
            let error = StaySpec::parse(wrong).unwrap_err();
            assert_eq!(error.place.as_deref(), Some("policy.stay"), "{wrong}");
        }
    }

    #[test]
    fn what_stays_reads_back_from_the_flag_and_from_the_file() {
        for (set, stay) in
            [("policy.stay=40%", StaySpec::Percent(40)), ("policy.stay=3", StaySpec::Sessions(3))]
        {
            let mut spec = TestSpec::default();
            setting(set).unwrap().apply(&mut spec).unwrap();
            assert_eq!((spec.workload.stay, &*spec.workload.policy), (stay, "leader"));
            assert!(command(&spec).contains(&format!("--set {set}")), "{}", command(&spec));
            let file: TestFile = toml::from_str(&to_toml(&spec)).unwrap();
            let mut read = TestSpec::default();
            file.apply(&mut read).unwrap();
            assert_eq!(read, spec, "{}", to_toml(&spec));
        }
        assert!(!command(&TestSpec::default()).contains("policy.stay"));
        assert!(to_toml(&TestSpec::default()).contains("policy = \"leader\""));
    }
}
