//! A small program around the lab, for trying it without the harness.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use agent::proto::{Answer, Ask};
use splitbrain_cluster::agent_link::AgentLink;
use splitbrain_cluster::{Exec, Host, SshHost, lab};

fn main() -> ExitCode {
    lab::maybe_reenter();
    match std::env::args().nth(1).as_deref() {
        Some("bench") => match lab::bench(5, 10) {
            Ok(bench) => println!("up {:.1} ms, down {:.1} ms", bench.up_ms, bench.down_ms),
            Err(error) => println!("{error}"),
        },
        Some("exec") => match lab::current() {
            None => {
                let spec = lab::LabSpec { hosts: 3, id: "probe".to_owned() };
                match lab::run_inside(&spec) {
                    Ok(status) => return ExitCode::from(status),
                    Err(error) => println!("{error}"),
                }
            }
            Some(info) => {
                for address in info.hosts {
                    if let Err(error) = probe(address) {
                        println!("{error}");
                    }
                }
            }
        },
        _ => println!("usage: lab_probe bench | exec"),
    }
    ExitCode::SUCCESS
}

fn probe(address: splitbrain_cluster::HostAddress) -> Result<(), Box<dyn std::error::Error>> {
    let host = SshHost::connect(address)?;
    let started = Instant::now();
    let said = host.exec(Exec::shell("hostname; ps -e | wc -l; getent hosts n3; exit 3"))?;
    println!("{} {:?} {:?}", said.status, said.text(), started.elapsed());
    let agent = AgentLink::start(&host, "probe", Duration::from_secs(5))?;
    let started = Instant::now();
    let from = vec!["198.19.0.99".parse()?];
    let dropped = agent.ask_text(Ask::Drop { fault: "f1".into(), from }, Duration::from_secs(5))?;
    println!("{dropped:?} {:?}", started.elapsed());
    println!("{}", host.exec(Exec::shell("nft list ruleset; cat /run/splitbrain/probe/*"))?.text());
    let healed = agent.ask_text(Ask::HealAll, Duration::from_secs(5))?;
    assert!(matches!(healed, Answer::Healed { .. }));
    drop(agent);
    println!("{}", host.exec(Exec::shell("nft list ruleset; cat /run/splitbrain/probe/*"))?.text());
    Ok(())
}
