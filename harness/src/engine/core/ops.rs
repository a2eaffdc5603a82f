//! Operations: from the generator through policy and requests to a completion.

use std::mem;
use std::sync::Arc;

use history::{Event, EventKind, Hop, MicroOp, STAYED};
use systems::{Asked, StepReply, StepRequest};
use workloads::{Completion, GenContext, GenOp, News, Next, Plan, Step};

use super::{Core, Output};

/// A logical user.
pub(super) struct Session {
    /// Its current process id; retired after an `info`.
    process: i64,
    /// What it is doing.
    op: Option<InFlight>,
}

impl Session {
    pub(super) fn new(session: usize) -> Session {
        Session { process: session as i64, op: None }
    }
}

/// An operation between invocation and completion.
struct InFlight {
    id: u64,
    mops: Vec<MicroOp>,
    /// The answers so far, by place in the transaction.
    answered: Vec<MicroOp>,
    plan: Plan,
    step: usize,
    hops: Vec<Hop>,
    /// Requests of the current step.
    tries: usize,
    invoked: u64,
    deadline: u64,
    final_on: Option<usize>,
    /// Whether a step that writes has happened already.
    wrote: bool,
    position: Option<serde_json::Value>,
    /// `None` until it is known whom the system's driver chose.
    node: Option<Arc<str>>,
}

impl Core {
    /// Asks the generator until it has nothing more for now; `true` when it is done.
    pub(super) fn generate(&mut self, out: &mut Vec<Output>) -> bool {
        loop {
            let context = GenContext {
                now: self.now,
                free: &self.free,
                in_flight: self.sessions.len() - self.free.len(),
            };
            match self.generator.next(&context) {
                Next::Op(op) => self.invoke(op, out),
                Next::WaitUntil(at) => {
                    assert!(self.now < at, "a generator that waits must wait for the future");
                    self.generator_wake = Some(at);
                    return false;
                }
                Next::Pending => {
                    self.generator_wake = None;
                    return false;
                }
                Next::Done => {
                    self.generator_wake = None;
                    return true;
                }
            }
        }
    }

    fn invoke(&mut self, op: GenOp, out: &mut Vec<Output>) {
        let GenOp { session, mops, final_on } = op;
        let place = self.free.iter().position(|free| *free == session);
        let place = place.expect("a generator uses only sessions that it was told are free");
        self.free.remove(place);
        if final_on.is_none() {
            self.calmed.invoked(&mops);
            let written = mops.iter().filter(|mop| !mop.is_read());
            for key in written.map(MicroOp::key) {
                if !self.keys.contains(key) {
                    self.keys.insert(key.clone());
                }
            }
        }
        let plan = match final_on {
            Some(node) => Plan {
                target: "final",
                steps: vec![Step {
                    shard: 0,
                    node,
                    mops: 0..mops.len(),
                    leader: false,
                    token: None,
                }],
            },
            None => self.policy.decide(session, &mops, &self.view),
        };
        let routed = final_on.is_none() && self.policy.routed_by_driver();
        let node = (!routed).then(|| self.nodes[plan.steps[0].node].as_str().into());
        let id = self.next_op;
        self.next_op += 1;
        let state = InFlight {
            id,
            answered: Vec::new(),
            plan,
            step: 0,
            hops: Vec::new(),
            tries: 0,
            invoked: self.now,
            deadline: self.now + self.op_timeout_ns,
            final_on,
            wrote: false,
            position: None,
            node,
            mops,
        };
        let event = self.event(session, &state, EventKind::Invoke, state.mops.clone());
        out.push(Output::Record(event));
        self.sessions[session].op = Some(state);
        self.send_step(session, out);
    }

    fn send_step(&mut self, session: usize, out: &mut Vec<Output>) {
        let wants_token = self.policy.wants_tokens();
        let routed = self.policy.routed_by_driver();
        let op = self.sessions[session].op.as_mut().expect("only a busy session sends");
        let step = &op.plan.steps[op.step];
        let routed = routed && op.final_on.is_none();
        op.tries += 1;
        if !routed {
            op.hops.push(Hop {
                node: self.nodes[step.node].as_str().into(),
                time: self.now as i64,
                outcome: String::new(),
            });
        }
        out.push(Output::Send {
            session,
            op: op.id,
            node: step.node,
            request: StepRequest {
                mops: op.mops[step.mops.clone()].to_vec(),
                leader: step.leader,
                session,
                token: step.token,
                wants_token: wants_token && op.final_on.is_none(),
                routed,
            },
            deadline: op.deadline,
        });
    }

    pub(super) fn on_reply(
        &mut self,
        session: usize,
        id: u64,
        reply: StepReply,
        out: &mut Vec<Output>,
    ) {
        let current = self.sessions[session].op.as_ref();
        if current.is_none_or(|op| op.id != id) {
            // An answer to an operation that has already ended as `info`: it may not change it.
            return;
        }
        if let Some(op) = self.sessions[session].op.take() {
            self.take_in(session, op, reply, out);
        }
    }

    fn take_in(
        &mut self,
        session: usize,
        mut op: InFlight,
        reply: StepReply,
        out: &mut Vec<Output>,
    ) {
        let step = op.plan.steps[op.step].clone();
        match reply {
            StepReply::Routed { asked, reply } => {
                op.hops.extend(asked.into_iter().map(|asked| self.hop(asked)));
                self.take_in(session, op, *reply, out);
            }
            StepReply::Ok { mops, position, token } => {
                assert_eq!(mops.len(), step.mops.len(), "a client answers what it was asked");
                if op.final_on.is_none() {
                    self.policy.learn(session, &step, News::Served { token }, &self.view);
                }
                set_outcome(&mut op, "ok");
                op.wrote |= mops.iter().any(|mop| !mop.is_read());
                op.answered.extend(mops);
                op.position = position.or(op.position.take());
                op.step += 1;
                op.tries = 0;
                if op.step == op.plan.steps.len() {
                    return self.complete(session, op, EventKind::Ok, None, out);
                }
                self.sessions[session].op = Some(op);
                self.send_step(session, out);
            }
            StepReply::Refused { reason, leader } => {
                let news = News::NotLeader { hint: leader };
                self.not_done(session, op, &step, news, reason, out);
            }
            StepReply::Behind { reason } => {
                self.not_done(session, op, &step, News::Behind, reason, out);
            }
            StepReply::Aborted { reason } => {
                self.not_done(session, op, &step, News::Aborted, reason, out);
            }
            StepReply::NotSent { reason } => {
                self.not_done(session, op, &step, News::Unreachable, reason, out);
            }
            StepReply::Unknown { reason, position } => {
                op.position = position.or(op.position.take());
                self.policy.learn(session, &step, News::Unreachable, &self.view);
                set_outcome(&mut op, &reason);
                self.complete(session, op, EventKind::Info, Some(reason), out);
            }
        }
    }

    /// A request of a driver that chose the node itself.
    fn hop(&self, asked: Asked) -> Hop {
        let name = asked.node.map_or("elsewhere", |node| &self.nodes[node]);
        let time = self.now.saturating_sub(asked.ago) as i64;
        Hop { node: name.into(), time, outcome: asked.outcome }
    }

    /// A request that certainly did nothing: another node, or the end of the operation.
    fn not_done(
        &mut self,
        session: usize,
        mut op: InFlight,
        step: &Step,
        news: News,
        reason: String,
        out: &mut Vec<Output>,
    ) {
        self.policy.learn(session, step, news, &self.view);
        set_outcome(&mut op, &reason);
        let may_redirect = op.final_on.is_none()
            && news != News::Aborted
            && op.tries < self.nodes.len()
            && self.now < op.deadline
            && !self.stopped;
        let next = self.policy.redirect(session, step, &self.view).filter(|_| may_redirect);
        if let Some(node) = next {
            op.plan.steps[op.step].node = node;
            if op.plan.target == STAYED {
                // It stayed until it was refused.
                op.plan.target = "leader";
            }
            self.sessions[session].op = Some(op);
            return self.send_step(session, out);
        }
        // With an earlier step's write done, the transaction as a whole has happened in part.
        let kind = if op.wrote { EventKind::Info } else { EventKind::Fail };
        self.complete(session, op, kind, Some(reason), out);
    }

    fn complete(
        &mut self,
        session: usize,
        mut op: InFlight,
        kind: EventKind,
        error: Option<String>,
        out: &mut Vec<Output>,
    ) {
        let value = match kind {
            EventKind::Ok => mem::take(&mut op.answered),
            // Reads of what failed or is unknown show nothing; writes keep their values.
            _ => op.mops.clone(),
        };
        // The node that answered, or was asked last; the invocation names the first.
        if let Some(hop) = op.hops.last() {
            op.node = Some(Arc::clone(&hop.node));
        }
        let mut event = self.event(session, &op, kind, value);
        event.error = error;
        event.position = op.position.take();
        if 1 < op.hops.len() {
            event.hops = mem::take(&mut op.hops);
        }
        if op.final_on.is_none() {
            self.calmed.completed(&op.mops, (op.invoked, self.now), kind);
        }
        match kind {
            EventKind::Ok => self.counts.ok += 1,
            EventKind::Fail => self.counts.fail += 1,
            EventKind::Info | EventKind::Invoke => self.counts.info += 1,
        }
        self.generator.update(&Completion {
            now: self.now,
            session,
            status: kind,
            mops: &event.value,
            final_on: op.final_on,
        });
        out.push(Output::Record(event));
        if kind == EventKind::Info {
            self.sessions[session].process = self.next_process;
            self.next_process += 1;
        }
        self.free.push(session);
        // The generator may have been waiting for just this.
        self.generator_wake = Some(self.now);
    }

    fn event(
        &mut self,
        session: usize,
        op: &InFlight,
        kind: EventKind,
        value: Vec<MicroOp>,
    ) -> Event {
        let index = self.next_index;
        self.next_index += 1;
        Event {
            index,
            kind,
            process: self.sessions[session].process,
            session: Some(match op.final_on {
                // Nobody's own reads: what a replica holds at the end is no user's experience.
                Some(_) => (self.sessions.len() as u64 + op.id) as i64,
                None => session as i64,
            }),
            node: op.node.clone(),
            time: self.now as i64,
            f: "txn".into(),
            value,
            final_read: op.final_on.is_some(),
            error: None,
            position: None,
            target: Some(op.plan.target.into()),
            hops: Vec::new(),
        }
    }
}

fn set_outcome(op: &mut InFlight, outcome: &str) {
    if let Some(hop) = op.hops.last_mut() {
        outcome.clone_into(&mut hop.outcome);
    }
}
