//! A client that lies: some writes are acknowledged and never sent. Off unless asked for.
//!
//! What is dropped is decided by the seed and the write itself, not by the order in which requests
//! come: the same writes are dropped on hosts as in the simulator, whoever is first.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use history::{Key, MicroOp};
use systems::{Capabilities, Client, ReplyFuture, StepReply, StepRequest};

use crate::config::TestSpec;

/// Decides which writes are dropped, and counts them.
pub struct Canary {
    one_in: u64,
    seed: u64,
    dropped: AtomicU64,
}

impl Canary {
    /// The canary of a test, if it has one.
    pub fn of(spec: &TestSpec) -> Option<Arc<Canary>> {
        let canary = spec.canary?;
        let (one_in, seed) = (canary.drop_one_in, spec.seed);
        Some(Arc::new(Canary { one_in, seed, dropped: AtomicU64::new(0) }))
    }

    /// The lie, if this request gets one: it is acknowledged, and must not be sent.
    pub fn lie(&self, request: &StepRequest) -> Option<StepReply> {
        let plain = |mop: &MicroOp| {
            matches!(
                mop,
                MicroOp::Write { .. }
                    | MicroOp::Append { .. }
                    | MicroOp::Add { .. }
                    | MicroOp::Inc { .. }
            )
        };
        if request.mops.is_empty() || !request.mops.iter().all(plain) || !self.chosen(request) {
            return None;
        }
        self.dropped.fetch_add(1, Ordering::Relaxed);
        Some(StepReply::Ok { mops: request.mops.clone(), position: None, token: None })
    }

    fn chosen(&self, request: &StepRequest) -> bool {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ self.seed;
        let mut take = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        format!("{} {:?}", request.session, request.mops).bytes().for_each(&mut take);
        // The last bytes have hardly reached the high bits, so they are folded in.
        (hash ^ (hash >> 32)).is_multiple_of(self.one_in)
    }

    /// What it does, for the record.
    pub fn fact(&self) -> String {
        format!("one write in {} is acknowledged and never sent, on purpose", self.one_in)
    }

    /// What it has done, for people.
    pub fn note(&self) -> String {
        let dropped = self.dropped.load(Ordering::Relaxed);
        format!("CANARY: {}: {dropped} so far; the system is not to blame", self.fact())
    }
}

/// A client whose sessions are lied to.
pub struct CanaryClient {
    /// Who is asked when there is no lie.
    pub inner: Arc<dyn Client>,
    /// Who decides.
    pub canary: Arc<Canary>,
}

impl Client for CanaryClient {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn apply(&self, node: usize, request: StepRequest, deadline: Duration) -> ReplyFuture<'_> {
        match self.canary.lie(&request) {
            Some(reply) => Box::pin(std::future::ready(reply)),
            None => self.inner.apply(node, request, deadline),
        }
    }

    fn shard_of(&self) -> fn(&Key, u32) -> u32 {
        self.inner.shard_of()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CanarySpec;

    fn request(mops: Vec<MicroOp>) -> StepRequest {
        let (token, wants_token, routed) = (None, false, false);
        StepRequest { mops, leader: true, session: 3, token, wants_token, routed }
    }

    #[test]
    fn about_one_write_in_n_is_dropped_and_never_a_read() {
        let spec = TestSpec { canary: Some(CanarySpec { drop_one_in: 20 }), ..Default::default() };
        let canary = Canary::of(&spec).unwrap();
        let chosen = |value: i64| canary.lie(&request(vec![MicroOp::append(1, value)])).is_some();
        let first: Vec<bool> = (0..4_000).map(chosen).collect();
        let dropped = first.iter().filter(|dropped| **dropped).count();
        assert!((140..260).contains(&dropped), "{dropped} of 4000 at 1/20");
        assert_eq!(first, (0..4_000).map(chosen).collect::<Vec<_>>(), "the same ones again");
        let reads = (0..4_000).filter(|key| {
            let mops = vec![MicroOp::read(*key), MicroOp::append(*key, 1)];
            canary.lie(&request(mops)).is_some()
        });
        assert_eq!(reads.count(), 0);
        assert!(Canary::of(&TestSpec::default()).is_none());
    }
}
