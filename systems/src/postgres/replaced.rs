//! A standby that comes back empty: its data is taken away, and copied anew from whoever leads then
//! (`pg_basebackup`).

use std::thread;
use std::time::{Duration, Instant};

use history::{Evidence, Role};

use super::provision::FOLDER;
use super::{PostgresSystem, STREAM_LIMIT};
use crate::replacing::{self, Replacing};
use crate::system::{System, SystemError};

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);

impl Replacing for PostgresSystem {
    fn empty(&self, node: usize) -> Result<Vec<Evidence>, SystemError> {
        let folder = format!("{FOLDER}/data");
        Ok(vec![replacing::emptied(&self.cluster.nodes, node, &folder)?])
    }

    fn refill(&self, node: usize) -> Result<Vec<Evidence>, SystemError> {
        let cluster = &self.cluster;
        let leader = self.leader().ok_or_else(|| SystemError::new("no node leads"))?;
        let name = &cluster.nodes.names[node];
        if leader == node {
            return Err(SystemError::new(format!("{name} leads, though it has no data")));
        }
        let started = Instant::now();
        cluster.provision().copy(node, cluster.programs(node), leader)?;
        let took = started.elapsed().as_secs_f64();
        Ok(vec![Evidence {
            probe: format!("{name} pg_basebackup from {}", cluster.nodes.names[leader]),
            expected: "a copy".to_owned(),
            observed: format!("a copy after {took:.2} s"),
            holds: true,
        }])
    }

    fn join(&self, node: usize) -> Result<Vec<Evidence>, SystemError> {
        let started = Instant::now();
        let receiver = loop {
            let sample = self.sample(node, &|| 0);
            let said = sample.details.get("receiver").and_then(|said| said.as_str());
            let said = said.map(str::to_owned).or(sample.error).unwrap_or_default();
            if said == "streaming" || STREAM_LIMIT < started.elapsed() {
                break said;
            }
            thread::sleep(PAUSE);
        };
        Ok(vec![Evidence {
            probe: format!("{} WAL receiver", self.cluster.nodes.names[node]),
            expected: "streaming".to_owned(),
            holds: receiver == "streaming",
            observed: format!("{receiver} after {:.2} s", started.elapsed().as_secs_f64()),
        }])
    }
}

impl PostgresSystem {
    /// Who leads, on the newest time line that anybody leads on.
    fn leader(&self) -> Option<usize> {
        let leads = |node: usize| {
            let sample = self.sample(node, &|| 0);
            let led = sample.shards.iter().find(|replica| replica.role == Role::Leader)?;
            Some((led.term, node))
        };
        let leaders = (0..self.cluster.nodes.count()).filter_map(leads);
        leaders.max().map(|(_, node)| node)
    }
}
