//! Faults as text: `FAULT[:SELECTOR][/SHARD][@START][+DURATION][xCOUNT]`, such as
//! `kill:leader@3s+2s`, `halves x3` without the space, or the short `leader-kill`.

use nemesis::Fault;
use nemesis::fault::ALL;

use super::spec::FaultSpec;
use crate::error::UserError;
use crate::names::nearest;

/// Reads a fault. Whether its selector names a node is checked where the nodes are known.
pub fn parse_fault(text: &str) -> Result<FaultSpec, UserError> {
    let (rest, count) = match text.rsplit_once('x') {
        Some((rest, count)) if !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit()) => {
            (rest, number(text, count)?)
        }
        _ => (text, 1),
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
    let selector = selector.or(implied).unwrap_or_else(|| fault.default_selector().to_owned());
    Ok(FaultSpec {
        fault: fault.name().to_owned(),
        selector,
        start_ms,
        duration_ms,
        count,
        shard,
        required: None,
    })
}

/// A fault's own name, or `leader-kill` for `kill:leader`.
fn find(name: &str) -> Option<(Fault, Option<String>)> {
    if let Some(fault) = Fault::by_name(name) {
        return Some((fault, None));
    }
    ALL.into_iter().find_map(|fault| {
        let whom = match name.strip_suffix(fault.name())?.strip_suffix('-')? {
            "follower" => "a-follower",
            other => other,
        };
        Some((fault, Some(whom.to_owned())))
    })
}

fn unknown(name: &str) -> UserError {
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
    let mut text = format!("{}:{}", fault.fault, fault.selector);
    if fault.shard != 0 {
        text.push_str(&format!("/{}", fault.shard));
    }
    if let Some(start) = fault.start_ms {
        text.push_str(&format!("@{}", duration_text(start)));
    }
    if let Some(duration) = fault.duration_ms {
        text.push_str(&format!("+{}", duration_text(duration)));
    }
    if fault.count != 1 {
        text.push_str(&format!("x{}", fault.count));
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
}
