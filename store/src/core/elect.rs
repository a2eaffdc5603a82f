//! Who leads: timers, votes, promotion, demotion.

use history::Role;

use super::replica::Peer;
use super::{Command, Core, Output, Record, ns};
use crate::config::{Failover, Replication};
use crate::wire::{Entry, Envelope, Message};

impl Core {
    /// Does what is due for a shard.
    pub(super) fn tick(&mut self, place: usize) {
        if self.now < self.replicas[place].due {
            return;
        }
        if self.replicas[place].role == Role::Leader {
            return self.ship(place);
        }
        match self.config.failover {
            Failover::None => {}
            Failover::Vote => return self.campaign(place, true),
            Failover::Timeout => return self.take_over(place),
        }
        self.replicas[place].due = self.now + self.election_timeout();
    }

    /// Does what was commanded, in every shard that it concerns.
    pub(super) fn obey(&mut self, command: Command) {
        for place in 0..self.replicas.len() {
            let leads = self.replicas[place].role == Role::Leader;
            match command {
                Command::Lead if !leads => match self.config.failover {
                    Failover::None => {}
                    Failover::Vote => self.campaign(place, false),
                    Failover::Timeout => self.take_over(place),
                },
                Command::StandDown(hold) if leads && self.config.failover != Failover::None => {
                    let replica = &mut self.replicas[place];
                    // Its vote of this term stays given.
                    replica.role = Role::Deposed;
                    replica.leader = None;
                    replica.due = self.now + hold;
                    self.give_up_waiting(place as u32, "the leader stood down while it waited");
                }
                Command::Lead | Command::StandDown(_) => {}
            }
        }
    }

    fn take_over(&mut self, place: usize) {
        let term = self.own_next_term(self.replicas[place].term);
        self.set_term(place, term, Some(self.config.node));
        self.lead(place);
    }

    /// The next term that belongs to this node alone: without votes, only this keeps two leaders
    /// from writing different entries under one index and term.
    fn own_next_term(&self, term: u64) -> u64 {
        let count = self.config.names.len() as u64;
        let own = self.config.node as u64;
        let base = term + 1;
        base + (own + count - base % count) % count
    }

    fn campaign(&mut self, place: usize, pre: bool) {
        let node = self.config.node;
        if !pre {
            let term = self.replicas[place].term + 1;
            self.set_term(place, term, Some(node));
        }
        let due = self.now + self.election_timeout();
        let replica = &mut self.replicas[place];
        replica.role = if pre { replica.role } else { Role::Candidate };
        replica.leader = None;
        replica.votes = vec![node];
        replica.pre = pre;
        replica.due = due;
        let ask = Message::Vote {
            term: if pre { replica.term + 1 } else { replica.term },
            last_index: replica.last_index(),
            last_term: replica.last_term(),
            pre,
        };
        for peer in self.peers() {
            self.send(place, peer, ask.clone());
        }
        self.count_votes(place);
    }

    fn count_votes(&mut self, place: usize) {
        if self.replicas[place].votes.len() < self.config.majority() {
            return;
        }
        if self.replicas[place].pre {
            self.campaign(place, false);
        } else if self.replicas[place].role == Role::Candidate {
            self.lead(place);
        }
    }

    /// Takes up the leadership of the current term, with an entry that opens it.
    pub(super) fn lead(&mut self, place: usize) {
        let node = self.config.node;
        let replica = &mut self.replicas[place];
        let next = replica.last_index() + 1;
        replica.role = Role::Leader;
        replica.leader = Some(node);
        replica.votes.clear();
        replica.pre = false;
        replica.peers = vec![Peer { next, matched: 0, probing: false }; self.config.names.len()];
        let (index, term) = (next, replica.term);
        self.append(place, Entry { index, term, ops: Vec::new() });
        self.ship(place);
    }

    /// Meets a higher term.
    pub(super) fn step_down(&mut self, place: usize, term: u64) {
        let was_leader = self.replicas[place].role == Role::Leader;
        self.set_term(place, term, None);
        let due = self.now + self.election_timeout();
        let replica = &mut self.replicas[place];
        replica.role = match replica.role {
            Role::Leader | Role::Deposed => Role::Deposed,
            Role::Follower | Role::Candidate => Role::Follower,
        };
        replica.leader = None;
        replica.votes.clear();
        replica.due = due;
        if was_leader {
            self.give_up_waiting(place as u32, "the leader was demoted while it waited");
        }
    }

    pub(super) fn receive(&mut self, envelope: Envelope) {
        let place = envelope.shard as usize;
        let from = envelope.from;
        match envelope.message {
            Message::Append { term, prev_index, prev_term, entries, commit, last } => {
                if term < self.replicas[place].term {
                    let term = self.replicas[place].term;
                    let refused = prev_index;
                    let answer = Message::Appended { term, ok: false, index: 0, refused };
                    return self.send(place, from, answer);
                }
                if self.replicas[place].term < term {
                    self.step_down(place, term);
                }
                self.follow(place, from, last);
                self.on_append(place, from, prev_index, prev_term, entries, commit);
            }
            Message::Appended { term, ok, index, refused } => {
                if self.replicas[place].term < term {
                    self.step_down(place, term);
                } else if self.replicas[place].term == term {
                    let refused = (!ok).then_some(refused);
                    self.on_appended(place, from, refused, index);
                }
            }
            Message::Vote { term, last_index, last_term, pre } => {
                self.on_vote(place, from, term, (last_term, last_index), pre);
            }
            Message::Voted { term, granted, pre } => {
                self.on_voted(place, from, term, granted, pre);
            }
        }
    }

    fn follow(&mut self, place: usize, leader: usize, leader_last: u64) {
        let due = self.now + self.election_timeout();
        let replica = &mut self.replicas[place];
        if replica.role == Role::Candidate {
            replica.role = Role::Follower;
        }
        replica.leader = Some(leader);
        replica.leader_last = leader_last;
        replica.heard = Some(self.now);
        replica.votes.clear();
        replica.due = due;
    }

    fn on_vote(&mut self, place: usize, from: usize, term: u64, last: (u64, u64), pre: bool) {
        if self.config.failover != Failover::Vote {
            return;
        }
        let quiet = match self.replicas[place].heard {
            Some(heard) => heard + ns(self.config.election_timeout_ms) <= self.now,
            None => true,
        };
        let leads = self.replicas[place].role == Role::Leader;
        if !pre && self.replicas[place].term < term {
            self.step_down(place, term);
        }
        let replica = &self.replicas[place];
        let up_to_date = (replica.last_term(), replica.last_index()) <= last;
        let granted = if pre {
            replica.term < term && up_to_date && quiet && !leads
        } else {
            let free = replica.voted.is_none_or(|voted| voted == from);
            replica.term == term && up_to_date && free
        };
        let own_term = replica.term;
        if granted && !pre && replica.voted.is_none() {
            self.set_term(place, term, Some(from));
            self.replicas[place].due = self.now + self.election_timeout();
        }
        let term = if granted { term } else { own_term };
        self.send(place, from, Message::Voted { term, granted, pre });
    }

    fn on_voted(&mut self, place: usize, from: usize, term: u64, granted: bool, pre: bool) {
        if !granted {
            if self.replicas[place].term < term {
                self.step_down(place, term);
            }
            return;
        }
        let replica = &mut self.replicas[place];
        let asked = if pre { replica.term + 1 } else { replica.term };
        let open = !replica.votes.is_empty() && replica.pre == pre && asked == term;
        if open && !replica.votes.contains(&from) {
            replica.votes.push(from);
            self.count_votes(place);
        }
    }

    pub(super) fn send(&mut self, place: usize, to: usize, message: Message) {
        let envelope = Envelope { from: self.config.node, shard: place as u32, message };
        self.emit(Output::Send { to, envelope });
    }

    pub(super) fn append(&mut self, place: usize, entry: Entry) {
        let shard = place as u32;
        self.persist(Record::Entry { shard, entry: entry.clone() });
        self.replicas[place].push(entry);
        if self.config.replication == Replication::Async {
            let last = self.replicas[place].last_index();
            if self.replicas[place].role == Role::Leader {
                self.replicas[place].commit_to(last);
            }
        }
    }
}
