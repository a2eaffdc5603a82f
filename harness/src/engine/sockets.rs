//! Which connections between nodes wait for a retransmission, all through a run, by the kernels'
//! own words: `sockets.jsonl`. It is asked by the agents and steers nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use agent::proto::{Answer, Ask};
use agent::sockets::{Sockets, Waiting};
use history::sockets::{SOCKETS_FILE, SocketsEvent, WaitingSocket};
use systems::System;

use super::port::HostPort;
use crate::run_folder::RunFolder;

/// How long an agent may take; what it says later is of no moment that is known.
const LIMIT: Duration = Duration::from_secs(1);

/// See the module's doc. It ends with [`SocketWatch::end`].
pub struct SocketWatch {
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// What one thread asks, and where it writes.
struct Asker {
    system: Arc<dyn System>,
    node: usize,
    /// Whose addresses these are.
    peers: BTreeMap<IpAddr, String>,
    started: Instant,
    file: Arc<Mutex<File>>,
}

impl SocketWatch {
    /// Asks every node's agent, so often, on the clock that started then. Where the file cannot be
    /// made nothing is asked: what it would hold is not known then, and the run goes on.
    pub fn start(
        port: &HostPort,
        folder: &RunFolder,
        started: Instant,
        every: Duration,
    ) -> SocketWatch {
        let ended = Arc::new(AtomicBool::new(false));
        let Ok(file) = File::create_new(folder.file(SOCKETS_FILE)) else {
            return SocketWatch { ended, threads: Vec::new() };
        };
        let file = Arc::new(Mutex::new(file));
        let count = port.system.nodes().agents.len();
        let start = |node: usize| {
            let (system, file, ended) =
                (Arc::clone(&port.system), Arc::clone(&file), Arc::clone(&ended));
            let others = (0..count).filter(|other| *other != node);
            let named = others.flat_map(|other| {
                let name = port.system.nodes().names[other].clone();
                port.peers.dropped(node, other).into_iter().map(move |ip| (ip, name.clone()))
            });
            let asker = Asker { peers: named.collect(), system, node, started, file };
            thread::spawn(move || asker.run(&ended, every))
        };
        SocketWatch { threads: (0..count).map(start).collect(), ended }
    }

    /// Asks no more.
    pub fn end(self) {
        self.ended.store(true, Ordering::Relaxed);
        for thread in self.threads {
            // One that panicked has said so; what it wrote stands.
            let _ = thread.join();
        }
    }
}

impl Asker {
    fn run(&self, ended: &AtomicBool, every: Duration) {
        let mut last = None;
        while !ended.load(Ordering::Relaxed) {
            let begun = Instant::now();
            let event = self.ask();
            if last.as_ref().is_none_or(|last| !is_same(last, &event)) {
                self.write(&event);
                last = Some(event);
            }
            thread::sleep(every.saturating_sub(begun.elapsed()));
        }
    }

    fn ask(&self) -> SocketsEvent {
        let nodes = self.system.nodes();
        let sent = self.started.elapsed().as_nanos() as i64;
        let peers = self.peers.keys().copied().collect();
        let answer = match nodes.agents.get(self.node) {
            Some(agent) => agent.ask_text(Ask::Sockets { peers }, LIMIT),
            None => Err("there is no agent".to_owned()),
        };
        let received = self.started.elapsed().as_nanos() as i64;
        let (sockets, error) = match answer {
            Ok(Answer::Sockets { sockets }) => (sockets, None),
            Ok(other) => (Sockets::default(), Some(format!("unexpected answer {other:?}"))),
            Err(error) => (Sockets::default(), Some(error)),
        };
        let node = nodes.names[self.node].clone();
        let waiting = sockets.waiting.iter().filter_map(|waiting| self.named(waiting)).collect();
        SocketsEvent { sent, received, node, open: sockets.open, waiting, error }
    }

    fn named(&self, waiting: &Waiting) -> Option<WaitingSocket> {
        Some(WaitingSocket {
            peer: self.peers.get(&waiting.peer.ip())?.clone(),
            port: waiting.local.port(),
            peer_port: waiting.peer.port(),
            connecting: waiting.connecting,
            retransmits: waiting.retransmits,
            backoff: waiting.backoff,
            rto_us: waiting.rto_us,
            next_ms: waiting.next_ms,
        })
    }

    fn write(&self, event: &SocketsEvent) {
        let Ok(mut text) = serde_json::to_vec(event) else { return };
        text.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // A full disk is told by the history's own recorder.
        let _ = file.write_all(&text);
    }
}

/// Whether two moments of a node are of one state: the same connections wait for the same try.
fn is_same(one: &SocketsEvent, other: &SocketsEvent) -> bool {
    let state = |event: &SocketsEvent| -> Vec<(String, u16, u16, u32)> {
        let of = |w: &WaitingSocket| (w.peer.clone(), w.port, w.peer_port, w.retransmits);
        let mut state: Vec<_> = event.waiting.iter().map(of).collect();
        state.sort();
        state
    };
    one.error == other.error && state(one) == state(other)
}
