//! Clients of our own that read from one node as fast as it answers, beside the workload. They are
//! no sessions: nothing of what they read is recorded or judged.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use history::{Evidence, MicroOp};
use nemesis::ActReport;
use systems::Client;
use systems::client::{StepReply, StepRequest};

use super::HostPort;
use super::lives::report;

/// How long is measured, before and meanwhile.
const WINDOW: Duration = Duration::from_millis(800);
/// How long one answer may take.
const DEADLINE: Duration = Duration::from_secs(1);
/// Pause of a client that was refused, or got no answer.
const PAUSE: Duration = Duration::from_millis(20);
/// Keys that are read, and how many at once.
const KEYS: i64 = 32;
const AT_ONCE: i64 = 4;
/// Sessions of these clients begin here, far from those of the workload.
const SESSIONS: usize = 1_000_000;

/// The readers of each fault.
#[derive(Clone, Default)]
pub struct Readers(Arc<Mutex<BTreeMap<String, Vec<Crowd>>>>);

/// The clients that read from one node, until they are ended, or dropped with the run that they
/// are of.
struct Crowd {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Readers {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Crowd>>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Crowd {
    fn start(client: Arc<dyn Client>, node: usize, clients: u32) -> Result<Crowd, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("no runtime: {error}"))?;
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (ends, counts) = (Arc::clone(&stop), Arc::clone(&answered));
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                let mut readers = tokio::task::JoinSet::new();
                for number in 0..clients as usize {
                    let session = SESSIONS + node * 1_000 + number;
                    let (client, ends) = (Arc::clone(&client), Arc::clone(&ends));
                    let counts = Arc::clone(&counts);
                    readers
                        .spawn(async move { read(&*client, node, session, &ends, &counts).await });
                }
                while readers.join_next().await.is_some() {}
            });
        });
        Ok(Crowd { stop, answered, thread: Some(thread) })
    }
}

async fn read(
    client: &dyn Client,
    node: usize,
    session: usize,
    ends: &AtomicBool,
    counts: &AtomicU64,
) {
    let mut next = session as i64;
    while !ends.load(Ordering::Relaxed) {
        next += AT_ONCE;
        let mops = (next..next + AT_ONCE).map(|key| MicroOp::read(key % KEYS)).collect();
        let request = StepRequest {
            mops,
            leader: false,
            session,
            token: None,
            wants_token: false,
            routed: false,
        };
        match client.apply(node, request, DEADLINE).await {
            StepReply::Ok { .. } => drop(counts.fetch_add(1, Ordering::Relaxed)),
            _ => tokio::time::sleep(PAUSE).await,
        }
    }
}

impl HostPort {
    /// Lets so many clients read from each of these nodes; measures before and after.
    pub(super) fn read_load(&self, id: &str, nodes: &[usize], clients: u32) -> ActReport {
        let started = Instant::now();
        let client = self.system.client(self.model);
        let pressed = self.at_once(nodes, &|node| {
            let before = self.busy(node)?;
            let began = Instant::now();
            let crowd = Crowd::start(Arc::clone(&client), node, clients)?;
            let (took, answered) = (began.elapsed(), Arc::clone(&crowd.answered));
            self.readers.lock().entry(id.to_owned()).or_default().push(crowd);
            let (since, first) = (Instant::now(), answered.load(Ordering::Relaxed));
            let now = self.busy(node)?;
            let answered = answered.load(Ordering::Relaxed) - first;
            Ok((before, took, now, Reads { answered, within: since.elapsed() }))
        });
        let (mut evidence, mut errors, mut longest) = (Vec::new(), Vec::new(), Duration::ZERO);
        for (node, pressed) in pressed {
            match pressed {
                Ok((before, took, now, reads)) => {
                    longest = longest.max(took);
                    evidence.push(of_reads(self.name(node), before, now, reads));
                }
                Err(error) => errors.push(error),
            }
        }
        // Measuring takes longer than the act.
        let took = longest.as_nanos() as i64;
        ActReport { took, ..report("clients".to_owned(), started, evidence, errors) }
    }

    /// Ends them.
    pub(super) fn end_read_load(&self, id: &str, nodes: &[usize]) -> ActReport {
        let started = Instant::now();
        let crowds = self.readers.lock().remove(id).unwrap_or_default();
        crowds.iter().for_each(|crowd| crowd.stop.store(true, Ordering::Relaxed));
        let mut errors = Vec::new();
        let mut answered = 0;
        for mut crowd in crowds {
            // Each ends with its answer, at the deadline at the latest.
            if crowd.thread.take().is_some_and(|thread| thread.join().is_err()) {
                errors.push("a reader panicked".to_owned());
            }
            answered += crowd.answered.load(Ordering::Relaxed);
        }
        let mut evidence = vec![Evidence {
            probe: "reads answered in all".to_owned(),
            expected: "some".to_owned(),
            observed: answered.to_string(),
            holds: answered != 0,
        }];
        evidence.extend(self.running(nodes));
        report("clients".to_owned(), started, evidence, errors)
    }

    /// How much of one processor a node's processes used, in thousandths.
    fn busy(&self, node: usize) -> Result<u64, String> {
        let (ran, _) = self.processor_times(node)?;
        let began = Instant::now();
        thread::sleep(WINDOW);
        let (now, _) = self.processor_times(node)?;
        Ok(now.saturating_sub(ran) * 1_000 / (began.elapsed().as_nanos() as u64).max(1))
    }
}

/// So many reads a second are pressure; what of a processor they cost is told beside them, because
/// on a host that is busy already it says little.
const READS_MIN: u64 = 100;

/// How many reads were answered, and how long that was counted: asking the agent, before and
/// after, is part of it.
struct Reads {
    answered: u64,
    within: Duration,
}

fn of_reads(name: &str, before: u64, now: u64, reads: Reads) -> Evidence {
    let percent = |share: u64| format!("{}.{} %", share / 10, share % 10);
    let rate = reads.answered * 1_000 / (reads.within.as_millis() as u64).max(1);
    let (before, now) = (percent(before), percent(now));
    Evidence {
        probe: format!("{name} answers reads"),
        expected: format!("{READS_MIN} a second or more"),
        observed: format!("{rate} a second; it used {now} of a processor, {before} before"),
        holds: READS_MIN <= rate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use history::Key;
    use systems::client::{Capabilities, ReplyFuture};

    #[test]
    fn pressure_is_answered() {
        let reads = |answered, ms| Reads { answered, within: Duration::from_millis(ms) };
        assert!(of_reads("n1", 100, 120, reads(80, 800)).holds);
        assert!(!of_reads("n1", 100, 500, reads(79, 800)).holds);
        let said = of_reads("n1", 55, 955, reads(800, 800));
        let observed = "1000 a second; it used 95.5 % of a processor, 5.5 % before";
        assert_eq!(said.observed, observed);
        // 30 a second, on a host where each question takes a second.
        let starved = of_reads("n1", 0, 0, reads(84, 2_800));
        assert!(!starved.holds && starved.observed.starts_with("30 a second"), "{starved:?}");
    }

    /// Answers at once.
    struct Quick;

    impl Client for Quick {
        fn capabilities(&self) -> Capabilities {
            Capabilities { micro_ops: &["r"], atomic: "key", reads: "atomic" }
        }

        fn apply(&self, _: usize, request: StepRequest, _: Duration) -> ReplyFuture<'_> {
            let reply = StepReply::Ok { mops: request.mops, position: None, token: None };
            Box::pin(async {
                tokio::task::yield_now().await;
                reply
            })
        }

        fn shard_of(&self) -> fn(&Key, u32) -> u32 {
            |_, _| 0
        }
    }

    #[test]
    fn readers_end_when_their_run_is_dropped() {
        let readers = Readers::default();
        let mut crowd = Crowd::start(Arc::new(Quick), 0, 2).unwrap();
        let thread = crowd.thread.take().unwrap();
        readers.lock().insert("f1".to_owned(), vec![crowd]);
        let another = readers.clone();
        drop(readers);
        assert!(!another.lock()["f1"][0].stop.load(Ordering::Relaxed), "one holds them still");
        drop(another);
        let until = Instant::now() + Duration::from_secs(20);
        while !thread.is_finished() && Instant::now() < until {
            thread::yield_now();
        }
        assert!(thread.is_finished(), "they read on");
    }
}
