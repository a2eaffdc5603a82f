//! A write skew: two doctors go off call, each having seen that the other is on. Prints the
//! verdict at two levels, and why.
//!
//!     cargo run -p elle-rs --example write_skew

use elle_rs::{Model, Options, Workload, check, explain};

const HISTORY: &str = r#"
{"index":0,"type":"invoke","process":0,"f":"txn","value":[["r","bob",null],["append","alice",1]]}
{"index":1,"type":"invoke","process":1,"f":"txn","value":[["r","alice",null],["append","bob",1]]}
{"index":2,"type":"ok","process":0,"f":"txn","value":[["r","bob",[]],["append","alice",1]]}
{"index":3,"type":"ok","process":1,"f":"txn","value":[["r","alice",[]],["append","bob",1]]}
"#;

fn main() -> Result<(), String> {
    let read = history::read_events(HISTORY.as_bytes());
    if let Some(damage) = read.damage {
        return Err(format!("line {}: {}", damage.line, damage.why));
    }
    for name in ["snapshot-isolation", "serializable"] {
        let level = Model::named(name).ok_or("no such level")?;
        let options = Options::new(Workload::ListAppend).model(level);
        let verdict = check(&read.history, &options).map_err(|refusal| refusal.to_string())?;
        println!("{name}: {:?}", verdict.validity);
        for cycle in verdict.cycles.iter().filter(|c| verdict.anomaly_types.contains(&c.anomaly)) {
            println!("{}", explain::cycle(&read.history, Workload::ListAppend, cycle));
        }
    }
    Ok(())
}
