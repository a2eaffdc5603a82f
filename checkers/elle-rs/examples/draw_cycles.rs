//! Draws the cycles of a history as SVG, into the folder of the temporary files or the one given.
//!
//!     cargo run -p elle-rs --example draw_cycles [FOLDER]

use elle_rs::draw::Drawing;
use elle_rs::{Options, Workload, check, verify};

/// Two readers who saw two writes in opposite orders: a long fork.
const HISTORY: &str = r#"
{"index":0,"type":"invoke","process":0,"f":"txn","value":[["append","x",1]]}
{"index":1,"type":"invoke","process":1,"f":"txn","value":[["append","y",1]]}
{"index":2,"type":"invoke","process":2,"f":"txn","value":[["r","x",null],["r","y",null]]}
{"index":3,"type":"invoke","process":3,"f":"txn","value":[["r","x",null],["r","y",null]]}
{"index":4,"type":"ok","process":0,"f":"txn","value":[["append","x",1]]}
{"index":5,"type":"ok","process":1,"f":"txn","value":[["append","y",1]]}
{"index":6,"type":"ok","process":2,"f":"txn","value":[["r","x",[1]],["r","y",[]]]}
{"index":7,"type":"ok","process":3,"f":"txn","value":[["r","x",[]],["r","y",[1]]]}
"#;

fn main() -> Result<(), String> {
    let folder = std::env::args().nth(1).map_or_else(std::env::temp_dir, Into::into);
    let history = history::read_events(HISTORY.as_bytes()).history;
    let options = Options::new(Workload::ListAppend);
    let verdict = check(&history, &options).map_err(|refusal| refusal.to_string())?;
    for cycle in &verdict.cycles {
        // Checked again by code that did not find it: optional, and slow.
        verify::cycle(&history, &options, cycle)?;
        let drawing = Drawing::of(&history, Workload::ListAppend, cycle);
        let path = folder.join(format!("{}.svg", cycle.anomaly));
        std::fs::write(&path, drawing.svg())
            .map_err(|error| format!("{}: {error}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}
