//! Packets of every node, captured by its agent while a run lasts, and fetched into its folder.

use std::time::Duration;

use agent::proto::{Answer, Ask};
use cluster::Host;
use systems::{System, SystemError};

use crate::config::{LabSpec, TestSpec};
use crate::error::UserError;
use crate::run_folder::RunFolder;

/// How long an agent may take to begin or end.
const LIMIT: Duration = Duration::from_secs(10);
/// What the agents call it.
const ID: &str = "pcap";
/// Least and most, bytes a node.
const BOUNDS: (u64, u64) = (64 << 10, 1 << 30);

/// `64KiB`, `16MiB` or `1GiB`, as bytes a node.
pub fn size(text: &str) -> Result<u64, UserError> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30)];
    let mut found = units.iter().filter_map(|(unit, shift)| {
        let digits = text.strip_suffix(unit)?.parse::<u64>().ok()?;
        digits.checked_shl(*shift).filter(|bytes| bytes >> shift == digits)
    });
    found.next().filter(|bytes| (BOUNDS.0..=BOUNDS.1).contains(bytes)).ok_or_else(|| {
        UserError::usage(format!("\"{text}\" is not a size from 64KiB to 1GiB"))
            .at("--pcap")
            .hint("it is what a node's files take at most: --pcap=16MiB")
    })
}

/// The text that reads back as this many bytes.
pub fn size_text(bytes: u64) -> String {
    match bytes {
        _ if bytes.is_multiple_of(1 << 30) => format!("{}GiB", bytes >> 30),
        _ if bytes.is_multiple_of(1 << 20) => format!("{}MiB", bytes >> 20),
        _ => format!("{}KiB", bytes >> 10),
    }
}

/// Refuses it where there are no packets.
pub fn check(spec: &TestSpec) -> Result<(), UserError> {
    if spec.pcap_bytes.is_none() || spec.lab != LabSpec::Sim {
        return Ok(());
    }
    let what = "the simulator's network carries messages, not packets: there is nothing to capture";
    Err(UserError::usage(what).at("--pcap").hint("--lab local has packets"))
}

/// Begins on every host, at the interface that the system listens at.
pub fn begin(spec: &TestSpec, system: &dyn System) -> Result<(), UserError> {
    let Some(bound) = spec.pcap_bytes else {
        return Ok(());
    };
    let nodes = system.nodes();
    let begun = nodes.each(|node, _| {
        let ask = Ask::Capture { address: system.address(node).ip(), bound };
        nodes.ask(node, ask, LIMIT).map(drop)
    });
    begun.map(drop).map_err(|error| UserError::environment(error.what).at("--pcap"))
}

/// Ends it and fetches the files; says how much there was, and what could not be had.
pub fn end(spec: &TestSpec, system: &dyn System, folder: &RunFolder) -> Vec<String> {
    if spec.pcap_bytes.is_none() {
        return Vec::new();
    }
    let nodes = system.nodes();
    let ended = nodes.each(|node, host| {
        let name = &nodes.names[node];
        let into = folder.file("nodes").join(name);
        let note = match fetch(system, node, host, &into) {
            Ok(said) => format!("packets of {name}: {said}"),
            Err(error) => format!("packets of {name} could not be had: {}", error.what),
        };
        // Whatever became of it, nothing of it is left there.
        let left = nodes.ask(node, Ask::Heal { fault: ID.to_owned() }, LIMIT).err();
        Ok([Some(note), left.map(|error| error.what)])
    });
    ended.unwrap_or_default().into_iter().flatten().flatten().collect()
}

fn fetch(
    system: &dyn System,
    node: usize,
    host: &cluster::SshHost,
    into: &std::path::Path,
) -> Result<String, SystemError> {
    let Answer::Captured { captured, files } = system.nodes().ask(node, Ask::EndCapture, LIMIT)?
    else {
        return Err(SystemError::new("an unexpected answer"));
    };
    let local = |error: std::io::Error| SystemError::new(format!("{}: {error}", into.display()));
    std::fs::create_dir_all(into).map_err(local)?;
    for file in &files {
        let name = file.rsplit('/').next().unwrap_or(file);
        std::fs::write(into.join(name), host.download(file)?).map_err(local)?;
    }
    let missed = match captured.missed {
        0 => String::new(),
        missed => format!(", {missed} more came too fast"),
    };
    let kept = if files.len() == 2 { "; the last of them were kept" } else { "" };
    Ok(format!("{} captured{missed}{kept}", captured.packets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_back_and_are_bounded() {
        for text in ["64KiB", "100KiB", "16MiB", "1GiB"] {
            assert_eq!(size_text(size(text).unwrap()), text);
        }
        for text in ["16", "16MB", "63KiB", "2GiB", "-1MiB", "99999999999999999999GiB", ""] {
            assert!(size(text).unwrap_err().what.contains("is not a size"), "{text}");
        }
    }
}
