//! From the leader's log to the followers'.

use history::Role;

use super::{Core, Record, ns};
use crate::config::Replication;
use crate::wire::{Entry, Message};

/// Entries in one message.
const BATCH: usize = 256;

impl Core {
    /// Sends every follower what it has not got, or that the leader lives.
    pub(super) fn ship(&mut self, place: usize) {
        let pause = match self.config.replication {
            Replication::Async => self.config.ship_ms.min(self.config.heartbeat_ms),
            Replication::Sync { .. } => self.config.heartbeat_ms,
        };
        self.replicas[place].due = self.now + ns(pause);
        for peer in self.peers() {
            self.send_entries(place, peer);
        }
    }

    pub(super) fn send_entries(&mut self, place: usize, to: usize) {
        let replica = &mut self.replicas[place];
        let next = replica.peers[to].next;
        let from = (next - 1) as usize;
        let until = replica.log.len().min(from + BATCH);
        let entries: Vec<Entry> = replica.log[from..until].to_vec();
        if !replica.peers[to].probing {
            // Taken as sent: the next message follows on it, and a gap comes back as a refusal.
            replica.peers[to].next = until as u64 + 1;
        }
        let message = Message::Append {
            term: replica.term,
            prev_index: next - 1,
            prev_term: replica.term_at(next - 1).unwrap_or(0),
            entries,
            commit: replica.commit,
            last: replica.last_index(),
        };
        self.send(place, to, message);
    }

    pub(super) fn on_append(
        &mut self,
        place: usize,
        from: usize,
        prev_index: u64,
        prev_term: u64,
        entries: Vec<Entry>,
        commit: u64,
    ) {
        let term = self.replicas[place].term;
        if self.replicas[place].role == Role::Leader {
            // Two leaders of one term cannot be; a message that says so is not believed.
            return;
        }
        if self.replicas[place].term_at(prev_index) != Some(prev_term) {
            let index = self.replicas[place].may_agree(prev_index);
            let answer = Message::Appended { term, ok: false, index, refused: prev_index };
            return self.send(place, from, answer);
        }
        let agreed = prev_index + entries.len() as u64;
        for entry in entries {
            match self.replicas[place].term_at(entry.index) {
                Some(term) if term == entry.term => continue,
                Some(_) => {
                    let shard = place as u32;
                    self.persist(Record::Cut { shard, from: entry.index });
                    self.replicas[place].cut(entry.index);
                }
                None => {}
            }
            self.append(place, entry);
        }
        let replica = &mut self.replicas[place];
        replica.commit_to(commit.min(agreed));
        if replica.role == Role::Deposed && replica.leader_last <= agreed {
            replica.role = Role::Follower;
        }
        self.send(place, from, Message::Appended { term, ok: true, index: agreed, refused: 0 });
    }

    /// An answer: up to `index` the logs agree; or, `refused`, they do not at that entry, and may
    /// at `index`.
    ///
    /// Many messages may be on their way when the first is refused, and each of them will be. Only
    /// the first refusal, and then the one of the question that was asked, moves anything:
    /// answering each with another message would multiply them until nothing else gets through.
    pub(super) fn on_appended(
        &mut self,
        place: usize,
        from: usize,
        refused: Option<u64>,
        index: u64,
    ) {
        let replica = &mut self.replicas[place];
        if replica.role != Role::Leader {
            return;
        }
        let last = replica.last_index();
        let peer = &mut replica.peers[from];
        if let Some(refused) = refused {
            let late = refused <= peer.matched || (peer.probing && refused + 1 != peer.next);
            if !late {
                peer.probing = true;
                // Never behind what is known to agree, and always a step back.
                peer.next = (index + 1).min(refused).max(peer.matched + 1);
                self.send_entries(place, from);
            }
            return;
        }
        peer.matched = peer.matched.max(index.min(last));
        let found = std::mem::take(&mut peer.probing);
        peer.next = if found { peer.matched + 1 } else { peer.next.max(peer.matched + 1) };
        let behind = peer.next <= last && peer.next == peer.matched + 1;
        self.advance_commit(place);
        if behind && self.config.replication != Replication::Async {
            self.send_entries(place, from);
        }
    }

    /// Commits what enough followers have. Only an entry of the own term commits those before it.
    fn advance_commit(&mut self, place: usize) {
        let Replication::Sync { k } = self.config.replication else {
            return;
        };
        let own = self.config.node;
        let replica = &mut self.replicas[place];
        let peers = replica.peers.iter().enumerate().filter(|(node, _)| *node != own);
        let mut matched: Vec<u64> = peers.map(|(_, peer)| peer.matched).collect();
        matched.sort_unstable_by(|a, b| b.cmp(a));
        let reached = match k {
            0 => replica.last_index(),
            _ => matched.get(k - 1).copied().unwrap_or(0),
        };
        if replica.commit < reached && replica.term_at(reached) == Some(replica.term) {
            replica.commit_to(reached);
        }
    }
}
