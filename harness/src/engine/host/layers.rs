//! Disk layers over servers that splitbrain did not start. Each server in turn, leaders last, is
//! ended by its own command, its data directory covered, and it is started again and waited for; in
//! the end likewise without the layer. The agent's journal has the way back from before the first
//! step: whoever dies in between, the server runs again, on its own directory.

use std::time::{Duration, Instant};

use agent::disk::asks::DiskAsk;
use agent::disk::served::Served;
use agent::proto::{Answer, Ask};
use history::Role;
use nemesis::{Family, Fault};
use systems::{DiskLayout, System, SystemError};

use crate::config::TestSpec;
use crate::engine::rejoin;

/// How long one step may take: a start command waits for its server.
const STEP: Duration = Duration::from_secs(12);
/// How long a server may take to end in good order; mongod takes 15 s by default.
const END: Duration = Duration::from_secs(60);
/// How long a server may take to be one of the cluster again.
const BACK: Duration = Duration::from_secs(60);

/// How a server that splitbrain did not start is ended and started.
pub fn served(system: &dyn System, node: usize) -> Served {
    Served { start: system.start(node), graceful: system.graceful(node) }
}

/// Whether the system's servers are not ours.
pub fn exists(system: &dyn System) -> bool {
    let served = |node| system.disk(node).is_some_and(|layout| layout.served);
    (0..system.nodes().count()).any(served)
}

/// The nodes that have a layer once the system is up.
pub fn covered(spec: &TestSpec, system: &dyn System) -> Vec<(usize, DiskLayout)> {
    let built = |node| Some((node, system.disk(node).filter(|layout| !layout.served)?));
    let built = (0..system.nodes().hosts.len()).filter_map(built);
    meant(spec, system).into_iter().chain(built).collect()
}

/// The nodes that a disk fault of the test may hit and whose servers exist already.
fn meant(spec: &TestSpec, system: &dyn System) -> Vec<(usize, DiskLayout)> {
    let nodes = system.nodes();
    let layout = |node| Some((node, system.disk(node).filter(|layout| layout.served)?));
    let hosts = nodes.hosts.len();
    may_hit(spec, &nodes.names).filter(|node| *node < hosts).filter_map(layout).collect()
}

/// The places of the nodes that a disk fault of the test may hit.
pub fn may_hit<'a>(spec: &TestSpec, names: &'a [String]) -> impl Iterator<Item = usize> + 'a {
    let disk = |name: &str| Fault::by_name(name).is_some_and(|f| f.family() == Family::Disk);
    let faults = spec.all_faults().into_iter().filter(|fault| disk(&fault.fault));
    let whom: Vec<String> = faults.map(|fault| fault.selector).collect();
    // Anybody may be who leads, or who is drawn.
    let all = whom.iter().any(|whom| !names.contains(whom));
    (0..names.len()).filter(move |node| all || whom.contains(&names[*node]))
}

/// Followers before leaders.
fn in_order(system: &dyn System, mut nodes: Vec<(usize, DiskLayout)>) -> Vec<(usize, DiskLayout)> {
    nodes.sort_by_key(|(node, _)| {
        system.sample(*node, &|| 0).shards.iter().any(|shard| shard.role == Role::Leader)
    });
    nodes
}

/// Lays the layers that the test needs over a cluster that is up.
pub fn cover(spec: &TestSpec, system: &dyn System) -> Result<(), SystemError> {
    for (node, layout) in in_order(system, meant(spec, system)) {
        let (folder, served) = (layout.folder, served(system, node));
        let failed = |error: SystemError| {
            let what = format!("laying a disk layer over {folder}: {}", error.what);
            let hint = "its server is started again without one; faults of the disk need FUSE, and \
                        a server that its own commands end and start";
            SystemError::new(what).hint(error.hint.unwrap_or_else(|| hint.to_owned()))
        };
        let vacate =
            |again| DiskAsk::Vacate { folder: folder.clone(), served: served.clone(), again };
        ended(system, node, &vacate).map_err(failed)?;
        let (at, by) = (folder.clone(), served.clone());
        ask(system, node, DiskAsk::Cover { folder: at, served: by }).map_err(failed)?;
        ask(system, node, DiskAsk::Serve { served }).map_err(failed)?;
        back(system, node).map_err(failed)?;
    }
    Ok(())
}

/// Takes them away; says what could not be, which agents then undo by themselves.
pub fn uncover(spec: &TestSpec, system: &dyn System) -> Vec<String> {
    let mut notes = Vec::new();
    for (node, layout) in in_order(system, meant(spec, system)) {
        let served = served(system, node);
        let end = |again| DiskAsk::End { served: served.clone(), again };
        let lifted = ended(system, node, &end)
            .and_then(|()| ask(system, node, DiskAsk::Lift { folder: layout.folder.clone() }))
            .and_then(|_| back(system, node));
        if let Err(error) = lifted {
            let name = &system.nodes().names[node];
            notes.push(format!("taking the disk layer from {name}: {error}"));
        }
    }
    notes
}

fn ask(system: &dyn System, node: usize, about: DiskAsk) -> Result<u64, SystemError> {
    match system.nodes().ask(node, Ask::Disk { about }, STEP)? {
        Answer::Disk { count, .. } => Ok(count),
        other => Err(SystemError::new(format!("unexpected answer {other:?}"))),
    }
}

/// Asks for a server's end, and again until it has ended.
fn ended(
    system: &dyn System,
    node: usize,
    about: &dyn Fn(bool) -> DiskAsk,
) -> Result<(), SystemError> {
    let started = Instant::now();
    let mut left = ask(system, node, about(false))?;
    while left != 0 {
        if END <= started.elapsed() {
            let (name, limit) = (&system.nodes().names[node], END.as_secs());
            let what = format!("the server of {name} has not ended {limit} s after it was asked");
            return Err(SystemError::new(what));
        }
        left = ask(system, node, about(true))?;
    }
    Ok(())
}

fn back(system: &dyn System, node: usize) -> Result<(), SystemError> {
    let missing = rejoin::wait(system, node, BACK).1;
    missing.map_or(Ok(()), |why| {
        let (name, limit) = (&system.nodes().names[node], BACK.as_secs());
        Err(SystemError::new(format!("{name} is not back after {limit} s: {why}")))
    })
}
