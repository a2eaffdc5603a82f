//! The client: one request to one node, and what certainly did or did not happen.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::wire::{NodeStatus, TxnReply, TxnRequest};

/// What came of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The node answered.
    Answered(TxnReply),
    /// No connection was made: the request certainly reached nobody.
    NotSent(String),
    /// The request may have been received: nobody knows.
    Unknown(String),
}

/// Sends transactions over pooled connections.
///
/// hyper sends a request again by itself only when a pooled connection turned out to be closed
/// before any byte of the request was written, so no transaction is ever sent twice.
#[derive(Clone, Debug)]
pub struct StoreClient {
    http: reqwest::Client,
}

impl StoreClient {
    /// A client whose connections come from `source`, where that matters.
    pub fn new(source: Option<IpAddr>) -> StoreClient {
        let http = reqwest::Client::builder()
            .local_address(source)
            .tcp_nodelay(true)
            .no_proxy()
            .build()
            .expect("a client without TLS has nothing to fail on");
        StoreClient { http }
    }

    /// Sends `request` to the node at `address`; never takes longer than `deadline`.
    pub async fn txn(
        &self,
        address: SocketAddr,
        request: &TxnRequest,
        deadline: Duration,
    ) -> Outcome {
        let url = format!("http://{address}/txn");
        let sent = self.http.post(url).json(request).timeout(deadline).send().await;
        let response = match sent {
            Ok(response) => response,
            // A connection that timed out while being made has sent nothing either.
            Err(error) if error.is_connect() => return Outcome::NotSent(describe(&error)),
            Err(error) => return Outcome::Unknown(describe(&error)),
        };
        if !response.status().is_success() {
            return Outcome::Unknown(format!("the node answered {}", response.status()));
        }
        match response.json::<TxnReply>().await {
            Ok(reply) => Outcome::Answered(reply),
            Err(error) => Outcome::Unknown(describe(&error)),
        }
    }

    /// What the node at `address` says of itself.
    pub async fn status(
        &self,
        address: SocketAddr,
        deadline: Duration,
    ) -> Result<NodeStatus, String> {
        let url = format!("http://{address}/status");
        let sent = self.http.get(url).timeout(deadline).send().await;
        let response = sent.map_err(|error| describe(&error))?;
        response.json().await.map_err(|error| describe(&error))
    }
}

/// The last cause says what happened; the chain before it repeats the address.
fn describe(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut last: &dyn std::error::Error = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}
