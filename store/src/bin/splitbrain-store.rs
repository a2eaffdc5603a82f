//! The node binary: `splitbrain-store --config node.json`.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use splitbrain_store::node::{NodeConfig, run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [flag, path] = &arguments[..] else {
        return usage();
    };
    if flag != "--config" {
        return usage();
    }
    let config = match NodeConfig::load(&PathBuf::from(path)) {
        Ok(config) => config,
        Err(error) => return fail(&error),
    };
    let name = config.core.names[config.core.node].clone();
    let ended = run(config, |address| say::outln!("{name} listening on {address}")).await;
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn usage() -> ExitCode {
    say::errln!("usage: splitbrain-store --config NODE.json");
    ExitCode::from(64)
}

fn fail(error: &dyn Error) -> ExitCode {
    say::err!("error: {error}");
    let mut cause = error.source();
    while let Some(next) = cause {
        say::err!(": {next}");
        cause = next.source();
    }
    say::errln!();
    ExitCode::FAILURE
}
