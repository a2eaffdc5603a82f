//! Flags of `run` as they would be typed.

use super::{RunFlags, RunsDir};
use crate::config::Words;

impl RunFlags {
    /// The words that parse to these flags. Where runs are kept is not said: who asks knows it.
    pub fn words(&self) -> Words {
        // Every field is named, so that a new one cannot be forgotten here.
        let RunFlags {
            config,
            name,
            seed,
            seeds,
            count,
            until_found,
            time_budget,
            lab,
            hosts_file,
            hosts,
            system,
            set,
            replication,
            failover,
            shards,
            read,
            workload,
            policy,
            sessions,
            rate,
            time_limit,
            recovery,
            op_timeout,
            faults,
            regions,
            latency,
            pcap,
            max_duration,
            dry_run,
            plan,
            canary,
            json,
            runs: RunsDir { runs_dir: _ },
        } = self;
        let path = |path: &Option<std::path::PathBuf>| {
            path.as_ref().map(|path| path.display().to_string())
        };
        let mut words = Words::of("run");
        for (flag, value) in [
            ("config", path(config)),
            ("name", name.clone()),
            ("seed", seed.map(|seed| seed.to_string())),
            ("seeds", seeds.clone()),
            ("count", count.map(|count| count.to_string())),
            ("time-budget", time_budget.clone()),
            ("lab", lab.clone()),
            ("hosts-file", path(hosts_file)),
            ("hosts", hosts.map(|hosts| hosts.to_string())),
            ("system", system.clone()),
            ("replication", replication.clone()),
            ("failover", failover.clone()),
            ("shards", shards.map(|shards| shards.to_string())),
            ("read", read.clone()),
        ] {
            value.into_iter().for_each(|value| words.flag(flag, value));
        }
        set.iter().for_each(|set| words.flag("set", set));
        for (flag, value) in [
            ("workload", workload.clone()),
            ("policy", policy.clone()),
            ("sessions", sessions.map(|sessions| sessions.to_string())),
            ("rate", rate.map(|rate| rate.to_string())),
            ("time-limit", time_limit.clone()),
            ("recovery", recovery.clone()),
            ("op-timeout", op_timeout.clone()),
            ("max-duration", max_duration.clone()),
            ("canary", canary.clone()),
        ] {
            value.into_iter().for_each(|value| words.flag(flag, value));
        }
        let several = [("region", regions), ("latency", latency), ("fault", faults)];
        for (flag, values) in several {
            values.iter().for_each(|value| words.flag(flag, value));
        }
        pcap.iter().for_each(|size| words.word("pcap", size));
        let switches =
            [("until-found", until_found), ("dry-run", dry_run), ("plan", plan), ("json", json)];
        for (switch, _) in switches.into_iter().filter(|(_, on)| **on) {
            words.switch(switch);
        }
        words
    }
}
