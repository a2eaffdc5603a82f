//! A session of ours at a member: the driver's session there, and what is known of the member.

use ::mongodb::bson::oid::ObjectId;
use ::mongodb::bson::{Bson, Document, Timestamp, doc};
use ::mongodb::error::Error;
use ::mongodb::options::SessionOptions;
use ::mongodb::{Client, ClientSession, ClusterTime};

/// See the module's doc.
pub struct Seat {
    /// The driver's session. Sessions of several members know nothing of each other.
    pub session: ClientSession,
    /// The election that made the member leader, if it was one when it was last asked.
    pub election: Option<ObjectId>,
}

/// What a member says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// The election that made it leader, if it believes to be.
    pub election: Option<ObjectId>,
    /// Whom it believes to be leader: a member's address.
    pub primary: Option<String>,
}

/// A session's causal clock, carried from member to member.
#[derive(Clone, Default)]
pub struct Clock {
    /// The newest time of the replica set that was heard of, signed by it.
    pub cluster: Option<ClusterTime>,
    /// The newest operation that the session has done or seen.
    pub operation: Option<Timestamp>,
}

impl Seat {
    /// A new one.
    pub async fn open(client: &Client, causal: bool) -> Result<Seat, Error> {
        let options = SessionOptions::builder().causal_consistency(causal).build();
        let session = client.start_session().with_options(options).await?;
        Ok(Seat { session, election: None })
    }

    /// Asks the member whether it leads.
    pub async fn ask_leads(&mut self, client: &Client) -> Result<Hello, Error> {
        let hello = hello(client).await?;
        self.election = hello.election;
        Ok(hello)
    }
}

impl Clock {
    /// Makes the driver's session as old as the clock.
    pub fn set(&self, session: &mut ClientSession) {
        if let Some(cluster) = &self.cluster {
            session.advance_cluster_time(cluster);
        }
        if let Some(operation) = self.operation {
            session.advance_operation_time(operation);
        }
    }

    /// Learns what the driver's session has learned.
    pub fn learn(&mut self, session: &ClientSession) {
        if let Some(cluster) = session.cluster_time()
            && self.cluster.as_ref().is_none_or(|known| known < cluster)
        {
            self.cluster = Some(cluster.clone());
        }
        self.operation = self.operation.max(session.operation_time());
    }
}

/// Asks a member who it is.
pub async fn hello(client: &Client) -> Result<Hello, Error> {
    let said = client.database("admin").run_command(doc! { "hello": 1 }).await?;
    Ok(read_hello(&said))
}

fn read_hello(said: &Document) -> Hello {
    let leads = said.get_bool("isWritablePrimary").unwrap_or(false);
    let election = match said.get("electionId") {
        Some(Bson::ObjectId(election)) if leads => Some(*election),
        _ => None,
    };
    Hello { election, primary: said.get_str("primary").ok().map(str::to_owned) }
}

/// An operation's time as a number that grows.
pub fn number(time: Timestamp) -> u64 {
    u64::from(time.time) << 32 | u64::from(time.increment)
}

/// The time that such a number stands for.
pub fn time(number: u64) -> Timestamp {
    Timestamp { time: (number >> 32) as u32, increment: number as u32 }
}

/// An operation's time as MongoDB writes it.
pub fn text(time: Timestamp) -> String {
    format!("{}:{}", time.time, time.increment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_numbers_in_their_order() {
        let times = [(1, 9), (2, 1), (2, u32::MAX), (3, 0)];
        let times = times.map(|(time, increment)| Timestamp { time, increment });
        assert!(times.windows(2).all(|pair| number(pair[0]) < number(pair[1])));
        assert!(times.iter().all(|at| time(number(*at)) == *at));
    }

    #[test]
    fn an_election_counts_only_while_it_leads() {
        let id = ObjectId::new();
        let said = doc! { "isWritablePrimary": true, "electionId": id, "primary": "10.0.0.1:1" };
        let leader = read_hello(&said);
        assert_eq!((leader.election, leader.primary.as_deref()), (Some(id), Some("10.0.0.1:1")));
        let said = doc! { "isWritablePrimary": false, "electionId": id };
        assert_eq!(read_hello(&said), Hello::default());
    }
}
