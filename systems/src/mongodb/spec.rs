//! What a MongoDB replica set is set to. Field names are those of the file and of `--set`.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How many members must have a write before it is acknowledged (`w`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteConcern {
    /// So many members, the leader among them.
    Nodes(u32),
    /// A majority of the voting members.
    Majority,
}

/// The level of the read concern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadConcern {
    /// What the member has.
    Local,
    /// The same; it differs in sharded clusters.
    Available,
    /// What the member knows to be on a majority.
    Majority,
    /// All that was acknowledged by a majority before; from the leader alone.
    Linearizable,
    /// One moment of what is on a majority, for all reads of a transaction.
    Snapshot,
}

/// Which members the driver reads from, where it has a connection to the whole set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ReadPreference {
    /// The primary alone.
    Primary,
    /// The primary, or a secondary while none is known.
    PrimaryPreferred,
    /// A secondary.
    Secondary,
    /// A secondary, or the primary while there is none.
    SecondaryPreferred,
    /// Any, of those whose round trip is at most 15 ms longer than the shortest.
    Nearest,
}

/// See the module's doc.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MongoSpec {
    /// `w`: a number of members or `majority`.
    pub write_concern: WriteConcern,
    /// `j`: whether a write waits for the journal of those members too.
    pub journal: bool,
    /// `wtimeout`, ms; 0 waits as long as the operation may take.
    pub wtimeout_ms: u64,
    /// `local`, `available`, `majority`, `linearizable` or `snapshot`.
    pub read_concern: ReadConcern,
    /// Whether sessions are causally consistent, whichever members they talk to.
    pub causal: bool,
    /// Whether operations of several micro-operations are multi-document transactions.
    pub transactions: bool,
    /// Whether the driver sends a write again after an error that it believes to be passing.
    pub retryable_writes: bool,
    /// Whether the driver sends a read again; with the policy `driver` alone.
    pub retryable_reads: bool,
    /// Where the policy `driver` reads; `primary` where nothing is said.
    pub read_preference: Option<ReadPreference>,
    /// `settings.electionTimeoutMillis`.
    pub election_timeout_ms: u64,
    /// `settings.heartbeatIntervalMillis`.
    pub heartbeat_ms: u64,
    /// Member to `priority`; 1 where nothing is said.
    pub priorities: BTreeMap<String, u32>,
    /// Members that are `hidden`, with priority 0.
    pub hidden: Vec<String>,
    /// Member to `secondaryDelaySecs`, s; such a member is hidden.
    pub delayed_s: BTreeMap<String, u64>,
    /// How many members, the last ones, only vote and hold no data.
    pub arbiters: usize,
    /// `settings.chainingAllowed`: whether members may copy from others than the leader.
    pub chaining: bool,
    /// Where every member listens.
    pub port: u16,
    /// The server on the hosts; without it the PATH and what `lab install mongodb` left are tried.
    pub binary: Option<String>,
}

impl Default for MongoSpec {
    fn default() -> MongoSpec {
        MongoSpec {
            write_concern: WriteConcern::Majority,
            journal: false,
            wtimeout_ms: 0,
            read_concern: ReadConcern::Local,
            causal: false,
            transactions: false,
            retryable_writes: false,
            retryable_reads: false,
            read_preference: None,
            election_timeout_ms: 2_000,
            heartbeat_ms: 500,
            priorities: BTreeMap::new(),
            hidden: Vec::new(),
            delayed_s: BTreeMap::new(),
            arbiters: 0,
            chaining: true,
            port: 27_017,
            binary: None,
        }
    }
}

impl MongoSpec {
    /// What is wrong with it for these nodes: the field, and what was expected.
    pub fn check(&self, nodes: &[String]) -> Result<(), (&'static str, String)> {
        self.check_arbiters(nodes.len())?;
        let data = &nodes[..self.data_members(nodes.len())];
        let count = data.len() as u32;
        if let WriteConcern::Nodes(w) = self.write_concern
            && !(1..=count).contains(&w)
        {
            let what = format!("{w} of {count} members cannot acknowledge: 1 to {count}, majority");
            return Err(("mongodb.write_concern", what));
        }
        self.check_reads()?;
        let known = |field: &'static str, name: &String| match nodes.contains(name) {
            true if data.contains(name) => Ok(()),
            true => {
                Err((field, format!("{name} is an arbiter: it holds no data, and never leads")))
            }
            false => {
                Err((field, format!("there is no node {name}: nodes are {}", nodes.join(", "))))
            }
        };
        self.priorities.keys().try_for_each(|name| known("mongodb.priorities", name))?;
        self.hidden.iter().try_for_each(|name| known("mongodb.hidden", name))?;
        self.delayed_s.keys().try_for_each(|name| known("mongodb.delayed_s", name))?;
        if let Some((name, priority)) = self.priorities.iter().find(|(_, p)| 1_000 < **p) {
            let what = format!("{priority} of {name} is not between 0 and 1000");
            return Err(("mongodb.priorities", what));
        }
        if data.iter().all(|name| self.priority(name) == 0) {
            let what = "every member has priority 0, so none could be elected".to_owned();
            return Err(("mongodb.priorities", what));
        }
        if self.heartbeat_ms == 0 || self.election_timeout_ms < 2 * self.heartbeat_ms {
            let what = format!(
                "an election timeout of {} ms is too short for heartbeats each {} ms",
                self.election_timeout_ms, self.heartbeat_ms
            );
            return Err(("mongodb.election_timeout_ms", what));
        }
        Ok(())
    }

    /// What is wrong with it for sessions that use this policy: the field, and what was expected.
    pub fn check_policy(&self, policy: &str) -> Result<(), (&'static str, String)> {
        let routed = policy == "driver";
        let needs = |what: &str| format!("{what}: it needs --policy driver, not {policy}");
        if self.read_preference.is_some() && !routed {
            let what = needs("a read preference is for the driver to route by");
            return Err(("mongodb.read_preference", what));
        }
        if self.retryable_reads && !routed {
            let what = needs("another member can be asked where the driver knows them all");
            return Err(("mongodb.retryable_reads", what));
        }
        if self.read_concern == ReadConcern::Linearizable && !self.reads_primary(policy) && routed {
            let what = "linearizable reads need read_preference = \"primary\"".to_owned();
            return Err(("mongodb.read_preference", what));
        }
        Ok(())
    }

    /// Whether sessions that use this policy read from the leader alone.
    pub fn reads_primary(&self, policy: &str) -> bool {
        let primary = matches!(self.read_preference, None | Some(ReadPreference::Primary));
        policy == "leader" || (policy == "driver" && primary)
    }

    fn check_arbiters(&self, count: usize) -> Result<(), (&'static str, String)> {
        let arbiters = self.arbiters;
        let most = count.saturating_sub(2).min(count / 2);
        if arbiters == 0 || arbiters <= most {
            return Ok(());
        }
        let what = format!(
            "{arbiters} arbiters of {count} members are too many: at most {most}, so that 2 hold \
             data and arbiters alone are no majority"
        );
        Err(("mongodb.arbiters", what))
    }

    /// How many of so many members hold data: the first ones.
    pub fn data_members(&self, count: usize) -> usize {
        count.saturating_sub(self.arbiters)
    }

    fn check_reads(&self) -> Result<(), (&'static str, String)> {
        let level = self.read_concern;
        let outside = matches!(level, ReadConcern::Linearizable | ReadConcern::Available);
        if self.transactions && outside {
            let what = "a transaction reads local, majority or snapshot".to_owned();
            return Err(("mongodb.read_concern", what));
        }
        if !self.transactions && level == ReadConcern::Snapshot {
            let what = "snapshot needs mongodb.transactions = true".to_owned();
            return Err(("mongodb.read_concern", what));
        }
        Ok(())
    }

    /// What a member's `priority` comes to.
    pub fn priority(&self, name: &str) -> u32 {
        if self.is_hidden(name) { 0 } else { self.priorities.get(name).copied().unwrap_or(1) }
    }

    /// Whether a member is hidden, by wish or because it is delayed.
    pub fn is_hidden(&self, name: &str) -> bool {
        self.hidden.iter().any(|hidden| hidden == name) || self.delayed_s.contains_key(name)
    }

    /// What is atomic in an operation of several micro-operations, and how its reads go together.
    pub fn atomicity(&self) -> (&'static str, &'static str) {
        let snapshot = self.read_concern == ReadConcern::Snapshot;
        match self.transactions {
            true if snapshot => ("everything", "atomic"),
            true => ("everything", "ordered"),
            false => ("key", "ordered"),
        }
    }

    /// Whether causally consistent sessions keep the guarantees that are documented for them.
    pub fn causal_and_durable(&self) -> bool {
        let majority = matches!(self.read_concern, ReadConcern::Majority | ReadConcern::Snapshot);
        self.causal && majority && self.write_concern == WriteConcern::Majority
    }
}

impl Serialize for WriteConcern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            WriteConcern::Nodes(count) => serializer.serialize_u32(*count),
            WriteConcern::Majority => serializer.serialize_str("majority"),
        }
    }
}

impl<'de> Deserialize<'de> for WriteConcern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<WriteConcern, D::Error> {
        deserializer.deserialize_any(WriteConcernVisitor)
    }
}

struct WriteConcernVisitor;

impl Visitor<'_> for WriteConcernVisitor {
    type Value = WriteConcern;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of members or \"majority\"")
    }

    fn visit_i64<E: Error>(self, count: i64) -> Result<WriteConcern, E> {
        let count = u32::try_from(count);
        count.map(WriteConcern::Nodes).map_err(|_| E::custom("a number of members is 1 or more"))
    }

    fn visit_u64<E: Error>(self, count: u64) -> Result<WriteConcern, E> {
        self.visit_i64(i64::try_from(count).unwrap_or(-1))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<WriteConcern, E> {
        match text.parse() {
            Ok(count) => Ok(WriteConcern::Nodes(count)),
            Err(_) if text == "majority" => Ok(WriteConcern::Majority),
            Err(_) => Err(E::custom(format!(
                "unknown write concern \"{text}\": a number of members or \"majority\""
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        ["n1", "n2", "n3"].map(str::to_owned).to_vec()
    }

    #[test]
    fn a_write_concern_is_a_number_or_majority() {
        let read = |text: &str| serde_json::from_str::<WriteConcern>(text);
        assert_eq!(read("2").unwrap(), WriteConcern::Nodes(2));
        assert_eq!(read("\"1\"").unwrap(), WriteConcern::Nodes(1));
        assert_eq!(read("\"majority\"").unwrap(), WriteConcern::Majority);
        assert!(read("\"most\"").unwrap_err().to_string().contains("\"majority\""));
        assert!(read("-1").is_err());
    }

    #[test]
    fn what_no_replica_set_can_be_is_named_by_its_field() {
        let good = MongoSpec::default();
        assert_eq!(good.check(&names()), Ok(()));
        let field = |spec: MongoSpec| spec.check(&names()).unwrap_err().0;
        let w = WriteConcern::Nodes(4);
        assert_eq!(field(MongoSpec { write_concern: w, ..good.clone() }), "mongodb.write_concern");
        let level = ReadConcern::Snapshot;
        assert_eq!(
            field(MongoSpec { read_concern: level, ..good.clone() }),
            "mongodb.read_concern"
        );
        let hidden = vec!["n9".to_owned()];
        assert_eq!(field(MongoSpec { hidden, ..good.clone() }), "mongodb.hidden");
        let hidden = names();
        assert_eq!(field(MongoSpec { hidden, ..good.clone() }), "mongodb.priorities");
        let late = MongoSpec { election_timeout_ms: 600, ..good };
        assert_eq!(field(late), "mongodb.election_timeout_ms");
    }

    #[test]
    fn arbiters_are_the_last_and_never_a_majority() {
        let with = |arbiters| MongoSpec { arbiters, ..MongoSpec::default() };
        assert_eq!(with(1).check(&names()), Ok(()));
        assert_eq!(with(1).data_members(3), 2);
        let (field, what) = with(2).check(&names()).unwrap_err();
        assert_eq!(field, "mongodb.arbiters");
        assert!(what.contains("at most 1"), "{what}");
        let five: Vec<String> = (1..=5).map(|node| format!("n{node}")).collect();
        assert_eq!(with(2).check(&five), Ok(()));
        assert!(with(3).check(&five).is_err());
        let write_concern = WriteConcern::Nodes(3);
        assert!(MongoSpec { write_concern, ..with(1) }.check(&names()).is_err());
        let hidden = vec!["n3".to_owned()];
        let (field, what) = MongoSpec { hidden, ..with(1) }.check(&names()).unwrap_err();
        assert_eq!(field, "mongodb.hidden");
        assert!(what.starts_with("n3 is an arbiter"), "{what}");
    }

    #[test]
    fn a_read_preference_is_named_as_drivers_name_it_and_needs_their_routing() {
        let read = |text: &str| serde_json::from_str::<MongoSpec>(text);
        let spec = read(r#"{"read_preference":"secondaryPreferred"}"#).unwrap();
        assert_eq!(spec.read_preference, Some(ReadPreference::SecondaryPreferred));
        assert!(read(r#"{"read_preference":"any"}"#).unwrap_err().to_string().contains("nearest"));
        assert_eq!(spec.check_policy("driver"), Ok(()));
        let (field, what) = spec.check_policy("any-follower").unwrap_err();
        assert_eq!(field, "mongodb.read_preference");
        assert!(what.contains("--policy driver, not any-follower"), "{what}");
        let line = MongoSpec { read_concern: ReadConcern::Linearizable, ..spec };
        assert!(line.check_policy("driver").unwrap_err().1.contains("\"primary\""));
        let primary = MongoSpec { read_preference: None, ..line };
        assert_eq!(primary.check_policy("driver"), Ok(()));
        assert!(primary.reads_primary("driver") && !primary.reads_primary("any-follower"));
        let again = MongoSpec { retryable_reads: true, ..MongoSpec::default() };
        assert_eq!(again.check_policy("leader").unwrap_err().0, "mongodb.retryable_reads");
    }
}
