//! PostgreSQL's rows.

use super::{Catalogue, Choice, Configuration};

const ALONE: &[&str] = &["postgres.replication=async", "postgres.failover=none"];
const ASYNC: &[&str] = &["postgres.replication=async", "postgres.failover=operator"];

pub(super) static CATALOGUE: Catalogue = Catalogue {
    rows: ROWS,
    isolation: ISOLATION,
    axes: AXES,
    policies: &[
        "leader",
        "any-follower",
        "sticky-follower",
        "own-from-leader",
        "leader-after-write",
        "position-token",
    ],
};

const ROWS: &[Configuration] = &[
    Configuration {
        name: "no-failover-leader",
        why: "Asynchronous standbys, nobody promotes one: consistent, and down with the leader.",
        settings: ALONE,
        policy: "leader",
        quick: false,
    },
    Configuration {
        name: "no-failover-any-standby",
        why: "The same, read from whichever standby comes first.",
        settings: ALONE,
        policy: "any-follower",
        quick: true,
    },
    Configuration {
        name: "no-failover-sticky-standby",
        why: "The same, each user reading from one standby.",
        settings: ALONE,
        policy: "sticky-follower",
        quick: false,
    },
    Configuration {
        name: "no-failover-own-from-leader",
        why: "The same, own data read from the leader, others' from standbys.",
        settings: ALONE,
        policy: "own-from-leader",
        quick: false,
    },
    Configuration {
        name: "no-failover-token",
        why: "The same, from a standby that has replayed what the user wrote and saw.",
        settings: ALONE,
        policy: "position-token",
        quick: true,
    },
    Configuration {
        name: "remote-apply-any-standby",
        why: "Acknowledged when both standbys show it, one of which shows it late.",
        settings: &[
            "postgres.replication=first",
            "postgres.k=2",
            "postgres.synchronous_commit=remote_apply",
            "postgres.apply_delay_ms.n3=100",
            "postgres.failover=none",
        ],
        policy: "any-follower",
        quick: false,
    },
    Configuration {
        name: "async-leader",
        why: "Acknowledged by the leader alone; an operator promotes the most advanced standby.",
        settings: ASYNC,
        policy: "leader",
        quick: true,
    },
    Configuration {
        name: "async-any-standby",
        why: "The same, read from whichever standby comes first.",
        settings: ASYNC,
        policy: "any-follower",
        quick: false,
    },
    Configuration {
        name: "any1-leader",
        why: "Acknowledged when any standby has flushed it; the most advanced one is promoted.",
        settings: &["postgres.replication=any", "postgres.k=1", "postgres.failover=operator"],
        policy: "leader",
        quick: true,
    },
    Configuration {
        name: "any1-wrong-candidate",
        why: "The same, and the operator promotes the standby that has least, one cut off.",
        settings: &[
            "postgres.replication=any",
            "postgres.k=1",
            "postgres.failover=operator",
            "postgres.candidate=least-advanced",
        ],
        policy: "leader",
        quick: false,
    },
    Configuration {
        name: "async-unfenced",
        why: "Nobody ends the old leader before another is promoted: the brain splits.",
        settings: &[
            "postgres.replication=async",
            "postgres.failover=operator",
            "postgres.fence=false",
        ],
        policy: "leader",
        quick: false,
    },
    Configuration {
        name: "any1-remote-write",
        why: "Acknowledged when a standby's operating system has it, before it is flushed there.",
        settings: &[
            "postgres.replication=any",
            "postgres.k=1",
            "postgres.synchronous_commit=remote_write",
            "postgres.failover=operator",
        ],
        policy: "leader",
        quick: false,
    },
];

const ISOLATION: &[Configuration] = &[
    Configuration {
        name: "isolation-read-committed",
        why: "Transactions at the default level, read from the leader, which nobody replaces.",
        settings: &[
            "postgres.replication=async",
            "postgres.failover=none",
            "postgres.isolation=read-committed",
        ],
        policy: "leader",
        quick: false,
    },
    Configuration {
        name: "isolation-repeatable-read",
        why: "The same at REPEATABLE READ, which is snapshot isolation.",
        settings: &[
            "postgres.replication=async",
            "postgres.failover=none",
            "postgres.isolation=repeatable-read",
        ],
        policy: "leader",
        quick: true,
    },
    Configuration {
        name: "isolation-serializable",
        why: "The same at SERIALIZABLE.",
        settings: &[
            "postgres.replication=async",
            "postgres.failover=none",
            "postgres.isolation=serializable",
        ],
        policy: "leader",
        quick: true,
    },
];

const AXES: &[&[Choice]] = &[
    &[
        Choice { name: "async", settings: &["postgres.replication=async"] },
        Choice { name: "first1", settings: &["postgres.replication=first", "postgres.k=1"] },
        Choice { name: "first2", settings: &["postgres.replication=first", "postgres.k=2"] },
        Choice { name: "any1", settings: &["postgres.replication=any", "postgres.k=1"] },
    ],
    &[
        Choice { name: "local", settings: &["postgres.synchronous_commit=local"] },
        Choice { name: "remote-write", settings: &["postgres.synchronous_commit=remote_write"] },
        Choice { name: "on", settings: &["postgres.synchronous_commit=on"] },
        Choice { name: "remote-apply", settings: &["postgres.synchronous_commit=remote_apply"] },
    ],
    &[
        Choice { name: "none", settings: &["postgres.failover=none"] },
        Choice { name: "operator", settings: &["postgres.failover=operator"] },
    ],
];
