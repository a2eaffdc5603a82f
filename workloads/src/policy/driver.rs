//! The system's own driver chooses the node; who answered is learned from it.

use history::MicroOp;

use super::{News, Plan, Policy, Step, View};

/// See the module's doc.
pub struct Driver;

impl Policy for Driver {
    fn decide(&mut self, _session: usize, txn: &[MicroOp], _view: &View) -> Plan {
        // The node means nothing here.
        let step = Step { shard: 0, node: 0, mops: 0..txn.len(), leader: false, token: None };
        Plan { target: "driver", steps: vec![step] }
    }

    fn learn(&mut self, _session: usize, _step: &Step, _news: News, _view: &View) {}

    fn routed_by_driver(&self) -> bool {
        true
    }

    /// What the driver gives up, its application sees: nobody asks another node for it.
    fn redirect(&mut self, _session: usize, _step: &Step, _view: &View) -> Option<usize> {
        None
    }
}
