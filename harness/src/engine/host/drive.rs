//! The loop around the core: inputs from tasks and threads in, outputs out.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use history::TelemetryEvent;
use systems::{Client, Operator, StepRequest};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::engine::core::{Core, CoreConfig, Input, Output};
use crate::engine::port::HostPort;
use crate::engine::recorder::{Line, Recorder};
use crate::engine::{EngineEnd, Progress, ProgressState, StopFlag};
use crate::error::UserError;

/// How often progress is told.
const PROGRESS: Duration = Duration::from_millis(100);
/// Inputs taken in before outputs are looked at.
const BATCH: usize = 256;

/// How often the operator looks.
const OPERATOR_EVERY: Duration = Duration::from_millis(100);

/// The newest sample of every node.
type Latest = Arc<Mutex<Vec<Option<TelemetryEvent>>>>;

/// Asks a node how it is.
pub type Sampler = Arc<dyn Fn(usize) -> TelemetryEvent + Send + Sync>;

/// A request for a session's task.
struct Order {
    op: u64,
    node: usize,
    request: StepRequest,
    limit: Duration,
}

/// Everything a run on hosts is driven with.
pub struct Driver {
    /// What the core is built from.
    pub core: CoreConfig,
    /// Sends requests.
    pub client: Arc<dyn Client>,
    /// Writes records.
    pub recorder: Recorder,
    /// Carries faults out; without one there are none.
    pub port: Option<HostPort>,
    /// Samples nodes; without one there is no telemetry.
    pub sampler: Option<Sampler>,
    /// Who replaces dead leaders, where that is our task.
    pub operator: Option<Box<dyn Operator>>,
    /// How often.
    pub sample_every: Duration,
    /// Zero of the run's clock.
    pub started: Instant,
}

/// What a drive gives.
pub type Drive = Result<EngineEnd, UserError>;

impl Driver {
    /// Runs to the end, or until the user wants it to end.
    pub fn drive(mut self, stop: &StopFlag, progress: &dyn Progress) -> Drive {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| UserError::environment(format!("no runtime: {error}")))?;
        let (inputs, received) = channel();
        let sessions: Vec<UnboundedSender<Order>> = (0..self.core.sessions)
            .map(|session| {
                let (orders, queue) = unbounded_channel();
                let (client, inputs) = (Arc::clone(&self.client), inputs.clone());
                runtime.spawn(run_session(session, client, queue, inputs));
                orders
            })
            .collect();
        let ended = Arc::new(AtomicBool::new(false));
        let latest: Latest = Arc::new(Mutex::new(vec![None; self.core.nodes.len()]));
        let mut threads = self.start_samplers(&inputs, &ended, &latest);
        threads.extend(self.start_operator(&ended, &latest));
        let mut turn = Loop {
            core: Core::new(self.core),
            recorder: &self.recorder,
            port: self.port,
            sessions,
            inputs,
            started: self.started,
        };
        let driven = turn.run(&received, stop, progress);
        ended.store(true, Ordering::Relaxed);
        for thread in threads {
            // A thread that panicked has said so; the run's record stands.
            let _ = thread.join();
        }
        let notes = turn.core.notes().to_vec();
        let error = unhealed(&turn.core);
        drop(turn);
        runtime.shutdown_timeout(Duration::from_millis(100));
        // What was recorded is written out even if the run ended badly.
        let written = self.recorder.finish().map_err(disk);
        // What the disk said, before what came of it.
        written?;
        driven?;
        Ok(EngineEnd { interrupted: stop.stopped(), notes, error })
    }

    fn start_samplers(
        &self,
        inputs: &Sender<Input>,
        ended: &Arc<AtomicBool>,
        latest: &Latest,
    ) -> Vec<thread::JoinHandle<()>> {
        let Some(sampler) = &self.sampler else {
            return Vec::new();
        };
        let every = self.sample_every;
        let start = |node| {
            let (sampler, inputs) = (Arc::clone(sampler), inputs.clone());
            let (ended, latest) = (Arc::clone(ended), Arc::clone(latest));
            thread::spawn(move || {
                while !ended.load(Ordering::Relaxed) {
                    let started = Instant::now();
                    let sample = sampler(node);
                    latest.lock().unwrap_or_else(|poisoned| poisoned.into_inner())[node] =
                        Some(sample.clone());
                    if inputs.send(Input::Telemetry(sample)).is_err() {
                        return;
                    }
                    thread::sleep(every.saturating_sub(started.elapsed()));
                }
            })
        };
        (0..self.core.nodes.len()).map(start).collect()
    }

    fn start_operator(
        &mut self,
        ended: &Arc<AtomicBool>,
        latest: &Latest,
    ) -> Option<thread::JoinHandle<()>> {
        let mut operator = self.operator.take()?;
        let (ended, latest) = (Arc::clone(ended), Arc::clone(latest));
        let started = self.started;
        Some(thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                let seen = latest.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
                if seen.iter().all(Option::is_some) {
                    operator.turn(&|| started.elapsed().as_nanos() as i64, &seen);
                }
                thread::sleep(OPERATOR_EVERY);
            }
        }))
    }
}

/// What stays in force, with what to type where.
fn unhealed(core: &Core) -> Option<UserError> {
    let (faults, lines): (Vec<&str>, Vec<&str>) = core.unhealed().unzip();
    let mut faults: Vec<&str> = faults;
    faults.dedup();
    (!lines.is_empty()).then(|| {
        let what = format!("{} could not be healed: the run was stopped", faults.join("; "));
        UserError::environment(what).hint(format!("type, as root\n  {}", lines.join("\n  ")))
    })
}

fn disk(error: std::io::Error) -> UserError {
    UserError::environment(format!("the run cannot be recorded: {error}"))
}

/// One session: one request at a time, each answered before its deadline.
async fn run_session(
    session: usize,
    client: Arc<dyn Client>,
    mut orders: UnboundedReceiver<Order>,
    inputs: Sender<Input>,
) {
    while let Some(order) = orders.recv().await {
        let reply = client.apply(order.node, order.request, order.limit).await;
        if inputs.send(Input::Reply { session, op: order.op, reply }).is_err() {
            return;
        }
    }
}

/// When a port's act was asked for and done, ns since the run's start.
type When = dyn Fn(&HostPort) -> Option<(u64, u64)>;

struct Loop<'a> {
    core: Core,
    recorder: &'a Recorder,
    port: Option<HostPort>,
    sessions: Vec<UnboundedSender<Order>>,
    inputs: Sender<Input>,
    started: Instant,
}

impl Loop<'_> {
    fn run(
        &mut self,
        received: &Receiver<Input>,
        stop: &StopFlag,
        progress: &dyn Progress,
    ) -> Result<(), UserError> {
        let mut out = Vec::new();
        let mut told = Instant::now();
        let mut stopping = false;
        self.core.step(self.now(), Input::Wake, &mut out);
        loop {
            self.carry_out(&mut out)?;
            if self.core.finished() || stop.hurried() {
                return Ok(());
            }
            if stop.stopped() && !stopping {
                stopping = true;
                self.core.step(self.now(), Input::Stop, &mut out);
                continue;
            }
            if PROGRESS <= told.elapsed() {
                told = Instant::now();
                progress.update(&self.state());
            }
            let wake = self.core.next_wake().unwrap_or(u64::MAX);
            let wait = Duration::from_nanos(wake.saturating_sub(self.now())).min(PROGRESS);
            match received.recv_timeout(wait) {
                Ok(input) => self.core.step(self.now(), input, &mut out),
                Err(RecvTimeoutError::Timeout) => {
                    self.core.step(self.now(), Input::Wake, &mut out);
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            for _ in 1..BATCH {
                match received.try_recv() {
                    Ok(input) => self.core.step(self.now(), input, &mut out),
                    Err(_) => break,
                }
            }
        }
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    fn state(&self) -> ProgressState {
        ProgressState {
            phase: self.core.phase().name(),
            elapsed_ms: self.now() / 1_000_000,
            counts: self.core.counts(),
            faults: self.core.active_faults(),
        }
    }

    fn carry_out(&mut self, out: &mut Vec<Output>) -> Result<(), UserError> {
        for output in out.drain(..) {
            match output {
                Output::Record(event) => self.recorder.record(Line::Event(event)).map_err(disk)?,
                Output::RecordFault(event) => {
                    self.recorder.record(Line::Fault(event)).map_err(disk)?;
                }
                Output::RecordTelemetry(event) => {
                    self.recorder.record(Line::Telemetry(event)).map_err(disk)?;
                }
                Output::Send { session, op, node, request, deadline } => {
                    let limit = Duration::from_nanos(deadline.saturating_sub(self.now()));
                    // A session's task lives as long as the runtime, which outlives this loop.
                    let _ = self.sessions[session].send(Order { op, node, request, limit });
                }
                Output::Inject { id, act, beside } => self.act(move |port, when| {
                    let report = port.inject(&id, &act, &beside);
                    Input::Acted { id, when: when(port), report }
                }),
                Output::Undo { id, act, beside } => self.act(move |port, when| {
                    let (report, by_hand) = port.undo(&id, &act, &beside);
                    Input::Undone { id, when: when(port), report, by_hand }
                }),
            }
        }
        Ok(())
    }

    fn act(&self, act: impl FnOnce(&HostPort, &When) -> Input + Send + 'static) {
        let Some(port) = &self.port else {
            return;
        };
        let (port, inputs, started) = (port.timed(), self.inputs.clone(), self.started);
        let ns = move |at: Instant| at.saturating_duration_since(started).as_nanos() as u64;
        thread::spawn(move || {
            let when =
                move |port: &HostPort| port.acted().map(|(asked, done)| (ns(asked), ns(done)));
            // The loop may have ended in a hurry; the agents undo everything then.
            let _ = inputs.send(act(&port, &when));
        });
    }
}
