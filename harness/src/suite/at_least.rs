//! In how many runs of a case something is found: a number of runs, or a share of them.

use serde::{Deserialize, Serialize};

/// `8`, or `"8 of 10"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Written", try_from = "Written")]
pub enum AtLeast {
    /// So many runs.
    Runs(usize),
    /// That share of the runs, however many there are; rounded up.
    Share {
        /// So many.
        found: usize,
        /// Of so many.
        of: usize,
    },
}

/// As it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Runs(usize),
    Share(String),
}

impl AtLeast {
    /// How many of so many runs.
    pub fn runs(self, all: usize) -> usize {
        match self {
            AtLeast::Runs(runs) => runs,
            AtLeast::Share { found, of } => (found * all).div_ceil(of.max(1)),
        }
    }

    /// `8 of 10 seeds`, `4 of 5 seeds (8 of 10)`.
    pub fn words(self, all: usize) -> String {
        let runs = self.runs(all);
        match self {
            AtLeast::Share { found, of } if of != all => {
                format!("{runs} of {all} seeds ({found} of {of})")
            }
            _ => format!("{runs} of {all} seeds"),
        }
    }
}

impl From<AtLeast> for Written {
    fn from(least: AtLeast) -> Written {
        match least {
            AtLeast::Runs(runs) => Written::Runs(runs),
            AtLeast::Share { found, of } => Written::Share(format!("{found} of {of}")),
        }
    }
}

impl TryFrom<Written> for AtLeast {
    type Error = String;

    fn try_from(written: Written) -> Result<AtLeast, String> {
        let text = match written {
            Written::Runs(runs) => return Ok(AtLeast::Runs(runs)),
            Written::Share(text) => text,
        };
        let read = || {
            let (found, of) = text.split_once(" of ")?;
            Some((found.trim().parse::<u32>().ok()?, of.trim().parse::<u32>().ok()?))
        };
        match read() {
            Some((found, of)) if 0 < found && found <= of => {
                Ok(AtLeast::Share { found: found as usize, of: of as usize })
            }
            _ => Err(format!("\"{text}\" is no number of runs such as 8, nor \"8 of 10\"")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct File {
        at_least: AtLeast,
    }

    #[test]
    fn a_share_is_of_however_many_runs_there_are() {
        let eight = AtLeast::Share { found: 8, of: 10 };
        for (all, runs) in [(10, 8), (5, 4), (1, 1), (3, 3), (100, 80), (11, 9)] {
            assert_eq!(eight.runs(all), runs, "{all}");
        }
        assert_eq!(AtLeast::Runs(3).runs(10), 3);
        assert_eq!(eight.words(10), "8 of 10 seeds");
        assert_eq!(eight.words(5), "4 of 5 seeds (8 of 10)");
    }

    #[test]
    fn both_forms_read_back_and_nonsense_does_not() {
        for text in ["at_least = 8\n", "at_least = \"8 of 10\"\n"] {
            let file: File = toml::from_str(text).unwrap();
            assert_eq!(toml::to_string(&file).unwrap(), text);
        }
        for wrong in
            ["\"8\"", "\"0 of 10\"", "\"11 of 10\"", "\"8/10\"", "true", "-1", "\"x of y\""]
        {
            assert!(toml::from_str::<File>(&format!("at_least = {wrong}")).is_err(), "{wrong}");
        }
    }
}
