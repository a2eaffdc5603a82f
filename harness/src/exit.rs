//! Exit codes: the contract with scripts (README.md).

use checkers::Verdict;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: valid, or done.
    Valid,
    /// 1: a violation was found.
    Invalid,
    /// 2: could not be told.
    Unknown,
    /// 64: bad usage or configuration; nothing has run.
    Usage,
    /// 70: our bug.
    Internal,
    /// 75: the surroundings failed.
    Environment,
    /// 130: interrupted.
    Interrupted,
}

/// All, with what they mean, for help texts and the README.
pub const HELP: &str = "Exit codes: 0 valid, 1 a violation was found, 2 could not be told, \
64 bad usage or configuration, 70 internal error, 75 the environment failed, 130 interrupted \
(Ctrl-C, SIGTERM, or SIGHUP of a closed terminal). \
When several apply, the first of 1, 70, 75, 130, 2, 0.";

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Exit::Valid => 0,
            Exit::Invalid => 1,
            Exit::Unknown => 2,
            Exit::Usage => 64,
            Exit::Internal => 70,
            Exit::Environment => 75,
            Exit::Interrupted => 130,
        }
    }

    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            Exit::Valid => "valid",
            Exit::Invalid => "invalid",
            Exit::Unknown => "unknown",
            Exit::Usage => "usage",
            Exit::Internal => "internal",
            Exit::Environment => "environment",
            Exit::Interrupted => "interrupted",
        }
    }

    /// The one that counts when both apply: a violation found before a crash still is one.
    pub fn merge(self, other: Exit) -> Exit {
        const ORDER: [Exit; 7] = [
            Exit::Invalid,
            Exit::Internal,
            Exit::Environment,
            Exit::Interrupted,
            Exit::Usage,
            Exit::Unknown,
            Exit::Valid,
        ];
        if ORDER.iter().find(|exit| [self, other].contains(exit)) == Some(&other) {
            other
        } else {
            self
        }
    }
}

impl From<Verdict> for Exit {
    fn from(verdict: Verdict) -> Exit {
        match verdict {
            Verdict::Valid => Exit::Valid,
            Verdict::Unknown => Exit::Unknown,
            Verdict::Invalid => Exit::Invalid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_outranks_everything_and_valid_nothing() {
        assert_eq!(Exit::Interrupted.merge(Exit::Invalid), Exit::Invalid);
        assert_eq!(Exit::Unknown.merge(Exit::Interrupted), Exit::Interrupted);
        assert_eq!(Exit::Valid.merge(Exit::Unknown), Exit::Unknown);
        assert_eq!(Exit::Environment.merge(Exit::Internal), Exit::Internal);
    }
}
