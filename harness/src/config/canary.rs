//! The canary: a client that lies on purpose, so that a suite proves that lies are found.

use serde::{Deserialize, Serialize};

use super::spec::TestSpec;
use crate::error::UserError;

/// How often writes are dropped when nobody says: one in this many.
const ONE_IN: u64 = 200;

/// What the client does wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanarySpec {
    /// Of this many writes one is acknowledged and never sent.
    pub drop_one_in: u64,
}

/// `[canary]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CanaryFile {
    /// `1/200`: so many writes are acknowledged without ever being sent.
    pub drop_acknowledged: Option<String>,
}

impl CanaryFile {
    /// Puts what the table says over `spec`.
    pub fn apply(&self, spec: &mut TestSpec) -> Result<(), UserError> {
        if let Some(share) = &self.drop_acknowledged {
            let drop_one_in = share_of(share).ok_or_else(|| {
                UserError::usage(format!("\"{share}\" is not a share such as 1/200"))
                    .at("canary.drop_acknowledged")
            })?;
            spec.canary = Some(CanarySpec { drop_one_in });
        }
        Ok(())
    }
}

impl CanarySpec {
    /// `1/200`.
    pub fn share(self) -> String {
        format!("1/{}", self.drop_one_in)
    }

    /// The table that reads back as this.
    pub fn file(self) -> CanaryFile {
        CanaryFile { drop_acknowledged: Some(self.share()) }
    }
}

/// `--canary drop-writes` or `drop-writes:1/50`, as the table that it stands for.
pub fn parse_canary(text: &str) -> Result<CanaryFile, UserError> {
    let (name, share) = text.split_once(':').unwrap_or((text, ""));
    if name != "drop-writes" {
        return Err(UserError::usage(format!("unknown canary \"{name}\""))
            .at("--canary")
            .hint("there is drop-writes, or drop-writes:1/200"));
    }
    let share = if share.is_empty() { format!("1/{ONE_IN}") } else { share.to_owned() };
    Ok(CanaryFile { drop_acknowledged: Some(share) })
}

/// The n of `1/n`.
fn share_of(text: &str) -> Option<u64> {
    let number = text.strip_prefix("1/")?.parse().ok()?;
    (1..=1_000_000).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_read_back_and_nonsense_does_not() {
        for text in ["drop-writes", "drop-writes:1/50"] {
            let mut spec = TestSpec::default();
            parse_canary(text).unwrap().apply(&mut spec).unwrap();
            let canary = spec.canary.unwrap();
            let mut again = TestSpec::default();
            canary.file().apply(&mut again).unwrap();
            assert_eq!(again.canary, Some(canary));
        }
        assert!(parse_canary("sing").is_err());
        for share in ["1/0", "2/3", "1/x", ""] {
            let file = CanaryFile { drop_acknowledged: Some(share.to_owned()) };
            assert!(file.apply(&mut TestSpec::default()).is_err(), "{share}");
        }
    }
}
