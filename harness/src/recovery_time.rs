//! Outages in words: how long no write was acknowledged (RTO), which faults it is put down to, and
//! who was seen to lead after. Definitions: `docs/recovery-times.md`.

use checkers::{Charged, FaultSpan, Outage, Writes};
use history::{Role, TelemetryEvent};

use crate::judge::{Records, fault_spans};
use crate::retransmission::{self, Split};

const OUTAGE_MIN_MS: i64 = checkers::OUTAGE_MIN / 1_000_000;

/// The outages of a run, from its records.
pub fn outages(records: &Records) -> Vec<Outage> {
    Writes::of(&records.history).outages(&fault_spans(&records.faults))
}

/// For `verdict.json`: times in ns since the run's start.
pub fn json(records: &Records) -> serde_json::Value {
    let fault = |fault: &Charged| {
        serde_json::json!({
            "id": fault.id, "injected": fault.injected, "recovery": fault.recovery
        })
    };
    let one = |outage: &Outage| {
        let faults: Vec<_> = outage.faults.iter().map(fault).collect();
        let joined: Vec<&str> = outage.joined.iter().map(|fault| fault.id.as_str()).collect();
        serde_json::json!({
            "from": outage.from, "to": outage.to, "ended": outage.ended, "faults": faults,
            "joined": joined,
            "retransmission": split_of(outage, records).map(|split| serde_json::json!({
                "network-whole-since": split.whole_since, "waited": split.waited,
                "unknown": split.unknown, "longest": split.longest
            }))
        })
    };
    outages(records).iter().map(one).collect()
}

/// One sentence for each outage, and one for each fault that another leader came after and that
/// brought none.
pub fn notes(records: &Records) -> Vec<String> {
    let (writes, spans) = (Writes::of(&records.history), fault_spans(&records.faults));
    let outages = writes.outages(&spans);
    let until = |place: usize| outages.get(place + 1).map_or(i64::MAX, |next| next.from);
    let each = outages.iter().enumerate();
    let mut said: Vec<String> =
        each.map(|(place, outage)| sentence(outage, records, until(place))).collect();
    if outages.iter().any(|outage| !outage.faults.is_empty())
        && let Some(told) = records.info.as_ref().and_then(|info| info.timeouts.as_deref())
    {
        said.push(format!("recovery times depend on {told}"));
    }
    let charged = |span: &FaultSpan| {
        let of = |outage: &Outage| outage.faults.iter().any(|fault| fault.id == span.id);
        outages.iter().any(of)
    };
    for span in spans.iter().filter(|span| span.leader && span.effect && !charged(span)) {
        let (Some(pause), Some(leads)) = (
            writes.longest_pause(span.start, span.end.max(span.watched)),
            leader_after(&records.telemetry, span.start, i64::MAX),
        ) else {
            continue;
        };
        let pause = pause / 1_000_000;
        said.push(format!(
            "{} ({}) brought no outage ({OUTAGE_MIN_MS} ms or more): while it was in force the \
             longest time between two acknowledged writes was {pause} ms; {leads}",
            span.label, span.id
        ));
    }
    said
}

fn sentence(outage: &Outage, records: &Records, until: i64) -> String {
    let (from, to) = (seconds(outage.from), seconds(outage.to));
    let length = seconds(outage.to - outage.from);
    let mut said = match outage.ended {
        true => format!("no write was acknowledged for {length}, from {from} to {to}"),
        false => format!(
            "no write was acknowledged from {from} on, for {length}, until the last was given up \
             at {to}"
        ),
    };
    let charged = |fault: &Charged| {
        let (label, id, at) = (&fault.label, &fault.id, seconds(fault.injected));
        match outage.ended {
            true => {
                let rto = seconds(fault.recovery);
                format!("{label} ({id}), injected at {at}: {rto} until the next (RTO)")
            }
            false => format!("{label} ({id}), injected at {at}: no recovery was seen (RTO)"),
        }
    };
    let faults: Vec<String> = outage.faults.iter().map(charged).collect();
    match faults.is_empty() {
        true => said.push_str(": no fault with a proven effect was in force when it began"),
        false => said.push_str(&format!(": {}", faults.join(", and "))),
    }
    for fault in &outage.joined {
        let (label, id, at) = (&fault.label, &fault.id, seconds(fault.injected));
        said.push_str(&format!("; {label} ({id}) came meanwhile, at {at}"));
    }
    if let Some(told) = records.info.as_ref().and_then(|info| info.timeouts.as_deref())
        && !outage.faults.is_empty()
    {
        said.push_str(&format!(" with {}", crate::timeouts::short(told)));
    }
    let since = outage.faults.iter().map(|fault| fault.injected).fold(outage.from, i64::min);
    if let Some(leads) = leader_after(&records.telemetry, since, until) {
        said.push_str(&format!("; {leads}"));
    }
    if outage.ended
        && let Some(split) = split_of(outage, records)
    {
        said.push_str(&format!("; {}", retransmission::words(&split, outage.to)));
    }
    said
}

fn split_of(outage: &Outage, records: &Records) -> Option<Split> {
    retransmission::split(&records.sockets, &records.faults, (outage.from, outage.to))
}

/// Who called itself leader, with a higher term than all before, first after this moment, and until
/// the other. A sample is of some moment between its question and its answer.
fn leader_after(telemetry: &[TelemetryEvent], since: i64, until: i64) -> Option<String> {
    let leaders = || {
        telemetry.iter().flat_map(|sample| {
            let leads = sample.shards.iter().filter(|replica| replica.role == Role::Leader);
            leads.map(move |replica| (sample, replica.term))
        })
    };
    let before = leaders().filter(|(sample, _)| sample.received <= since).map(|(_, term)| term);
    let before = before.max()?;
    let (sample, term) = leaders().find(|(sample, term)| {
        since < sample.received && sample.received < until && before < *term
    })?;
    let node = |other: &&TelemetryEvent| other.node == sample.node;
    let earlier = telemetry.iter().filter(node).take_while(|other| other.sent < sample.sent);
    let (not_yet, at) = (earlier.last().map_or(0, |other| other.sent), sample.received);
    Some(format!(
        "{} was seen to lead, in term {term}, from a moment between {} and {} on",
        sample.node,
        seconds(not_yet),
        seconds(at)
    ))
}

fn seconds(ns: i64) -> String {
    format!("{:.2} s", ns as f64 / 1e9)
}
