//! MongoDB's rows.

use super::{Catalogue, Choice, Configuration};

const ONE: &[&str] = &["mongodb.write_concern=1"];
const DEFAULT: &[&str] = &["mongodb.write_concern=majority"];
const MAJORITY: &[&str] = &["mongodb.write_concern=majority", "mongodb.read_concern=majority"];
const CAUSAL: &[&str] =
    &["mongodb.write_concern=majority", "mongodb.read_concern=majority", "mongodb.causal=true"];

pub(super) static CATALOGUE: Catalogue = Catalogue {
    rows: ROWS,
    isolation: ISOLATION,
    axes: AXES,
    policies: &["leader", "any-follower", "sticky-follower", "own-from-leader", "position-token"],
};

const ROWS: &[Configuration] = &[
    Configuration {
        name: "one-leader",
        why: "Acknowledged by one member, read from the leader: rolled back when another leads.",
        settings: ONE,
        policy: "leader",
        quick: true,
    },
    Configuration {
        name: "one-any-follower",
        why: "The same, read from whichever follower comes first.",
        settings: ONE,
        policy: "any-follower",
        quick: false,
    },
    Configuration {
        name: "one-causal-any-follower",
        why: "The same in causal sessions: their order ends where writes are rolled back.",
        settings: &["mongodb.write_concern=1", "mongodb.causal=true"],
        policy: "any-follower",
        quick: false,
    },
    Configuration {
        name: "default-leader",
        why: "What MongoDB does when nothing is said: w:majority, read concern local.",
        settings: DEFAULT,
        policy: "leader",
        quick: true,
    },
    Configuration {
        name: "default-any-follower",
        why: "The same, read from whichever follower comes first.",
        settings: DEFAULT,
        policy: "any-follower",
        quick: false,
    },
    Configuration {
        name: "majority-any-follower",
        why: "Read and write concern majority, without a causal session.",
        settings: MAJORITY,
        policy: "any-follower",
        quick: true,
    },
    Configuration {
        name: "majority-sticky-follower",
        why: "The same, each user reading from one follower.",
        settings: MAJORITY,
        policy: "sticky-follower",
        quick: false,
    },
    Configuration {
        name: "causal-any-follower",
        why: "The same in causal sessions: the guarantees that are documented.",
        settings: CAUSAL,
        policy: "any-follower",
        quick: true,
    },
    Configuration {
        name: "linearizable-leader",
        why: "Read concern linearizable: the leader asks a majority before it answers.",
        settings: &["mongodb.write_concern=majority", "mongodb.read_concern=linearizable"],
        policy: "leader",
        quick: false,
    },
];

const ISOLATION: &[Configuration] = &[
    Configuration {
        name: "isolation-local",
        why: "Transactions of several documents, read concern local, read from the leader.",
        settings: &["mongodb.write_concern=majority", "mongodb.transactions=true"],
        policy: "leader",
        quick: false,
    },
    Configuration {
        name: "isolation-snapshot",
        why: "The same with read concern snapshot and majority: snapshot isolation is documented.",
        settings: &[
            "mongodb.write_concern=majority",
            "mongodb.transactions=true",
            "mongodb.read_concern=snapshot",
        ],
        policy: "leader",
        quick: true,
    },
];

const AXES: &[&[Choice]] = &[
    &[
        Choice { name: "one", settings: ONE },
        Choice { name: "two", settings: &["mongodb.write_concern=2"] },
        Choice { name: "majority", settings: DEFAULT },
    ],
    &[
        Choice { name: "local", settings: &["mongodb.read_concern=local"] },
        Choice { name: "reads-majority", settings: &["mongodb.read_concern=majority"] },
    ],
    &[
        Choice { name: "plain", settings: &["mongodb.causal=false"] },
        Choice { name: "causal", settings: &["mongodb.causal=true"] },
    ],
];
