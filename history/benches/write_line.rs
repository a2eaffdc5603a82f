//! The recorder's line writer against serde's, paired in one run: `cargo bench -p
//! splitbrain-history`.

use std::hint::black_box;
use std::time::Instant;

use splitbrain_history::{Event, EventKind, MicroOp, Observed};

const ROUNDS: usize = 9;
const LINES: u64 = 200_000;

fn event(index: u64) -> Event {
    let value = vec![
        MicroOp::append(index as i64 % 97, index as i64),
        MicroOp::Read { key: 5.into(), value: Some(Observed::List((0..12).collect())) },
        MicroOp::read(7),
    ];
    Event {
        index,
        kind: EventKind::Ok,
        process: 3,
        session: Some(3),
        node: Some("n2".into()),
        time: 1_941_250 + index as i64,
        f: "txn".into(),
        value,
        final_read: false,
        error: None,
        position: None,
        target: Some("leader".into()),
        hops: Vec::new(),
    }
}

/// ns a line.
fn time(write: impl Fn(&Event, &mut Vec<u8>)) -> f64 {
    let event = event(1_000_000);
    let mut out = Vec::with_capacity(1 << 20);
    let started = Instant::now();
    for _ in 0..LINES {
        out.clear();
        write(black_box(&event), &mut out);
        black_box(&out);
    }
    started.elapsed().as_nanos() as f64 / LINES as f64
}

fn main() {
    let (mut ours, mut serde) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(time(Event::write_line));
        serde.push(time(|event, out| {
            serde_json::to_writer(&mut *out, event).expect("plain data");
            out.push(b'\n');
        }));
    }
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let (ours, serde) = (median(&mut ours), median(&mut serde));
    println!("write_line {ours:.0} ns, serde_json {serde:.0} ns, ratio {:.2}", serde / ours);
}
