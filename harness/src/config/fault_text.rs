//! Faults as text: `FAULT[:SELECTOR][/SHARD][@START][+DURATION][xCOUNT][,PARAM=VALUE]...`, such as
//! `kill:leader@3s+2s`, `halves x3` without the space, `slow,stopped=50%`, or the short
//! `leader-kill`.

use std::collections::BTreeMap;

use nemesis::fault::ALL;
use nemesis::{Fault, ParameterError, Parameters};

use super::spec::FaultSpec;
use crate::error::UserError;
use crate::names::nearest;

/// Whether the verdict needs the fault to have had an effect: every fault may be told.
pub(super) const REQUIRED: &str = "required";

/// Reads a fault. Whether its selector names a node is checked where the nodes are known.
pub fn parse_fault(text: &str) -> Result<FaultSpec, UserError> {
    let (head, mut told) = match text.split_once(',') {
        Some((head, told)) => (head, parameters(text, told)?),
        None => (text, BTreeMap::new()),
    };
    let (rest, count) = match split_count(head) {
        Some((rest, count)) => (rest, number(text, count)?),
        None => (head, 1),
    };
    let (rest, duration_ms) = split_duration(text, rest, '+')?;
    let (rest, start_ms) = split_duration(text, rest, '@')?;
    let (rest, shard) = match rest.split_once('/') {
        Some((rest, shard)) => (rest, number(text, shard)?),
        None => (rest, 0),
    };
    let (name, selector) = match rest.split_once(':') {
        Some((name, selector)) => (name, Some(selector.to_owned())),
        None => (rest, None),
    };
    let (fault, implied) = find(name).ok_or_else(|| unknown(name))?;
    let required = required(text, told.remove(REQUIRED))?;
    parameters_of(fault, &told)?;
    let selector = selector.or(implied).unwrap_or_else(|| fault.default_selector().to_owned());
    Ok(FaultSpec {
        fault: fault.name().to_owned(),
        selector,
        start_ms,
        duration_ms,
        count,
        shard,
        required,
        parameters: told,
    })
}

fn required(whole: &str, told: Option<String>) -> Result<Option<bool>, UserError> {
    match told.as_deref() {
        None => Ok(None),
        Some("yes") => Ok(Some(true)),
        Some("no") => Ok(Some(false)),
        Some(other) => {
            let what = format!("in fault \"{whole}\": {REQUIRED} is yes or no, not \"{other}\"");
            Err(UserError::usage(what))
        }
    }
}

/// `halvesx3` as `halves` and `3`.
fn split_count(head: &str) -> Option<(&str, &str)> {
    let (rest, count) = head.rsplit_once('x')?;
    let digits = !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit());
    digits.then_some((rest, count))
}

/// Puts together again what a flag's commas took apart: `slow`, `stopped=50%` is one fault.
pub fn join_parameters(pieces: &[String]) -> Vec<String> {
    let mut faults: Vec<String> = Vec::new();
    for piece in pieces {
        match faults.last_mut().filter(|_| is_parameter(piece)) {
            Some(fault) => fault.push_str(&format!(",{piece}")),
            None => faults.push(piece.clone()),
        }
    }
    faults
}

fn is_parameter(piece: &str) -> bool {
    let name = piece.split_once('=').map_or("", |(name, _)| name);
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
}

fn parameters(whole: &str, text: &str) -> Result<BTreeMap<String, String>, UserError> {
    let mut told = BTreeMap::new();
    for piece in text.split(',') {
        let wrong = |what: &str| UserError::usage(format!("in fault \"{whole}\": {what}"));
        let Some((name, value)) = piece.split_once('=') else {
            return Err(wrong(&format!("\"{piece}\" is not PARAM=VALUE")));
        };
        if told.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(wrong(&format!("{name} is given twice")));
        }
    }
    Ok(told)
}

/// What is wrong with a parameter, with the near word.
fn misfit(error: &ParameterError) -> UserError {
    let said = UserError::usage(error.to_string());
    let near = |word: &str, words: &[&str]| {
        nearest(word, words).map_or(String::new(), |near| format!("did you mean {near}? "))
    };
    match error {
        ParameterError::Unknown { known, .. } if known.is_empty() => said.hint("it takes none"),
        ParameterError::Unknown { name, known, .. } => {
            said.hint(format!("{}it takes {}", near(name, known), known.join(", ")))
        }
        ParameterError::Value { value, words, .. } => match nearest(value, words) {
            Some(near) => said.hint(format!("did you mean {near}?")),
            None => said,
        },
    }
}

/// The parameters of a fault whose text was read.
pub fn parameters_of(
    fault: Fault,
    told: &BTreeMap<String, String>,
) -> Result<Parameters, UserError> {
    Parameters::of(fault, told).map_err(|error| misfit(&error))
}

/// A fault's own name, or `leader-kill` for `kill:leader`.
fn find(name: &str) -> Option<(Fault, Option<String>)> {
    if let Some(fault) = Fault::by_name(name) {
        return Some((fault, None));
    }
    let ends_so =
        |fault: &Fault| name.strip_suffix(fault.name()).is_some_and(|whom| whom.ends_with('-'));
    // The longest: `all-rolling-restart` ends in `restart` too.
    let fault = ALL.into_iter().filter(ends_so).max_by_key(|fault| fault.name().len())?;
    let whom = match name.strip_suffix(fault.name())?.strip_suffix('-')? {
        "follower" => "a-follower",
        other => other,
    };
    Some((fault, Some(whom.to_owned())))
}

pub(super) fn unknown(name: &str) -> UserError {
    let names: Vec<&str> = ALL.iter().map(|fault| fault.name()).collect();
    let mut hint = format!("faults are {}", names.join(", "));
    // `leader-kil` is as near to `leader-kill` as `kil` is to `kill`.
    let near = nearest(name, &names).map(str::to_owned).or_else(|| {
        let (whom, what) = name.rsplit_once('-')?;
        nearest(what, &names).map(|near| format!("{whom}-{near}"))
    });
    if let Some(near) = near {
        hint = format!("did you mean {near}? {hint}");
    }
    UserError::usage(format!("unknown fault \"{name}\"")).hint(hint)
}

fn number(whole: &str, text: &str) -> Result<u32, UserError> {
    text.parse()
        .map_err(|_| UserError::usage(format!("in fault \"{whole}\": \"{text}\" is not a number")))
}

fn split_duration<'a>(
    whole: &str,
    text: &'a str,
    at: char,
) -> Result<(&'a str, Option<u64>), UserError> {
    match text.split_once(at) {
        None => Ok((text, None)),
        Some((rest, duration)) => match parse_duration(duration) {
            Some(ms) => Ok((rest, Some(ms))),
            None => Err(UserError::usage(format!(
                "in fault \"{whole}\": \"{duration}\" is not a duration such as 2s or 500ms"
            ))),
        },
    }
}

/// `500ms`, `2s`, `1.5s`, `3m` or `2h`, as ms.
pub fn parse_duration(text: &str) -> Option<u64> {
    let units = [("ms", 1.0), ("s", 1e3), ("m", 60e3), ("h", 3_600e3)];
    let (digits, scale) =
        units.iter().find_map(|(unit, scale)| text.strip_suffix(unit).map(|d| (d, *scale)))?;
    let value: f64 = digits.parse().ok()?;
    let ms = value * scale;
    (ms.is_finite() && (0.0..1e12).contains(&ms)).then_some(ms.round() as u64)
}

/// The shortest text that reads back as this many ms.
pub fn duration_text(ms: u64) -> String {
    if ms.is_multiple_of(1_000) { format!("{}s", ms / 1_000) } else { format!("{ms}ms") }
}

/// The text that reads back as this fault.
pub fn fault_text(fault: &FaultSpec) -> String {
    let FaultSpec { fault, selector, start_ms, duration_ms, count, shard, required, parameters } =
        fault;
    let mut text = format!("{fault}:{selector}");
    if *shard != 0 {
        text.push_str(&format!("/{shard}"));
    }
    if let Some(start) = start_ms {
        text.push_str(&format!("@{}", duration_text(*start)));
    }
    if let Some(duration) = duration_ms {
        text.push_str(&format!("+{}", duration_text(*duration)));
    }
    // A node called `nginx2` would read as twice a node called `ngin`.
    if *count != 1 || split_count(&text).is_some() {
        text.push_str(&format!("x{count}"));
    }
    for (name, value) in parameters {
        text.push_str(&format!(",{name}={value}"));
    }
    if let Some(required) = required {
        text.push_str(&format!(",{REQUIRED}={}", if *required { "yes" } else { "no" }));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_read_back() {
        for (text, full) in [
            ("kill", "kill:leader"),
            ("leader-kill", "kill:leader"),
            ("follower-cut", "cut:a-follower"),
            ("kill:n3/1@3s+1500msx2", "kill:n3/1@3s+1500msx2"),
            ("leader-alone", "leader-alone:leader"),
            ("step-down", "step-down:leader"),
            ("leader-step-down@3s+2s", "step-down:leader@3s+2s"),
            ("slow@1sx2,stopped=50%", "slow:a-follower@1sx2,stopped=50%"),
            ("all-kill", "kill:all"),
            ("halves:n1,side=majority", "halves:n1,side=majority"),
            ("kill:nginx2x1", "kill:nginx2x1"),
            ("kill:nginx2@1s", "kill:nginx2@1s"),
            ("kill,required=no", "kill:leader,required=no"),
            ("slow,required=yes,stopped=50%", "slow:a-follower,stopped=50%,required=yes"),
        ] {
            assert_eq!(fault_text(&parse_fault(text).unwrap()), full);
        }
    }

    #[test]
    fn the_nearest_name_is_offered() {
        let error = parse_fault("kil:leader").unwrap_err();
        assert!(error.hint.unwrap().starts_with("did you mean kill?"));
        let error = parse_fault("stepdown").unwrap_err();
        assert!(error.hint.unwrap().starts_with("did you mean step-down?"));
        assert!(parse_fault("kill@soon").unwrap_err().what.contains("\"soon\" is not a duration"));
    }

    #[test]
    fn parameters_stay_with_their_fault() {
        let pieces = ["kill", "slow", "stopped=50%", "halves:n1", "side=drawn"];
        let joined = join_parameters(&pieces.map(str::to_owned));
        assert_eq!(joined, ["kill", "slow,stopped=50%", "halves:n1,side=drawn"]);
        assert_eq!(join_parameters(&["side=drawn".to_owned()]), ["side=drawn"]);
    }

    #[test]
    fn what_a_parameter_may_be_is_said() {
        for (text, what, hint) in [
            ("slow,stoped=50%", "slow has no parameter", Some("did you mean stopped?")),
            ("kill,stopped=50%", "kill has no parameter", Some("it takes none")),
            ("slow,stopped=200%", "from 1% to 99%, not \"200%\"", None),
            ("slow,stopped=2.5%", "a whole percentage", None),
            ("halves,side=mayority", "one of minority, majority, drawn", Some("majority?")),
            ("slow,stopped", "\"stopped\" is not PARAM=VALUE", None),
            ("slow,stopped=1%,stopped=2%", "stopped is given twice", None),
            ("kill,required=true", "required is yes or no, not \"true\"", None),
        ] {
            let error = parse_fault(text).unwrap_err();
            assert!(error.what.contains(what), "{text}: {}", error.what);
            match hint {
                Some(hint) => assert!(error.hint.unwrap().contains(hint), "{text}"),
                None => assert_eq!(error.hint, None, "{text}"),
            }
        }
    }
}
