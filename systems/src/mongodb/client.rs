//! The client: the official driver with a direct connection to each member, and one to the whole
//! set for sessions that leave it to the driver whom to ask ([`routed`]).
//!
//! Direct, so that a session can talk to a deposed leader and to a minority. What the driver keeps
//! for a session at one member (causal time) is carried to the next by us, as its documentation
//! says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ::mongodb::bson::Document;
use ::mongodb::error::Error;
use ::mongodb::options::{
    Acknowledgment, CollectionOptions, ReadConcern as DriverRead, SessionOptions,
    TransactionOptions, WriteConcern as DriverWrite,
};
use ::mongodb::{Client as Driver, Collection};
use history::{Key, MicroOp};
use serde_json::json;
use tokio::sync::OnceCell;

use super::connect::{CONNECT, Login, Peer, direct};
use super::documents::{self, Done};
use super::errors::{Stage, classify};
use super::routed::{self, Log};
use super::seat::{self, Clock, Hello, Seat};
use super::spec::{MongoSpec, ReadConcern, WriteConcern};
use crate::client::{Capabilities, Client, Model, ReplyFuture, StepReply, StepRequest};

/// The database that holds what a run writes, where splitbrain built the replica set.
pub const DATABASE: &str = "splitbrain";
/// How long a follower may take to apply a token before another node is asked.
const TOKEN_WAIT: Duration = Duration::from_millis(100);
/// How long a member that refused may take to say who leads.
const HINT_WAIT: Duration = Duration::from_millis(100);

/// See the module's doc.
pub struct MongoClient {
    peers: Vec<Peer>,
    login: Login,
    /// What is written lives there.
    database: String,
    spec: MongoSpec,
    model: Model,
    /// Made in the runtime that first asks: one a member, and at the end that to the whole set.
    drivers: Vec<OnceCell<Driver>>,
    /// What that last one sent.
    log: Arc<Log>,
    /// By session and driver.
    seats: Mutex<BTreeMap<(usize, usize), Seat>>,
    /// Sessions' causal clocks.
    clocks: Mutex<BTreeMap<usize, Clock>>,
    /// The newest time that any session has heard of: tokens need a signed one.
    newest: Mutex<Clock>,
}

/// One request at one member.
struct Turn<'a> {
    /// The member's number, or that of the whole set.
    place: usize,
    driver: &'a Driver,
    seat: Seat,
    request: &'a StepRequest,
    stage: &'a Mutex<Stage>,
    /// How long a read may wait for its moment.
    limit: Option<Duration>,
}

/// How far a request has got, for who gives it up.
struct Course {
    stage: Mutex<Stage>,
    /// The session in the log, if the driver chooses whom to ask.
    watched: Mutex<Option<Vec<u8>>>,
}

/// What ends a request early.
enum Ended {
    By(StepReply),
    Error(Error),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Ended {
        Ended::Error(error)
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl MongoClient {
    /// Of these members, writing to one database.
    pub fn new(
        peers: Vec<Peer>,
        login: Login,
        database: &str,
        spec: MongoSpec,
        model: Model,
    ) -> MongoClient {
        let drivers = (0..=peers.len()).map(|_| OnceCell::new()).collect();
        let (seats, clocks, newest) = (Mutex::default(), Mutex::default(), Mutex::default());
        let (database, log) = (database.to_owned(), Arc::default());
        MongoClient { peers, login, database, spec, model, drivers, log, seats, clocks, newest }
    }

    /// That of a member, or, after the last, that of the whole set.
    async fn driver(&self, place: usize) -> Result<&Driver, Error> {
        let make = || async {
            match self.peers.get(place) {
                Some(member) => direct(member, &self.login, self.spec.retryable_writes),
                None => routed::whole_set(&self.peers, &self.login, &self.spec, &self.log).await,
            }
        };
        self.drivers[place].get_or_try_init(make).await
    }

    fn collection(&self, turn: &Turn<'_>) -> Collection<Document> {
        let StepRequest { leader, routed, .. } = *turn.request;
        let mut options = CollectionOptions::builder()
            .read_concern(self.read_concern(leader || routed))
            .write_concern(self.write_concern())
            .build();
        // A transaction is the primary's alone, and the driver refuses it any other preference.
        if routed && !self.in_transaction(turn.request) {
            options.selection_criteria = Some(routed::criteria(&self.spec));
        }
        let name = documents::collection(self.model);
        turn.driver.database(&self.database).collection_with_options(name, options)
    }

    fn in_transaction(&self, request: &StepRequest) -> bool {
        self.spec.transactions && 1 < request.mops.len()
    }

    fn read_concern(&self, leader: bool) -> DriverRead {
        match self.spec.read_concern {
            ReadConcern::Local => DriverRead::local(),
            ReadConcern::Available => DriverRead::available(),
            // Only a leader can read linearizably; the nearest that a follower can do.
            ReadConcern::Linearizable if !leader => DriverRead::majority(),
            ReadConcern::Linearizable => DriverRead::linearizable(),
            // Single reads outside a transaction.
            ReadConcern::Majority | ReadConcern::Snapshot => DriverRead::majority(),
        }
    }

    fn write_concern(&self) -> DriverWrite {
        let w = match self.spec.write_concern {
            WriteConcern::Nodes(count) => Acknowledgment::Nodes(count),
            WriteConcern::Majority => Acknowledgment::Majority,
        };
        let timeout = Some(self.spec.wtimeout_ms).filter(|ms| 0 < *ms).map(Duration::from_millis);
        let mut concern = DriverWrite::builder().w(w).w_timeout(timeout).build();
        concern.journal = self.spec.journal.then_some(true);
        concern
    }

    fn transaction(&self) -> TransactionOptions {
        let read = match self.spec.read_concern {
            ReadConcern::Snapshot => DriverRead::snapshot(),
            _ => self.read_concern(true),
        };
        TransactionOptions::builder().read_concern(read).write_concern(self.write_concern()).build()
    }

    async fn run(
        &self,
        place: usize,
        request: &StepRequest,
        course: &Course,
        deadline: Duration,
    ) -> StepReply {
        if self.login.refusals.held(place) {
            // As long as a member that does not answer, so that nobody turns in a tight loop.
            tokio::time::sleep(CONNECT).await;
            let reason = "it refused the log-in, and is left alone for a while".to_owned();
            return StepReply::NotSent { reason };
        }
        let opened = async {
            let driver = self.driver(place).await?;
            let taken = held(&self.seats).remove(&(request.session, place));
            let causal = self.spec.causal || request.wants_token || request.token.is_some();
            let seat = match taken {
                Some(seat) => seat,
                None => Seat::open(driver, causal).await?,
            };
            Ok::<_, Error>((driver, seat))
        };
        let (driver, mut seat) = match opened.await {
            Ok(opened) => opened,
            Err(error) => return self.judged(place, &error, Stage::Reading),
        };
        self.set_clock(request, &mut seat);
        if request.routed {
            *held(&course.watched) = self.log.watch(&seat.session);
        }
        let limit = match request.token {
            Some(_) => Some(TOKEN_WAIT),
            // Half, so that another node can be asked: which the driver does not do.
            None => (self.spec.causal && !request.routed).then_some(deadline / 2),
        };
        let stage = &course.stage;
        let mut turn = Turn { place, driver, seat, request, stage, limit };
        let mut reply = self.serve(&mut turn).await;
        held(&self.newest).learn(&turn.seat.session);
        if self.spec.causal {
            let mut clocks = held(&self.clocks);
            clocks.entry(request.session).or_default().learn(&turn.seat.session);
        }
        if let StepReply::Refused { leader, .. } = &mut reply
            && !request.routed
        {
            turn.seat.election = None;
            *leader = self.leader_by(driver).await;
        }
        // A driver's session with an open transaction is dropped, which aborts it.
        let open = self.in_transaction(request);
        let fit = !open && !matches!(reply, StepReply::Unknown { .. });
        if fit || matches!(reply, StepReply::Ok { .. }) {
            held(&self.seats).insert((request.session, place), turn.seat);
        }
        reply
    }

    fn set_clock(&self, request: &StepRequest, seat: &mut Seat) {
        if let Some(token) = request.token {
            let mut clock = held(&self.newest).clone();
            clock.operation = (0 < token).then(|| seat::time(token));
            clock.set(&mut seat.session);
        }
        if let Some(clock) = held(&self.clocks).get(&request.session) {
            clock.set(&mut seat.session);
        }
    }

    /// What an error of a member means. One that refused the log-in is left alone for a while.
    fn judged(&self, place: usize, error: &Error, stage: Stage) -> StepReply {
        self.login.heed(place, error);
        classify(error, stage)
    }

    /// Whom the member names as leader.
    async fn leader_by(&self, driver: &Driver) -> Option<usize> {
        let said = tokio::time::timeout(HINT_WAIT, seat::hello(driver)).await.ok()?;
        let Hello { primary, .. } = said.ok()?;
        let primary = primary?;
        self.peers.iter().position(|peer| peer.known_as == primary)
    }

    async fn serve(&self, turn: &mut Turn<'_>) -> StepReply {
        let mops = match self.leading(turn).await {
            Ok(mops) => mops,
            Err(Ended::By(reply)) => return reply,
            Err(Ended::Error(error)) => {
                return self.judged(turn.place, &error, *held(turn.stage));
            }
        };
        self.login.refusals.welcomed(turn.place);
        let time = turn.seat.session.operation_time();
        let wrote = mops.iter().any(|mop| !mop.is_read());
        let shown = turn.request.wants_token || wrote;
        let position = time.filter(|_| shown).map(|time| json!(seat::text(time)));
        let token = time.filter(|_| turn.request.wants_token).map(seat::number);
        StepReply::Ok { mops, position, token }
    }

    /// A read from the leader is one from a member that led before and after it: the driver lets a
    /// direct connection read from any member. Writes are refused by followers themselves.
    async fn leading(&self, turn: &mut Turn<'_>) -> Result<Vec<MicroOp>, Ended> {
        let reads_only = turn.request.mops.iter().all(MicroOp::is_read);
        let enforced = self.spec.read_concern == ReadConcern::Linearizable;
        let checked = turn.request.leader && reads_only && !enforced;
        // With retries the driver would hide how often a follower was asked to write.
        let asked = checked || (turn.request.leader && self.spec.retryable_writes);
        if asked && turn.seat.election.is_none() {
            turn.seat.ask_leads(turn.driver).await?;
            if turn.seat.election.is_none() {
                return Err(not_leader("the node is a secondary"));
            }
        }
        let moment = !turn.request.leader && !turn.request.routed;
        let mops = match (self.in_transaction(turn.request), reads_only) {
            (true, true) if moment => self.at_one_moment(turn).await?,
            (true, _) => self.transact(turn).await?,
            (false, _) => self.one_by_one(turn).await?,
        };
        if checked {
            let before = turn.seat.election;
            set(turn.stage, Stage::Reading);
            turn.seat.ask_leads(turn.driver).await?;
            if turn.seat.election != before {
                return Err(not_leader("the node stepped down while it was read"));
            }
        }
        Ok(mops)
    }

    /// Every micro-operation by itself. Once a write has happened the whole can no longer fail.
    async fn one_by_one(&self, turn: &mut Turn<'_>) -> Result<Vec<MicroOp>, Ended> {
        let collection = self.collection(turn);
        let mut mops = Vec::with_capacity(turn.request.mops.len());
        let mut wrote = false;
        for mop in &turn.request.mops {
            let reads = mop.is_read();
            if !reads {
                set(turn.stage, self.writing());
            }
            let session = &mut turn.seat.session;
            let limit = turn.limit.filter(|_| reads);
            let reply = match documents::execute(&collection, session, mop, limit).await {
                Ok(Done::Mop(mop)) => {
                    wrote |= !reads;
                    mops.push(mop);
                    continue;
                }
                Ok(Done::NotEqual) => not_equal(),
                Err(error) if reads => self.judged(turn.place, &error, Stage::Reading),
                Err(error) => self.judged(turn.place, &error, self.writing()),
            };
            return Err(Ended::By(if wrote { in_part(reply) } else { reply }));
        }
        Ok(mops)
    }

    fn writing(&self) -> Stage {
        if self.spec.retryable_writes { Stage::WritingAgain } else { Stage::Writing }
    }

    /// A multi-document transaction.
    async fn transact(&self, turn: &mut Turn<'_>) -> Result<Vec<MicroOp>, Ended> {
        let collection = self.collection(turn);
        let session = &mut turn.seat.session;
        set(turn.stage, Stage::Open);
        session.start_transaction().with_options(self.transaction()).await?;
        let mut mops = Vec::with_capacity(turn.request.mops.len());
        for mop in &turn.request.mops {
            match documents::execute(&collection, session, mop, None).await? {
                Done::Mop(mop) => mops.push(mop),
                Done::NotEqual => return Err(Ended::By(not_equal())),
            }
        }
        if !turn.request.mops.iter().all(MicroOp::is_read) {
            set(turn.stage, Stage::Committing);
        }
        session.commit_transaction().await?;
        Ok(mops)
    }

    /// Several reads of one moment at a follower, where transactions do not run: a snapshot
    /// session. Which moment is the follower's choice, the newest that it knows to be on a
    /// majority; a session that has one of its own first waits until that is.
    async fn at_one_moment(&self, turn: &mut Turn<'_>) -> Result<Vec<MicroOp>, Ended> {
        let name = documents::collection(self.model);
        let database = turn.driver.database(&self.database);
        if let (Some(_), Some(first)) = (turn.limit, turn.request.mops.first()) {
            let majority =
                CollectionOptions::builder().read_concern(DriverRead::majority()).build();
            let settled = database.collection_with_options(name, majority);
            documents::execute(&settled, &mut turn.seat.session, first, turn.limit).await?;
        }
        let options = SessionOptions::builder().snapshot(true).build();
        let mut session = turn.driver.start_session().with_options(options).await?;
        if let Some(cluster) = turn.seat.session.cluster_time() {
            session.advance_cluster_time(cluster);
        }
        // Its read concern is the session's.
        let collection = database.collection(name);
        let mut mops = Vec::with_capacity(turn.request.mops.len());
        for mop in &turn.request.mops {
            let done = documents::execute(&collection, &mut session, mop, turn.limit).await?;
            if let Done::Mop(mop) = done {
                mops.push(mop);
            }
        }
        if let Some(shown) = session.snapshot_time() {
            turn.seat.session.advance_operation_time(shown);
        }
        if let Some(cluster) = session.cluster_time() {
            turn.seat.session.advance_cluster_time(cluster);
        }
        Ok(mops)
    }
}

fn not_leader(why: &str) -> Ended {
    Ended::By(StepReply::Refused { reason: why.to_owned(), leader: None })
}

fn not_equal() -> StepReply {
    StepReply::Aborted { reason: "the register holds another value".to_owned() }
}

/// What a refusal means once an earlier part of the operation has happened.
fn in_part(reply: StepReply) -> StepReply {
    match reply {
        StepReply::Refused { reason, .. }
        | StepReply::Aborted { reason }
        | StepReply::Behind { reason }
        | StepReply::NotSent { reason } => {
            StepReply::unknown(format!("an earlier part has happened; then: {reason}"))
        }
        reply => reply,
    }
}

fn set(stage: &Mutex<Stage>, to: Stage) {
    *held(stage) = to;
}

/// What is known of a request without an answer in time.
fn late(stage: Stage) -> StepReply {
    let reason = match stage {
        Stage::Reading => "no answer in time; no write was sent",
        Stage::Open => "no answer in time; no commit was sent",
        Stage::Writing | Stage::WritingAgain | Stage::Committing => {
            return StepReply::unknown("no answer in time");
        }
    };
    StepReply::NotSent { reason: reason.to_owned() }
}

/// What a client of such a replica set can express.
pub fn capabilities(spec: &MongoSpec) -> Capabilities {
    let (atomic, reads) = spec.atomicity();
    Capabilities { micro_ops: &documents::MICRO_OPS, atomic, reads }
}

impl Client for MongoClient {
    fn capabilities(&self) -> Capabilities {
        capabilities(&self.spec)
    }

    fn apply(&self, node: usize, request: StepRequest, deadline: Duration) -> ReplyFuture<'_> {
        Box::pin(async move {
            let course = Course { stage: Mutex::new(Stage::Reading), watched: Mutex::default() };
            let place = if request.routed { self.peers.len() } else { node };
            let run = self.run(place, &request, &course, deadline);
            // If it is late the request is dropped and its connection closed: nothing is cancelled.
            let reply = tokio::time::timeout(deadline, run).await;
            let stage = *held(&course.stage);
            if !request.routed {
                return reply.unwrap_or_else(|_| late(stage));
            }
            let watched = held(&course.watched).take();
            let (asked, changing) = watched.map(|key| self.log.take(&key)).unwrap_or_default();
            // The driver may have looked for a member all the time.
            let reply =
                reply.unwrap_or_else(|_| late(if changing { stage } else { Stage::Reading }));
            StepReply::Routed { asked, reply: Box::new(reply) }
        })
    }

    fn shard_of(&self) -> fn(&Key, u32) -> u32 {
        |_, _| 0
    }
}
