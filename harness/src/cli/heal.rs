//! `splitbrain heal`: undoes whatever is left on the hosts of an inventory. Safe at any time, and
//! as often as one likes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use cluster::inventory::Attach;
use cluster::{Exec, Host, HostAddress, Inventory, SshHost};
use systems::Nodes;
use systems::mongodb::{MongoSpec, attached as mongodb};
use systems::owned::{Left, Remains};
use systems::postgres::{PostgresSpec, attached as postgres};

use crate::config::SystemKind;
use crate::error::UserError;
use crate::exit::Exit;

/// How long a host may take: servers that were killed are started again.
const LIMIT: Duration = Duration::from_secs(120);

/// Flags of `heal`.
#[derive(Clone, Debug, Args)]
pub struct HealFlags {
    /// Inventory of the hosts
    #[arg(long, alias = "hosts", value_name = "FILE")]
    hosts_file: PathBuf,
    /// Also remove the schemas, or databases, that runs have left in a cluster that is attached to
    #[arg(long, visible_alias = "remove-databases")]
    remove_schemas: bool,
}

/// Each journal is undone by an agent found beside it. The host's lock is not taken: healing must
/// not wait for a harness that has gone astray.
const LINE: &str = "cd /run/splitbrain 2>/dev/null || { echo nothing to heal; exit 0; }; \
    agent=$(ls -t agent-* 2>/dev/null | grep -v part | head -n 1); \
    found=no; for dir in */; do [ -f \"$dir/journal.jsonl\" ] || continue; \
    found=yes; \"./$agent\" heal \"$dir\" || exit 1; done; \
    rm -f held-by-operator; [ $found = yes ] || echo nothing to heal";

/// What is said of a journal, or a host, with nothing in it.
const NOTHING: &str = "nothing to heal";

/// Undoes what agents have left on the hosts of an inventory, and tells of what runs have left in
/// its cluster.
pub fn heal(flags: &HealFlags) -> Result<Exit, UserError> {
    let inventory =
        Inventory::load(&flags.hosts_file).map_err(|error| UserError::usage(error.to_string()))?;
    let mut exit = Exit::Valid;
    for address in &inventory.hosts {
        match host(address.clone()) {
            Ok(said) => say::out!("{said}"),
            Err(error) => {
                say::errln!("{error}");
                exit = Exit::Environment;
            }
        }
    }
    for name in &inventory.endpoints {
        say::outln!("{name}: an endpoint: nothing to heal");
    }
    if let Some(attach) = &inventory.attach {
        match left(&inventory, attach, flags.remove_schemas) {
            Ok(said) => say::out!("{said}"),
            Err(error) => {
                say::errln!("what runs may have left there could not be looked for:\n{error}");
                exit = Exit::Environment;
            }
        }
    }
    Ok(exit)
}

fn host(address: HostAddress) -> Result<String, String> {
    let name = address.name.clone();
    let host = SshHost::connect(address).map_err(|error| error.to_string())?;
    let result = host.exec(Exec::shell(LINE).timeout(LIMIT)).map_err(|error| error.to_string())?;
    if result.status != 0 {
        return Err(format!("{name}: {}", String::from_utf8_lossy(&result.stderr).trim()));
    }
    // One line of each journal: where anything was undone only that is worth a line.
    let said = result.text();
    let done: Vec<&str> = said.lines().filter(|line| *line != NOTHING).collect();
    let told = if done.is_empty() { vec![NOTHING] } else { done };
    Ok(told.iter().map(|said| format!("{name}: {said}\n")).collect())
}

/// The cluster of an inventory, to be asked for what runs have left in it.
fn remains(inventory: &Inventory, attach: &Attach) -> Result<Box<dyn Remains>, UserError> {
    let kind = crate::gate::attached::system(inventory, attach)?;
    let nodes = Nodes { names: inventory.names(), hosts: Vec::new(), agents: Vec::new() };
    let (nodes, places) = (Arc::new(nodes), &inventory.places);
    Ok(match kind {
        SystemKind::Mongodb => {
            let spec = MongoSpec::default();
            Box::new(mongodb::Attached::new(nodes, attach, places, spec, "heal")?)
        }
        _ => {
            let spec = PostgresSpec::default();
            Box::new(postgres::Attached::new(nodes, attach, places, spec, "heal")?)
        }
    })
}

fn left(inventory: &Inventory, attach: &Attach, remove: bool) -> Result<String, UserError> {
    let cluster = remains(inventory, attach)?;
    let thing = cluster.thing();
    let mut said = String::new();
    for left in cluster.left()? {
        let Left { name, mark } = &left;
        if remove {
            cluster.remove(&left)?;
            said.push_str(&format!("removed the {thing} {name} ({mark})\n"));
        } else {
            said.push_str(&format!(
                "the {thing} {name} is there ({mark}): a run is at work, or has left it; \
                 --remove-{thing}s removes it\n"
            ));
        }
    }
    if said.is_empty() {
        said.push_str(&format!("no {thing} of a run is left\n"));
    }
    Ok(said)
}
