//! A fault that an agent does not undo: once more over SSH, by the journal on the host; else what a
//! person can type there.

use std::time::Duration;

use agent::shape::rules;
use agent::undo::Undo;
use agent::{packet_filter, process};
use cluster::{AgentLink, Exec, Host, HostAddress, shell_quote};
use history::{Evidence, FaultResult};
use nemesis::{Act, ActReport, Limit};
use systems::DiskLayout;

use super::HostPort;
use crate::engine::clocks;
use crate::engine::host::layers;

/// How long it may take over SSH: servers that were killed are started again.
const LIMIT: Duration = Duration::from_secs(20);

/// Every journal of the host is undone by the agent's program beside it. Unlike `splitbrain heal`
/// this fails where there is none: a fault was in force there.
const LINE: &str = "cd /run/splitbrain || exit 1; \
    agent=$(ls -t agent-* 2>/dev/null | grep -v part | head -n 1); \
    [ -n \"$agent\" ] || { echo the agent is gone from /run/splitbrain >&2; exit 1; }; \
    found=no; for dir in */; do [ -f \"$dir/journal.jsonl\" ] || continue; \
    found=yes; \"./$agent\" heal \"$dir\" || exit 1; done; \
    [ $found = yes ] || { echo no journal is left in /run/splitbrain >&2; exit 1; }";

impl HostPort {
    /// After an undoing that failed: heals each of its hosts over SSH. Gives what a person is to
    /// type where that fails too, a line each.
    pub(super) fn heal_otherwise(
        &self,
        id: &str,
        act: &Act,
        report: &mut ActReport,
    ) -> Vec<String> {
        let Some(error) = report.error.clone() else {
            return Vec::new();
        };
        if !journaled(act) {
            // Over SSH every journal of a host is undone, other faults' too: not for nothing.
            report.result = FaultResult::Indeterminate;
            return act.nodes().into_iter().flat_map(|node| self.typed(id, act, node)).collect();
        }
        let (mut typed, mut failed) = (Vec::new(), Vec::new());
        let healed = self.at_once(&act.nodes(), &|node| self.heal_over_ssh(node));
        for (node, healed) in healed {
            let probe = format!("{} healed over SSH", self.name(node));
            let holds = healed.is_ok();
            let (Ok(observed) | Err(observed)) = healed;
            if !holds {
                failed.push(format!("{}: {observed}", self.name(node)));
                typed.extend(self.typed(id, act, node));
            }
            let expected = "undone".to_owned();
            report.evidence.push(Evidence { probe, expected, observed, holds });
        }
        if failed.is_empty() {
            let (probe, expected) = ("agents".to_owned(), "undone".to_owned());
            report.evidence.push(Evidence { probe, expected, observed: error, holds: false });
            report.error = None;
            report.mechanism = "ssh".to_owned();
        } else {
            report.error = Some(format!("{error}; over SSH {}", failed.join("; ")));
            report.result = FaultResult::Indeterminate;
        }
        typed
    }

    /// What a person can type for one node, a line each, with where.
    fn typed(&self, id: &str, act: &Act, node: usize) -> Vec<String> {
        let at = self.reach(node);
        let lines = self.by_hand(id, act, node).into_iter();
        lines.map(|line| format!("{at}: {line}")).collect()
    }

    fn heal_over_ssh(&self, node: usize) -> Result<String, String> {
        let host = self.system.nodes().hosts.get(node).ok_or("it has no SSH")?;
        let done = host.exec(Exec::shell(LINE).timeout(LIMIT)).map_err(|e| e.to_string())?;
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().replace('\n', "; ");
        if done.status == 0 { Ok(said(&done.stdout)) } else { Err(said(&done.stderr)) }
    }

    /// A node with its host's address.
    fn reach(&self, node: usize) -> String {
        match self.system.nodes().hosts.get(node).map(|host| host.address()) {
            Some(HostAddress { user, address, port, .. }) => {
                format!("on {} ({user}@{address} port {port})", self.name(node))
            }
            None => format!("on {}", self.name(node)),
        }
    }

    /// What undoes the act on one host. Every word that is not ours is quoted.
    fn by_hand(&self, id: &str, act: &Act, node: usize) -> Vec<String> {
        let start = process::start_by_hand(&self.system.start(node));
        let filter = packet_filter::name(id);
        match act {
            Act::Pause { .. } | Act::Slow { .. } => {
                self.stopped_process(id, node).map(process::continue_by_hand).into_iter().collect()
            }
            Act::Kill { .. } | Act::Live { .. } | Act::Replace { .. } => vec![start],
            Act::Drop { .. } | Act::CutClients { .. } => vec![packet_filter::by_hand(&filter)],
            Act::Shape { .. } => vec![rules::by_hand(&filter)],
            Act::Clock { .. } if self.clocks.of_hosts() => self.host_clock_by_hand(node),
            Act::Clock { .. } => vec![format!("echo '+0 x1.0' >{}", shell_quote(clocks::FILE))],
            // Whoever lost its disk from under it starts anew, on what is underneath.
            Act::Disk { .. } => {
                let Some(DiskLayout { folder, served, .. }) = self.system.disk(node) else {
                    return vec![start];
                };
                let served = served.then(|| layers::served(&*self.system, node));
                let start = served.is_none().then_some(start);
                let umount = Undo::Layer { folder, served }.by_hand();
                [umount].into_iter().chain(start).collect()
            }
            Act::StepDown { .. } => stand_again_by_hand(&self.system.info("").name),
            Act::Remove { .. } => {
                let member = self.system.address(node);
                vec![format!("mongosh --eval 'rs.add(\"{member}\")', at the primary")]
            }
            // They end with their agent; these are those of one that is stuck.
            Act::Load { .. } => {
                let burn = format!("^{} burn", AgentLink::program());
                vec![format!("kill -KILL $(pgrep -f {})", shell_quote(&burn))]
            }
            // Where the server was is in its agent's journal; the folder above is as near.
            Act::Limit { limit, .. } => {
                let name = shell_quote(&format!("{filter}_*"));
                let back = format!(
                    "for g in $(find /sys/fs/cgroup -name {name}); do \
                     for p in $(cat $g/cgroup.procs); do echo $p >$g/../cgroup.procs; done; \
                     rmdir $g; done"
                );
                // Its server may have died of a limit of memory.
                let again = matches!(limit, Limit::Memory { .. }).then_some(start);
                [back].into_iter().chain(again).collect()
            }
            // Clients of our own end with us.
            Act::ReadLoad { .. } | Act::Promote { .. } | Act::WithholdApproval | Act::Nothing => {
                Vec::new()
            }
        }
    }

    /// Remembers which process an act has stopped.
    pub(super) fn remember_process(&self, id: &str, node: usize, pid: i32) {
        let mut stopped = self.stopped.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        stopped.insert((id.to_owned(), node), pid);
    }

    fn stopped_process(&self, id: &str, node: usize) -> Option<i32> {
        let stopped = self.stopped.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        stopped.get(&(id.to_owned(), node)).copied()
    }
}

/// Whether agents have an act in their journals; what is none of them is a command of the system's,
/// or done by clients of our own.
fn journaled(act: &Act) -> bool {
    !matches!(
        act,
        Act::Nothing
            | Act::Remove { .. }
            | Act::StepDown { .. }
            | Act::Promote { .. }
            | Act::ReadLoad { .. }
            | Act::WithholdApproval
    )
}

/// What lets one that was asked to stand down stand again; a node of the store does so by itself.
fn stand_again_by_hand(system: &str) -> Vec<String> {
    match system {
        "mongodb" => vec!["mongosh --eval 'rs.freeze(0)'".to_owned()],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_healed_of_what_their_agents_did_alone() {
        let nodes = vec![0];
        for act in [
            Act::StepDown { nodes: nodes.clone(), seconds: 2 },
            Act::Remove { nodes: nodes.clone() },
            Act::ReadLoad { nodes: nodes.clone(), clients: 8 },
            Act::WithholdApproval,
        ] {
            assert!(!journaled(&act), "{act:?}");
        }
        for act in [Act::Kill { nodes: nodes.clone() }, Act::Replace { nodes }] {
            assert!(journaled(&act), "{act:?}");
        }
    }

    #[test]
    fn only_a_member_of_a_replica_set_is_told_to_stand_again() {
        assert_eq!(stand_again_by_hand("mongodb"), ["mongosh --eval 'rs.freeze(0)'"]);
        assert!(stand_again_by_hand("store").is_empty());
    }
}
