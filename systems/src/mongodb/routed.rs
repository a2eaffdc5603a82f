//! The driver with a connection to the whole replica set: it chooses the member by its read
//! preference, and tells by command monitoring which one it asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use ::mongodb::bson::{Bson, Document, doc};
use ::mongodb::error::Error;
use ::mongodb::event::EventHandler;
use ::mongodb::event::command::CommandEvent;
use ::mongodb::options::{ReadPreference as DriverPreference, SelectionCriteria, ServerAddress};
use ::mongodb::{Client, ClientSession};

use super::connect::{Login, Peer, options};
use super::errors::describe;
use super::spec::{MongoSpec, ReadPreference};
use crate::client::Asked;

/// Commands that change what others see; an update of a transaction does so by its commit.
const CHANGING: [&str; 2] = ["update", "commitTransaction"];

/// A command of a session.
struct Sent {
    request: i32,
    node: Option<usize>,
    at: Instant,
    name: String,
    /// `None` as long as there is no answer.
    outcome: Option<String>,
}

/// What was sent for sessions since they were last asked for, by their `lsid`.
#[derive(Default)]
pub struct Log {
    sessions: Mutex<BTreeMap<Vec<u8>, Vec<Sent>>>,
}

impl Log {
    /// From now on what this session sends is noted, until it is taken.
    pub fn watch(&self, session: &ClientSession) -> Option<Vec<u8>> {
        let key = key(session.id())?;
        self.held().insert(key.clone(), Vec::new());
        Some(key)
    }

    /// What the session has sent, in order; and whether any of it may have changed anything.
    pub fn take(&self, key: &[u8]) -> (Vec<Asked>, bool) {
        let sent = self.held().remove(key).unwrap_or_default();
        let changing = sent.iter().any(|sent| CHANGING.contains(&sent.name.as_str()));
        (asked(sent, Instant::now()), changing)
    }

    fn hear(&self, peers: &[Peer], event: CommandEvent) {
        match event {
            CommandEvent::Started(event) => {
                let session = event.command.get_document("lsid").ok().and_then(key);
                let Some(session) = session else { return };
                if let Some(sent) = self.held().get_mut(&session) {
                    sent.push(Sent {
                        request: event.request_id,
                        node: member(peers, &event.connection.address),
                        at: Instant::now(),
                        name: event.command_name,
                        outcome: None,
                    });
                }
            }
            CommandEvent::Succeeded(event) => self.answered(event.request_id, "ok".to_owned()),
            CommandEvent::Failed(event) => {
                self.answered(event.request_id, describe(&event.failure));
            }
            _ => {}
        }
    }

    fn answered(&self, request: i32, outcome: String) {
        // Newest last: an answer is nearly always of a session's last request.
        let mut sessions = self.held();
        let sent = sessions.values_mut().filter_map(|sent| sent.last_mut());
        for sent in sent {
            if sent.request == request {
                sent.outcome = Some(outcome);
                return;
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, Vec<Sent>>> {
        self.sessions.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// A session as commands name it.
fn key(id: &Document) -> Option<Vec<u8>> {
    match id.get("id") {
        Some(Bson::Binary(binary)) => Some(binary.bytes.clone()),
        _ => None,
    }
}

fn member(peers: &[Peer], address: &ServerAddress) -> Option<usize> {
    let address = address.to_string();
    peers.iter().position(|peer| peer.known_as == address)
}

/// One entry for what the same member answered in a row.
fn asked(sent: Vec<Sent>, now: Instant) -> Vec<Asked> {
    let mut asked: Vec<Asked> = Vec::new();
    for sent in sent {
        let ago = now.saturating_duration_since(sent.at).as_nanos() as u64;
        let outcome = sent.outcome.unwrap_or_else(|| "no answer in time".to_owned());
        match asked.last_mut() {
            Some(last) if last.node == sent.node && last.outcome == "ok" => last.outcome = outcome,
            _ => asked.push(Asked { node: sent.node, ago, outcome }),
        }
    }
    asked
}

/// A client of the whole set that has found it, whose commands are noted in the log. Must be called
/// within a runtime, which the driver's tasks run on from then on.
pub async fn whole_set(
    peers: &[Peer],
    login: &Login,
    spec: &MongoSpec,
    log: &Arc<Log>,
) -> Result<Client, Error> {
    let hosts = peers.iter().map(|peer| ServerAddress::parse(&peer.known_as));
    let mut options = options(hosts.collect::<Result<_, _>>()?, login);
    options.direct_connection = Some(false);
    // The driver's own, 10 s: one that is shorter takes a member on a busy machine for gone.
    options.connect_timeout = None;
    options.retry_writes = Some(spec.retryable_writes);
    options.retry_reads = Some(spec.retryable_reads);
    let (log, peers) = (Arc::clone(log), peers.to_vec());
    options.command_event_handler =
        Some(EventHandler::callback(move |event| log.hear(&peers, event)));
    let client = Client::with_options(options)?;
    // Logged in once, sessions need not each work out the same hash at the same time.
    client.database("admin").run_command(doc! { "ping": 1 }).await?;
    Ok(client)
}

/// Where reads outside transactions go.
pub fn criteria(spec: &MongoSpec) -> SelectionCriteria {
    let options = None;
    SelectionCriteria::ReadPreference(match spec.read_preference {
        None | Some(ReadPreference::Primary) => DriverPreference::Primary,
        Some(ReadPreference::PrimaryPreferred) => DriverPreference::PrimaryPreferred { options },
        Some(ReadPreference::Secondary) => DriverPreference::Secondary { options },
        Some(ReadPreference::SecondaryPreferred) => {
            DriverPreference::SecondaryPreferred { options }
        }
        Some(ReadPreference::Nearest) => DriverPreference::Nearest { options },
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn sent(node: usize, outcome: Option<&str>, at: Instant) -> Sent {
        let outcome = outcome.map(str::to_owned);
        Sent { request: 0, node: Some(node), at, name: "find".to_owned(), outcome }
    }

    #[test]
    fn each_member_that_was_asked_is_told_once_in_a_row() {
        let at = Instant::now();
        let now = at + Duration::from_nanos(70);
        let told = asked(
            vec![
                sent(1, Some("ok"), at),
                sent(1, Some("ok"), at),
                sent(2, Some("broken"), at),
                sent(2, Some("ok"), at),
                sent(2, None, at),
            ],
            now,
        );
        let told: Vec<_> = told.iter().map(|a| (a.node, a.ago, a.outcome.as_str())).collect();
        let expected =
            [(Some(1), 70, "ok"), (Some(2), 70, "broken"), (Some(2), 70, "no answer in time")];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_member_is_known_by_its_name_in_the_set() {
        let peers: Vec<Peer> =
            [1, 2].map(|last| std::net::SocketAddr::from(([10, 0, 0, last], 27_017)).into()).into();
        let at = |text: &str| ServerAddress::parse(text).unwrap();
        assert_eq!(member(&peers, &at("10.0.0.2:27017")), Some(1));
        assert_eq!(member(&peers, &at("10.0.0.3:27017")), None);
    }
}
