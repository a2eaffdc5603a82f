//! The operator: splitbrain as the runbook for a PostgreSQL cluster without a cluster manager.
//!
//! Detect by timeout, fence or not, pick a standby by what it has received, promote it, repoint the
//! others, and bring the old leader back with `pg_rewind` once it can be reached again.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::proto::{Answer, Ask};
use history::{Role, TelemetryEvent};
use tokio::runtime::Runtime;

use super::client::once;
use super::orders::Asked;
use super::promises;
use super::sample::Sampler;
use super::spec::Candidate;
use super::{Cluster, building};
use crate::operator::{Deed, Diary, Operator};
use crate::system::SystemError;

/// How long another node's connection to the leader may take, ms.
const REACH_MS: u64 = 150;
/// How long a former leader must have been reachable before it is brought back, ns.
const REJOIN_NS: i64 = 500_000_000;
/// How often standbys are asked for what they have received, until it is the same twice.
const SETTLE_TRIES: usize = 20;
/// How long a standby that is to be promoted may fetch from another what it lacks.
const CATCH_UP: Duration = Duration::from_secs(5);
/// Pause between two looks at standbys.
const SETTLE_PAUSE: Duration = Duration::from_millis(25);

/// Standbys that can be promoted, each with what it has received: those with least first.
type Candidates = Vec<(u64, usize)>;

/// See the module's doc.
pub struct Runbook {
    cluster: Arc<Cluster>,
    runtime: Arc<Runtime>,
    sampler: Arc<Sampler>,
    leader: usize,
    gone_since: Option<i64>,
    /// Nodes that have to be turned back and follow, with the moment since when they can be
    /// reached.
    strays: Vec<(usize, Option<i64>)>,
}

impl Runbook {
    pub(crate) fn new(
        cluster: Arc<Cluster>,
        runtime: Arc<Runtime>,
        sampler: Arc<Sampler>,
    ) -> Runbook {
        Runbook { cluster, runtime, sampler, leader: 0, gone_since: None, strays: Vec::new() }
    }

    fn name(&self, node: usize) -> &str {
        &self.cluster.nodes.names[node]
    }

    /// Whether some other node can open a connection to this one, or is at least refused by it.
    fn reached(&self, node: usize, by: &[usize]) -> Reach {
        let target: SocketAddr = self.cluster.data(node);
        let mut best = Reach::Silent;
        for &other in by {
            let ask = Ask::Reach { targets: vec![target], timeout_ms: REACH_MS };
            let answer = self.cluster.nodes.ask(other, ask, Duration::from_secs(1));
            if let Ok(Answer::Reached { outcomes }) = answer {
                match outcomes.first().map(String::as_str) {
                    Some("connected") => return Reach::Serves,
                    Some("refused") => best = Reach::HostOnly,
                    _ => {}
                }
            }
        }
        best
    }

    fn watch(&mut self, diary: &mut Diary<'_>, latest: &[Option<TelemetryEvent>]) {
        let now = diary.now();
        let leader = self.leader;
        let others: Vec<usize> = (0..latest.len()).filter(|node| *node != leader).collect();
        let alive = latest[leader].as_ref().is_some_and(|sample| sample.alive);
        if alive && self.reached(leader, &others) == Reach::Serves {
            self.gone_since = None;
            self.cluster.orders.needless();
            return;
        }
        let since = *self.gone_since.get_or_insert(now);
        let detect = self.cluster.spec.detect_ms as i64 * 1_000_000;
        if now - since < detect {
            return;
        }
        let gone = format!("{} is gone for {} ms", self.name(leader), self.cluster.spec.detect_ms);
        match self.cluster.orders.approved() {
            Asked::Approved => {}
            Asked::Refused => {
                return diary.finds(format!("{gone}; the approval to replace it is withheld"));
            }
            Asked::Waiting => return,
        }
        self.gone_since = None;
        self.fail_over(diary, gone, None, latest);
    }

    /// Replaces the leader, by the node that was named or by the one that the runbook picks.
    fn fail_over(
        &mut self,
        diary: &mut Diary<'_>,
        why: String,
        named: Option<usize>,
        latest: &[Option<TelemetryEvent>],
    ) {
        let old = self.leader;
        diary.finds(why);
        let known = candidates(latest, old);
        if let Some(named) = named.filter(|named| known.iter().all(|(_, node)| node != named)) {
            return diary.finds(format!("{} is no standby that can be promoted", self.name(named)));
        }
        if self.cluster.spec.fence {
            let fenced = diary.does(
                || self.fence(old),
                |fenced| match (self.name(old), fenced) {
                    (name, Ok(())) => format!("fenced {name}"),
                    (name, Err(why)) => {
                        format!("{name} cannot be fenced, so nobody is promoted: {why}")
                    }
                },
            );
            if fenced.is_err() {
                return;
            }
        }
        // Until it was fenced the leader went on writing, and what it sent may still come.
        let candidates = self.settled(&known);
        let Some((received, new)) = self.pick(&candidates, named, diary) else {
            return diary.finds("no standby can be promoted");
        };
        let promoted = diary.does(
            || self.promote(new),
            |promoted| match promoted {
                Ok(()) => format!(
                    "{} of {} candidates is promoted: it has received {:X}/{:X}",
                    self.name(new),
                    candidates.len(),
                    received >> 32,
                    received & 0xffff_ffff
                ),
                Err(error) => format!("promoting {} failed: {error}", self.name(new)),
            },
        );
        if promoted.is_err() {
            return;
        }
        self.leader = new;
        self.strays.push((old, None));
        for &(has, node) in candidates.iter().filter(|(_, node)| *node != new) {
            if has <= received {
                diary.does(|| self.repoint(node), String::clone);
            } else {
                diary.finds(format!(
                    "{} has more than the new leader: to be rewound",
                    self.name(node)
                ));
                self.strays.push((node, None));
            }
        }
    }

    /// Asks candidates what they have received, until none receives more or for half a second.
    fn settled(&self, known: &Candidates) -> Candidates {
        let nodes: BTreeSet<usize> = known.iter().map(|(_, node)| *node).collect();
        let ask = || {
            let sample = |node: usize| {
                let asked = nodes.contains(&node);
                asked.then(|| self.runtime.block_on(self.sampler.sample(node, &|| 0)))
            };
            let samples: Vec<_> = (0..self.cluster.nodes.count()).map(sample).collect();
            candidates(&samples, self.leader)
        };
        let mut newest = ask();
        for _ in 0..SETTLE_TRIES {
            std::thread::sleep(SETTLE_PAUSE);
            let again = ask();
            if again == newest {
                break;
            }
            newest = again;
        }
        newest
    }

    /// Whom to promote, and what it has received. An order names one; but where it is promised that
    /// nothing is lost because the one with most is promoted, it must have as much first.
    fn pick(
        &self,
        candidates: &Candidates,
        named: Option<usize>,
        diary: &mut Diary<'_>,
    ) -> Option<(u64, usize)> {
        let spec = &self.cluster.spec;
        let &(most, last) = candidates.last()?;
        // Of equals the first by number.
        let advanced = candidates.iter().find(|(received, _)| *received == most).copied();
        if let Some(told) = candidates.iter().find(|(_, node)| Some(*node) == named).copied() {
            let bound = promises::promotes_the_most(spec, self.cluster.nodes.count() - 1);
            if !bound || told.0 == most {
                return Some(told);
            }
            let (name, from) = (self.name(told.1), self.name(last));
            let caught = diary.does(
                || self.catch_up(told.1, last, most),
                |caught| match caught {
                    Ok(_) => format!("{name} has fetched from {from} what it lacked"),
                    Err(why) => format!(
                        "{name} lacks what {from} has and cannot fetch it: {why}; candidate = \
                         \"most-advanced\""
                    ),
                },
            );
            if let Ok(received) = caught {
                return Some((received, told.1));
            }
        }
        match spec.candidate {
            Candidate::MostAdvanced => advanced,
            Candidate::LeastAdvanced => candidates.first().copied(),
        }
    }

    /// Has a standby follow another one until it has as much; says what it has received then.
    fn catch_up(&self, node: usize, from: usize, most: u64) -> Result<u64, String> {
        if self.cluster.spec.slots {
            let (address, login) = (self.cluster.control(from), self.cluster.login());
            self.runtime.block_on(once(
                address,
                &login,
                &building::slots(&self.cluster.nodes.names),
            ))?;
        }
        let provision = self.cluster.provision();
        provision
            .follow(node, from)
            .and_then(|()| provision.reload(node))
            .map_err(|error| error.to_string())?;
        let until = Instant::now() + CATCH_UP;
        loop {
            let sample = self.runtime.block_on(self.sampler.sample(node, &|| 0));
            let received = sample.details.get("received").and_then(|at| at.as_u64());
            match received.filter(|received| most <= *received) {
                Some(received) => return Ok(received),
                None if until <= Instant::now() => {
                    return Err(format!("not within {} s", CATCH_UP.as_secs()));
                }
                None => std::thread::sleep(SETTLE_PAUSE),
            }
        }
    }

    fn fence(&self, node: usize) -> Result<(), SystemError> {
        self.cluster.provision().hold(node)?;
        self.cluster.stop(node, 0)
    }

    fn promote(&self, node: usize) -> Result<(), String> {
        let mut sql = "DO $$ BEGIN IF NOT pg_promote(true, 10) THEN \
                       RAISE EXCEPTION 'pg_promote said false'; END IF; END $$;"
            .to_owned();
        if self.cluster.spec.slots {
            sql.push_str(&building::slots(&self.cluster.nodes.names));
        }
        let (address, login) = (self.cluster.control(node), self.cluster.login());
        self.runtime.block_on(once(address, &login, &sql))
    }

    fn repoint(&self, node: usize) -> String {
        let provision = self.cluster.provision();
        let done = provision.follow(node, self.leader).and_then(|()| provision.reload(node));
        match done {
            Ok(()) => format!("{} follows {}", self.name(node), self.name(self.leader)),
            Err(error) => format!("{} was not repointed: {error}", self.name(node)),
        }
    }

    /// Brings back what can be reached again.
    fn rejoin(&mut self, diary: &mut Diary<'_>) {
        let now = diary.now();
        let mut strays = std::mem::take(&mut self.strays);
        strays.retain_mut(|(node, since)| {
            // An old leader that nobody fenced and that is still dead may yet come back by itself.
            let reach = self.reached(*node, &[self.leader]);
            let there = match reach {
                Reach::Serves => true,
                Reach::HostOnly => self.cluster.spec.fence,
                Reach::Silent => false,
            };
            if !there {
                *since = None;
                return true;
            }
            if now - *since.get_or_insert(now) < REJOIN_NS {
                return true;
            }
            let back = diary.does(
                || self.bring_back(*node),
                |back| match (self.name(*node), back) {
                    (name, Ok(how)) => {
                        format!("{name} is back and follows {}, by {how}", self.name(self.leader))
                    }
                    (name, Err(error)) => format!("{name} cannot be brought back yet: {error}"),
                },
            );
            if back.is_err() {
                *since = None;
            }
            back.is_err()
        });
        self.strays = strays;
    }

    fn bring_back(&self, node: usize) -> Result<String, SystemError> {
        let provision = self.cluster.provision();
        provision.hold(node)?;
        self.cluster.stop(node, 0)?;
        // Until its first checkpoint a promoted server's control file names the old time line, and
        // pg_rewind would find nothing to do.
        let (address, login) = (self.cluster.control(self.leader), self.cluster.login());
        self.runtime
            .block_on(once(address, &login, "CHECKPOINT"))
            .map_err(|error| SystemError::new(format!("CHECKPOINT: {error}")))?;
        let how = provision.rewind(node, self.cluster.programs(node), self.leader)?;
        provision.release(node)?;
        self.cluster.start(node)?;
        Ok(how)
    }
}

/// Those of the sampled nodes that follow and can be promoted, but for the leader.
fn candidates(samples: &[Option<TelemetryEvent>], leader: usize) -> Candidates {
    let one = |(node, sample): (usize, &Option<TelemetryEvent>)| {
        let sample = sample.as_ref().filter(|sample| sample.alive && node != leader)?;
        let follows = sample.shards.first().is_some_and(|r| r.role == Role::Follower);
        let received = sample.details.get("received").and_then(|at| at.as_u64());
        received.filter(|_| follows).map(|received| (received, node))
    };
    let mut found: Candidates = samples.iter().enumerate().filter_map(one).collect();
    found.sort_unstable();
    found
}

/// What another node found when it tried to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// A connection was made.
    Serves,
    /// The host refused it: nothing listens.
    HostOnly,
    /// Nothing came back.
    Silent,
}

impl Operator for Runbook {
    fn turn(&mut self, clock: &dyn Fn() -> i64, latest: &[Option<TelemetryEvent>]) -> Vec<Deed> {
        let mut diary = Diary::new(clock);
        match self.cluster.orders.take().filter(|node| *node != self.leader) {
            Some(node) => {
                let why = format!("{} is to be promoted: so it was told", self.name(node));
                self.fail_over(&mut diary, why, Some(node), latest);
            }
            None => self.watch(&mut diary, latest),
        }
        self.rejoin(&mut diary);
        let deeds = diary.deeds();
        let mut notes = self.cluster.notes.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        notes.extend(deeds.iter().map(Deed::to_string));
        deeds
    }
}
