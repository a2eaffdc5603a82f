//! The bundled store's rows.

use super::{Catalogue, Choice, Configuration};

const ASYNC: &[&str] = &["store.replication=async", "store.failover=vote"];
const SYNC: &[&str] = &["store.replication=sync", "store.failover=vote"];
const ALONE: &[&str] = &["store.replication=async", "store.failover=none"];

pub(super) static CATALOGUE: Catalogue = Catalogue {
    rows: ROWS,
    // The store says nothing of isolation.
    isolation: &[],
    axes: AXES,
    policies: &[
        "leader",
        "any-follower",
        "sticky-follower",
        "own-from-leader",
        "leader-after-write",
    ],
};

const ROWS: &[Configuration] = &[
    Configuration {
        name: "async-leader",
        why: "Acknowledged by the leader alone; a majority elects a new one.",
        settings: ASYNC,
        policy: "leader",
        quick: true,
    },
    Configuration {
        name: "async-any-follower",
        why: "The same, read from whichever follower comes first.",
        settings: ASYNC,
        policy: "any-follower",
        quick: true,
    },
    Configuration {
        name: "async-sticky-follower",
        why: "The same, each user reading from one follower.",
        settings: ASYNC,
        policy: "sticky-follower",
        quick: false,
    },
    Configuration {
        name: "async-own-from-leader",
        why: "The same, own data read from the leader, others' from followers.",
        settings: ASYNC,
        policy: "own-from-leader",
        quick: false,
    },
    Configuration {
        name: "async-leader-after-write",
        why: "The same, from the leader for a while after a write, else from followers.",
        settings: ASYNC,
        policy: "leader-after-write",
        quick: false,
    },
    Configuration {
        name: "sync-leader",
        why: "Acknowledged when a majority has it; a majority elects.",
        settings: SYNC,
        policy: "leader",
        quick: true,
    },
    Configuration {
        name: "sync-any-follower",
        why: "The same, read from whichever follower comes first.",
        settings: SYNC,
        policy: "any-follower",
        quick: false,
    },
    Configuration {
        name: "sync-committed-leader",
        why: "The same, from the leader, which shows only what a majority has.",
        settings: &["store.replication=sync", "store.failover=vote", "store.read=committed"],
        policy: "leader",
        quick: false,
    },
    Configuration {
        name: "sync-timeout-leader",
        why: "Followers take over by their own timeout, without a vote: the brain may split.",
        settings: &["store.replication=sync", "store.failover=timeout"],
        policy: "leader",
        quick: false,
    },
    Configuration {
        name: "no-failover-leader",
        why: "The leader is never replaced: consistent, and down when it is.",
        settings: ALONE,
        policy: "leader",
        quick: true,
    },
    Configuration {
        name: "no-failover-any-follower",
        why: "The same, read from whichever follower comes first.",
        settings: ALONE,
        policy: "any-follower",
        quick: false,
    },
    Configuration {
        name: "two-shards-any-follower",
        why: "Two independent logs: an answer may be seen before its question.",
        settings: &["store.replication=async", "store.failover=none", "store.shards=2"],
        policy: "any-follower",
        quick: true,
    },
];

const AXES: &[&[Choice]] = &[
    &[
        Choice { name: "async", settings: &["store.replication=async"] },
        Choice { name: "sync", settings: &["store.replication=sync"] },
    ],
    &[
        Choice { name: "none", settings: &["store.failover=none"] },
        Choice { name: "vote", settings: &["store.failover=vote"] },
        Choice { name: "timeout", settings: &["store.failover=timeout"] },
    ],
    &[
        Choice { name: "local", settings: &["store.read=local"] },
        Choice { name: "committed", settings: &["store.read=committed"] },
    ],
    &[
        Choice { name: "1", settings: &["store.shards=1"] },
        Choice { name: "2", settings: &["store.shards=2"] },
    ],
];
