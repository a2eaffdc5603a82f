//! A history recorded by a program of your own: events made one by one, no file between. The
//! client below reads from a replica that is one write behind.
//!
//!     cargo run -p elle-rs --example own_client

use elle_rs::{Options, Workload, check};
use history::{Event, EventKind, History, Key, MicroOp, Observed};

/// An event of a process that does one thing.
fn event(index: u64, kind: EventKind, process: i64, mop: MicroOp) -> Event {
    Event {
        index,
        kind,
        process,
        session: None,
        node: None,
        time: index as i64 * 1_000_000,
        f: "txn".into(),
        value: vec![mop],
        final_read: false,
        error: None,
        position: None,
        target: None,
        hops: Vec::new(),
    }
}

fn main() -> Result<(), String> {
    let key = || Key::from("x");
    let write = |value| MicroOp::Write { key: key(), value };
    let read = |value: Option<i64>| MicroOp::Read { key: key(), value: value.map(Observed::Int) };
    let events = [
        event(0, EventKind::Invoke, 0, write(1)),
        event(1, EventKind::Ok, 0, write(1)),
        event(2, EventKind::Invoke, 1, read(None)),
        // Nothing, although the write was acknowledged.
        event(3, EventKind::Ok, 1, read(None)),
        event(4, EventKind::Invoke, 1, read(None)),
        event(5, EventKind::Ok, 1, read(Some(1))),
    ];
    let history = History::from_events(events)?;
    let options = Options::new(Workload::RwRegister);
    let verdict = check(&history, &options).map_err(|refusal| refusal.to_string())?;
    println!("{:?}, assuming {:?}", verdict.validity, verdict.assumptions);
    println!("anomalies: {:?}", verdict.anomaly_types);
    let names = |levels: &[elle_rs::Model]| {
        levels.iter().map(|level| level.name()).collect::<Vec<_>>().join(", ")
    };
    println!("not: {}", names(&verdict.not));
    println!("the strongest that still hold: {}", names(&verdict.strongest));
    Ok(())
}
