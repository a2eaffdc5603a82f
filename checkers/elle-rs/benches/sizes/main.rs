//! `cargo bench -p elle-rs`: time and peak memory by size, on histories made here.
//!
//! Each row runs in a process of its own, so that its peak memory is its own. `ELLE_BENCH_MAX`
//! bounds the number of transactions (1,000,000 unless set; 10,000,000 need 2 GiB and minutes,
//! most of them to make the histories). One row alone:
//! `cargo bench -p elle-rs -- list-append valid 100000 10`; registers take `linearizable` besides,
//! for keys that are linearizable and whose writes follow reads.

#![allow(clippy::unwrap_used, reason = "a bench: its reader sees the panic")]

mod make;

use std::process::Command;
use std::time::Instant;

use elle_rs::{Options, Validity, Workload, check};
use make::{Kind, make};

/// Peak memory of this process so far, bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[derive(Clone, Copy)]
struct Row {
    workload: Workload,
    kind: Kind,
    count: usize,
    processes: usize,
    linearizable: bool,
}

impl Row {
    fn arguments(self) -> Vec<String> {
        let workload = match self.workload {
            Workload::ListAppend => "list-append",
            Workload::RwRegister => "rw-register",
        };
        let kind = Kind::ALL.iter().find(|(_, kind)| *kind == self.kind).unwrap().0;
        let mut arguments = vec![workload.to_owned(), kind.to_owned()];
        arguments.extend([self.count.to_string(), self.processes.to_string()]);
        arguments.extend(self.linearizable.then(|| "linearizable".to_owned()));
        arguments
    }

    fn of(arguments: &[String]) -> Option<Row> {
        let [workload, kind, count, processes, rest @ ..] = arguments else {
            return None;
        };
        let workload = match workload.as_str() {
            "list-append" => Workload::ListAppend,
            "rw-register" => Workload::RwRegister,
            _ => return None,
        };
        Some(Row {
            workload,
            kind: Kind::ALL.iter().find(|(name, _)| name == kind)?.1,
            count: count.parse().ok()?,
            processes: processes.parse().ok()?,
            linearizable: rest.iter().any(|word| word == "linearizable"),
        })
    }

    /// Runs the check, and prints its row of the table.
    fn run(self) {
        let history = make(self.workload, self.kind, self.count, self.processes);
        let mut options = Options::new(self.workload);
        (options.wfr_keys, options.linearizable_keys) = (self.linearizable, self.linearizable);
        let before = peak();
        let start = Instant::now();
        let verdict = check(&history, &options).unwrap();
        let took = start.elapsed().as_secs_f64();
        let mops = history.mops.len() as f64;
        let validity = match verdict.validity {
            Validity::Valid => "valid",
            Validity::Invalid => "invalid",
            Validity::Unknown => "unknown",
        };
        println!(
            "| {} | {took:.3} | {:.0} | {:.0} | {:.0} | {:.0} | {validity}{} |",
            self.arguments().join(" | ").replace(" | linearizable", ", linearizable"),
            took * 1e9 / self.count as f64,
            before as f64 / 1048576.0,
            peak() as f64 / 1048576.0,
            peak() as f64 / mops,
            if verdict.bounded.is_empty() { "" } else { ", search cut short" },
        );
    }
}

fn rows(most: usize) -> Vec<Row> {
    let row = |workload, kind, count, processes| Row {
        workload,
        kind,
        count,
        processes,
        linearizable: false,
    };
    let mut rows = Vec::new();
    for workload in [Workload::ListAppend, Workload::RwRegister] {
        for kind in [Kind::Valid, Kind::Invalid, Kind::Weak] {
            for count in [10_000, 100_000, 1_000_000, 5_000_000] {
                rows.push(row(workload, kind, count, 10));
            }
        }
        rows.push(row(workload, Kind::Valid, 10_000_000, 10));
        rows.push(row(workload, Kind::Ring, 1_000_000, 10));
        for processes in [5, 20, 100] {
            rows.push(row(workload, Kind::Valid, 1_000_000, processes));
            rows.push(row(workload, Kind::Invalid, 1_000_000, processes));
        }
    }
    rows.push(row(Workload::ListAppend, Kind::OneKey, 1_000_000, 10));
    rows.push(row(Workload::ListAppend, Kind::LongLists, 1_000_000, 10));
    for (kind, count) in [(Kind::Valid, 10_000), (Kind::Valid, 100_000), (Kind::Invalid, 100_000)] {
        rows.push(Row { linearizable: true, ..row(Workload::RwRegister, kind, count, 10) });
    }
    rows.retain(|row| row.count <= most);
    rows
}

fn main() {
    // Cargo passes `--bench`.
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if let Some(row) = Row::of(&arguments) {
        return row.run();
    }
    let most = std::env::var("ELLE_BENCH_MAX").ok().and_then(|most| most.parse().ok());
    println!(
        "| workload | kind | transactions | processes | judged, s | ns a transaction | history, \
         MiB | peak, MiB | bytes a micro-operation | verdict |\n|{}",
        "---|".repeat(10)
    );
    for row in rows(most.unwrap_or(1_000_000)) {
        let own = std::env::current_exe().unwrap();
        let status = Command::new(own).args(row.arguments()).status().unwrap();
        assert!(status.success(), "{:?}: {status}", row.arguments());
    }
}
