//! Clients' transactions: refused, answered at once, or waiting for followers.

use std::collections::BTreeMap;

use history::{MicroOp, Role};

use super::{Core, Output, ns};
use crate::config::Replication;
use crate::wire::{Entry, TxnReply, TxnRequest, shard_of};

/// A transaction that is in the leader's log and waits for followers.
pub(super) struct Waiting {
    id: u64,
    shard: u32,
    index: u64,
    term: u64,
    /// When its outcome is called unknown, ns.
    pub deadline: u64,
    reply: TxnReply,
}

impl Core {
    pub(super) fn on_request(&mut self, id: u64, txn: TxnRequest) {
        match self.admit(&txn) {
            Err(reply) => self.emit(Output::Reply { id, reply }),
            Ok(None) => {
                let reply = self.read_only(&txn);
                self.emit(Output::Reply { id, reply });
            }
            Ok(Some(shard)) => self.write(id, shard, txn),
        }
    }

    /// The shard written to, if any; or the refusal.
    fn admit(&self, txn: &TxnRequest) -> Result<Option<u32>, TxnReply> {
        let shards = self.config.shards;
        let mut written: Option<u32> = None;
        for mop in &txn.ops {
            let shard = shard_of(mop.key(), shards);
            let replica = &self.replicas[shard as usize];
            if (txn.leader || !mop.is_read()) && replica.role != Role::Leader {
                let leader = replica.leader.map(|node| self.config.names[node].clone());
                return Err(TxnReply::Refused { reason: "not-leader".to_owned(), leader });
            }
            let fresh = replica.term_at(replica.commit) != Some(replica.term);
            if txn.leader && self.config.committed_reads && mop.is_read() && fresh {
                // It does not know yet how far its predecessor had committed (Raft, section 8).
                return Err(refused("no entry of the leader's own term is committed yet"));
            }
            if mop.is_read() {
                continue;
            }
            if written.is_some_and(|other| other != shard) {
                return Err(refused("a transaction may write to one shard only"));
            }
            written = Some(shard);
            replica.tip.accepts(mop).map_err(refused)?;
        }
        Ok(written)
    }

    fn read_only(&self, txn: &TxnRequest) -> TxnReply {
        let mut position = BTreeMap::new();
        let ops = txn.ops.iter().map(|mop| {
            let shard = shard_of(mop.key(), self.config.shards);
            let replica = &self.replicas[shard as usize];
            let committed = self.config.committed_reads;
            let (table, upto) = match committed {
                true => (&replica.committed, replica.committed_upto),
                false => (&replica.tip, replica.last_index()),
            };
            position.insert(shard, upto);
            MicroOp::Read { key: mop.key().clone(), value: table.read(mop.key()) }
        });
        let ops = ops.collect();
        TxnReply::Ok { ops, position: position.into_iter().collect() }
    }

    fn write(&mut self, id: u64, shard: u32, txn: TxnRequest) {
        let place = shard as usize;
        let (index, term) = (self.replicas[place].last_index() + 1, self.replicas[place].term);
        // What this transaction has written so far, for its own reads; the log gets it once, below.
        let mut own = super::Table::default();
        let mut ops = Vec::with_capacity(txn.ops.len());
        for mop in &txn.ops {
            let of = shard_of(mop.key(), self.config.shards) as usize;
            ops.push(match mop {
                MicroOp::Read { key, .. } => {
                    let value = own.read(key).or_else(|| self.replicas[of].tip.read(key));
                    MicroOp::Read { key: key.clone(), value }
                }
                write => {
                    own.apply_over(&self.replicas[of].tip, write);
                    write.clone()
                }
            });
        }
        let writes = ops.iter().filter(|mop| !mop.is_read()).cloned().collect();
        self.append(place, Entry { index, term, ops: writes });
        let reply = TxnReply::Ok { ops, position: vec![(shard, index)] };
        match self.config.replication {
            Replication::Async => self.emit(Output::Reply { id, reply }),
            Replication::Sync { .. } => {
                let deadline = self.now + ns(self.config.wait_ms);
                self.waiting.push(Waiting { id, shard, index, term, deadline, reply });
                for peer in self.peers() {
                    // What is new would only be refused where the old is not known to agree.
                    if !self.replicas[place].peers[peer].probing {
                        self.send_entries(place, peer);
                    }
                }
            }
        }
    }

    /// Answers those that enough followers have, and those that have waited too long.
    pub(super) fn answer_waiting(&mut self) {
        let mut place = 0;
        while place < self.waiting.len() {
            let waiting = &self.waiting[place];
            let replica = &self.replicas[waiting.shard as usize];
            let committed = waiting.index <= replica.commit
                && replica.term_at(waiting.index) == Some(waiting.term);
            if committed {
                let done = self.waiting.remove(place);
                self.emit(Output::Reply { id: done.id, reply: done.reply });
            } else if waiting.deadline <= self.now {
                let done = self.waiting.remove(place);
                let reason = "not enough followers confirmed in time".to_owned();
                self.emit(Output::Reply { id: done.id, reply: TxnReply::Unknown { reason } });
            } else {
                place += 1;
            }
        }
    }

    pub(super) fn give_up_waiting(&mut self, shard: u32, reason: &str) {
        let waiting = std::mem::take(&mut self.waiting);
        let (given_up, kept) = waiting.into_iter().partition(|waiting| waiting.shard == shard);
        self.waiting = kept;
        let given_up: Vec<Waiting> = given_up;
        for waiting in given_up {
            let reply = TxnReply::Unknown { reason: reason.to_owned() };
            self.emit(Output::Reply { id: waiting.id, reply });
        }
    }
}

fn refused(reason: impl Into<String>) -> TxnReply {
    TxnReply::Refused { reason: reason.into(), leader: None }
}
