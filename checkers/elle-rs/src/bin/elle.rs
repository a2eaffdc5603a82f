//! `elle`: judges history files, with the arguments of elle-cli.
//!
//! Prints each file's name, a tab, and `true`, `false` or `unknown`. Exit status 0 if all are
//! true, 1 if one is false, 2 if one is unknown or could not be judged.

use std::path::Path;
use std::process::ExitCode;

use elle_rs::{Anomaly, Model, Options, Validity, Workload, check, edn, explain};
use history::History;

const HELP: &str = "\
Usage: elle [OPTIONS] FILE...

Judges histories of transactions: JSON lines, a JSON array, or EDN (.edn).

  -m, --model MODEL                list-append (as elle-cli has it) or rw-register
  -f, --format FORMAT              json or edn; without, by the file's ending
  -c, --consistency-models LEVELS  levels to hold, with commas between
  -a, --anomalies ANOMALIES        anomalies forbidden besides, with commas between
      --wfr-keys                   registers: writes follow reads in a transaction
      --sequential-keys            registers: each key is sequentially consistent
      --linearizable-keys          registers: each key is linearizable
  -v, --verbose                    anomalies, levels and witnesses
  -h, --help                       this";

struct Arguments {
    options: Options,
    edn: Option<bool>,
    verbose: bool,
    files: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = match parse(std::env::args().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            eprintln!("elle: {why}\n\n{HELP}");
            return ExitCode::from(64);
        }
    };
    let mut worst = 0;
    for file in &arguments.files {
        worst = match (judge(file, &arguments), worst) {
            (Ok(Validity::Valid), worst) => worst,
            (Ok(Validity::Invalid), _) => 1,
            (Ok(Validity::Unknown), 1) => 1,
            (Ok(Validity::Unknown), _) => 2,
            (Err(why), worst) => {
                eprintln!("elle: {file}: {why}");
                println!("{file}\tunknown");
                if worst == 1 { 1 } else { 2 }
            }
        };
    }
    ExitCode::from(worst)
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Arguments>, String> {
    let options = Options::new(Workload::ListAppend);
    let mut arguments = Arguments { options, edn: None, verbose: false, files: Vec::new() };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "-h" | "--help" => return Ok(None),
            "-v" | "--verbose" => arguments.verbose = true,
            "--wfr-keys" => arguments.options.wfr_keys = true,
            "--sequential-keys" => arguments.options.sequential_keys = true,
            "--linearizable-keys" => arguments.options.linearizable_keys = true,
            "-m" | "--model" => {
                arguments.options.workload = match value()?.as_str() {
                    "list-append" => Workload::ListAppend,
                    "rw-register" => Workload::RwRegister,
                    other => {
                        return Err(format!("model {other} is not list-append or rw-register"));
                    }
                }
            }
            "-f" | "--format" => arguments.edn = Some(value()? == "edn"),
            "-c" | "--consistency-models" => {
                let level = |name: &str| Model::named(name).ok_or(format!("no level {name}"));
                arguments.options.models =
                    value()?.split(',').map(level).collect::<Result<_, String>>()?;
            }
            "-a" | "--anomalies" => {
                let kind = |name: &str| Anomaly::named(name).ok_or(format!("no anomaly {name}"));
                arguments.options.anomalies =
                    value()?.split(',').map(kind).collect::<Result<_, String>>()?;
            }
            other if other.starts_with('-') => return Err(format!("unknown option {other}")),
            _ => arguments.files.push(word),
        }
    }
    match arguments.files.is_empty() {
        true => Err("no file".to_owned()),
        false => Ok(Some(arguments)),
    }
}

fn read(file: &str, edn: bool) -> Result<History, String> {
    let path = Path::new(file);
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let plain = !file.ends_with(".gz") && !file.ends_with(".zst");
    let text = match plain {
        true => std::fs::read_to_string(path).map_err(|error| said(&error))?,
        false => String::new(),
    };
    let values = if edn {
        edn::maps(&text)?
    } else if text.trim_start().starts_with('[') {
        serde_json::from_str(&text).map_err(|error| said(&error))?
    } else {
        let read = history::read_history(path).map_err(|error| said(&error))?;
        return match read.damage {
            None => Ok(read.history),
            Some(damage) => Err(format!("line {}: {}", damage.line, damage.why)),
        };
    };
    let lines: String =
        values.iter().map(|value: &serde_json::Value| format!("{value}\n")).collect();
    let read = history::read_events(lines.as_bytes());
    match read.damage {
        None => Ok(read.history),
        Some(damage) => Err(format!("operation {}: {}", damage.line, damage.why)),
    }
}

fn judge(file: &str, arguments: &Arguments) -> Result<Validity, String> {
    let edn = arguments.edn.unwrap_or(file.ends_with(".edn"));
    let history = read(file, edn)?;
    let options = &arguments.options;
    let verdict = check(&history, options).map_err(|refusal| refusal.to_string())?;
    let word = match verdict.validity {
        Validity::Valid => "true",
        Validity::Invalid => "false",
        Validity::Unknown => "unknown",
    };
    println!("{file}\t{word}");
    if arguments.verbose {
        let types: Vec<&str> = verdict.anomaly_types.iter().map(|a| a.name()).collect();
        let levels = |all: &[Model]| all.iter().map(|m| m.name()).collect::<Vec<_>>().join(" ");
        println!("anomaly-types: {}", types.join(" "));
        println!("not: {}\nalso-not: {}", levels(&verdict.not), levels(&verdict.also_not));
        println!("strongest: {}", levels(&verdict.strongest));
        println!("assuming: {}", verdict.assumptions.join(" "));
        for cycle in &verdict.cycles {
            println!("\n{}", explain::cycle(&history, options.workload, cycle));
        }
        for case in &verdict.cases {
            println!("{}: {}", case.anomaly, case.sentence);
        }
    }
    Ok(verdict.validity)
}
