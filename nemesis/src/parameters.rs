//! What a fault can be told besides whom it hits and when: `PARAM=VALUE`, typed and bounded.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::fault::Fault;

/// What a value is, and how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `500ms`, `2s`, `3m`; kept in ms.
    Duration,
    /// A duration with a sign: `-300ms`, `+2s`; kept in ms.
    Offset,
    /// `2.5%`, or `2.5`; kept in thousandths of a percent.
    Percent,
    /// `90%`, or `90`; kept in whole percents.
    WholePercent,
    /// A whole number.
    Count,
    /// `x1.5`, or `1.5`; kept in thousandths.
    Factor,
    /// `50mbit`, `8kbit`, `1gbit`; kept in bits a second.
    Rate,
    /// `64kb`, `16mb`, `1gb`, by 1024; kept in bytes.
    Size,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Anything without a comma.
    Text,
}

/// A parameter that a fault takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// The value when none is given.
    pub default: &'static str,
    /// Least and greatest value, as they are written; of no meaning to words and texts.
    pub bounds: Option<(&'static str, &'static str)>,
    /// What it says, for lists.
    pub summary: &'static str,
}

/// A value, in the unit of its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Of a kind that is counted.
    Number(i64),
    /// A word or a text.
    Text(String),
}

/// Every parameter of a fault with its value: given, or its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    values: BTreeMap<&'static str, (String, Value)>,
}

/// What is wrong with a parameter.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParameterError {
    /// The fault has none of this name.
    #[error("{fault} has no parameter \"{name}\"")]
    Unknown {
        /// The fault's name.
        fault: &'static str,
        /// What was given.
        name: String,
        /// Those it has.
        known: Vec<&'static str>,
    },
    /// Its value is not of its kind, or out of bounds.
    #[error("{fault}: {name} is {expected}, not \"{value}\"")]
    Value {
        /// The fault's name.
        fault: &'static str,
        /// The parameter's.
        name: &'static str,
        /// What was given.
        value: String,
        /// What would do.
        expected: String,
        /// The words that would do, where it is a word.
        words: &'static [&'static str],
    },
}

impl Parameter {
    /// What its value may be, in words.
    pub fn expected(&self) -> String {
        let what = match self.kind {
            Kind::Duration => "a duration such as 500ms",
            Kind::Offset => "a duration with a sign such as -300ms",
            Kind::Percent => "a percentage such as 2.5%",
            Kind::WholePercent => "a whole percentage such as 90%",
            Kind::Count => "a whole number",
            Kind::Factor => "a factor such as x1.5",
            Kind::Rate => "a rate such as 50mbit",
            Kind::Size => "a size such as 16mb",
            Kind::Word(words) => return format!("one of {}", words.join(", ")),
            Kind::Text => "a text without a comma",
        };
        match self.bounds {
            Some((least, most)) => format!("{what} from {least} to {most}"),
            None => what.to_owned(),
        }
    }

    fn read(&self, text: &str) -> Option<Value> {
        let number = match self.kind {
            Kind::Word(words) => {
                return words.contains(&text).then(|| Value::Text(text.to_owned()));
            }
            Kind::Text => {
                return (!text.is_empty() && !text.contains(',')).then(|| text.to_owned().into());
            }
            kind => kind.number(text)?,
        };
        let within = self.bounds.is_none_or(|(least, most)| {
            let bounds = self.kind.number(least).zip(self.kind.number(most));
            bounds.is_some_and(|(least, most)| (least..=most).contains(&number))
        });
        within.then_some(Value::Number(number))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl Kind {
    /// A number of this kind in its unit.
    fn number(self, text: &str) -> Option<i64> {
        const TIMES: &[(&str, i64)] = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
        const RATES: &[(&str, i64)] =
            &[("kbit", 1_000), ("mbit", 1_000_000), ("gbit", 1_000_000_000), ("bit", 1)];
        const SIZES: &[(&str, i64)] = &[("kb", 1 << 10), ("mb", 1 << 20), ("gb", 1 << 30)];
        let unit = |text: &str, units: &[(&str, i64)]| {
            let mut found = units.iter().filter_map(|(unit, scale)| {
                text.strip_suffix(unit).map(|digits| scaled(digits, *scale))
            });
            found.next().flatten()
        };
        match self {
            Kind::Duration => unit(text, TIMES),
            Kind::Offset => match text.strip_prefix('-') {
                Some(rest) => unit(rest, TIMES).map(|ms| -ms),
                None => unit(text.strip_prefix('+').unwrap_or(text), TIMES),
            },
            Kind::Percent => scaled(text.strip_suffix('%').unwrap_or(text), 1_000),
            Kind::WholePercent => scaled(text.strip_suffix('%').unwrap_or(text), 1),
            Kind::Count => scaled(text, 1),
            Kind::Factor => scaled(text.strip_prefix('x').unwrap_or(text), 1_000),
            Kind::Rate => unit(text, RATES),
            // A part of one would be a round number in no unit.
            Kind::Size if text.contains('.') => None,
            Kind::Size => unit(text, SIZES),
            Kind::Word(_) | Kind::Text => None,
        }
    }
}

/// `12` or `1.25`, times `scale`; nothing if that is not a whole number.
fn scaled(text: &str, scale: i64) -> Option<i64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) || text.ends_with('.') {
        return None;
    }
    let mut value = whole.parse::<i64>().ok()?.checked_mul(scale)?;
    let mut unit = scale;
    for digit in part.bytes().map(|byte| i64::from(byte - b'0')) {
        // A digit below the unit would be lost without a word.
        if unit % 10 != 0 {
            if digit != 0 {
                return None;
            }
            continue;
        }
        unit /= 10;
        value = value.checked_add(digit * unit)?;
    }
    Some(value)
}

impl Parameters {
    /// Reads what was given for a fault; the rest has its defaults.
    pub fn of(
        fault: Fault,
        given: &BTreeMap<String, String>,
    ) -> Result<Parameters, ParameterError> {
        let known = fault.parameters();
        if let Some(name) = given.keys().find(|name| known.iter().all(|p| p.name != *name)) {
            return Err(ParameterError::Unknown {
                fault: fault.name(),
                name: name.clone(),
                known: known.iter().map(|parameter| parameter.name).collect(),
            });
        }
        let mut values = BTreeMap::new();
        for parameter in known {
            let text = given.get(parameter.name).map_or(parameter.default, String::as_str);
            let value = parameter.read(text).ok_or_else(|| ParameterError::Value {
                fault: fault.name(),
                name: parameter.name,
                value: text.to_owned(),
                expected: parameter.expected(),
                words: if let Kind::Word(words) = parameter.kind { words } else { &[] },
            })?;
            values.insert(parameter.name, (text.to_owned(), value));
        }
        Ok(Parameters { values })
    }

    /// The defaults of a fault.
    pub fn defaults(fault: Fault) -> Parameters {
        Parameters::of(fault, &BTreeMap::new()).expect("a test reads every default")
    }

    /// A number, in its kind's unit; 0 for a name that the fault does not have.
    pub fn number(&self, name: &str) -> i64 {
        match self.values.get(name) {
            Some((_, Value::Number(number))) => *number,
            _ => 0,
        }
    }

    /// A word or a text; empty for a name that the fault does not have.
    pub fn text(&self, name: &str) -> &str {
        match self.values.get(name) {
            Some((_, Value::Text(text))) => text,
            _ => "",
        }
    }

    /// Names and values as they are written, by name.
    pub fn written(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.values.iter().map(|(name, (text, _))| (*name, text.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::ALL;

    #[test]
    fn numbers_are_read_in_their_unit_and_nothing_else_is() {
        for (kind, text, number) in [
            (Kind::Duration, "1.5s", Some(1_500)),
            (Kind::Duration, "20ms", Some(20)),
            (Kind::Duration, "20", None),
            (Kind::Duration, "-20ms", None),
            (Kind::Duration, "0.5ms", None),
            (Kind::Offset, "-2m", Some(-120_000)),
            (Kind::Offset, "+2s", Some(2_000)),
            (Kind::Offset, "--2s", None),
            (Kind::Percent, "2.5%", Some(2_500)),
            (Kind::Percent, "100", Some(100_000)),
            (Kind::Percent, "2.5%%", None),
            (Kind::WholePercent, "90%", Some(90)),
            (Kind::WholePercent, "2.5%", None),
            (Kind::Count, "7", Some(7)),
            (Kind::Count, "7.5", None),
            (Kind::Count, "7.0", Some(7)),
            (Kind::Count, "7.01", None),
            (Kind::Count, "99999999999999999999", None),
            (Kind::Factor, "x1.25", Some(1_250)),
            (Kind::Factor, "0.9", Some(900)),
            (Kind::Factor, "x", None),
            (Kind::Rate, "50mbit", Some(50_000_000)),
            (Kind::Rate, "800bit", Some(800)),
            (Kind::Rate, "1.5kbit", Some(1_500)),
            (Kind::Rate, "50", None),
            (Kind::Size, "64kb", Some(65_536)),
            (Kind::Size, "1gb", Some(1 << 30)),
            (Kind::Size, "1.5mb", None),
            (Kind::Size, "64", None),
            (Kind::Text, "50", None),
        ] {
            assert_eq!(kind.number(text), number, "{kind:?} {text}");
        }
    }

    #[test]
    fn bounds_are_part_of_what_is_asked_for() {
        let bounds = Some(("1%", "99%"));
        let percent =
            Parameter { name: "p", kind: Kind::Percent, default: "9", bounds, summary: "" };
        assert_eq!(percent.read("1"), Some(Value::Number(1_000)));
        assert_eq!(percent.read("99%"), Some(Value::Number(99_000)));
        assert_eq!(percent.read("99.001%"), None);
        assert_eq!(percent.read("0.999"), None);
        assert_eq!(percent.expected(), "a percentage such as 2.5% from 1% to 99%");
        let text = Parameter { kind: Kind::Text, bounds: None, ..percent };
        assert_eq!(text.read("a b"), Some(Value::Text("a b".to_owned())));
        assert_eq!(text.read(""), None);
    }

    #[test]
    fn every_default_and_every_bound_reads() {
        for fault in ALL {
            let parameters = Parameters::of(fault, &BTreeMap::new()).unwrap();
            assert_eq!(parameters.written().count(), fault.parameters().len());
            for parameter in fault.parameters() {
                assert!(!parameter.summary.is_empty());
                for bound in parameter.bounds.into_iter().flat_map(|(a, b)| [a, b]) {
                    assert!(parameter.read(bound).is_some(), "{fault:?} {parameter:?}");
                }
            }
        }
    }

    #[test]
    fn what_a_fault_does_not_take_is_named() {
        let given = |name: &str, value: &str| {
            let given = BTreeMap::from([(name.to_owned(), value.to_owned())]);
            Parameters::of(Fault::Slow, &given)
        };
        assert_eq!(given("stopped", "50%").unwrap().number("stopped"), 50);
        let said = given("stoped", "50%").unwrap_err().to_string();
        assert_eq!(said, "slow has no parameter \"stoped\"");
        let said = given("stopped", "100%").unwrap_err().to_string();
        assert!(said.contains("from 1% to 99%, not \"100%\""), "{said}");
    }
}
