//! One shard's replica: its log, its role, the tables that its log comes to.

use history::{Role, ShardTelemetry};

use super::table::Table;
use super::{Core, Record, ns};
use crate::config::{CoreConfig, Failover};
use crate::wire::Entry;

/// What a leader knows of a follower.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    /// The next entry to send.
    pub next: u64,
    /// The last entry known to be in its log and on its disk.
    pub matched: u64,
    /// Whether it is not known yet where its log agrees: one question is on its way at a time,
    /// asked again with each heartbeat.
    pub probing: bool,
}

/// See the module's doc.
pub(super) struct Replica {
    pub shard: u32,
    pub term: u64,
    pub voted: Option<usize>,
    pub log: Vec<Entry>,
    pub commit: u64,
    pub role: Role,
    pub leader: Option<usize>,
    /// By node; meaningful in a leader.
    pub peers: Vec<Peer>,
    /// Nodes that granted the vote, or would.
    pub votes: Vec<usize>,
    /// Whether the votes are for the preliminary round.
    pub pre: bool,
    /// When the leader was last heard of, ns; `None` before the first time.
    pub heard: Option<u64>,
    /// When something is to be done without a message: heartbeat, shipment, election.
    pub due: u64,
    /// The leader's last entry, as last heard.
    pub leader_last: u64,
    /// Entries cut off and kept aside since the node started, or found on disk.
    pub aside: u64,
    /// Log applied to the end.
    pub tip: Table,
    /// Log applied to `commit`.
    pub committed: Table,
    pub committed_upto: u64,
}

impl Replica {
    /// What the disk has of a shard.
    pub(super) fn recover(shard: u32, disk: &[Record]) -> Replica {
        let mut replica = Replica {
            shard,
            term: 0,
            voted: None,
            log: Vec::new(),
            commit: 0,
            role: Role::Follower,
            leader: None,
            peers: Vec::new(),
            votes: Vec::new(),
            pre: false,
            heard: None,
            due: 0,
            leader_last: 0,
            aside: 0,
            tip: Table::default(),
            committed: Table::default(),
            committed_upto: 0,
        };
        for record in disk {
            match record {
                Record::Term { shard: of, term, voted } if *of == shard => {
                    replica.term = *term;
                    replica.voted = *voted;
                }
                Record::Entry { shard: of, entry } if *of == shard => {
                    replica.push(entry.clone());
                }
                Record::Cut { shard: of, from } if *of == shard => {
                    replica.cut(*from);
                }
                _ => {}
            }
        }
        replica
    }

    pub(super) fn last_index(&self) -> u64 {
        self.log.len() as u64
    }

    pub(super) fn last_term(&self) -> u64 {
        self.log.last().map_or(0, |entry| entry.term)
    }

    /// The term of the entry at `index`; 0 before the first, `None` past the last.
    pub(super) fn term_at(&self, index: u64) -> Option<u64> {
        match index {
            0 => Some(0),
            _ => self.log.get(index as usize - 1).map(|entry| entry.term),
        }
    }

    /// The last entry that may agree with a leader's log that does not at `refused`: all entries of
    /// the term that is found there are passed over, because the leader has none of that term from
    /// there on (Raft, section 5.3).
    pub(super) fn may_agree(&self, refused: u64) -> u64 {
        let Some(term) = self.term_at(refused) else {
            return self.last_index();
        };
        let mut index = refused.saturating_sub(1);
        while 0 < index && self.term_at(index) == Some(term) {
            index -= 1;
        }
        index
    }

    pub(super) fn push(&mut self, entry: Entry) {
        assert_eq!(entry.index, self.last_index() + 1, "a log has no holes");
        for mop in &entry.ops {
            self.tip.apply(mop);
        }
        self.log.push(entry);
    }

    /// Cuts off everything from `from` on and counts what was data.
    pub(super) fn cut(&mut self, from: u64) {
        let cut = self.log.split_off((from as usize - 1).min(self.log.len()));
        self.aside += cut.iter().filter(|entry| !entry.ops.is_empty()).count() as u64;
        self.commit = self.commit.min(self.last_index());
        self.tip = Table::default();
        for mop in self.log.iter().flat_map(|entry| &entry.ops) {
            self.tip.apply(mop);
        }
        if self.last_index() < self.committed_upto {
            // Only without a majority behind each acknowledgement: what was called committed
            // was committed on a leader that nobody followed.
            self.committed = self.tip.clone();
            self.committed_upto = self.last_index();
        }
    }

    pub(super) fn commit_to(&mut self, index: u64) {
        self.commit = self.commit.max(index.min(self.last_index()));
        while self.committed_upto < self.commit {
            for mop in &self.log[self.committed_upto as usize].ops {
                self.committed.apply(mop);
            }
            self.committed_upto += 1;
        }
    }

    pub(super) fn telemetry(&self, config: &CoreConfig) -> ShardTelemetry {
        let lag = match self.role {
            Role::Leader => 0,
            _ => self.leader_last.saturating_sub(self.last_index()),
        };
        ShardTelemetry {
            shard: self.shard,
            role: self.role,
            term: self.term,
            leader: self.leader.map(|node| config.names[node].clone()),
            position: self.last_index(),
            committed: self.commit,
            lag: Some(lag),
            aside: Some(self.aside),
        }
    }
}

impl Core {
    /// Gives a recovered replica its first role.
    ///
    /// A fresh shard starts in term 1 with every vote given to its first leader, so that nobody
    /// else can win that term; the first leader alone, fresh too, takes it up.
    pub(super) fn start(&mut self, place: usize) {
        let node = self.config.node;
        let first = self.config.first_leader(place as u32);
        let fresh = self.replicas[place].term == 0;
        self.replicas[place].due = self.now + self.election_timeout();
        if fresh {
            self.set_term(place, 1, Some(first));
        }
        if first == node {
            match self.config.failover {
                _ if fresh => self.lead(place),
                // Nobody else can have led in the meantime.
                Failover::None => {
                    let term = self.replicas[place].term + 1;
                    self.set_term(place, term, Some(node));
                    self.lead(place);
                }
                Failover::Vote | Failover::Timeout => {}
            }
        }
    }

    pub(super) fn set_term(&mut self, place: usize, term: u64, voted: Option<usize>) {
        let replica = &mut self.replicas[place];
        replica.term = term;
        replica.voted = voted;
        let shard = replica.shard;
        self.persist(Record::Term { shard, term, voted });
    }

    pub(super) fn election_timeout(&mut self) -> u64 {
        use rand::Rng;
        let shortest = ns(self.config.election_timeout_ms);
        shortest + self.rng.random_range(0..=shortest)
    }
}
