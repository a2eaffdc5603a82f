//! One task a peer: collects messages and posts them in batches. What cannot be delivered is
//! dropped; the core's timers make up for it.

use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::NodeConfig;
use crate::wire::Envelope;

/// Messages that may wait for a peer.
const QUEUE: usize = 1024;
/// Messages in one request.
const BATCH: usize = 64;
/// How long a request may take.
const TIMEOUT: Duration = Duration::from_millis(400);

/// Where messages to other nodes are left.
pub struct Peers {
    queues: Vec<Sender<Envelope>>,
}

impl Peers {
    /// Queues a message, or drops it when the peer's queue is full.
    pub fn send(&self, to: usize, envelope: Envelope) {
        drop(self.queues[to].try_send(envelope));
    }
}

/// Starts the tasks; needs a tokio runtime.
pub fn start(config: &NodeConfig) -> Peers {
    let queues = config.peers.iter().map(|address| {
        let (sender, receiver) = channel(QUEUE);
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(TIMEOUT)
            .local_address(config.listen.ip())
            .pool_max_idle_per_host(1)
            .tcp_nodelay(true)
            .build()
            .expect("a client without TLS has nothing to fail on");
        tokio::spawn(carry(client, format!("http://{address}/peer"), receiver));
        sender
    });
    Peers { queues: queues.collect() }
}

async fn carry(client: reqwest::Client, url: String, mut queue: Receiver<Envelope>) {
    let mut batch = Vec::with_capacity(BATCH);
    while 0 < queue.recv_many(&mut batch, BATCH).await {
        // The answer carries nothing; answers of the protocol are messages of their own.
        drop(client.post(&url).json(&batch).send().await);
        batch.clear();
    }
}
