//! No storm of log-ins: after a server has said that a password is wrong it is left alone for a
//! while, by all sessions alike. Accounts are locked by less.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a server is left alone after its first refusal; doubled by each further one.
const FIRST: Duration = Duration::from_secs(5);
/// The longest.
const LAST: Duration = Duration::from_secs(80);

/// Refusals by address, shared by all clones.
#[derive(Clone, Debug, Default)]
pub struct Refusals {
    until: Arc<Mutex<BTreeMap<SocketAddr, (Instant, Duration)>>>,
}

impl Refusals {
    /// Whether the server at this address is to be left alone now.
    pub fn held(&self, address: SocketAddr) -> bool {
        let until = self.until.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        until.get(&address).is_some_and(|(until, _)| Instant::now() < *until)
    }

    /// The server has refused the user or the password.
    pub fn refused(&self, address: SocketAddr) {
        let mut until = self.until.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let pause = until.get(&address).map_or(FIRST, |(_, last)| (*last * 2).min(LAST));
        until.insert(address, (Instant::now() + pause, pause));
    }

    /// It has let us in.
    pub fn welcomed(&self, address: SocketAddr) {
        self.until.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).remove(&address);
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
        refusals.welcomed(address);
        assert!(!other.held(address));
    }
}
