//! The operator of a cluster that exists: detects, fences, picks by what a follower has received
//! or wrongly on purpose, promotes. Once a run, and only where the gate was opened for it.
//!
//! It edits no configuration of others: followers are not repointed and the old leader is not
//! rewound; it is left stopped, and the run says what is to be done.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent::proto::{Answer, Ask, ProcessState};
use cluster::inventory::Service;
use cluster::{Exec, Host, shell_quote};
use history::{Role, TelemetryEvent};
use tokio::runtime::Runtime;

use crate::operator::{Deed, Diary, Operator};
use crate::postgres::client::once;
use crate::postgres::connection::Login;
use crate::postgres::spec::{Candidate, PostgresSpec};
use crate::service::{HOLD, Server};
use crate::system::{Nodes, SystemError};

/// How long another node's connection to the leader may take, ms.
const REACH_MS: u64 = 150;

/// See the module's doc.
pub(super) struct Promoter {
    pub nodes: Arc<Nodes>,
    pub addresses: Vec<SocketAddr>,
    pub services: Vec<Service>,
    pub login: Login,
    pub spec: PostgresSpec,
    pub runtime: Arc<Runtime>,
    pub notes: Arc<Mutex<Vec<String>>>,
    pub leader: usize,
    pub gone_since: Option<i64>,
    pub done: bool,
}

impl Promoter {
    /// Whether some other node can still connect to the leader's server.
    fn reached(&self) -> bool {
        (0..self.nodes.count()).filter(|node| *node != self.leader).any(|other| {
            let targets = vec![self.addresses[self.leader]];
            let ask = Ask::Reach { targets, timeout_ms: REACH_MS };
            let answer = self.nodes.ask(other, ask, Duration::from_secs(1));
            matches!(answer, Ok(Answer::Reached { outcomes })
                if outcomes.first().is_some_and(|outcome| outcome == "connected"))
        })
    }

    /// Stops the old leader, and keeps whoever heals from starting it.
    fn fence(&self) -> Result<(), SystemError> {
        let service = &self.services[self.leader];
        let argv = match (&service.stop, &service.unit) {
            (Some(argv), _) => argv.clone(),
            (None, Some(unit)) => ["systemctl", "stop", "--", unit].map(str::to_owned).to_vec(),
            (None, None) => return Err(SystemError::new("there is no command to stop it")),
        };
        let hold = format!("touch {}", shell_quote(HOLD));
        let limit = Duration::from_secs(10);
        self.nodes.shell(self.leader, "holding it", hold, limit)?;
        let words: Vec<&str> = argv.iter().map(String::as_str).collect();
        // Of a server that is dead already the command may complain: what counts is that it is.
        let _ = self.nodes.hosts[self.leader].exec(Exec::argv(&words).timeout(limit))?;
        let pidfile = Server::Postgres.start(service).pidfile;
        match self.nodes.ask(self.leader, Ask::State { pidfile }, limit)? {
            Answer::Process { state: ProcessState::Absent | ProcessState::Zombie, .. } => Ok(()),
            other => Err(SystemError::new(format!("{} left it as {other:?}", argv.join(" ")))),
        }
    }

    fn fail_over(&mut self, diary: &mut Diary<'_>, latest: &[Option<TelemetryEvent>]) {
        self.done = true;
        let name = |node: usize| self.nodes.names[node].as_str();
        let old = name(self.leader);
        diary.finds(format!("{old} is gone for {} ms", self.spec.detect_ms));
        if self.spec.fence {
            let fenced = diary.does(
                || self.fence(),
                |fenced| match fenced {
                    Ok(()) => format!("fenced {old}"),
                    Err(error) => {
                        format!("{old} cannot be fenced, so nobody is promoted: {error}")
                    }
                },
            );
            if fenced.is_err() {
                return;
            }
        }
        let candidates = candidates(latest, self.leader);
        let Some((received, new)) = pick(&candidates, self.spec.candidate) else {
            return diary.finds("no follower can be promoted");
        };
        let sql = "DO $$ BEGIN IF NOT pg_promote(true, 10) THEN \
                   RAISE EXCEPTION 'pg_promote said false'; END IF; END $$;";
        let (high, low) = (received >> 32, received & 0xffff_ffff);
        let promoted = diary.does(
            || self.runtime.block_on(once(self.addresses[new], &self.login, sql)),
            |promoted| match promoted {
                Ok(()) => format!(
                    "{} of {} candidates is promoted: it has received {high:X}/{low:X}",
                    name(new),
                    candidates.len()
                ),
                Err(error) => format!("promoting {} failed: {error}", name(new)),
            },
        );
        if promoted.is_ok() {
            let state = if self.spec.fence { "left stopped" } else { "not fenced" };
            diary.finds(format!(
                "{old} is {state}, and other followers still follow it: rejoin them with \
                 pg_rewind or fresh copies of {}",
                name(new)
            ));
        }
    }
}

/// Live followers with what they have received, least first.
fn candidates(latest: &[Option<TelemetryEvent>], leader: usize) -> Vec<(u64, usize)> {
    let mut candidates: Vec<(u64, usize)> = Vec::new();
    for (node, sample) in latest.iter().enumerate() {
        let Some(sample) = sample.as_ref().filter(|sample| sample.alive && node != leader) else {
            continue;
        };
        let follows = sample.shards.first().is_some_and(|shard| shard.role == Role::Follower);
        let received = sample.details.get("received").and_then(|at| at.as_u64());
        candidates.extend(received.filter(|_| follows).map(|received| (received, node)));
    }
    candidates.sort_unstable();
    candidates
}

/// Of equals the first by number.
fn pick(candidates: &[(u64, usize)], candidate: Candidate) -> Option<(u64, usize)> {
    match candidate {
        Candidate::LeastAdvanced => candidates.first().copied(),
        Candidate::MostAdvanced => {
            let most = candidates.last()?.0;
            candidates.iter().find(|(received, _)| *received == most).copied()
        }
    }
}

impl Operator for Promoter {
    fn turn(&mut self, clock: &dyn Fn() -> i64, latest: &[Option<TelemetryEvent>]) -> Vec<Deed> {
        let mut diary = Diary::new(clock);
        let now = diary.now();
        let alive = latest[self.leader].as_ref().is_some_and(|sample| sample.alive);
        if self.done || (alive && self.reached()) {
            self.gone_since = None;
            return Vec::new();
        }
        let since = *self.gone_since.get_or_insert(now);
        if now - since < self.spec.detect_ms as i64 * 1_000_000 {
            return Vec::new();
        }
        self.fail_over(&mut diary, latest);
        let deeds = diary.deeds();
        let mut notes = self.notes.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        notes.extend(deeds.iter().map(Deed::to_string));
        deeds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_candidate_has_most_and_the_wrong_one_least() {
        let candidates = [(5, 2), (9, 0), (9, 3)];
        assert_eq!(pick(&candidates, Candidate::MostAdvanced), Some((9, 0)));
        assert_eq!(pick(&candidates, Candidate::LeastAdvanced), Some((5, 2)));
        assert_eq!(pick(&[], Candidate::MostAdvanced), None);
    }
}
