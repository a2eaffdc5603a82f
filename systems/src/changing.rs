//! A node that is restarted with another setting than before.

use crate::system::SystemError;

/// How a system's node gets another setting, and says which it has.
pub trait Changing: Send + Sync {
    /// Has the node start with this setting from its next start on.
    fn change(&self, node: usize, name: &str, value: &str) -> Result<(), SystemError>;

    /// What the running node says that the setting is.
    fn says(&self, node: usize, name: &str) -> Result<String, SystemError>;

    /// What it says, and whether that is this value.
    fn has(&self, node: usize, name: &str, value: &str) -> Result<(String, bool), SystemError> {
        let said = self.says(node, name)?;
        let holds = same(value, &said);
        Ok((said, holds))
    }
}

/// `NAME=VALUE`. Names are those of files and commands: letters, digits, `_` and `.`.
pub fn parse(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once('=')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    (!name.is_empty() && !value.is_empty() && name.chars().all(plain)).then_some((name, value))
}

/// Whether what a node says is what was asked for, without a unit: letters' case and the words for
/// yes and no are the server's own way.
pub fn same(asked: &str, said: &str) -> bool {
    let number = |text: &str| text.parse::<f64>().ok();
    match (number(asked), number(said)) {
        (Some(asked), Some(said)) => asked == said,
        _ => {
            let both = truth(asked).zip(truth(said));
            asked.eq_ignore_ascii_case(said) || both.is_some_and(|(asked, said)| asked == said)
        }
    }
}

/// Yes or no, in a server's words: these and what they begin with.
fn truth(text: &str) -> Option<bool> {
    let text = text.to_ascii_lowercase();
    let begins = |word: &&str| word.starts_with(&text);
    match text.as_str() {
        // On, or off.
        "" | "o" => None,
        "on" | "1" => Some(true),
        "0" => Some(false),
        _ if ["true", "yes"].iter().any(begins) => Some(true),
        _ if ["false", "no", "off"].iter().any(begins) => Some(false),
        _ => None,
    }
}

/// A number as a server counts it, in its own unit.
#[derive(Clone, Copy, Debug)]
pub struct Counted<'a> {
    /// In units.
    pub number: f64,
    /// `ms`, `kB`, `8kB`; nothing where it counts things.
    pub unit: &'a str,
    /// Whether it is rounded to whole units.
    pub whole: bool,
}

/// Sizes in bytes, and times in us, by the names that PostgreSQL has for them; each with the next
/// smaller one before it.
const UNITS: [&[(&str, f64)]; 2] = [
    &[
        ("B", 1.0),
        ("kB", 1024.0),
        ("MB", 1_048_576.0),
        ("GB", 1_073_741_824.0),
        ("TB", 1_099_511_627_776.0),
    ],
    &[("us", 1.0), ("ms", 1e3), ("s", 1e6), ("min", 6e7), ("h", 3.6e9), ("d", 8.64e10)],
];

impl Counted<'_> {
    /// Whether what was asked for, in another unit or in none, is this.
    pub fn is(&self, asked: &str) -> bool {
        let Some(asked) = self.in_units(asked.trim()) else {
            return false;
        };
        match self.whole {
            true => asked.round_ties_even() == self.number,
            false => (asked - self.number).abs() <= 1e-9 * self.number.abs().max(1.0),
        }
    }

    fn in_units(&self, asked: &str) -> Option<f64> {
        let split = |text: &str| {
            let digits = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
            let (number, unit) = text.split_at(digits);
            (number.trim().parse::<f64>().ok(), unit.to_owned())
        };
        let (number, given) = split(asked);
        if given.is_empty() {
            return number;
        }
        let (each, own) = split(self.unit);
        let place = |units: &[(&str, f64)], name: &str| units.iter().position(|u| u.0 == name);
        let units = UNITS.into_iter().find(|units| place(units, &own).is_some())?;
        let (given, own) = (place(units, &given)?, place(units, &own)?);
        // Fractions are rounded to the next smaller unit.
        let least = units[given.saturating_sub(1)].1;
        let asked = (number? * units[given].1 / least).round_ties_even() * least;
        Some(asked / (each.unwrap_or(1.0) * units[own].1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_has_a_name_and_a_value() {
        assert_eq!(parse("work_mem=8MB"), Some(("work_mem", "8MB")));
        assert_eq!(parse("a=b=c"), Some(("a", "b=c")));
        for wrong in ["none", "=1", "a=", "a b=1", "a;b=1", "a'=1"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_a_server_says_may_be_written_otherwise() {
        assert!(same("80", "80.0") && same("on", "ON") && same("8MB", "8mb"));
        assert!(!same("80", "81") && !same("on", "off"));
    }

    #[test]
    fn yes_and_no_have_many_words() {
        for (yes, no) in [("true", "false"), ("on", "off"), ("1", "0"), ("YES", "No"), ("t", "f")] {
            assert!(same(yes, "on") && same(no, "off") && same(yes, "true") && same(no, "false"));
            assert!(!same(yes, "off") && !same(no, "on"), "{yes} {no}");
        }
        assert!(!same("o", "on") && !same("", "off") && !same("replica", "on"));
    }

    #[test]
    fn a_number_is_what_it_is_in_any_unit() {
        let whole = |number: f64, unit| Counted { number, unit, whole: true };
        let work_mem = whole(8_192.0, "kB");
        for asked in ["8192kB", "8MB", "8192", " 8 MB ", "8388608B", "8.0MB", "0.0078125GB"] {
            assert!(work_mem.is(asked), "{asked}");
        }
        for asked in ["8193kB", "8mb", "8", "8s", "MB", "", "all", "8MBs"] {
            assert!(!work_mem.is(asked), "{asked}");
        }
        assert!(whole(16_384.0, "8kB").is("128MB") && !whole(16_384.0, "8kB").is("128GB"));
        assert!(whole(31_561_728.0, "kB").is("30.1GB"), "to whole MB first, as the server does");
        assert!(whole(90_000.0, "ms").is("1.5min") && whole(300.0, "s").is("5min"));
        assert!(whole(100.0, "").is("100") && !whole(100.0, "").is("100kB"));
        assert!(whole(-1.0, "ms").is("-1"));
        let delay = Counted { number: 1.5, unit: "ms", whole: false };
        assert!(delay.is("1500us") && delay.is("1.5") && !delay.is("2ms"));
    }
}
