//! The client: sessions with a connection to each node that they have talked to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures_util::future::try_join3;
use history::{Key, MicroOp};
use tokio_postgres::Error;

use super::connection::{Connection, Login, Refused};
use super::errors::{Stage, classify, describe};
use super::lsn;
use super::spec::Isolation;
use super::sql::{self, Done};
use crate::client::{Capabilities, Client, Model, ReplyFuture, StepReply, StepRequest};

/// How long a follower may take to apply a token before another node is asked.
const TOKEN_WAIT: Duration = Duration::from_millis(100);
/// Pause between two looks at a follower's position.
const TOKEN_PAUSE: Duration = Duration::from_millis(2);
/// See the module's doc.
pub struct PostgresClient {
    addresses: Vec<SocketAddr>,
    login: Login,
    isolation: Isolation,
    model: Model,
    idle: Mutex<BTreeMap<(usize, usize), Connection>>,
}

impl PostgresClient {
    /// Of the servers at these addresses.
    pub fn new(
        addresses: Vec<SocketAddr>,
        login: Login,
        isolation: Isolation,
        model: Model,
    ) -> PostgresClient {
        PostgresClient { addresses, login, isolation, model, idle: Mutex::default() }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, BTreeMap<(usize, usize), Connection>> {
        self.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    async fn run(&self, node: usize, request: &StepRequest, stage: &Mutex<Stage>) -> StepReply {
        let place = (request.session, node);
        let taken = self.idle().remove(&place);
        let connection = match taken.filter(|connection| !connection.client.is_closed()) {
            Some(connection) => Ok(connection),
            None => Connection::open(self.addresses[node], &self.login).await,
        };
        let mut connection = match connection {
            Ok(connection) => connection,
            Err(Refused::Error(error)) => return classify(&error, Stage::Connecting),
            Err(Refused::Silent) => {
                return StepReply::NotSent { reason: "no connection in time".to_owned() };
            }
        };
        let reply = self.serve(&mut connection, request, stage).await;
        // After a refusal by the server the connection is as good as before, once what was open is
        // rolled back.
        let failed = !matches!(reply, StepReply::Ok { .. });
        let open = failed && 1 < request.mops.len();
        let closed = connection.client.is_closed() || matches!(reply, StepReply::Unknown { .. });
        if !closed && (!open || connection.client.batch_execute("ROLLBACK").await.is_ok()) {
            self.idle().insert(place, connection);
        }
        reply
    }

    async fn serve(
        &self,
        connection: &mut Connection,
        request: &StepRequest,
        stage: &Mutex<Stage>,
    ) -> StepReply {
        if request.leader && !connection.leads {
            match connection.ask_leads().await {
                Err(error) => return classify(&error, Stage::Connecting),
                Ok(()) if !connection.leads => {
                    let reason = "the node is a standby".to_owned();
                    return StepReply::Refused { reason, leader: None };
                }
                Ok(()) => {}
            }
        }
        connection.take_notices();
        let reads_only = request.mops.iter().all(MicroOp::is_read);
        let done = match (reads_only, request.token.or(request.wants_token.then_some(0))) {
            (true, Some(token)) => self.read_at(connection, request, token).await,
            _ => self.transact(connection, request, stage).await,
        };
        let reply = match done {
            Ok(reply) => reply,
            Err(error) => classify(&error, at(stage)),
        };
        unless_cut_short(reply, connection).await
    }

    /// Statements of a transaction one after the other, as applications send them.
    async fn transact(
        &self,
        connection: &Connection,
        request: &StepRequest,
        stage: &Mutex<Stage>,
    ) -> Result<StepReply, Error> {
        let client = &connection.client;
        let mut mops = Vec::with_capacity(request.mops.len());
        if let [mop] = &request.mops[..] {
            set(stage, Stage::Committing);
            match sql::execute(client, mop, self.model).await? {
                Done::Mop(mop) => mops.push(mop),
                Done::NotEqual => return Ok(not_equal()),
            }
        } else {
            set(stage, Stage::Open);
            client.batch_execute("BEGIN").await?;
            for mop in &request.mops {
                match sql::execute(client, mop, self.model).await? {
                    Done::Mop(mop) => mops.push(mop),
                    Done::NotEqual => return Ok(not_equal()),
                }
            }
            set(stage, Stage::Committing);
            client.batch_execute("COMMIT").await?;
        }
        let mut reply = StepReply::Ok { mops, position: None, token: None };
        // What was done is done: a position that cannot be had changes nothing of that.
        if request.wants_token
            && let StepReply::Ok { position, token, .. } = &mut reply
            && let Ok(found) = position_of(connection).await
        {
            *position = Some(written(found));
            *token = Some(found);
        }
        Ok(reply)
    }

    /// Reads from a state that holds `token`, and learns a position that holds all that was read:
    /// the position is asked for before and after, in one round trip with the reads.
    async fn read_at(
        &self,
        connection: &Connection,
        request: &StepRequest,
        least: u64,
    ) -> Result<StepReply, Error> {
        let until = Instant::now() + TOKEN_WAIT;
        loop {
            let (before, mops, after) = match &request.mops[..] {
                // One statement: all three are sent at once and carried out in this order.
                [mop] => {
                    try_join3(
                        position_of(connection),
                        async { Ok(vec![self.read(connection, mop).await?]) },
                        position_of(connection),
                    )
                    .await?
                }
                mops => {
                    let before = position_of(connection).await?;
                    let mops = self.reads(connection, mops).await?;
                    (before, mops, position_of(connection).await?)
                }
            };
            if least <= before {
                let position = Some(written(after));
                return Ok(StepReply::Ok { mops, position, token: Some(after) });
            }
            if until <= Instant::now() {
                let reason = format!("the follower is {} bytes behind the token", least - before);
                return Ok(StepReply::Behind { reason });
            }
            tokio::time::sleep(TOKEN_PAUSE).await;
        }
    }

    async fn read(&self, connection: &Connection, mop: &MicroOp) -> Result<MicroOp, Error> {
        match sql::execute(&connection.client, mop, self.model).await? {
            Done::Mop(mop) => Ok(mop),
            Done::NotEqual => Ok(mop.clone()),
        }
    }

    async fn reads(
        &self,
        connection: &Connection,
        mops: &[MicroOp],
    ) -> Result<Vec<MicroOp>, Error> {
        connection.client.batch_execute("BEGIN").await?;
        let mut read = Vec::with_capacity(mops.len());
        for mop in mops {
            read.push(self.read(connection, mop).await?);
        }
        connection.client.batch_execute("COMMIT").await?;
        Ok(read)
    }
}

async fn position_of(connection: &Connection) -> Result<u64, Error> {
    lsn::position(&connection.client).await
}

/// What a client whose transactions have this isolation can express.
pub fn capabilities(isolation: Isolation) -> Capabilities {
    Capabilities { micro_ops: &sql::MICRO_OPS, atomic: "everything", reads: isolation.reads() }
}

fn written(position: u64) -> serde_json::Value {
    lsn::text(position).into()
}

fn not_equal() -> StepReply {
    StepReply::Aborted { reason: "the register holds another value".to_owned() }
}

/// A commit that says success with a warning that its wait for standbys was cut short is on this
/// node alone, for all that anyone knows.
async fn unless_cut_short(reply: StepReply, connection: &Connection) -> StepReply {
    let cut = connection.take_notices().into_iter().find(|notice| {
        notice.contains("wait for synchronous replication")
            || notice.contains("might not have been replicated")
    });
    match (reply, cut) {
        (StepReply::Ok { .. }, Some(warning)) => {
            let position = position_of(connection).await.ok().map(written);
            StepReply::Unknown { reason: warning, position }
        }
        (reply, _) => reply,
    }
}

fn set(stage: &Mutex<Stage>, to: Stage) {
    *stage.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = to;
}

fn at(stage: &Mutex<Stage>) -> Stage {
    *stage.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Client for PostgresClient {
    fn capabilities(&self) -> Capabilities {
        capabilities(self.isolation)
    }

    fn apply(&self, node: usize, request: StepRequest, deadline: Duration) -> ReplyFuture<'_> {
        Box::pin(async move {
            let stage = Mutex::new(Stage::Connecting);
            let run = self.run(node, &request, &stage);
            match tokio::time::timeout(deadline, run).await {
                Ok(reply) => reply,
                // The connection was dropped with the request: nothing is cancelled, all is open.
                Err(_) => match at(&stage) {
                    Stage::Connecting | Stage::Open => {
                        StepReply::NotSent { reason: "no answer in time, no COMMIT sent".into() }
                    }
                    Stage::Committing => StepReply::unknown("no answer in time"),
                },
            }
        })
    }

    fn shard_of(&self) -> fn(&Key, u32) -> u32 {
        |_, _| 0
    }
}

/// One statement on a connection of its own, for those who are not sessions.
pub async fn once(address: SocketAddr, login: &Login, sql: &str) -> Result<(), String> {
    let connection = Connection::open(address, login).await.map_err(|refused| match refused {
        Refused::Error(error) => describe(&error),
        Refused::Silent => "no connection in time".to_owned(),
    })?;
    connection.client.batch_execute(sql).await.map_err(|error| describe(&error))
}
