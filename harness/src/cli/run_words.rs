//! Flags of `run` as they would be typed. A test holds that none is forgotten.

use std::path::PathBuf;

use super::RunFlags;
use crate::config::Words;

impl RunFlags {
    /// The words that parse to these flags. Where runs are kept is not said: who asks knows it.
    pub fn words(&self) -> Words {
        let mut words = Words::of("run");
        self.of_the_test(&mut words);
        self.of_the_system(&mut words);
        self.of_the_load(&mut words);
        for (switch, on) in [
            ("until-found", self.until_found),
            ("dry-run", self.dry_run),
            ("plan", self.plan),
            ("json", self.json),
        ] {
            if on {
                words.switch(switch);
            }
        }
        words
    }

    fn of_the_test(&self, words: &mut Words) {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let number = |number: Option<u64>| number.map(|number| number.to_string());
        for (flag, value) in [
            ("config", path(&self.config)),
            ("name", self.name.clone()),
            ("seed", number(self.seed)),
            ("seeds", self.seeds.clone()),
            ("count", number(self.count)),
            ("time-budget", self.time_budget.clone()),
            ("lab", self.lab.clone()),
            ("hosts-file", path(&self.hosts_file)),
            ("hosts", self.hosts.map(|hosts| hosts.to_string())),
        ] {
            value.into_iter().for_each(|value| words.flag(flag, value));
        }
    }

    fn of_the_system(&self, words: &mut Words) {
        for (flag, value) in [
            ("system", self.system.clone()),
            ("replication", self.replication.clone()),
            ("failover", self.failover.clone()),
            ("shards", self.shards.map(|shards| shards.to_string())),
            ("read", self.read.clone()),
        ] {
            value.into_iter().for_each(|value| words.flag(flag, value));
        }
        self.set.iter().for_each(|set| words.flag("set", set));
    }

    fn of_the_load(&self, words: &mut Words) {
        for (flag, value) in [
            ("workload", self.workload.clone()),
            ("policy", self.policy.clone()),
            ("sessions", self.sessions.map(|sessions| sessions.to_string())),
            ("rate", self.rate.map(|rate| rate.to_string())),
            ("time-limit", self.time_limit.clone()),
            ("recovery", self.recovery.clone()),
            ("op-timeout", self.op_timeout.clone()),
            ("max-duration", self.max_duration.clone()),
            ("canary", self.canary.clone()),
        ] {
            value.into_iter().for_each(|value| words.flag(flag, value));
        }
        for (flag, values) in
            [("region", &self.regions), ("latency", &self.latency), ("fault", &self.faults)]
        {
            values.iter().for_each(|value| words.flag(flag, value));
        }
        self.pcap.iter().for_each(|size| words.word("pcap", size));
    }
}
