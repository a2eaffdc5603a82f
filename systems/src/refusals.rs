//! No storm of log-ins: after a server has said that a password is wrong it is left alone for a
//! while, by all sessions alike. Accounts are locked by less.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How long a server is left alone after its first refusal; doubled by each further one.
const FIRST: Duration = Duration::from_secs(5);
/// The longest.
const LAST: Duration = Duration::from_secs(80);

/// Refusals by server, shared by all clones. `K` names a server: its address, or its number.
#[derive(Clone, Debug)]
pub struct Refusals<K = SocketAddr> {
    until: Arc<Mutex<Until<K>>>,
}

/// By server, until when it is left alone, and for how long that was.
type Until<K> = BTreeMap<K, (Instant, Duration)>;

impl<K> Default for Refusals<K> {
    fn default() -> Refusals<K> {
        Refusals { until: Arc::default() }
    }
}

impl<K: Ord> Refusals<K> {
    fn until(&self) -> MutexGuard<'_, Until<K>> {
        self.until.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Whether this server is to be left alone now.
    pub fn held(&self, server: K) -> bool {
        self.until().get(&server).is_some_and(|(until, _)| Instant::now() < *until)
    }

    /// The server has refused the user or the password.
    pub fn refused(&self, server: K) {
        let mut until = self.until();
        // Sessions that asked at the same time have heard one refusal, not several.
        if until.get(&server).is_some_and(|(until, _)| Instant::now() < *until) {
            return;
        }
        let pause = until.get(&server).map_or(FIRST, |(_, last)| (*last * 2).min(LAST));
        until.insert(server, (Instant::now() + pause, pause));
    }

    /// It has let us in.
    pub fn welcomed(&self, server: K) {
        self.until().remove(&server);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_refused_is_left_alone_by_all() {
        let refusals = Refusals::default();
        let other = refusals.clone();
        let address: SocketAddr = "127.0.0.1:5432".parse().unwrap();
        assert!(!other.held(address));
        refusals.refused(address);
        assert!(other.held(address) && !other.held("127.0.0.2:5432".parse().unwrap()));
        refusals.refused(address);
        assert_eq!(refusals.until()[&address].1, FIRST, "at the same time is once");
        refusals.welcomed(address);
        assert!(!other.held(address));
    }
}
