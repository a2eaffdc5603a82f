//! What comes when: main, drain and heal, converge, final reads, finished.

use history::Key;
use workloads::workload::FinalReads;

use super::{Core, Output};

/// Where in a run it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before the first step.
    Start,
    /// Operations and faults.
    Main,
    /// Waiting for operations in flight, healing what is in force.
    Drain,
    /// Healed; waiting until all replicas agree, or for the deadline.
    Converge {
        /// Since when; only samples asked for later count.
        since: u64,
        /// Until when.
        deadline: u64,
    },
    /// Reading every key on every live node.
    FinalReads,
    /// Nothing left to do.
    Finished,
}

impl Phase {
    /// A word for the progress line.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Start => "start",
            Phase::Main => "workload",
            Phase::Drain => "heal",
            Phase::Converge { .. } => "converge",
            Phase::FinalReads => "final reads",
            Phase::Finished => "finished",
        }
    }

    pub(super) fn is_main(self) -> bool {
        matches!(self, Phase::Start | Phase::Main)
    }

    pub(super) fn deadline(self) -> Option<u64> {
        match self {
            Phase::Converge { deadline, .. } => Some(deadline),
            _ => None,
        }
    }
}

impl Core {
    /// Does all that can be done now. Every turn either changes the phase or ends the loop.
    pub(super) fn advance(&mut self, out: &mut Vec<Output>) {
        loop {
            let before = self.phase;
            match self.phase {
                Phase::Start => {
                    self.record_schedule(out);
                    self.phase = Phase::Main;
                }
                Phase::Main => {
                    self.run_faults(out);
                    if self.stopped || self.time_is_up() || self.generate(out) {
                        self.generator_wake = None;
                        self.phase = Phase::Drain;
                    }
                }
                Phase::Drain => self.drain(out),
                Phase::Converge { since, deadline } => self.converge(since, deadline),
                Phase::FinalReads => {
                    if self.generate(out) && self.in_flight() == 0 {
                        self.phase = Phase::Finished;
                    }
                }
                Phase::Finished => {}
            }
            if self.phase == before {
                return;
            }
        }
    }

    fn drain(&mut self, out: &mut Vec<Output>) {
        self.generator_wake = None;
        let healed = self.end_faults(out);
        if !healed || 0 < self.in_flight() {
            return;
        }
        self.phase = if self.final_reads {
            Phase::Converge { since: self.now, deadline: self.now + self.recovery_ns }
        } else {
            Phase::Finished
        };
    }

    fn converge(&mut self, since: u64, deadline: u64) {
        let fresh = self.sampled.iter().all(|sent| since as i64 <= *sent);
        let converged = self.cluster.converged(self.view.shards);
        if !(fresh && converged.is_ok()) && self.now < deadline {
            return;
        }
        if let Err(why) = converged {
            let waited = self.recovery_ns / 1_000_000;
            self.notes.push(format!("the replicas did not converge within {waited} ms: {why}"));
        }
        let readable = |node: &usize| {
            let name = &self.nodes[*node];
            self.cluster.alive(name) && self.cluster.holds_data(name)
        };
        let live: Vec<usize> = (0..self.nodes.len()).filter(readable).collect();
        let keys: Vec<Key> = self.keys.iter().cloned().collect();
        let until = self.now + self.recovery_ns;
        self.generator = Box::new(FinalReads::new(&keys, &live, until));
        self.generator_wake = Some(self.now);
        self.phase = Phase::FinalReads;
    }
}
