//! Judges a history file and says how long that took: `time_file FILE [LEVEL] [wr [lin]]`.

#![allow(clippy::unwrap_used, reason = "an example: its user reads the panic")]

use std::time::Instant;

use elle_rs::{Model, Options, Workload, check};

fn main() -> Result<(), String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path =
        arguments.first().ok_or("usage: time_file FILE [LEVEL [register [linearizable]]]")?;
    let start = Instant::now();
    let read = history::read_history(path.as_ref()).map_err(|error| format!("{path}: {error}"))?;
    println!("read {} operations in {:?}", read.history.ops.len(), start.elapsed());
    let level = arguments.get(1).map_or("strict-serializable", String::as_str);
    let workload = match arguments.get(2) {
        Some(_) => Workload::RwRegister,
        None => Workload::ListAppend,
    };
    let mut options = Options::new(workload)
        .model(Model::named(level).ok_or_else(|| format!("unknown level {level}"))?);
    options.wfr_keys = arguments.len() > 3;
    options.linearizable_keys = arguments.len() > 3;
    let start = Instant::now();
    let verdict = check(&read.history, &options).map_err(|error| format!("{path}: {error}"))?;
    println!("judged in {:?}: {:?}", start.elapsed(), verdict.validity);
    let types: Vec<&str> = verdict.anomaly_types.iter().map(|anomaly| anomaly.name()).collect();
    println!("{types:?}, search cut short for {:?}", verdict.bounded);
    for cycle in &verdict.cycles {
        println!("{}", elle_rs::explain::cycle(&read.history, workload, cycle));
    }
    Ok(())
}
